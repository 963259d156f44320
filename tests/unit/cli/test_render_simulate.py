"""A simulation as text."""

import dataclasses

from tests.unit.cli import simulations
from tests.unit.cli.simulations import CRASH, LOST, RUNS

from standfast.cli import text
from standfast.cli.render_simulate import outage, report, story
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.simulator.checkers import Violation
from standfast.simulator.scenario import Case, Why


def shown(of: object) -> str:
    return " ".join(text.plain(report(of)).split())


def with_data(case: Case, data: DataMode) -> Case:
    return dataclasses.replace(case, want=dataclasses.replace(case.want, data=data))


def test_each_fault_has_its_distribution_and_who_serves_then() -> None:
    said = shown(simulations.report((CRASH,), LOST))
    assert "web 2 nodes, 1 witness, data None, ttl 1.5 s, guard 700 ms" in said
    assert "vm-b by LeaseExpired" in said
    assert "nobody: NoMajority" in said
    assert "After lose third, then crash vm-a nobody serves: vm-b reaches nobody" in said
    assert f"S1 to S4 held in all {2 * RUNS} runs" in said


def test_nothing_assumed_is_left_unsaid() -> None:
    said = shown(simulations.report((CRASH,)))
    assert "Assumed: web starts in 50 to 300 ms and stops in 20 to 200 ms" in said
    assert "(--start-time web=TIME)" in said
    assert "a VM boots in 20 to 40 s" in said
    assert "Witness third is taken to exist." in said


def test_it_fits_80_columns() -> None:
    plain = text.plain(report(simulations.report((CRASH,), LOST)))
    assert max(map(len, plain.splitlines())) <= 80


def test_a_single_scenario_says_how_safe_it_is_afterwards() -> None:
    assert "Afterwards: If vm-b died now, nobody would serve" in shown(
        simulations.report((CRASH,))
    )


def test_what_becomes_of_data_follows_the_mode() -> None:
    one = simulations.report((CRASH,))
    assert "nothing is carried over" in shown(one)
    disk = dataclasses.replace(one, case=with_data(one.case, DataMode.SHARED_DISK))
    assert "both nodes use one disk" in shown(disk)
    copies = dataclasses.replace(one, case=with_data(one.case, DataMode.REPLICATED))
    assert "no acknowledged write was lost" in shown(copies)
    losing = dataclasses.replace(one.findings[0], losing=2, lost_writes_max=7)
    lost = dataclasses.replace(copies, findings=(losing,))
    assert f"lost in 2 of {RUNS} runs, up to 7 in one" in shown(lost)


def test_a_broken_promise_cannot_be_overlooked() -> None:
    one = simulations.report((CRASH,))
    found = one.findings[0]
    run = dataclasses.replace(found.typical, violation=Violation("S1", 5_000, "two hold"))
    broken = dataclasses.replace(found, broken=(run,), endings=(), typical=run)
    said = shown(dataclasses.replace(one, findings=(broken,)))
    assert "a promise is broken" in said
    assert f"BROKEN in 1 of {RUNS} runs" in said
    assert "S1 at 5.000 ms: two hold" in said
    assert "BROKEN S1" in story(broken, one.case)


def test_a_refusal_and_two_that_answer_are_said() -> None:
    one = simulations.report((CRASH,))
    found = dataclasses.replace(
        one.findings[0], refused=Why(Reason.TARGET_NOT_READY, "vm-b is not heard"), both_ms_max=4
    )
    said = shown(dataclasses.replace(one, findings=(found,)))
    assert "The switchover is refused: vm-b is not heard." in said
    assert "two nodes answered at once for up to 4 ms" in said


def test_the_story_reads_from_the_fault_to_the_service() -> None:
    one = simulations.report((CRASH,))
    lines = story(one.findings[0], one.case).splitlines()
    assert lines[0].startswith("A typical run (seed unit-")
    assert "--- fault: crash vm-a" in lines[2]
    assert "--- clients: vm-b answers" in lines[-1]


def test_outages_are_told_to_the_hundredth_of_a_second() -> None:
    assert (outage(0), outage(183), outage(1_625)) == ("0 ms", "183 ms", "1.62 s")
