"""Plant every bug in a copy, see what catches it, print the table.

`--full` measures the simulator for every bug, also where a unit test caught it already; `--only`
names some. The copies live in a temporary directory; the checkout is never changed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import ALL, Mutant

ROOT = Path(__file__).resolve().parents[2]

PACKAGE = ROOT / "operator" / "standfast"

UNIT_TESTS = "tests/unit/core"

PROTOCOL = (
    *("asking", "changing", "holding", "identity", "invariants", "passive", "proof", "quorum"),
    *("quorum_exits", "quorum_stories", "record", "standing", "tally", "timing", "turn", "voting"),
)
"""The unit tests of the protocol; those of the module that was changed come first."""

SEEDS_MAX = 400
"""How many seeds the simulator may use for one bug."""

HUNT = """
import sys
from standfast.simulator.draw import plan_for
from standfast.simulator.world import World
for number in range(int(sys.argv[1])):
    try:
        broken = World(plan_for(f"mutant-{number}")).run().violation
        found = broken.promise if broken else ""
    except (AssertionError, KeyError, TypeError, AttributeError) as error:
        found = type(error).__name__
    if found:
        print(f"{found} {number + 1}")
        break
else:
    print(f"nothing {sys.argv[1]}")
"""
"""The simulator on the copy: what broke first, and after how many seeds."""


@dataclass(frozen=True, slots=True)
class Catch:
    """What caught a bug.

    Attributes:
        unit: The first failing unit test, or nothing.
        simulator: The broken promise, or nothing.
        seeds: How many seeds the simulator ran.
    """

    mutant: Mutant
    unit: str
    simulator: str
    seeds: int
    took_s: float
    stale: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.unit or self.simulator)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="names of bugs")
    parser.add_argument("--full", action="store_true", help="measure the simulator for all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX)
    parser.add_argument("--table", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--no-unit", action="store_true", help="the simulator alone")
    chosen = parser.parse_args(arguments)
    mutants = [m for m in ALL if chosen.only is None or m.name in chosen.only]
    hunter = Hunter(seeds=chosen.seeds, full=chosen.full, unit=not chosen.no_unit)
    with (
        tempfile.TemporaryDirectory(prefix="standfast-mutants-") as scratch,
        ThreadPoolExecutor(chosen.jobs) as pool,
    ):
        catches = list(pool.map(lambda m: hunter.hunt(m, Path(scratch) / m.name), mutants))
    if chosen.table is not None:
        chosen.table.write_text(table(catches, chosen.seeds))
    for catch in catches:
        if not catch.caught:
            why = catch.stale or "nothing noticed it"
            sys.stdout.write(f"NOT CAUGHT: {catch.mutant.name} ({catch.mutant.rule}): {why}\n")
    sys.stdout.write(f"caught {sum(c.caught for c in catches)} of {len(catches)}\n")
    return 0 if all(catch.caught for catch in catches) else 1


@dataclass(frozen=True, slots=True)
class Hunter:
    """How to look for a bug."""

    seeds: int
    full: bool
    unit: bool

    def hunt(self, mutant: Mutant, copy: Path) -> Catch:
        """Plant one bug in a copy and look for it, unit tests first."""
        began = time.monotonic()
        try:
            plant(mutant, copy)
        except StaleError as stale:
            return Catch(mutant, "", "", 0, 0.0, stale=str(stale))
        failed = unit_test(copy, mutant.module) if self.unit else ""
        found, seeds = ("", 0) if failed and not self.full else simulate(copy, self.seeds)
        shutil.rmtree(copy)
        catch = Catch(mutant, failed, found, seeds, time.monotonic() - began)
        tell(catch)
        return catch


class StaleError(Exception):
    """The core moved on: the entry must be written anew."""


def plant(mutant: Mutant, copy: Path) -> None:
    """Copy what the core's tests need and change one text in it."""
    target = copy / "operator" / "standfast"
    ignored = shutil.ignore_patterns("__pycache__")
    target.mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE / name, target / name)
    for name in ("core", "simulator"):
        shutil.copytree(PACKAGE / name, target / name, ignore=ignored)
    shutil.copytree(ROOT / UNIT_TESTS, copy / UNIT_TESTS, ignore=ignored)
    path = target / mutant.module
    text = path.read_text()
    times = text.count(mutant.old)
    if times != 1:
        raise StaleError(f"the text to replace occurs {times} times in {mutant.module}")
    path.write_text(text.replace(mutant.old, mutant.new))


def _environment(copy: Path) -> dict[str, str]:
    path = os.pathsep.join([str(copy / "operator"), str(copy)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def unit_test(copy: Path, module: str) -> str:
    """The first unit test of the protocol that fails on the copy."""
    own = Path(module).stem
    names = sorted(PROTOCOL, key=lambda name: name != own)
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"),
        *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(copy), "-o", "pythonpath="),
        *(str(copy / UNIT_TESTS / f"test_{name}.py") for name in names),
    ]
    done = subprocess.run(
        command, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            return line.split(" ")[1].rpartition("/")[2]
    raise SystemExit(f"pytest said nothing of use:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def simulate(copy: Path, seeds_max: int) -> tuple[str, int]:
    """What the simulator finds on the copy, and after how many seeds."""
    done = subprocess.run(
        [sys.executable, "-c", HUNT, str(seeds_max)],
        cwd=copy,
        env=_environment(copy),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"crash: {done.stderr.strip().splitlines()[-1]}", 1
    found, seeds = done.stdout.split()
    return ("" if found == "nothing" else found), int(seeds)


def table(catches: Sequence[Catch], seeds: int) -> str:
    """What caught each bug, as Markdown."""
    rows = [
        "# Planted bugs, and what catches them",
        "",
        "Written by `python -m tests.mutants --full --table tests/mutants/README.md`; the entries",
        "are in `catalogue.py`. † marks rules that an earlier text of the protocol lacked. A dash",
        f"under the simulator means: nothing in {seeds} seeds, most often because members that",
        "keep the other rules never get into the situation, or because another rule covers for",
        "this one.",
        "",
        "| bug | rule | in | unit test | simulator: broken promise, seeds needed |",
        "|---|---|---|---|---|",
    ]
    for catch in catches:
        mutant = catch.mutant
        dagger = " †" if mutant.dagger else ""
        found = f"{catch.simulator}, {catch.seeds}" if catch.simulator else "-"
        unit = f"`{catch.unit}`" if catch.unit else "-"
        rows.append(
            f"| {mutant.name}{dagger} | {mutant.rule} | `{mutant.module}` | {unit} | {found} |"
        )
    by_unit = sum(bool(catch.unit) for catch in catches)
    by_simulator = sum(bool(catch.simulator) for catch in catches)
    by_nothing = sum(not catch.caught for catch in catches)
    total = f"{len(catches)} bugs: {by_unit} caught by unit tests, {by_simulator} by the simulator"
    rows += ["", f"{total}, {by_nothing} by nothing.", ""]
    return "\n".join(rows)


def tell(catch: Catch) -> None:
    unit = catch.unit or "-"
    simulator = f"{catch.simulator} after {catch.seeds}" if catch.simulator else "-"
    if catch.seeds and not catch.simulator:
        simulator = f"nothing in {catch.seeds}"
    dagger = "†" if catch.mutant.dagger else " "
    sys.stdout.write(f"{dagger} {catch.mutant.name:44} simulator: {simulator:24} unit: {unit}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
