"""A wall clock set forward stops nothing; one that no voter explains does."""

from dataclasses import replace

import pytest

from standfast.agent.clockwatch import ClockWatch, Reading, Sign

START = Reading(
    boottime_ms=100_000,
    realtime_ms=5_000_000,
    lease_until_ms=100_700,
    hold_ms=800,
    guard_ms=700,
    heartbeat_ms=200,
)


def later(reading: Reading, ms: int, *, wall_ms: int | None = None, lease_ms: int = 0) -> Reading:
    return replace(
        reading,
        boottime_ms=reading.boottime_ms + ms,
        realtime_ms=reading.realtime_ms + (ms if wall_ms is None else wall_ms),
        lease_until_ms=reading.lease_until_ms + lease_ms,
    )


def test_time_that_passes_evenly_is_no_sign() -> None:
    watch, now = ClockWatch(), START
    for _ in range(100):
        assert watch.look(now) is Sign.NONE
        now = later(now, 100, wall_ms=103, lease_ms=100)


def test_an_hour_forward_is_a_step_when_a_voter_answers_after_it() -> None:
    """F21."""
    watch = ClockWatch()
    watch.look(START)
    jumped = later(START, 100, wall_ms=3_600_100)
    assert watch.look(jumped) is Sign.JUMPED
    assert watch.jump_ms == 3_600_000
    answered = replace(later(jumped, 10), lease_until_ms=jumped.boottime_ms + 5 + 800)
    assert watch.look(answered) is Sign.STEPPED
    assert watch.look(later(answered, 100)) is Sign.NONE


def test_an_answer_to_an_older_question_explains_nothing() -> None:
    watch = ClockWatch()
    watch.look(START)
    jumped = later(START, 100, wall_ms=5000)
    assert watch.look(jumped) is Sign.JUMPED
    stale = replace(later(jumped, 100), lease_until_ms=jumped.boottime_ms - 1 + 800)
    assert watch.look(stale) is Sign.NONE
    assert watch.look(later(stale, 301)) is Sign.SUSPECT
    assert watch.look(later(stale, 402)) is Sign.NONE, "said once"


@pytest.mark.parametrize("wall_ms", [-3_600_000, 0, 799])
def test_backward_and_small_steps_are_no_sign(wall_ms: int) -> None:
    watch = ClockWatch()
    watch.look(START)
    assert watch.look(later(START, 100, wall_ms=wall_ms)) is Sign.NONE


def test_what_was_seen_before_a_lease_means_nothing_to_the_next() -> None:
    watch = ClockWatch()
    watch.look(START)
    watch.forget()
    assert watch.look(later(START, 100, wall_ms=9_999_999)) is Sign.NONE
