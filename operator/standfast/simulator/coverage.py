"""What a run exercised: events, effects, refusals, losses, proofs, transitions, faults.

A rule that no run exercises is not tested by the simulator, whatever its count of faults. The big
run fails when one of the names that must occur never did (`missing`).
"""

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from standfast.core.events import Effect, Event, Loss
from standfast.core.messages import Ask, Refusal
from standfast.core.record import Proof
from standfast.simulator.plan import FaultKind

UNREACHABLE: frozenset[tuple[str, str]] = frozenset(
    {
        ("proof", Proof.LEASE_EXPIRED.value),  # held by whoever wins, so never reported
    }
)
"""What no run can show, each with its reason."""


class Coverage:
    """Counters, by family and name."""

    __slots__ = ("counts", "effects", "events")

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.events: Counter[type] = Counter()
        self.effects: Counter[type] = Counter()

    def count(self, family: str, name: str) -> None:
        self.counts[family, name] += 1

    def total(self) -> Counter[tuple[str, str]]:
        """All counters under their names."""
        total = Counter(self.counts)
        for event, times in self.events.items():
            total["event", event.__name__] += times
        for effect, times in self.effects.items():
            total["effect", effect.__name__] += times
        return total


def expected() -> Iterator[tuple[str, str]]:
    """Everything that a big run must have shown at least once."""
    for event in get_args(Event):
        yield "event", event.__name__
    for effect in get_args(Effect):
        yield "effect", effect.__name__
    for reason in Refusal:
        yield "refusal", reason.value
    for ask in Ask:
        yield "refused", ask.value
    for loss in Loss:
        yield "loss", loss.value
    for proof in Proof:
        yield "proof", proof.value
    for kind in FaultKind:
        yield "fault", kind.value


def missing(total: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """Expected names that never occurred."""
    return [name for name in expected() if not total[name] and name not in UNREACHABLE]
