"""Measures the outage that a client sees: `make bench` writes `build/bench/failover.json`.

A fresh TCP connection to the protected address begins every 20 ms with a timeout of 200 ms. Each
case is done `--runs` times on one lab, profile Normal; minimum, median and maximum are printed,
nothing is judged. The agent at rest is measured first.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from standfast.lab.cluster import LabCluster, bring_up
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab, LabVm
from standfast.lab.software import checkout

VIP = "10.77.1.100"
REST_S = 20
CALM_S = 0.5
OUT = Path("build/bench/failover.json")
Fault = Callable[[str, str], object]
"""Does something to a pair, told the names of active and standby."""

PEERS = {
    "vm-crash": "keepalived 3.28, Pacemaker 12.06 (tuned 3.81), Patroni 25.2",
    "app-crash": "keepalived 1.22, Pacemaker 4.49 (tuned 2.55), Patroni 6.08",
    "isolation": "keepalived 3.28 (on both), Pacemaker 11.58 (tuned 5.04), Patroni 32.4",
    "switchover": "keepalived 0.64, Pacemaker 2.53 (tuned 2.65), Patroni 1.40",
}


@dataclass
class Case:
    """What was measured of one kind of fault."""

    profile: str = "Normal"
    resource: str = "systemd web.service behind a vip"
    outage_s: list[float] = field(default_factory=list)
    both_s: list[float] = field(default_factory=list)


def measure(
    cluster: LabCluster, case: Case, act: Callable[[str, str], object], mover: str
) -> None:
    """One run: the fault, the outage, the recovery.

    Args:
        cluster: Settled.
        case: Takes the figures.
        act: The fault, told the names of active and standby.
        mover: Who must answer afterwards: `active` or `standby`.
    """
    lab = cluster.lab
    names = {"active": cluster.active, "standby": cluster.standby}
    since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with lab.probe_vip(VIP) as probe:
        probe.wait_for(names["active"])
        act(names["active"], names["standby"])
        if mover == "standby":
            probe.wait_for(names["standby"])
        else:
            probe.wait_for_silence()
            probe.wait_for(names["active"])
        time.sleep(CALM_S)
    summary = probe.summary
    case.outage_s.append(max((outage.s for outage in summary.outages), default=0.0))
    case.both_s.append(max(summary.both_s, lab.both_held_s(VIP, since_ns)))
    lab.net.heal()
    for vm in lab.vms():
        if vm.now().power == "off":
            vm.on()
    cluster.wait_active(names[mover])
    forget_restarts(cluster)
    cluster.wait_settled()


def faults(cluster: LabCluster) -> dict[str, tuple[Fault, str]]:
    lab = cluster.lab

    def switch_over(_active: str, standby: str) -> None:
        cluster.kubectl.standfast("switchover", cluster.name, "--to", standby, "--reason", "bench")

    return {
        "vm-crash": (lambda active, _: lab.vm(active).off(seen=False), "standby"),
        "app-crash": (
            lambda active, _: lab.vm(active).exec(
                ["systemctl", "kill", "--signal=SIGKILL", "web.service"]
            ),
            "active",
        ),
        "isolation": (lambda active, _: lab.net.cut(active), "standby"),
        "switchover": (switch_over, "standby"),
    }


def forget_restarts(cluster: LabCluster) -> None:
    """Make the next application crash the first one: an agent that starts remembers none."""
    vm = cluster.lab.vm(cluster.active)
    vm.exec(["systemctl", "restart", "standfast-agent"])


def cpu_ticks(vm: LabVm, pid: str) -> int:
    """User and system time of a process, in clock ticks."""
    fields = vm.exec(["cat", f"/proc/{pid}/stat"]).rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def at_rest(cluster: LabCluster) -> dict[str, dict[str, float]]:
    """What the agents cost while nothing happens."""
    figures: dict[str, dict[str, float]] = {}
    ticks_s = 100
    for vm in cluster.lab.vms():
        shown = vm.exec(["systemctl", "show", "--property=MainPID", "--value", "standfast-agent"])
        pid = shown.strip()
        before, begin = cpu_ticks(vm, pid), time.monotonic()
        time.sleep(REST_S)
        cpu = (cpu_ticks(vm, pid) - before) / ticks_s / (time.monotonic() - begin)
        status = vm.exec(["cat", f"/proc/{pid}/status"])
        rss_kb = next(int(r.split()[1]) for r in status.splitlines() if r.startswith("VmRSS"))
        figures[vm.name] = {"core_percent": round(100 * cpu, 2), "rss_mb": round(rss_kb / 1024, 1)}
    return figures


@click.command()
@click.option("--runs", default=7, show_default=True, help="Runs of each case.")
@click.option("--case", "only", multiple=True, help="Only this case.")
@click.option("--name", default="bench", show_default=True, help="Of the lab.")
def main(runs: int, only: tuple[str, ...], name: str) -> None:
    console = Console()
    lab = Lab.up(name, Wanted(vms=2, networks=2))
    try:
        cluster = bring_up(lab, checkout() / "examples/01-web-pair", "web")
        rest = at_rest(cluster)
        cases: dict[str, Case] = {}
        for kind, (act, mover) in faults(cluster).items():
            if only and kind not in only:
                continue
            case = cases[kind] = Case()
            for run in range(runs):
                measure(cluster, case, act, mover)
                console.print(f"{kind} {run + 1}/{runs}: {case.outage_s[-1]:.3f} s")
    finally:
        lab.down()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({kind: vars(case) for kind, case in cases.items()}, indent=1))
    show(console, cases, rest)


def show(console: Console, cases: dict[str, Case], rest: dict[str, dict[str, float]]) -> None:
    table = Table(title="Outage seen by a client, seconds", expand=False)
    for column in ("case", "runs", "min", "median", "max", "on both", "peers on such a bed"):
        table.add_column(column)
    for kind, case in cases.items():
        outage = case.outage_s
        figures = (min(outage), statistics.median(outage), max(outage), max(case.both_s))
        shown = (f"{figure:.2f}" for figure in figures)
        table.add_row(kind, str(len(outage)), *shown, PEERS[kind])
    console.print(table)
    for vm, figures in rest.items():
        console.print(
            f"agent at rest in {vm}: {figures['core_percent']} % of a core, "
            f"{figures['rss_mb']} MB resident"
        )
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    main()
