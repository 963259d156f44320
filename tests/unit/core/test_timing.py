"""The inequalities of the lease, checked against the worst clocks, not against themselves."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standfast.core.timing import Profile, Timing, needed_guard_ms

MILLION = 1_000_000


def worst_overlap_us(timing: Timing, ttl_ms: int) -> float:
    """How long the slowest holder may still run something after the fastest voter is free.

    The request arrives in the moment it is sent. The voter reads whole milliseconds, so it may be
    free one early; the holder looks at its clock a whole tick too late and uses all of its budget.
    """
    fast, slow = MILLION + timing.drift_ppm, MILLION - timing.drift_ppm
    voter_free_us = (ttl_ms * 1000 - 999) * MILLION / fast
    stopping_ms = timing.hold_ms(ttl_ms) + timing.tick_ms + timing.stop_budget_ms
    return stopping_ms * 1000 * MILLION / slow - voter_free_us


TIMINGS = st.builds(
    Timing,
    heartbeat_ms=st.integers(1, 2000),
    ttl_ms=st.integers(1, 60_000),
    ttl_max_ms=st.just(0),
    guard_ms=st.integers(0, 30_000),
    tick_ms=st.integers(1, 1000),
    stop_budget_ms=st.integers(1, 5000),
    drift_ppm=st.sampled_from([0, 1, 100, 10_000, 50_000, 100_000]),
).map(lambda timing: replace(timing, ttl_max_ms=4 * timing.ttl_ms))


@given(TIMINGS, st.integers(1, 4))
def test_the_slowest_holder_has_stopped_before_the_fastest_voter_is_free(
    timing: Timing, longer: int
) -> None:
    """Whatever the declared guard; also for a promise longer than usual."""
    assert worst_overlap_us(timing, timing.ttl_ms * longer) <= 0


@given(TIMINGS)
def test_one_millisecond_less_guard_would_not_do(timing: Timing) -> None:
    """The needed guard is no luxury: it exceeds the exact bound by rounding only."""
    ttl_ms = timing.ttl_ms
    needed = needed_guard_ms(ttl_ms, timing.drift_ppm, timing.tick_ms, timing.stop_budget_ms)
    drift = timing.drift_ppm / MILLION
    exact = timing.tick_ms + timing.stop_budget_ms + ttl_ms * 2 * drift / (1 + drift)
    assert exact <= needed < exact + 2 + 2 * ttl_ms * drift * drift + drift


def test_profiles_break_no_inequality() -> None:
    for profile in Profile:
        assert profile.timing.problems() == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heartbeat_ms": 0}, "heartbeatMs is 0"),
        ({"ttl_ms": -1}, "ttlMs is -1"),
        ({"tick_ms": 0}, "tickMs is 0"),
        ({"stop_budget_ms": 0}, "stopBudgetMs is 0"),
        ({"drift_ppm": -1}, "driftPpm is -1"),
        ({"drift_ppm": 100_001}, "driftPpm is 100001"),
        ({"guard_ms": 100}, "guardMs is 100"),
        ({"heartbeat_ms": 400}, "at least three heartbeats (1200)"),
        ({"ttl_max_ms": 1000}, "ttlMaxMs is 1000"),
    ],
)
def test_each_broken_inequality_is_a_sentence_with_the_number_that_works(
    change: dict[str, int], sentence: str
) -> None:
    timing = replace(Profile.NORMAL.timing, **change)
    found = [problem for problem in timing.problems() if sentence in problem]
    assert len(found) == 1
    assert ": set " in found[0]


@pytest.mark.parametrize("field", ["guard_ms", "ttl_ms", "ttl_max_ms"])
def test_the_number_in_the_sentence_works(field: str) -> None:
    bad = {"guard_ms": 100, "ttl_ms": 900, "ttl_max_ms": 10}[field]
    timing = replace(Profile.NORMAL.timing, **{field: bad})
    for _ in range(5):
        problems = timing.problems()
        if not problems:
            return
        name, number = problems[-1].rpartition(": set ")[2].split(" to ")
        wanted = {"guardMs": "guard_ms", "ttlMs": "ttl_ms", "ttlMaxMs": "ttl_max_ms"}[name]
        timing = replace(timing, **{wanted: int(number)})
    pytest.fail(f"still wrong: {timing.problems()}")


def test_a_target_gives_timers_that_hold_or_say_why_not() -> None:
    for target_ms in range(100, 30_000, 50):
        timing = Timing.for_target(target_ms)
        if target_ms >= 1_000:
            assert timing.problems() == ()
        assert timing.ttl_ms <= target_ms


def test_the_guard_of_a_longer_promise_never_shrinks() -> None:
    timing = Profile.NORMAL.timing
    guards = [timing.guard_for_ms(ttl) for ttl in range(timing.ttl_ms, timing.ttl_max_ms, 100)]
    assert all(a <= b for a, b in itertools.pairwise(guards))
    assert guards[0] == timing.guard_ms
    assert guards[-1] > timing.guard_ms
    assert timing.give_up_ms == 2 * timing.heartbeat_ms
