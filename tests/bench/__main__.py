"""Measures the outage that a client sees: `make bench` writes `build/bench/failover.json`.

Of the web pair: a fresh TCP connection to the protected address begins every 20 ms with a timeout
of 200 ms. Of the PostgreSQL pair, cases `pg-…`: the longest time without an acknowledged write.
Each case is done `--runs` times, profile Normal (or `--profile`); minimum, median and maximum are
printed, nothing is judged. The agent at rest is measured first.
"""

import json
import statistics
import time
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from standfast.errors import UserError
from standfast.lab.cluster import LabCluster, bring_up, install_operator
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab, LabVm
from standfast.lab.software import checkout
from tests.bench import postgresql
from tests.bench.case import Case, Fault

VIP = "10.77.1.100"
REST_S = 20
CALM_S = 0.5
OUT = Path("build/bench/failover.json")
PEERS = {
    "vm-crash": "keepalived 3.28, Pacemaker 12.06 (tuned 3.81), Patroni 25.2",
    "app-crash": "keepalived 1.22, Pacemaker 4.49 (tuned 2.55), Patroni 6.08",
    "isolation": "keepalived 3.28 (on both), Pacemaker 11.58 (tuned 5.04), Patroni 32.4",
    "switchover": "keepalived 0.64, Pacemaker 2.53 (tuned 2.65), Patroni 1.40",
}


def measure(cluster: LabCluster, case: Case, act: Fault, mover: str) -> None:
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
@click.option("--profile", default="Normal", type=click.Choice([*postgresql.GOALS_S]))
@click.option("--cost/--no-cost", default=True, help="Also pgbench, with and without protection.")
def main(runs: int, only: tuple[str, ...], name: str, profile: str, *, cost: bool) -> None:
    console = Console()
    rest: dict[str, dict[str, float]] = {}
    cases: dict[str, Case] = {}
    rates: dict[str, float] = {}
    if profile == "Normal" and (not only or set(only) & set(PEERS)):
        rest = measure_web(console, cases, runs, only, name)
    if not only or set(only) & set(postgresql.CASES):
        lab = fresh(f"{name}pg")
        try:
            install_operator(lab)
            found, rates = postgresql.run(
                lab, console, runs=runs, only=only, profile=profile, cost=cost
            )
            cases |= found
        finally:
            lab.down()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {kind: vars(case) for kind, case in cases.items()}
    if rates:
        figures["pgbench-tps"] = rates
    out = OUT if profile == "Normal" else OUT.with_stem(f"{OUT.stem}-{profile.lower()}")
    out.write_text(json.dumps(figures, indent=1))
    show(console, cases, rest)
    show_cost(console, rates)
    console.print(f"written to {out}")


def fresh(name: str) -> Lab:
    """A lab of that name, whatever a run that was killed left behind."""
    with suppress(UserError):
        Lab.open(name).down()
    return Lab.up(name, Wanted(vms=2, networks=2))


def measure_web(
    console: Console, cases: dict[str, Case], runs: int, only: tuple[str, ...], name: str
) -> dict[str, dict[str, float]]:
    """The web pair; answers what its agents cost at rest."""
    lab = fresh(name)
    try:
        cluster = bring_up(lab, checkout() / "examples/01-web-pair", "web")
        rest = at_rest(cluster)
        for kind, (act, mover) in faults(cluster).items():
            if only and kind not in only:
                continue
            case = cases[kind] = Case()
            for run in range(runs):
                measure(cluster, case, act, mover)
                console.print(f"{kind} {run + 1}/{runs}: {case.outage_s[-1]:.3f} s")
    finally:
        lab.down()
    return rest


def show(console: Console, cases: dict[str, Case], rest: dict[str, dict[str, float]]) -> None:
    table = Table(title="Outage seen by a client, seconds", expand=False)
    heads = ("case", "runs", "min", "median", "max", "goal", "on both", "lost", "peers")
    for column in heads:
        table.add_column(column)
    for kind, case in cases.items():
        outage = case.outage_s
        spread = (min(outage), statistics.median(outage), max(outage))
        shown = [f"{figure:.2f}" for figure in spread]
        goal = "" if case.goal_s is None else f"{case.goal_s:.1f}"
        lost = str(sum(case.lost_acked)) if case.lost_acked else ""
        both = f"{max(case.both_s):.2f}"
        table.add_row(kind, str(len(outage)), *shown, goal, both, lost, PEERS.get(kind, ""))
    console.print(table)
    for vm, figures in rest.items():
        console.print(
            f"agent at rest in {vm}: {figures['core_percent']} % of a core, "
            f"{figures['rss_mb']} MB resident"
        )


def show_cost(console: Console, rates: dict[str, float]) -> None:
    """What pgbench reached, and the ratios: what being protected costs."""
    for kind, rate in rates.items():
        share = f" ({rate / rates['alone']:.2f} of one server alone)"
        console.print(f"pgbench, {kind}: {rate:.0f} transactions a second{share}")
    if rates:
        ratio = rates["synchronous"] / rates["streaming"]
        console.print(f"waiting for the standby against not waiting: {ratio:.2f}")


if __name__ == "__main__":
    main()
