"""Look for a planted bug: the tests that its rule names, all tests of the protocol, the simulator.

The first that fails catches it. Directed tests are those of the bug's row in the table of
`docs/protocol.md`.
"""

import io
import os
import re
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.mutants.catalogue import Mutant
from tests.mutants.planting import StaleError, plant

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "unit" / "core"
NAME = re.compile(r"`([^`]+)`")

PROTOCOL = (
    *("asking", "changing", "holding", "identity", "invariants", "passive", "proof", "quorum"),
    *("quorum_exits", "quorum_stories", "record", "recovering", "shapes", "standing", "suspects"),
    *("tally", "timing", "turn", "voting", "quorum_machine"),
)
"""The unit tests of the protocol, for a bug that its directed tests do not notice."""

TEST_S_MAX = 60


@dataclass(frozen=True, slots=True)
class Catch:
    """What caught a bug.

    Attributes:
        unit: The first failing unit test, or nothing.
        directed: It is one that the bug's row in the table names.
        simulator: The broken promise, or nothing.
        seeds: How many seeds the simulator ran.
    """

    mutant: Mutant
    unit: str = ""
    directed: bool = False
    simulator: str = ""
    seeds: int = 0
    took_s: float = 0.0
    stale: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.unit or self.simulator)


@dataclass(frozen=True, slots=True)
class Hunt:
    """How to look for one bug; runs in a process of its own.

    Attributes:
        directed: Tests that the bug's row names.
        seeds: How many the simulator may use.
        full: The simulator also looks for what a unit test has caught.
        unit: Unit tests look at all.
    """

    mutant: Mutant
    directed: tuple[str, ...]
    seeds: int
    full: bool = False
    unit: bool = True


def hunt(order: Hunt) -> Catch:
    """Plant the bug here and look for it."""
    began = time.monotonic()
    try:
        plant(order.mutant)
    except StaleError as stale:
        return Catch(order.mutant, stale=str(stale))
    failed, directed = "", False
    if order.unit:
        failed = failing_test([*order.directed]) if order.directed else ""
        directed = bool(failed)
        own = Path(order.mutant.module).stem
        names = sorted(PROTOCOL, key=lambda name: name != own)
        failed = failed or failing_test([str(TESTS / f"test_{name}.py") for name in names])
    found, seeds = ("", 0) if failed and not order.full else simulate(order.seeds)
    took_s = time.monotonic() - began
    return Catch(order.mutant, failed, directed, found, seeds, took_s)


def directed_tests() -> dict[str, tuple[str, ...]]:
    """By planted bug: the unit tests of its row in the table of the protocol."""
    places = {
        name: f"{file}::{name}"
        for file in sorted(TESTS.glob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
    }
    page = (ROOT / "docs" / "protocol.md").read_text()
    found: dict[str, tuple[str, ...]] = {}
    for line in page.partition("| rule | core |")[2].splitlines():
        cells = line.strip("|").split("|")
        if len(cells) != 5:
            continue
        tests = tuple(places[f"test_{name}"] for name in NAME.findall(cells[3]))
        for bug in NAME.findall(cells[4]):
            found[bug] = (*found.get(bug, ()), *tests)
    return found


@dataclass
class _FirstFailure:
    """Plugin: which test failed first."""

    name: str = ""
    errors: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.rpartition("/")[2]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.rpartition("/")[2]


def failing_test(tests: list[str]) -> str:
    """The first of these that fails here; nothing when all pass."""
    seen = _FirstFailure()
    said = io.StringIO()
    options = ["-x", "-q", "--no-header", "--assert=plain", "--rootdir", str(ROOT)]
    options += ["--timeout", str(TEST_S_MAX)]
    for plugin in ("cacheprovider", "xdist", "cov"):
        options += ["-p", f"no:{plugin}"]
    options += ["-o", "addopts=--import-mode=importlib"]
    with redirect_stdout(said), redirect_stderr(said):
        code = pytest.main([*options, *tests], plugins=[seen])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not seen.name:
        raise RuntimeError(f"pytest said nothing of use:\n{said.getvalue()[-2000:]}")
    return seen.name


def simulate(seeds_max: int) -> tuple[str, int]:
    """What the simulator finds here, and after how many seeds."""
    from standfast.simulator.draw import plan_for  # only after the bug is planted
    from standfast.simulator.world import World

    for number in range(seeds_max):
        try:
            broken = World(plan_for(f"mutant-{number}")).run().violation
            found = broken.promise if broken else ""
        except (AssertionError, KeyError, TypeError, AttributeError) as error:
            found = type(error).__name__
        if found:
            return found, number + 1
    return "", seeds_max


def prepare() -> None:
    """What every hunt needs, loaded once before the processes are forked; nothing of the core."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="standfast-mutants-")
    import hypothesis.stateful  # noqa: F401  # slow to load

    assert not any(name.startswith("standfast") for name in sys.modules)
