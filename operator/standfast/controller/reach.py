"""Whether the acting replica reaches anybody: one that has lost every member lets another try.

Once: who never reached anybody keeps the lease, or replicas would hand it back and forth for as
long as the members are away (`docs/adr/0059-a-leader-that-reaches-nobody.md`).
"""

from standfast.controller.listening import Switchboard
from standfast.ports.clock import Clock

LOST_MS = 8_000
"""Without any member for so long. That one is lost takes up to six seconds to be seen, and another
replica is there within three: less than a lease, all in all."""
LOOK_S = 1.0


class Reach:
    """Looked at every `LOOK_S`.

    Args:
        switchboard: Who is heard.
        clock: Since when nobody is.
    """

    def __init__(self, switchboard: Switchboard, clock: Clock) -> None:
        self._switchboard = switchboard
        self._clock = clock
        self._has_reached = False
        self._lost_at_ms: int | None = None

    def lost(self) -> int:
        """How many members were lost, when all of them were and are so for long; else 0."""
        heard, known = self._switchboard.counts()
        if heard or not known or not self._has_reached:
            self._has_reached = self._has_reached or heard > 0
            self._lost_at_ms = None
            return 0
        now_ms = self._clock.now_ms()
        if self._lost_at_ms is None:
            self._lost_at_ms = now_ms
        return known if now_ms - self._lost_at_ms >= LOST_MS else 0
