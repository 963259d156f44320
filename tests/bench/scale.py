"""Measures the operator with many clusters: `make bench-scale` writes `build/bench/scale.json`.

`N` clusters of two nodes, one witness for all of them and two resources each, in one namespace.
The API server, etcd and vCenter are the lab's, the agents are hollow (`hollow`): real TLS and real
messages, no quorum. Everything shares this machine, so the figures are upper bounds. Printed are
the goals and what was measured; nothing is judged.
"""

import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from standfast.lab import kube, kube_client
from tests.bench.hollow import HollowAgents
from tests.bench.hollow_cluster import HollowCluster
from tests.bench.scale_bed import (
    NAMESPACE,
    ROOT,
    WITNESS,
    WITNESS_HOST,
    Plan,
    ScaleOperator,
    Watch,
    all_ready,
    carrier,
    declare,
    kind,
    quiet,
    truth,
)
from tests.bench.scale_share import usage
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.vcenter_parts import Switchboard, VcenterLab, vcenter_lab

OUT = Path("build/bench/scale.json")
ENROL_S, SYNC_S, QUIET_S, EVENT_S = 1200.0, 600.0, 8.0, 60.0
PAUSE_S = 0.4
"""Between two events: the rest of what one causes is done by then."""
SEED = 1


@dataclass
class Figures:
    """What was measured.

    Args:
        clusters: How many.
        enrol_s: From the operator's start to all `Ready`, nobody enrolled before.
        sync_s: The same after a restart with everybody enrolled; every member is heard and every
            status has been judged by what they say.
        sync_writes: Writes until it was quiet after that restart, although nothing had changed.
        sync_unready: Clusters that were shown as not `Ready` at some time during it.
        restored_s: The same when in addition every status was lost.
        sync_cpu_s: Its processor time until it was quiet after the restart.
        sync_shares: Processor time of everybody from the start until all were judged.
        sync_load: Of the machine before it, for one minute.
        rest_s: How long it was looked at while nothing happened.
        event_ms: From the change of the active node at the agents to the status in Kubernetes.
    """

    clusters: int
    machine: str = ""
    enrol_s: float = 0
    sync_s: float = 0
    sync_writes: int = 0
    sync_unready: int = 0
    sync_cpu_s: float = 0
    sync_shares: dict[str, float] = field(default_factory=dict)
    sync_load: float = 0
    restored_s: float = 0
    rest_s: float = 0
    rest_core_percent: float = 0
    rest_writes_per_minute: float = 0
    rss_mb: float = 0
    event_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return statistics.median(self.event_ms)

    @property
    def p99_ms(self) -> float:
        return sorted(self.event_ms)[round(0.99 * (len(self.event_ms) - 1))]


@dataclass
class Bed:
    """Everything that a measurement needs."""

    kube: KubeLab
    agents: HollowAgents
    hollow: list[HollowCluster]
    clusters: Watch
    directory: Path
    is_profiled: bool
    source: Path
    operators: list[ScaleOperator] = field(default_factory=list)

    @property
    def operator(self) -> ScaleOperator:
        return self.operators[-1]

    async def start(self) -> float:
        """Start another operator; answers when."""
        name = f"op-{len(self.operators) + 1}"
        self.operators.append(
            ScaleOperator(
                self.kube.kubeconfig, self.directory, name, self.is_profiled, self.source
            )
        )
        self.agents.forget_polls()
        began = time.monotonic()
        self.operator.start()
        return began

    async def quiet(self) -> None:
        await quiet(self.operator.writes, QUIET_S, SYNC_S)


async def enrol(bed: Bed, figures: Figures) -> None:
    """Nobody is enrolled: authorities, bundles, certificates, configs, resources."""
    began = await bed.start()
    ended = await bed.clusters.until(lambda: all_ready(bed.clusters, figures.clusters), ENROL_S)
    figures.enrol_s = ended - began
    await bed.quiet()


