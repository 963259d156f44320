"""The one clock that decides: elapsed time of this machine, sleep included.

Moments named `_at_ms` and `_until_ms` anywhere in the product are readings of this clock. They
mean nothing on another machine or after a reboot, and are never compared across either.
"""

from typing import Protocol


class Clock(Protocol):
    """Milliseconds since the machine booted (CLOCK_BOOTTIME)."""

    def now_ms(self) -> int:
        """Read the clock.

        Never goes back within one boot, does not follow steps of the wall clock, counts the time
        the machine was suspended. Returns within microseconds and never blocks.
        """
        ...
