"""Runs drawn from seeds: no promise is broken, every state has an exit.

A failing seed is made smaller and told as a story; `pytest tests/simulation --seed S` replays it.
"""

import os
import time

import pytest

from standfast.simulator.campaign import campaign
from standfast.simulator.draw import plan_for
from standfast.simulator.shrink import shrunk, traced
from standfast.simulator.story import tell
from standfast.simulator.world import Outcome, World

FIXED = 96
"""How many seeds every run of the tests repeats."""

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


@pytest.mark.timeout(600)
def test_fresh_seeds_break_no_promise(
    sim_seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    base = f"{time.time_ns():x}"
    end = time.monotonic() + sim_seconds
    running = campaign(base, jobs=os.cpu_count() or 1)
    for total in running:
        if total.violations:
            running.close()
            seed, _ = total.violations[0]
            pytest.fail(told(seed, World(plan_for(seed)).run()))
        if time.monotonic() > end:
            with capsys.disabled():
                print(f"seed {base}: {total.last_line()}")
            break
    running.close()


def test_replay(seed: str) -> None:
    """Only with `--seed`."""
    plan = plan_for(seed)
    outcome = traced(plan)
    print(tell(plan, outcome))
    assert outcome.violation is None, told(seed, outcome)