async def restart(bed: Bed, figures: Figures) -> None:
    """Everybody is enrolled and nothing has changed."""
    await bed.operator.stop()
    unready: set[str] = set()
    ready_at = 0.0

    def look(name: str, document: dict[str, object]) -> None:
        nonlocal ready_at
        if truth(document, "Ready") == "True":
            ready_at = time.monotonic()
        else:
            unready.add(name)

    bed.clusters.on_object = look
    figures.sync_load = os.getloadavg()[0]
    at, before = time.time(), usage()
    began = await bed.start()
    members = 3 * figures.clusters
    async with asyncio.timeout(SYNC_S):
        while (  # noqa: ASYNC110 -- several things to wait for, looked at together
            len(bed.agents.polls) < members
            or not bed.operator.judged_at
            or not all_ready(bed.clusters, figures.clusters)
        ):
            await asyncio.sleep(0.05)
    figures.sync_shares = bed.operator.usage().since(before)
    await bed.quiet()
    assert all_ready(bed.clusters, figures.clusters), "it stays so"
    last = max(ready_at, *bed.agents.polls.values()) - began
    figures.sync_s = max(last, bed.operator.judged_at - at)
    figures.sync_writes = await bed.operator.writes()
    figures.sync_unready = len(unready)
    figures.sync_cpu_s = bed.operator.cpu_s
    bed.clusters.on_object = lambda _name, _object: None


async def rest(bed: Bed, figures: Figures, rest_s: float) -> None:
    """Nothing happens, for as long as it takes every cluster to be looked at once."""
    writes, cpu_s, began = await bed.operator.writes(), bed.operator.cpu_s, time.monotonic()
    await asyncio.sleep(rest_s)
    figures.rest_s = time.monotonic() - began
    used_s = bed.operator.cpu_s - cpu_s
    figures.rest_core_percent = 100 * used_s / figures.rest_s
    written = await bed.operator.writes() - writes
    figures.rest_writes_per_minute = 60 * written / figures.rest_s
    figures.rss_mb = bed.operator.rss_mb


async def events(bed: Bed, figures: Figures, count: int) -> None:
    """Another node becomes active, one cluster after the other."""
    chosen = random.Random(SEED).choices(bed.hollow, k=count)
    for cluster in chosen:
        began = time.monotonic()
        node = cluster.move().name

        def shown(name: str = cluster.name, node: str = node) -> bool:
            document = bed.clusters.objects[name]
            is_active = document["status"].get("active") == node
            return is_active and truth(document, "Ready") == "True"

        ended = await bed.clusters.until(shown, EVENT_S)
        figures.event_ms.append(1000 * (ended - began))
        await asyncio.sleep(PAUSE_S)


async def restore(bed: Bed, figures: Figures) -> None:
    """The operator starts, and every status is gone as after a restore of objects only."""
    await bed.operator.stop()
    path = kind("HACluster")
    async with _admin(bed.kube) as api:
        for name in list(bed.clusters.objects):
            await api.merge(path.path(NAMESPACE, name, "status"), {"status": None})
    await bed.clusters.until(
        lambda: not any(truth(each, "Ready") for each in bed.clusters.objects.values()), SYNC_S
    )
    began = await bed.start()
    ended = await bed.clusters.until(lambda: all_ready(bed.clusters, figures.clusters), SYNC_S)
    figures.restored_s = ended - began


def _admin(lab: KubeLab) -> kube_client.KubeClient:
    return kube.client(lab.paths, lab.endpoint.server)


@asynccontextmanager
async def scale_bed(
    lab: KubeLab, vcenter: VcenterLab, plans: list[Plan], run: "Run"
) -> AsyncIterator[Bed]:
    """Everything declared, agents that listen, no operator yet."""
    agents = HollowAgents(WITNESS_HOST, WITNESS)
    run.directory.mkdir(parents=True, exist_ok=True)
    async with _admin(lab) as api:
        witness_uid = await declare(api, vcenter.info, plans, agents)
        await agents.listen()
        secrets = Watch(api, f"/api/v1/namespaces/{NAMESPACE}/secrets")
        secrets.on_object = carrier(agents, witness_uid)
        clusters = Watch(api, kind("HACluster").path(NAMESPACE))
        watches = [asyncio.create_task(each.run()) for each in (secrets, clusters)]
        hollow = agents.clusters()
        bed = Bed(lab, agents, hollow, clusters, run.directory, run.is_profiled, run.source)
        try:
            yield bed
        finally:
            for operator in bed.operators:
                await operator.stop()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await agents.close()


