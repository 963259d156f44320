"""The other nodes, as one node sees them: would somebody take over, does anybody hold."""

from standfast.agent.replicas import Replicas
from standfast.agent.seat import Seat
from standfast.ports.clock import Clock

NOBODY_MS = 3000
"""So long without any holder in sight means that a hand-over found no taker."""


class Others:
    """Looked at whenever something came in, and when the time for a taker is over."""

    def __init__(self, seat: Seat, replicas: Replicas, clock: Clock) -> None:
        self._seat = seat
        self._replicas = replicas
        self._clock = clock
        self._held_at_ms: int | None = None
        self._seen = (False, True)

    def begin(self) -> None:
        self._held_at_ms = self._clock.now_ms()

    def next_ms(self) -> int | None:
        """When the time for a taker is over, if it is not."""
        if self._held_at_ms is None:
            return None
        gone_ms = self._held_at_ms + NOBODY_MS
        return gone_ms if gone_ms > self._clock.now_ms() else None

    def look(self) -> tuple[bool, bool] | None:
        """Whether somebody would take over, and whether anybody holds, if that is news."""
        voter = self._seat.voter
        if voter is None or self._seat.links is None:
            return None
        now_ms = self._clock.now_ms()
        if voter.somebody_holds:
            self._held_at_ms = now_ms
        self._replicas.warn(voter.state, somebody_holds=voter.somebody_holds)
        since_ms = now_ms - (self._held_at_ms if self._held_at_ms is not None else now_ms)
        seen = (self._seat.successor() is not None, since_ms < NOBODY_MS)
        if seen == self._seen:
            return None
        self._seen = seen
        return seen
