"""Runs drawn from seeds: no promise is broken, every state has an exit.

A failing seed is made smaller and told as a story; `pytest tests/simulation --seed S` replays it.
"""

import hashlib
import os
from contextlib import closing
from pathlib import Path

import pytest

import standfast
from standfast.simulator.campaign import campaign
from standfast.simulator.draw import plan_for
from standfast.simulator.shrink import shrunk, traced
from standfast.simulator.story import tell
from standfast.simulator.world import Outcome, World

FIXED = 96
"""How many seeds every run of the tests repeats."""

PACKAGE = Path(standfast.__file__).parent
ROOMS = ("core", "simulator")

TOLD = 60
"""Lines of a story's end that a failure shows."""


def told(seed: str, outcome: Outcome) -> str:
    assert outcome.violation is not None
    plan = shrunk(plan_for(seed), outcome.violation.promise)
    story = tell(plan, traced(plan), last=TOLD)
    return f"{outcome.violation.text()}\nreplay: pytest tests/simulation --seed {seed}\n{story}"


@pytest.mark.parametrize("piece", range(8))
def test_fixed_seeds_break_no_promise(piece: int) -> None:
    for number in range(piece, FIXED, 8):
        seed = f"fixed-{number}"
        outcome = World(plan_for(seed)).run()
        assert outcome.violation is None, told(seed, outcome)


def sources() -> str:
    """Another word for every other text of the protocol and of the simulator."""
    digest = hashlib.sha256()
    for file in sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@pytest.mark.timeout(900)
def test_fresh_seeds_break_no_promise(
    fresh_seeds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other seeds with every change of what they judge, and the same ones until then."""
    base = sources()
    with closing(campaign(base, jobs=os.cpu_count() or 1, seeds_max=fresh_seeds)) as running:
        for total in running:
            if total.violations:
                seed, _ = total.violations[0]
                pytest.fail(told(seed, World(plan_for(seed)).run()))
    assert total.seeds == fresh_seeds
    with capsys.disabled():
        print(f"seed {base}: {total.last_line()}")


def test_replay(seed: str) -> None:
    """Only with `--seed`."""
    plan = plan_for(seed)
    outcome = traced(plan)
    print(tell(plan, outcome))
    assert outcome.violation is None, told(seed, outcome)
