"""A holder looks at its clocks, and acts on what `clockwatch` finds."""

from collections.abc import Callable

from standfast.agent.clockwatch import ClockWatch, Reading, Sign, realtime_ms
from standfast.agent.seat import Seat
from standfast.core.events import ClockSuspect
from standfast.member.chronicle import values
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink


class Clocks:
    """One look a tick while this node holds the lease.

    Args:
        seat: The node's.
        clock: The one that leases are counted by.
        sink: Where corrections of the wall clock are noted.
        renew: Asks the voters at once.
    """

    def __init__(
        self, seat: Seat, clock: Clock, sink: EventSink, renew: Callable[[], None]
    ) -> None:
        self._seat = seat
        self._clock = clock
        self._sink = sink
        self._renew = renew
        self._watch = ClockWatch()
        self._looked_at_ms = 0

    def forget(self) -> None:
        """The lease is over."""
        self._watch.forget()

    def next_ms(self) -> int:
        """When the next look is due; asked while a lease is held."""
        return self._looked_at_ms + self._seat.record.config.tick_ms

    def look(self) -> None:
        self._looked_at_ms = self._clock.now_ms()
        voter, lease = self._seat.voter, self._seat.lease
        if voter is None or lease is None or not lease.renews:
            return
        config = self._seat.record.config
        reading = Reading(
            boottime_ms=self._looked_at_ms,
            realtime_ms=realtime_ms(),
            lease_until_ms=lease.lease_until_ms,
            hold_ms=config.hold_ms(lease.ttl_ms),
            guard_ms=config.timing.guard_ms,
            heartbeat_ms=config.timing.heartbeat_ms,
        )
        match self._watch.look(reading):
            case Sign.NONE:
                pass
            case Sign.JUMPED:
                self._renew()
            case Sign.STEPPED:
                fields = values(took_ms=self._watch.jump_ms)
                self._sink.note("ClockStepped", "The wall clock was set forward", fields)
            case Sign.SUSPECT:
                ahead_ms = self._watch.jump_ms
                message = f"the wall clock ran {ahead_ms} ms ahead and no voter shows why"
                voter.take(ClockSuspect(message))
