"""The process beside the agent that stops everything when the lease ends, as the agent sees it.

One lease of one member. The agent keeps four duties: `plan` what a resource needs to be taken away
*before* it starts; `extend` after every renewal; `disarm` only when everything is verified
stopped; and when `watch` reports LOST, hand over: a node without a guard must not hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from standfast.guard.protocol import AddressTarget, CgroupTarget, MountTarget, Target
from standfast.guard.status import GuardStatus

__all__ = [
    "AddressTarget",
    "CgroupTarget",
    "Guard",
    "GuardChange",
    "GuardEvent",
    "GuardStatus",
    "MountTarget",
    "Target",
]


class GuardChange(Enum):
    """What happened to the guard or by it."""

    GONE = "Gone"
    """It died or does not answer; systemd restarts it, and it keeps what it knew."""
    BACK = "Back"
    """It answers, and knows the plan and the deadline."""
    LOST = "Lost"
    """It has been gone for too long: hand over."""
    LEAVING = "Leaving"
    """It was told to stop and takes no extension any more: hand over."""
    FIRED = "Fired"
    """The deadline came and it took everything away: verify the stop, then disarm."""
    REFUSED = "Refused"
    """It does not take an extension; the message says why."""


@dataclass(frozen=True, slots=True)
class GuardEvent:
    """One change.

    Args:
        change: What happened.
        message: A sentence with the values.
    """

    change: GuardChange
    message: str


class Guard(Protocol):
    """The guard of this node, for one lease. Moments are the agent's clock."""

    def extend(self, term: int, until_ms: int) -> None:
        """The lease of `term` runs until then; the first one arms the guard.

        Takes well under a millisecond, never awaits and never raises: what the guard does not
        take is reported by `watch`.
        """
        ...

    async def plan(self, resource: str, targets: Sequence[Target]) -> None:
        """Let the guard take `targets` away when the lease ends; true on return.

        Args:
            resource: Whose they are; other targets replace them, none drops them.
            targets: Everything of the resource that may not outlive the lease. With none it
                returns at once and raises nothing: the guard hears of it when it answers.

        Raises:
            TransientError: The guard does not answer, or is not armed; do not start it.
            UserError: The guard refuses such a target.
        """
        ...

    def strike(self, term: int) -> None:
        """The lease of `term` is lost: take everything away now. Never raises.

        Nothing happens when a newer term was extended since; so with `disarm`.
        """
        ...

    async def disarm(self, term: int) -> None:
        """Everything under the lease of `term` is stopped; true on return: the guard saw it too.

        Raises:
            TransientError: It still sees something, or does not answer. In the second case it is
                told as soon as it does.
        """
        ...

    async def status(self) -> GuardStatus:
        """What it knows. Raises TransientError when it does not answer."""
        ...

    async def watch(self, report: Callable[[GuardEvent], None]) -> None:
        """Connect, stay connected, and report changes until cancelled; never returns or raises.

        `report` returns at once. At first comes BACK, or GONE and after a while LOST.
        """
        ...
