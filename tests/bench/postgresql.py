"""PostgreSQL behind the address, synchronous: how long nobody's write is acknowledged.

A client writes all the time on four connections. The outage is the longest time between two
acknowledged writes; the ledger says how many acknowledged ones are missing afterwards. What being
protected costs is measured with pgbench: one server alone, then the pair with and without waiting
for its standby.
"""

import re
import time
from collections.abc import Mapping
from typing import cast

from rich.console import Console

from standfast.lab.cluster import LabCluster
from standfast.lab.databases import (
    APP,
    UNIT,
    Variant,
    declare,
    install_all,
    kill_postmaster,
    make_application,
    settle,
    sql,
    vip,
)
from standfast.lab.lab import Lab
from standfast.lab.ledger import Ledger
from standfast.lab.writing import longest_silence_ms
from tests.bench.case import Case, Fault

GOALS_S = {
    "Normal": {
        "pg-vm-crash": 1.9,
        "pg-postmaster-kill": 0.6,
        "pg-isolation": 2.5,
        "pg-switchover": 0.8,
    },
    "Fast": {
        "pg-vm-crash": 1.0,
        "pg-postmaster-kill": 0.6,
        "pg-isolation": 1.3,
        "pg-switchover": 0.8,
    },
}
CASES = tuple(GOALS_S["Normal"])
RECOVERED = 20
"""So many acknowledged writes after the fault end a run."""
OUTAGE_S = 30.0
CALM_S = 0.5
PGBENCH = ("pgbench", "-n", "-c", "8", "-j", "2", "-T", "8", "-M", "prepared")
_TPS = re.compile(r"tps = ([0-9.]+) \(without")
_STEPS = ("wonMs", "recordMs", "proofMs", "servingMs")


def faults(cluster: LabCluster) -> dict[str, tuple[Fault, str]]:
    """Case -> what happens, and who must serve afterwards."""
    lab = cluster.lab

    def switch_over(_active: str, standby: str) -> None:
        cluster.kubectl.standfast("switchover", cluster.name, "--to", standby, "--reason", "bench")

    return {
        "pg-vm-crash": (lambda active, _: lab.vm(active).off(seen=False), "standby"),
        "pg-postmaster-kill": (lambda active, _: kill_postmaster(lab.vm(active)), "active"),
        "pg-isolation": (lambda active, _: lab.net.cut(active), "standby"),
        "pg-switchover": (switch_over, "standby"),
    }


def measure(cluster: LabCluster, ledger: Ledger, case: Case, act: Fault, mover: str) -> None:
    """One run: the fault, the outage, the recovery.

    Args:
        cluster: Settled.
        ledger: Of all runs.
        case: Takes the figures.
        act: The fault.
        mover: Who must serve afterwards: `active` or `standby`.
    """
    lab = cluster.lab
    names = {"active": cluster.active, "standby": cluster.standby}
    since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with ledger.writing() as running:
        since_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        act(names["active"], names["standby"])
        running.wait_for_failure(since_ms, timeout_s=OUTAGE_S)
        running.wait_for(RECOVERED, timeout_s=OUTAGE_S)
        time.sleep(CALM_S)
    case.outage_s.append(longest_silence_ms(running.writes, since_ms - 100) / 1000)
    case.both_s.append(lab.both_held_s(vip(lab), since_ns))
    if mover == "standby":
        case.steps_ms.append(steps(cluster, names["standby"]))
    lab.net.heal()
    for vm in lab.vms():
        if vm.now().power == "off":
            vm.on()
    cluster.wait_active(names[mover])
    lab.vm(names[mover]).exec(["systemctl", "restart", "standfast-agent"])  # forgets restarts
    settle(cluster)
    case.lost_acked.append(len(ledger.verdict().lost))


def steps(cluster: LabCluster, node: str) -> dict[str, int | None]:
    """What the new active says of its takeover."""
    takeover = cluster.agent_status(node).get("lastTakeover")
    if not isinstance(takeover, Mapping):
        return {}
    return {step: cast("int | None", takeover.get(step)) for step in _STEPS}


def run(
    lab: Lab, console: Console, *, runs: int, only: tuple[str, ...], profile: str, cost: bool
) -> tuple[dict[str, Case], dict[str, float]]:
    """All cases of a fresh pair in a lab whose operator is installed.

    Returns:
        Case -> its figures; and what pgbench said, kind of replication -> transactions a second.
    """
    install_all(lab)
    rates = {"alone": alone(lab)} if cost else {}
    cluster = declare(lab, Variant(profile))
    cluster.enroll()
    settle(cluster)
    make_application(lab.vm(cluster.active))
    if cost:
        rates |= protected(lab)
    ledger, cases = Ledger(lab, vip(lab)), dict[str, Case]()
    for kind, (act, mover) in faults(cluster).items():
        if only and kind not in only:
            continue
        resource = "postgresql, synchronous, behind a vip"
        case = cases[kind] = Case(profile, resource, GOALS_S[profile][kind])
        for number in range(runs):
            measure(cluster, ledger, case, act, mover)
            said = f"{case.outage_s[-1]:.3f} s, {case.lost_acked[-1]} lost"
            detail = case.steps_ms[-1] if case.steps_ms else ""
            console.print(f"{kind} {profile} {number + 1}/{runs}: {said} {detail}")
    return cases, rates


# ---------------------------------------------------------------- what it costs


def alone(lab: Lab) -> float:
    """A server that nobody protects, on the first VM."""
    vm = lab.vms()[0]
    vm.exec(["systemctl", "start", UNIT], timeout_s=60)
    sql(vm, f"CREATE ROLE {APP} LOGIN PASSWORD '{APP}'")
    sql(vm, f"CREATE DATABASE bench OWNER {APP}")
    hba = vm.machine.root() / "etc/postgresql/15/main/postgresql.conf"
    hba.write_text(hba.read_text() + "\nlisten_addresses = '*'\n")
    vm.exec(["systemctl", "restart", UNIT], timeout_s=60)
    address = vm.addresses[0]
    pgbench(lab, address, ("pgbench", "-i", "-q", "-s", "10"))
    rate = rate_of(pgbench(lab, address, PGBENCH))
    sql(vm, "DROP DATABASE bench")
    sql(vm, f"DROP ROLE {APP}")
    vm.exec(["systemctl", "stop", UNIT], timeout_s=60)
    return rate


def protected(lab: Lab) -> dict[str, float]:
    """The pair: every commit waits for the standby, then none does and it only follows."""
    active = next(vm for vm in lab.vms() if f" {vip(lab)}/" in vm.exec(["ip", "-o", "address"]))
    sql(active, f"CREATE DATABASE bench OWNER {APP}")
    pgbench(lab, vip(lab), ("pgbench", "-i", "-q", "-s", "10"))
    rates = {
        "streaming": rate_of(pgbench(lab, vip(lab), PGBENCH, "-c synchronous_commit=local")),
        "synchronous": rate_of(pgbench(lab, vip(lab), PGBENCH)),
    }
    sql(active, "DROP DATABASE bench")
    return rates


def pgbench(lab: Lab, address: str, command: tuple[str, ...], options: str = "") -> str:
    """Run it as the application, from the client."""
    login = [f"PGHOST={address}", f"PGUSER={APP}", f"PGPASSWORD={APP}", "PGDATABASE=bench"]
    argv = ["env", *login, f"PGOPTIONS={options}", *command]
    done = lab.client_exec(argv, timeout_s=120)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr}")
    return done.stdout


def rate_of(output: str) -> float:
    """Transactions a second, as pgbench says it."""
    found = _TPS.search(output)
    assert found is not None, output
    return float(found.group(1))
