"""The rules of the guard: which lease is armed until when, and what may be asked of it. Pure.

A lease is idle, then armed by its first extension, then either disarmed by the agent or fired by
its deadline. Rules.

- An ended lease does not come back: no extension of a term that was disarmed or fired is taken,
  and after firing none of any term before the agent has verified the stop and disarmed.
- A newer term replaces an older one; a message of an older term changes nothing.
- Within a term the deadline is what the agent says last, earlier or later.
- While fired, the plan stays as it was.
- Told to leave, the guard takes no extension: what is armed ends by hand-over or by its deadline.
- Retired, it has forgotten everything, says yes to everything and does nothing.

Moments are the guard's clock (`elapsed`). Source: `docs/protocol.md`, sections 5 ("Holding",
"Restart of the holder's agent") and 7.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from standfast.guard.protocol import (
    AHEAD_MS_MAX,
    LEASES_MAX,
    Disarm,
    Extend,
    Outcome,
    Plan,
    Stage,
    Strike,
)
from standfast.guard.status import LeaseStatus


class Leases:
    """All leases of this node, one per cluster that it is a member of.

    Every method that takes a request answers why it is refused, or "".

    Args:
        kept: What an earlier run of the guard in this boot knew.
    """

    def __init__(self, kept: Iterable[LeaseStatus] = ()) -> None:
        self._leases = {lease.lease: lease for lease in kept}
        self.leaving = False
        self._is_retired = False

    def retire(self) -> None:
        """Forget everything, and guard nothing from now on."""
        self._leases.clear()
        self._is_retired = True

    def all(self) -> tuple[LeaseStatus, ...]:
        return tuple(self._leases.values())

    def get(self, name: str) -> LeaseStatus | None:
        return self._leases.get(name)

    def extend(self, request: Extend, now_ms: int) -> str:
        lease = self._leases.get(request.lease) or _fresh(request.lease)
        refusal = self._may_not_extend(lease, request, now_ms)
        if refusal:
            return refusal
        self._put(
            replace(
                lease,
                term=request.term,
                stage=Stage.ARMED,
                until_ms=request.until_ms,
                outcome=None,
            )
        )
        return ""

    def plan(self, request: Plan) -> str:
        lease = self._leases.get(request.lease) or _fresh(request.lease)
        if lease.stage is Stage.FIRED:
            return _fired(lease)
        if not self._has_room(request.lease):
            return _no_room()
        self._put(replace(lease, targets=request.targets))
        return ""

    def strike(self, request: Strike, now_ms: int) -> str:
        lease = self._leases.get(request.lease)
        if lease is None or lease.stage is not Stage.ARMED:
            return ""
        if request.term < lease.term:
            return _older(lease, request.term)
        self._put(replace(lease, until_ms=min(lease.until_ms, now_ms)))
        return ""

    def disarm(self, request: Disarm, left: tuple[str, ...]) -> str:
        """Take the agent's word that all is stopped.

        Args:
            request: The word.
            left: What the guard itself sees of the plan, as sentences.
        """
        lease = self._leases.get(request.lease)
        if lease is None:
            return ""
        if request.term < lease.term:
            return _older(lease, request.term)
        if left:
            return f"not everything of the plan is stopped: {'; '.join(left)}"
        self._put(
            replace(
                lease,
                term=request.term,
                ended_term=max(lease.ended_term, request.term),
                stage=Stage.IDLE,
                until_ms=0,
                targets=(),
            )
        )
        return ""

    def due(self, now_ms: int) -> tuple[LeaseStatus, ...]:
        """Armed leases whose deadline has come."""
        return tuple(lease for lease in self._in(Stage.ARMED) if lease.until_ms <= now_ms)

    def next_due_ms(self) -> int | None:
        """The earliest deadline of all."""
        return min((lease.until_ms for lease in self._in(Stage.ARMED)), default=None)

    def fired(self) -> tuple[LeaseStatus, ...]:
        """Leases that have ended here and are not disarmed: what they protect may not run."""
        return tuple(self._in(Stage.FIRED))

    def is_struggling(self) -> bool:
        """Whether something of an ended lease is left."""
        return not all(map(_is_over, self._in(Stage.FIRED)))

    def fire(self, name: str, outcome: Outcome) -> None:
        """Its deadline came, and this was done."""
        lease = self._leases[name]
        ended = max(lease.ended_term, lease.term)
        self._put(replace(lease, stage=Stage.FIRED, ended_term=ended, outcome=outcome))

    def note(self, name: str, outcome: Outcome) -> None:
        """What is known of its end has changed."""
        self._put(replace(self._leases[name], outcome=outcome))

    def is_quiet(self) -> bool:
        """Whether no lease runs and nothing of an ended one is left."""
        return not any(self._in(Stage.ARMED)) and not self.is_struggling()

    def may_feed(self, now_ms: int) -> bool:
        """Whether the watchdog may be fed: every lease holds, or nothing of it is left."""
        running = all(now_ms < lease.until_ms for lease in self._in(Stage.ARMED))
        return running and not self.is_struggling()

    def _may_not_extend(self, lease: LeaseStatus, request: Extend, now_ms: int) -> str:
        if self.leaving:
            return "the guard was told to stop: hand over and disarm"
        if lease.stage is Stage.FIRED:
            return _fired(lease)
        if request.term <= lease.ended_term:
            return f"term {request.term} has ended on this node: stand again"
        if request.term < lease.term:
            return _older(lease, request.term)
        ahead_ms = request.until_ms - now_ms
        if ahead_ms > AHEAD_MS_MAX:
            return f"the deadline is {ahead_ms} ms ahead, and {AHEAD_MS_MAX} ms is the most"
        return "" if self._has_room(request.lease) else _no_room()

    def _has_room(self, name: str) -> bool:
        """Whether it is known or can be; the oldest idle one makes room."""
        if name in self._leases or len(self._leases) < LEASES_MAX:
            return True
        idle = next(self._in(Stage.IDLE), None)
        if idle is None:
            return False
        del self._leases[idle.lease]
        return True

    def _put(self, lease: LeaseStatus) -> None:
        if not self._is_retired:
            self._leases[lease.lease] = lease

    def _in(self, stage: Stage) -> Iterator[LeaseStatus]:
        return (lease for lease in self._leases.values() if lease.stage is stage)


def _fresh(name: str) -> LeaseStatus:
    return LeaseStatus(lease=name, term=0, ended_term=0, stage=Stage.IDLE, until_ms=0)


def _is_over(lease: LeaseStatus) -> bool:
    return lease.outcome is not None and lease.outcome.verified_us is not None


def _fired(lease: LeaseStatus) -> str:
    return (
        f"the lease of term {lease.term} ended at {lease.until_ms} and everything was taken away: "
        "verify that all is stopped and disarm"
    )


def _older(lease: LeaseStatus, term: int) -> str:
    return f"term {term} is older than {lease.term}, which the guard knows of"


def _no_room() -> str:
    return f"the guard holds {LEASES_MAX} leases already, and none of them is idle"
