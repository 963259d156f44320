"""Signs that this machine's clock stood still while the world went on.

A VM stopped by its hypervisor may wake with CLOCK_BOOTTIME where it was; when its tools or a time
daemon then correct the wall clock, CLOCK_REALTIME runs ahead of CLOCK_BOOTTIME by the length of
the stop. A plain correction of the wall clock looks exactly the same (F21), and must not stop a
service. What tells them apart are the voters: an answer to a question asked *after* the jump, by
voters whose clocks did not run ahead of ours (the quorum compares them with each answer), shows
that no time was lost. So a jump brings the next renewal forward, and only when no such answer
extends the lease within two heartbeats is the clock reported as suspect.

Only forward jumps count: a wall clock set back says nothing about elapsed time. Only a holder
looks: nobody else has anything to lose. Machines with a hypervisor clock need none of this.

Source: `docs/protocol.md`, section 1. Safety: S1.
"""

import time
from dataclasses import dataclass
from enum import Enum


class Sign(Enum):
    """What a look found."""

    NONE = "None"
    JUMPED = "Jumped"
    """The wall clock ran ahead: ask the voters at once."""
    STEPPED = "Stepped"
    """The voters' answers show that no time was lost: it was a correction."""
    SUSPECT = "Suspect"
    """No voter has shown that."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, and how the lease stands."""

    boottime_ms: int
    realtime_ms: int
    lease_until_ms: int
    hold_ms: int
    guard_ms: int
    heartbeat_ms: int


class ClockWatch:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self._ahead_ms: int | None = None
        self._jumped_at_ms: int | None = None
        self.jump_ms = 0

    def forget(self) -> None:
        """The lease is over: what was seen before it means nothing to the next one."""
        self._ahead_ms = self._jumped_at_ms = None

    def look(self, reading: Reading) -> Sign:
        ahead_ms = reading.realtime_ms - reading.boottime_ms
        before_ms, self._ahead_ms = self._ahead_ms, ahead_ms
        if before_ms is not None and ahead_ms - before_ms > reading.guard_ms:
            self._jumped_at_ms = reading.boottime_ms
            self.jump_ms = ahead_ms - before_ms
            return Sign.JUMPED
        if self._jumped_at_ms is None:
            return Sign.NONE
        if reading.lease_until_ms >= self._jumped_at_ms + reading.hold_ms:
            self._jumped_at_ms = None
            return Sign.STEPPED
        if reading.boottime_ms - self._jumped_at_ms > 2 * reading.heartbeat_ms:
            self._jumped_at_ms = None
            return Sign.SUSPECT
        return Sign.NONE


def realtime_ms() -> int:
    """The wall clock; used for nothing but this comparison."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
