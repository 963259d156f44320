"""What a series of attempts says about a service: its outages, and whether two ever served. Pure.

Called by the probe at its end, by tests and by the benchmark. Times are nanoseconds of
CLOCK_BOOTTIME on the machine of the probe.

Rules. An outage lasts from the last answer before a failed attempt to the first answer after it:
what a client sees, never less. Two served at once while tenures of two answerers overlap; a
tenure lasts as long as the same one is seen again within `TENURE_GAP_NS`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from standfast.lab.observe import Interval, overlap_ns

TENURE_GAP_NS = 300_000_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One fresh connection.

    Args:
        at_ns: When it was begun.
        took_ns: How long until it was answered or given up.
        by: Who answered; empty when nobody did.
        error: Why nobody did; empty when somebody did.
    """

    at_ns: int
    took_ns: int
    by: str = ""
    error: str = ""

    @property
    def ended_ns(self) -> int:
        return self.at_ns + self.took_ns


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody was seen serving.

    Args:
        at_ns: When.
        who: Name or link-layer address.
    """

    at_ns: int
    who: str


class Outage(msgspec.Struct, frozen=True):
    """A time without an answer.

    Args:
        start_ms: The last answer before it.
        end_ms: The first answer after it, or the end of the probe.
        s: Its length.
        errors: What the attempts in it met, and how often.
        ended: False when the probe ended first.
    """

    start_ms: float
    end_ms: float
    s: float
    errors: dict[str, int]
    ended: bool


class Summary(msgspec.Struct, frozen=True):
    """What the probe saw.

    Args:
        attempts: How many connections were begun.
        answered_by: Who answered -> how often.
        outages: In the order of time.
        longest_s: The longest of them; 0 without any.
        both_s: For how long two answered.
        claimed_by: Link-layer address that claimed the address -> how often; empty when the
            probe did not look.
        both_claimed_s: For how long two claimed it.
        latency_ms: Half of the answers were faster.
        latency_ms_max: All were.
    """

    attempts: int
    answered_by: dict[str, int]
    outages: list[Outage]
    longest_s: float
    both_s: float
    claimed_by: dict[str, int]
    both_claimed_s: float
    latency_ms: float
    latency_ms_max: float


def summarize(attempts: Iterable[Attempt], claims: Iterable[Sighting], end_ns: int) -> Summary:
    """The summary of a probe that ended at `end_ns`."""
    ordered = sorted(attempts, key=lambda attempt: attempt.at_ns)
    answers = [attempt for attempt in ordered if attempt.by]
    latencies = sorted(attempt.took_ns / 1e6 for attempt in answers) or [0.0]
    outages = find_outages(ordered, end_ns)
    answerers = [Sighting(attempt.ended_ns, attempt.by) for attempt in answers]
    claims = list(claims)
    return Summary(
        attempts=len(ordered),
        answered_by=dict(Counter(attempt.by for attempt in answers)),
        outages=outages,
        longest_s=max((outage.s for outage in outages), default=0.0),
        both_s=round(overlap_ns(tenures(answerers)) / 1e9, 6),
        claimed_by=dict(Counter(claim.who for claim in claims)),
        both_claimed_s=round(overlap_ns(tenures(claims)) / 1e9, 6),
        latency_ms=round(latencies[len(latencies) // 2], 3),
        latency_ms_max=round(latencies[-1], 3),
    )


def find_outages(ordered: Sequence[Attempt], end_ns: int) -> list[Outage]:
    """The outages in a series of attempts, which is in the order of their beginnings.

    Failures before the first answer belong to no outage: the service had not been seen yet.
    """
    found: list[Outage] = []
    last: Attempt | None = None
    failed: list[Attempt] = []
    for attempt in ordered:
        if not attempt.by:
            failed.append(attempt)
            continue
        if last is not None and failed:
            found.append(_outage(last.ended_ns, attempt.ended_ns, failed, ended=True))
        last, failed = attempt, []
    if last is not None and failed:
        found.append(_outage(last.ended_ns, end_ns, failed, ended=False))
    return found


def tenures(sightings: Iterable[Sighting]) -> Mapping[str, list[Interval]]:
    """Who was seen -> from when to when, without gaps longer than `TENURE_GAP_NS`."""
    found: dict[str, list[Interval]] = {}
    for seen in sorted(sightings, key=lambda sighting: sighting.at_ns):
        own = found.setdefault(seen.who, [])
        if own and seen.at_ns - own[-1].end_ns <= TENURE_GAP_NS:
            own[-1] = Interval(own[-1].begin_ns, seen.at_ns)
        else:
            own.append(Interval(seen.at_ns, seen.at_ns))
    return found


def _outage(start_ns: int, end_ns: int, failed: Sequence[Attempt], *, ended: bool) -> Outage:
    return Outage(
        start_ms=round(start_ns / 1e6, 3),
        end_ms=round(end_ns / 1e6, 3),
        s=round((end_ns - start_ns) / 1e9, 4),
        errors=dict(Counter(attempt.error for attempt in failed)),
        ended=ended,
    )