@dataclass(frozen=True)
class Run:
    """How to measure."""

    clusters: int
    events: int
    rest_s: float
    directory: Path
    is_profiled: bool
    source: Path


async def measure(lab: KubeLab, run: Run, console: Console) -> Figures:
    plans = [Plan(number) for number in range(run.clusters)]
    figures = Figures(run.clusters, machine=machine())
    vms = tuple(vm for plan in plans for vm in plan.vms)
    board = Switchboard(power={vm.name: "on" for vm in vms})
    console.print(f"{run.clusters} clusters are being declared")
    async with (
        vcenter_lab("scalevc", vms, board) as vcenter,
        scale_bed(lab, vcenter, plans, run) as bed,
    ):
        await enrol(bed, figures)
        console.print(f"enrolled in {figures.enrol_s:.1f} s")
        await restart(bed, figures)
        console.print(
            f"restarted in {figures.sync_s:.1f} s: {figures.sync_writes} writes, "
            f"{figures.sync_unready} clusters not Ready meanwhile, {figures.sync_cpu_s:.1f} s of "
            "processor time"
        )
        await rest(bed, figures, run.rest_s)
        console.print(
            f"at rest: {figures.rest_core_percent:.1f} % of a core, {figures.rss_mb:.0f} MB, "
            f"{figures.rest_writes_per_minute:.1f} writes a minute"
        )
        await events(bed, figures, run.events)
        console.print(f"moved: median {figures.median_ms:.0f} ms, p99 {figures.p99_ms:.0f} ms")
        await bed.quiet()
        await restore(bed, figures)
    return figures


def machine() -> str:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    return f"{os.cpu_count()} cores, {cpu}, shared with API server, etcd, vCenter and agents"


def show(console: Console, figures: Figures) -> None:
    table = Table(title=f"One operator, {figures.clusters} clusters", expand=False)
    for column in ("what", "measured", "goal"):
        table.add_column(column)
    f = figures
    rows = (
        ("restart, all Ready again", f"{f.sync_s:.1f} s", "< 10 s"),
        ("  writes, clusters not Ready meanwhile", f"{f.sync_writes}, {f.sync_unready}", "0, 0"),
        ("restart, every status lost", f"{f.restored_s:.1f} s", ""),
        ("first start, all to be enrolled", f"{f.enrol_s:.1f} s", ""),
        ("at rest, processor", f"{f.rest_core_percent:.1f} % of a core", "< 5 %"),
        ("at rest, resident", f"{f.rss_mb:.0f} MB", ""),
        ("at rest, writes", f"{f.rest_writes_per_minute:.1f} a minute", "0"),
        (f"active changes ({len(f.event_ms)}), median", f"{f.median_ms:.0f} ms", "< 300 ms"),
        ("  p99", f"{f.p99_ms:.0f} ms", "< 300 ms"),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


@click.command()
@click.option("--clusters", default=300, show_default=True, help="How many clusters.")
@click.option("--events", "count", default=50, show_default=True, help="How many moves.")
@click.option("--rest", "rest_s", default=120.0, show_default=True, help="Seconds at rest.")
@click.option("--profile/--no-profile", default=False, help="Run the operator under cProfile.")
@click.option("--source", default=ROOT, type=Path, help="Checkout whose operator is measured.")
@click.option("--out", default=OUT, type=Path, show_default=True, help="Takes the figures.")
def main(
    clusters: int, count: int, rest_s: float, source: Path, out: Path, *, profile: bool
) -> None:
    console = Console()
    directory = out.parent.absolute() / out.stem
    run = Run(clusters, count, rest_s, directory, profile, source.absolute())
    with kube_lab("scale") as lab:
        figures = asyncio.run(measure(lab, run, console))
    summary = {"median_ms": figures.median_ms, "p99_ms": figures.p99_ms}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**vars(figures), **summary}, indent=1))
    show(console, figures)
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
