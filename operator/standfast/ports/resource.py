"""One protected resource of one cluster on this node: start it, stop it for sure, watch it.

The agent makes one driver per declared resource and is its only caller. A driver decides nothing:
no restart, no retry, no failover. All coroutines run in the agent's loop and none of them may
block it; all may be cancelled at any `await`, after which `probe`, `stop` and `kill` still work.
`start`, `stop` and `kill` of one driver never overlap, except that `kill` may come at any moment,
also while a cancelled `start` or `stop` unwinds: after `kill` has returned nothing of an earlier
call may make the resource run again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from standfast.ports.events import Alert


class Presence(Enum):
    """Is the resource here? UNKNOWN is not a polite STOPPED."""

    STOPPED = "Stopped"
    RUNNING = "Running"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What is really there, with the sentence that says how we know."""

    presence: Presence
    message: str


class Verdict(Enum):
    """What the evidence says; a check that could not be made is UNKNOWN."""

    UP = "Up"
    DOWN = "Down"
    """It is there, and does not answer as it should; a second look may find it well."""
    GONE = "Gone"
    """It is not there any more, or for certain not as it was started."""
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """Result of one check, with the sentence for people."""

    verdict: Verdict
    message: str


class Change(Enum):
    """What happened to a resource by itself."""

    DIED = "Died"
    """It ran, it was not we who stopped it, and it does not run any more."""
    APPEARED = "Appeared"
    """It runs and it was not we who started it (by hand, by systemd at boot)."""
    UNWATCHED = "Unwatched"
    """Signals do not reach us now: rely on `check`. The resource may be well."""
    WATCHED = "Watched"
    """Signals reach us again; `probe` tells what was missed."""
    OUSTED = "Ousted"
    """It died because a later holder took it: the lease that it ran under was over already."""


@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """One change, seen by signal.

    Args:
        resource: Name of the resource.
        change: What happened.
        message: A sentence with the values.
        at_ms: When this process saw it.
    """

    resource: str
    change: Change
    message: str
    at_ms: int


Report = Callable[[ResourceEvent], None]
"""Takes an event and returns at once (it puts it in the mailbox)."""


@runtime_checkable
class Foreseeing(Protocol):
    """Part of a driver whose start begins with a look that takes time."""

    def foresee(self) -> None:
        """A start may come within moments: begin now to look, and change nothing.

        Called when this node has won the lease, before it may start anything. Returns at once and
        never raises. What was seen counts for a moment only, and only if nothing was in the way.
        """
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """By what right this node takes what others must be kept out of: its lease.

    Args:
        cluster: Uid of the cluster.
        incarnation: Of the cluster.
        member: This node.
        boot: Its boot.
        term: Of the lease.
        suspected: Whether somebody is suspected of running still: he stays shut out even when
            the resource is stopped here.
    """

    cluster: str
    incarnation: int
    member: str
    boot: str
    term: int
    suspected: bool


@runtime_checkable
class Excluding(Protocol):
    """Part of a driver whose storage itself can keep every other node out of a disk."""

    @property
    def disk(self) -> str:
        """The disk, by the name that proofs have for it."""
        ...

    def claim(self, claim: Claim) -> None:
        """From now on the disk may be taken, by this right; a start without any takes nothing.

        Called when the first record of a term is committed, before anything starts, and again
        with every new term. Returns at once and never raises.
        """
        ...

    async def exclude(self) -> bool:
        """Shut everybody else out; true when that stays so whatever happens to the storage.

        False: everybody is out now, and a power loss of the storage would let them in again, so
        it proves nothing. Safe to call again. Never overlaps with `start` and `stop` of the same
        driver: it waits for them.

        Raises:
            UserError: The storage cannot do that, or the disk belongs to somebody else.
            TransientError: Worth another try.
        """
        ...


Knobs = Mapping[str, int | bool | str | None]
"""What of a resource may change while it runs."""


@runtime_checkable
class Tunable(Protocol):
    """Part of a driver of which something may be declared anew while it runs."""

    def tune(self, knobs: Knobs) -> None:
        """Go by these from now on.

        Returns at once and never raises; called at every declaration, also with the same ones.
        """
        ...


@runtime_checkable
class Storing(Protocol):
    """Part of a driver whose resource keeps data in directories of this machine."""

    def directories(self) -> tuple[Path, ...]:
        """Where they are, as declared. Returns at once."""
        ...


class ResourceDriver(Protocol):
    """One declared resource on this node."""

    @property
    def name(self) -> str:
        """Name of the resource, as declared."""
        ...

    async def probe(self) -> ResourceState:
        """Look what is really there now, without changing it.

        Used for adoption after a restart of the agent, for finding strangers on a standby, and as
        the last word after a stop. Never raises for what it finds: what it cannot see is UNKNOWN
        with the reason in the message. Returns within a second.
        """
        ...

    async def start(self, lease_until_ms: int | None) -> None:
        """Make it run; true on return: it is up and, for an address, announced.

        What runs already is adopted, not restarted. May be called again after any outcome.

        Args:
            lease_until_ms: End of the lease the resource lives under; kernel-held resources end
                then by themselves. None for what needs no lease (a standby role).

        Raises:
            UserError: A person must change something first (no such unit, no such interface).
            TransientError: Worth another try (address in use, the unit failed while starting).
                After either the resource may be half up: the caller stops it.
        """
        ...

    async def stop(self, budget_ms: int) -> None:
        """Stop it gracefully; true on return: verified, nothing of it is left.

        Stopping what does not run returns at once. Does not kill: that is the next rung, and the
        caller's decision.

        Raises:
            TransientError: It was not verified stopped within `budget_ms`; the message says what
                is left. The graceful stop may go on behind.
        """
        ...

    async def kill(self) -> None:
        """Take it away now; true on return: verified, nothing of it is left.

        The emergency stop: no grace, no clean-up of the application. Tries until it is verified:
        the caller sets a limit by cancelling and goes to the next rung.
        """
        ...

    def extend(self, lease_until_ms: int) -> None:
        """The lease now ends later: let what the kernel holds live until then.

        Called after every renewal, so it takes well under a millisecond, never awaits and never
        raises; trouble goes to the `EventSink`. Does nothing unless the resource was started or
        adopted. A moment earlier than the last one is honoured too. What expired stays expired.
        """
        ...

    async def watch(self, report: Report) -> None:
        """Report what happens to the resource by itself, until cancelled.

        Called once per driver and left running from before the first `start` to the end, whether
        the resource runs or not. What `start`, `stop`, `kill` and `extend` do is not reported.
        What is there when it begins is not reported either: watch first, then `probe`.
        Never returns by itself and never raises: when signals cannot be had it reports UNWATCHED,
        goes on trying, and reports WATCHED later. A change may be reported twice.
        """
        ...

    async def check(self) -> Health:
        """Is it well? One look, for the case that no signal comes.

        Never raises. The caller limits its time by cancelling, and counts that as UNKNOWN or DOWN.
        """
        ...

    async def ready(self) -> list[str]:
        """What stands in the way of starting it here, as sentences; empty when nothing does.

        Tried, not assumed, and without touching anything. Called on a standby every few seconds.
        """
        ...

    async def concerns(self) -> list[Alert]:
        """What does not stand in the way but a person should know (a unit enabled at boot)."""
        ...

    async def close(self) -> None:
        """Let go of sockets and tasks; the resource itself stays as it is. Idempotent."""
        ...
