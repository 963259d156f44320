"""The inequalities of the lease, each with the number that would work.

All lengths are milliseconds, drift is parts per million of any clock against true time. Specs are
checked here when they are admitted, and again when a config is accepted, because a random search
does not find an undersized guard: it is arithmetic.

Source: `docs/protocol.md`, section "Time". Safety: `invariants.one_holder`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Self

DRIFT_PPM_DEFAULT = 10_000
"""One per cent: far above any clock that a time daemon disciplines."""


READ_MS = 1
"""What is lost by reading clocks in whole milliseconds."""


def needed_guard_ms(ttl_ms: int, drift_ppm: int, tick_ms: int, stop_budget_ms: int) -> int:
    """How early a holder must begin to stop so that no voter is free before it has stopped.

    The voter's clock may run fast and the holder's slow, each by `drift_ppm`; the holder looks at
    its clock every `tick_ms` and needs `stop_budget_ms` for the emergency stop, both on its clock.
    Clocks are read in whole milliseconds: a voter that received a request at 7.9 counts from 7 and
    may be free almost one millisecond early.

    Returns:
        Milliseconds, rounded up.
    """
    drift_ms = -(-2 * ttl_ms * drift_ppm // 1_000_000)
    return drift_ms + tick_ms + stop_budget_ms + READ_MS


@dataclass(frozen=True, slots=True)
class Timing:
    """The timers of one cluster.

    Attributes:
        heartbeat_ms: Between two renewals.
        ttl_ms: How long a voter's promise lasts on the voter's clock.
        ttl_max_ms: The longest promise a holder may ask for (before a known stun).
        guard_ms: How early the holder begins to stop.
        tick_ms: Longest time between two looks at the holder's clock.
        stop_budget_ms: For the emergency stop.
        drift_ppm: Bound of every member's clock rate against true time, plus or minus.
    """

    heartbeat_ms: int
    ttl_ms: int
    ttl_max_ms: int
    guard_ms: int
    tick_ms: int
    stop_budget_ms: int
    drift_ppm: int = DRIFT_PPM_DEFAULT

    def guard_for_ms(self, ttl_ms: int) -> int:
        """The guard that a promise of `ttl_ms` needs: the declared one, or more for a longer."""
        needed = needed_guard_ms(ttl_ms, self.drift_ppm, self.tick_ms, self.stop_budget_ms)
        return max(self.guard_ms, needed)

    def hold_ms(self, ttl_ms: int) -> int:
        """How long an answered request lets the holder hold, from when it was sent."""
        return ttl_ms - self.guard_for_ms(ttl_ms)

    @property
    def give_up_ms(self) -> int:
        """How long a candidate waits for a majority."""
        return 2 * self.heartbeat_ms

    def problems(self) -> tuple[str, ...]:
        """Every inequality this breaks, each as a sentence with the number that would work."""
        found: list[str] = []
        positive = {
            "heartbeatMs": self.heartbeat_ms,
            "ttlMs": self.ttl_ms,
            "tickMs": self.tick_ms,
            "stopBudgetMs": self.stop_budget_ms,
        }
        found += [
            f"{name} is {value}, but a length of time must be positive: set {name} to 1 or more"
            for name, value in positive.items()
            if value <= 0
        ]
        if not 0 <= self.drift_ppm <= 100_000:
            found.append(
                f"driftPpm is {self.drift_ppm}, but clock drift is between 0 and 100000 parts per "
                f"million: set driftPpm to {DRIFT_PPM_DEFAULT}"
            )
            return tuple(found)
        needed = needed_guard_ms(self.ttl_ms, self.drift_ppm, self.tick_ms, self.stop_budget_ms)
        if self.guard_ms < needed:
            found.append(
                f"guardMs is {self.guard_ms}, but ttlMs {self.ttl_ms} at {self.drift_ppm} ppm "
                f"drift with tickMs {self.tick_ms} and stopBudgetMs {self.stop_budget_ms} needs "
                f"at least {needed}: set guardMs to {needed}"
            )
        if self.ttl_ms - self.guard_ms < 3 * self.heartbeat_ms:
            found.append(
                f"ttlMs - guardMs is {self.ttl_ms - self.guard_ms}, but must be at least three "
                f"heartbeats ({3 * self.heartbeat_ms}), or one lost packet ends the lease: set "
                f"ttlMs to {self.guard_ms + 3 * self.heartbeat_ms}"
            )
        if self.ttl_max_ms < self.ttl_ms:
            found.append(
                f"ttlMaxMs is {self.ttl_max_ms}, but cannot be below ttlMs {self.ttl_ms}: "
                f"set ttlMaxMs to {self.ttl_ms}"
            )
        return tuple(found)

    @classmethod
    def for_target(cls, target_ms: int) -> Self:
        """Timers whose promise, election and a start of a few hundred milliseconds fit the target.

        Args:
            target_ms: From the death of the active node to service on the standby.

        Returns:
            Timers in the proportions of the named profiles; `problems` may still object to a
            target that is too short, with the number that would work.
        """
        ttl_ms = target_ms * 4 // 5
        heartbeat_ms = max(ttl_ms // 8, 1)
        tick_ms = max(ttl_ms // 20, 1)
        stop_budget_ms = ttl_ms // 3
        needed = needed_guard_ms(ttl_ms, DRIFT_PPM_DEFAULT, tick_ms, stop_budget_ms)
        guard_ms = max(needed, ttl_ms * 45 // 100)
        return cls(
            heartbeat_ms=heartbeat_ms,
            ttl_ms=ttl_ms,
            ttl_max_ms=max(10 * ttl_ms, 10_000),
            guard_ms=guard_ms,
            tick_ms=tick_ms,
            stop_budget_ms=stop_budget_ms,
        )


class Profile(Enum):
    """Named timers: what users choose from."""

    FAST = "Fast"
    NORMAL = "Normal"
    TOLERANT = "Tolerant"

    @property
    def timing(self) -> Timing:
        return _PROFILES[self]


_PROFILES = {
    Profile.FAST: Timing(
        heartbeat_ms=100,
        ttl_ms=700,
        ttl_max_ms=15_000,
        guard_ms=350,
        tick_ms=50,
        stop_budget_ms=250,
    ),
    Profile.NORMAL: Timing(
        heartbeat_ms=200,
        ttl_ms=1500,
        ttl_max_ms=30_000,
        guard_ms=700,
        tick_ms=100,
        stop_budget_ms=500,
    ),
    Profile.TOLERANT: Timing(
        heartbeat_ms=1000,
        ttl_ms=10_000,
        ttl_max_ms=60_000,
        guard_ms=3000,
        tick_ms=250,
        stop_budget_ms=2500,
    ),
}
