"""Load and bad networks against false failovers and take-over time, for every profile.

`python -m standfast.lab.chaos.curve`, which is `make curve`. Each condition lies upon both VMs of
the web pair for some time: a failover then is a false one. Then the active loses its
power under the same condition, and the observer says how long nobody spoke in the name of the
address. Writes `build/chaos/curve.json` and prints the table of `docs/chaos.md`.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from standfast.errors import StandfastError, UserError
from standfast.lab.chaos import acts, bed, scarcity, sight
from standfast.lab.chaos.campaign import mend
from standfast.lab.chaos.plan import Fault, Kind, Role
from standfast.lab.chaos.scene import Scene
from standfast.lab.chaos.sight import Sight
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.rules import Shape

NAME = "curve"
OUT = Path("build/chaos/curve.json")
HOLD_S = 20.0
SETTLE_S = 120.0
PROFILES = ("Fast", "Normal", "Tolerant")
WRITE = (
    "while :; do dd if=/dev/zero of=/var/tmp/fill.$$ bs=1M count=64 oflag=dsync 2>/dev/null; done"
)
Condition = Callable[[Scene], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One profile under one condition.

    Args:
        profile: Of the cluster.
        condition: What lay upon both VMs.
        failovers: How often the address moved although nothing was broken.
        silent_s: The longest silence of the address meanwhile.
        takeover_s: From the last word of the VM that lost its power to the first of the other.
    """

    profile: str
    condition: str
    failovers: int
    silent_s: float
    takeover_s: float | None


@contextmanager
def _nothing(_: Scene) -> Iterator[None]:
    yield


def _loss(part: float) -> Condition:
    @contextmanager
    def act(scene: Scene) -> Iterator[None]:
        for vm in scene.lab.vms():
            scene.lab.net.shape(vm.name, Shape(loss=part))
        yield
        scene.lab.net.heal()

    return act


def _delay(delay_ms: float) -> Condition:
    """Upon each card; between the two nodes a frame passes two of them."""

    @contextmanager
    def act(scene: Scene) -> Iterator[None]:
        with acts.delay(scene, delay_ms, [vm.name for vm in scene.lab.vms()]):
            yield

    return act


def _on_both(kind: Kind, size: float = 0.0) -> Condition:
    @contextmanager
    def act(scene: Scene) -> Iterator[None]:
        with ExitStack() as stack:
            for vm in scene.lab.vms():
                fault = Fault(kind, Role.ACTIVE, 0.0, size=size)
                stack.enter_context(acts.ACTS[kind](scene, fault, vm.name))
            yield

    return act


@contextmanager
def _disk(scene: Scene) -> Iterator[None]:
    """Eight writers in each VM, each write flushed."""
    with ExitStack() as stack:
        for vm in scene.lab.vms():
            stack.enter_context(scarcity.hog(scene, vm.name, WRITE, 8))
        yield


CONDITIONS: Mapping[str, Condition] = {
    "nothing": _nothing,
    "10 % loss": _loss(0.1),
    "30 % loss": _loss(0.3),
    "200 ms ± 50 ms": _delay(50),
    "load 200": _on_both(Kind.CPU_HOG, 100),
    "memory at the limit": _on_both(Kind.MEMORY_HOG),
    "disk saturated": _disk,
}


def measure(scene: Scene, profile: str, name: str) -> Cell:
    """One cell; the pair is whole again afterwards."""
    cluster, lab = scene.cluster, scene.lab
    subject = bed.SUBJECTS["web"]
    address = subject.address(lab)
    watch = sight.command(lab, address, subject.group)
    active, standby = cluster.active, cluster.standby
    with CONDITIONS[name](scene):
        with Sight(watch) as calm:
            time.sleep(HOLD_S)
        words = sorted(
            (stretch.begin_ns, stretch.end_ns, vm)
            for vm, all_ in calm.seen.spoke.items()
            for stretch in all_
        )
        moves = sum(a[2] != b[2] for a, b in itertools.pairwise(words))
        pauses = [b[0] - a[1] for a, b in itertools.pairwise(words)]
        if words and words[-1][2] != active:
            active, standby = standby, active
        with Sight(watch) as broken:
            with suppress(StandfastError):
                lab.vm(active).off(seen=False)
            time.sleep(HOLD_S)
        takeover_s = None
        if broken.seen.spoke.get(active) and broken.seen.spoke.get(standby):
            last_ns = broken.seen.spoke[active][-1].end_ns
            takeover_s = (broken.seen.spoke[standby][0].begin_ns - last_ns) / 1e9
    mend(lab)
    bed.settle(cluster, subject, SETTLE_S)
    return Cell(
        profile, name, moves, round(max(pauses, default=0) / 1e9, 3),
        None if takeover_s is None else round(takeover_s, 2),
    )  # fmt: skip


@contextmanager
def _pair(profile: str) -> Iterator[Scene]:
    """A lab with the web pair in it, removed in the end."""
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    subject = bed.SUBJECTS["web"]
    try:
        yield Scene(bed.make(lab, subject, OUT.parent / "example", profile), subject.unit)
    finally:
        lab.down()


@click.command()
@click.option("--profile", "profiles", multiple=True, type=click.Choice(PROFILES))
@click.option("--condition", "names", multiple=True, type=click.Choice(list(CONDITIONS)))
@click.option("--minutes", type=float, default=60.0, help="Begin no cell after so long.")
def main(*, profiles: tuple[str, ...], names: tuple[str, ...], minutes: float) -> None:
    """The curve."""
    until_s = time.monotonic() + 60 * minutes
    OUT.parent.mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    for profile in profiles or PROFILES:
        with _pair(profile) as scene:
            for name in names or CONDITIONS:
                if time.monotonic() < until_s:
                    cells.append(measure(scene, profile, name))
                    print(json.dumps(asdict(cells[-1])), flush=True)
    OUT.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
    print("| condition | profile | false failovers | longest silence | take-over |")
    for cell in cells:
        took = "none" if cell.takeover_s is None else f"{cell.takeover_s:.2f} s"
        row = (cell.condition, cell.profile, str(cell.failovers), f"{cell.silent_s:.2f} s", took)
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
