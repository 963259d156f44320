"""True time and what is due: the heap of a discrete-event simulation.

Moments are true microseconds. Things due at the same moment happen in the order in which they
were put down, so a run depends on its plan and on nothing else.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Act = Callable[..., None]
Due = list[Any]
"""One entry of the heap: moment, number, act (none when called off), arguments."""


EVENTS_MAX = 500_000
"""More than any phase of a run needs."""


class EndlessError(Exception):
    """Events breed events."""


class Timeline:
    """The only clock that is right."""

    __slots__ = ("_count", "_heap", "events", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self.events = 0
        self._count = 0
        self._heap: list[Due] = []

    def at(self, when_us: int, act: Act, *args: object) -> Due:
        """Put down that `act(*args)` is due; a moment that has passed means now."""
        now_us = self.now_us
        self._count += 1
        due = [max(when_us, now_us), self._count, act, args]
        heappush(self._heap, due)
        return due

    def after(self, wait_us: int, act: Act, *args: object) -> Due:
        return self.at(self.now_us + wait_us, act, *args)

    @staticmethod
    def call_off(due: Due | None) -> None:
        """Forget one entry; one that has happened already, or none, is no mistake."""
        if due is not None:
            due[2] = None

    def run_until(self, end_us: int) -> None:
        """Let everything happen that is due before `end_us`.

        Raises:
            EndlessError: So much happens that time hardly passes: somebody answers himself.
        """
        heap = self._heap
        events_max = self.events + EVENTS_MAX
        while heap and heap[0][0] < end_us:
            when_us, _, act, args = heappop(heap)
            if act is not None:
                self.now_us = when_us
                self.events += 1
                act(*args)
                if self.events > events_max:
                    raise EndlessError(f"{EVENTS_MAX} events up to {when_us} µs")
        self.now_us = end_us
