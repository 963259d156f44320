"""The one loop: take an act from the mailbox, perform it, see when time itself is the next event.

No act contains an `await`, and nothing else touches the state of a member, so that between reading
it and having stored and performed the result nobody else can change it (docs/style.md). Requests
of the HTTP API run as acts of their own: between two acts, never within one.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from standfast.member.mailbox import Mailbox
from standfast.ports.clock import Clock


class Timed(Protocol):
    """Something that has to be called when time has passed."""

    def next_ms(self) -> int | None:
        """When `tick` is due, on the process's clock; none when nothing is planned."""
        ...

    def tick(self) -> None:
        """Time passed; harmless when nothing is due."""
        ...


class Daemon:
    """Runs what is in the mailbox, and ticks what is timed."""

    def __init__(
        self, mailbox: Mailbox, clock: Clock, timed: Callable[[], Iterable[Timed]]
    ) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._timed = timed
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms: int | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """The loop. Ends after `stop`; a fault of ours in an act or a task ends it with it."""
        self._set_alarm()
        while not self._is_stopping:
            act = await self._mailbox.get()
            act()  # no `await` from here to the next `get`
            self._set_alarm()
        self._unset_alarm()

    def stop(self) -> None:
        """End the loop after everything that waits already."""
        self._mailbox.put(self._stop)

    def _stop(self) -> None:
        self._is_stopping = True

    def _set_alarm(self) -> None:
        """Be woken at the earliest moment that anything asks for."""
        moments = [at_ms for part in self._timed() if (at_ms := part.next_ms()) is not None]
        at_ms = min(moments, default=None)
        if at_ms == self._alarm_ms and self._alarm is not None:
            return
        self._unset_alarm()
        if at_ms is None:
            return
        delay_s = max(1, at_ms - self._clock.now_ms()) / 1000
        self._alarm_ms = at_ms
        self._alarm = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _unset_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_ms = None, None

    def _ring(self) -> None:
        self._alarm, self._alarm_ms = None, None
        self._mailbox.put(self._tick)

    def _tick(self) -> None:
        for part in tuple(self._timed()):
            part.tick()
