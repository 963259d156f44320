"""What a resource with a standby role adds to `ResourceDriver`: a copy of the data on every node.

`start` means become active: promote the standby, or start what was active before. `stop` and
`kill` end the active role; true on return: nothing here can change the data any more except by
following another node. `probe` says RUNNING for the active role only; a standby is STOPPED, with
a sentence about how it follows. A standby that was never told to promote may survive a `kill`.

Beside that the driver tends its copy by itself, without the lease: it builds it, follows whom it
is told, and while active looks after those that follow. Who writes wait for is not its decision:
`require` says it, and `core.in_sync` decides it (grow the set, then propose; commit, then shrink).

Source: `docs/protocol.md`, section "Rules", "In-sync set". Safety: S3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A data node, as others reach it.

    Args:
        uid: Its identity as a member.
        name: What people call it.
        hosts: Its addresses, without port; best first.
    """

    uid: str
    name: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this copy stands.

    Args:
        cluster: Identity of the cluster.
        me: This node.
        others: The other data nodes.
        begins: Whether the data of this node are the ones to begin with, while no node has a copy
            that belongs to the cluster: true for the node that is listed first.
    """

    cluster: str
    me: Neighbour
    others: tuple[Neighbour, ...]
    begins: bool


@dataclass(frozen=True, slots=True)
class Leader:
    """The active node, as the newest record names it, and what it tells those that follow.

    Args:
        node: Who.
        invitation: What its driver of the same resource answered to `invitation`; b"" when
            nothing was heard.
        term: In which it leads.
        counts_on_me: The newest record calls this node in sync: what it has is one of the copies
            that acknowledged writes rest on, and is not to be taken apart.
    """

    node: Neighbour
    invitation: bytes = b""
    term: int = 0
    counts_on_me: bool = False


class Part(Enum):
    """What a copy is at present."""

    ACTIVE = "Active"
    STANDBY = "Standby"
    BUILDING = "Building"
    """It is being made or repaired, and of no use meanwhile."""
    DOWN = "Down"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Follower:
    """A node that follows, as the active one sees it.

    Args:
        uid: The member.
        position: How far it has written safely.
        lag_bytes: How much that is behind.
        is_connected: It receives changes now.
        holds_all: Writes wait for it, which was confirmed, and it has every write that was
            acknowledged before they did: it may be named in sync.
        is_lost: Writes cannot reach it, and are held until the record lets it go: to wait for it
            gains nothing.
    """

    uid: str
    position: int
    lag_bytes: int
    is_connected: bool
    holds_all: bool
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Replication:
    """How the copy on this node does.

    Args:
        part: What it is.
        message: A sentence with the values.
        position: How far it reaches, in the driver's unit; None when unknown.
        lag_bytes: How far a standby is behind the active, as far as it knows.
        lag_ms: The same in time: age of the newest change it has.
        percent: Progress while it is being built.
        followers: On the active node; each that is known.
        absent: On the active node: who should follow and does not, and how many bytes it lacks.
        is_of_leader: All that a standby has was seen to be part of what the leader has that was
            told last: its position may be compared with that leader's.
    """

    part: Part
    message: str
    position: int | None = None
    lag_bytes: int | None = None
    lag_ms: int | None = None
    percent: int | None = None
    followers: tuple[Follower, ...] = ()
    absent: tuple[tuple[str, int], ...] = ()
    is_of_leader: bool = False


@runtime_checkable
class Replica(Protocol):
    """The copy on this node of a resource that keeps one on every node: part of its driver."""

    def settle(self, place: Place) -> None:
        """Take what is known of the nodes. Called before anything else, and at every change."""
        ...

    def follow(self, leader: Leader | None) -> None:
        """Whom the standby follows; None: nobody leads, stay as it is.

        Returns at once and is called again at every change; ignored while active.
        """
        ...

    def require(self, members: frozenset[str]) -> None:
        """Nodes that a write must reach before it is acknowledged, this one not among them.

        Returns at once. A start in the active role applies the newest one before it accepts a
        write; afterwards it is applied as soon as possible, and `replication` shows the effect.
        """
        ...

    async def prepare(self) -> None:
        """A planned stop is about to come: do beforehand what would make it slow.

        Service goes on meanwhile. Best effort; never raises, and the caller limits its time.
        """
        ...

    def invitation(self) -> bytes:
        """What other nodes need to follow this one; b"" unless it is active.

        For data nodes only: it may hold a secret.
        """
        ...

    def replication(self) -> Replication:
        """The newest that is known. Returns at once."""
        ...

    async def tend(self, news: Callable[[], None]) -> None:
        """Look after the copy until cancelled; never returns by itself and never raises.

        Called once per driver, like `watch`. `news` says that `replication` or `invitation`
        answer something else now; it returns at once.
        """
        ...
