"""What many runs say together."""

import dataclasses

from tests.unit.cli.simulations import CRASH, LOST, RUNS, example, report

from standfast.cli.simulate_runs import Figures, gathered, seeds
from standfast.simulator.checkers import Violation
from standfast.simulator.directed import play


def test_figures_are_counted_not_estimated() -> None:
    assert Figures.of(range(1, 101)) == Figures(1, 50, 99, 100)
    assert Figures.of([7]) == Figures(7, 7, 7, 7)
    assert Figures.of([]) is None


def test_a_single_run_is_the_seed_itself() -> None:
    assert seeds("a", 3) == ["a-0", "a-1", "a-2"]
    assert seeds("a-1", 1) == ["a-1"]


def test_the_typical_run_is_one_of_them_and_in_the_middle() -> None:
    found = report((CRASH,)).findings[0]
    assert found.outage is not None
    assert found.outage.min_ms <= found.typical.outage_ms <= found.outage.max_ms
    again = play(example(), (CRASH,), found.typical.seed)
    assert again.outage_ms == found.typical.outage_ms
    assert found.typical.notes


def test_endings_are_gathered_with_who_and_by_which_proof() -> None:
    (ending,) = report((CRASH,)).findings[0].endings
    assert (ending.node, ending.moved, ending.proof, ending.runs) == (
        "vm-b",
        True,
        "LeaseExpired",
        RUNS,
    )


def test_runs_without_return_have_no_outage_and_a_why() -> None:
    found = report(LOST).findings[0]
    assert (found.outage, found.back) == (None, 0)
    (ending,) = found.endings
    assert ending.why is not None
    assert ending.runs == RUNS


def test_a_broken_promise_is_kept_with_its_seed_and_told_as_the_typical_run() -> None:
    good = play(example(), (CRASH,), "unit-0")
    broken = dataclasses.replace(good, seed="unit-1", violation=Violation("S1", 0, "two hold"))
    found = gathered(example(), (CRASH,), [good, broken])
    assert [run.seed for run in found.broken] == ["unit-1"]
    assert found.typical.seed == "unit-1"
    assert sum(ending.runs for ending in found.endings) == 1
