"""What a client saw: outages, and two at once."""

from standfast.lab.outages import Attempt, Sighting, find_outages, summarize

MS = 1_000_000


def answered(at_ms: int, by: str = "vm-a", took_ms: int = 1) -> Attempt:
    return Attempt(at_ms * MS, took_ms * MS, by)


def failed(at_ms: int, error: str = "timeout") -> Attempt:
    return Attempt(at_ms * MS, 200 * MS, error=error)


def test_an_outage_lasts_from_the_last_answer_to_the_next() -> None:
    (outage,) = find_outages([answered(0), failed(20), failed(40), answered(60)], 100 * MS)
    assert (outage.start_ms, outage.end_ms, outage.s) == (1.0, 61.0, 0.06)
    assert outage.errors == {"timeout": 2}
    assert outage.ended


def test_failures_before_the_first_answer_are_no_outage() -> None:
    assert find_outages([failed(0), answered(20)], 100 * MS) == []


def test_an_outage_that_does_not_end_lasts_until_the_probe_ends() -> None:
    (outage,) = find_outages([answered(0), failed(20)], 1000 * MS)
    assert (outage.s, outage.ended) == (0.999, False)


def test_two_outages_are_two() -> None:
    series = [answered(0), failed(20), answered(40), failed(60, "refused"), answered(80)]
    assert [outage.errors for outage in find_outages(series, 0)] == [
        {"timeout": 1},
        {"refused": 1},
    ]


def test_a_takeover_is_not_two_at_once() -> None:
    series = [answered(t) for t in range(0, 200, 20)]
    series += [answered(t, "vm-b") for t in range(200, 400, 20)]
    summary = summarize(series, [], 400 * MS)
    assert summary.both_s == 0
    assert summary.answered_by == {"vm-a": 10, "vm-b": 10}


def test_answers_in_turn_are_two_at_once() -> None:
    series = [answered(t, "vm-a" if t % 40 else "vm-b") for t in range(0, 400, 20)]
    assert summarize(series, [], 400 * MS).both_s > 0.3


def test_an_address_that_comes_back_later_is_not_two_at_once() -> None:
    series = [
        *(answered(t) for t in range(0, 200, 20)),
        *(answered(t, "vm-b") for t in range(200, 1000, 20)),
        *(answered(t) for t in range(1000, 1200, 20)),
    ]
    assert summarize(series, [], 1200 * MS).both_s == 0


def test_claims_are_judged_by_themselves() -> None:
    claims = [Sighting(t * MS, f"02:00:00:00:00:0{t // 20 % 2}") for t in range(0, 400, 20)]
    summary = summarize([answered(0)], claims, 400 * MS)
    assert summary.both_s == 0
    assert summary.both_claimed_s > 0.3


def test_a_probe_that_saw_nothing_says_so() -> None:
    summary = summarize([], [], 0)
    assert (summary.attempts, summary.outages, summary.latency_ms) == (0, [], 0)
