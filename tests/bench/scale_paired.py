"""Compares two checkouts: restarts of the operator in turn, with everything in place.

`python -m tests.bench.scale_paired --clusters 100 --against ../other --times 3`. Both meet the
same API server, the same agents and, a minute apart, the same load of the machine.
"""

import asyncio
import json
import statistics
from pathlib import Path

import click
from rich.console import Console

from tests.bench.scale import Bed, Figures, Run, enrol, machine, restart, scale_bed
from tests.bench.scale_bed import ROOT, Plan
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.vcenter_parts import Switchboard, vcenter_lab


async def compare(lab: KubeLab, run: Run, sources: list[Path], times: int) -> list[Figures]:
    plans = [Plan(number) for number in range(run.clusters)]
    vms = tuple(vm for plan in plans for vm in plan.vms)
    board = Switchboard(power={vm.name: "on" for vm in vms})
    found: list[Figures] = []
    async with (
        vcenter_lab("scalevc", vms, board) as vcenter,
        scale_bed(lab, vcenter, plans, run) as bed,
    ):
        first = Figures(run.clusters)
        await enrol(bed, first)
        print(f"enrolled in {first.enrol_s:.1f} s", flush=True)
        for source in sources * times:
            found.append(await _one(bed, source))  # noqa: PERF401 -- one after the other
    return found


async def _one(bed: Bed, source: Path) -> Figures:
    bed.source = source
    figures = Figures(len(bed.hollow), machine=f"{source.name}: {machine()}")
    await restart(bed, figures)
    print(
        f"{source.name}: {figures.sync_s:.1f} s, {figures.sync_shares}, "
        f"{figures.sync_writes} writes, {figures.sync_unready} not Ready, "
        f"{figures.sync_cpu_s:.1f} s until quiet",
        flush=True,
    )
    return figures


@click.command()
@click.option("--clusters", default=100, show_default=True, help="How many clusters.")
@click.option("--against", multiple=True, type=Path, help="Another checkout; may be repeated.")
@click.option("--times", default=3, show_default=True, help="Restarts of each.")
@click.option("--profile/--no-profile", default=False, help="Run the operators under cProfile.")
@click.option("--out", default=Path("build/bench/paired.json"), type=Path, show_default=True)
def main(
    clusters: int, against: tuple[Path, ...], times: int, out: Path, *, profile: bool
) -> None:
    sources = [each.absolute() for each in against] + [ROOT]
    directory = out.parent.absolute() / out.stem
    run = Run(clusters, 0, 0, directory, is_profiled=profile, source=ROOT)
    with kube_lab("scale") as lab:
        found = asyncio.run(compare(lab, run, sources, times))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([vars(each) for each in found], indent=1))
    console = Console()
    for source in sources:
        mine = [each for each in found if each.machine.startswith(f"{source.name}:")]
        waits = statistics.median(each.sync_s for each in mine)
        used = statistics.median(each.sync_shares["operator"] for each in mine)
        console.print(f"{source.name}: median {waits:.1f} s, operator {used:.1f} s of a core")


if __name__ == "__main__":
    main()
