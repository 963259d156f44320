"""What the members of a cluster agree on: one config and one small record.

The record takes the place of Raft's log. It is replaced whole, ordered by `version`, and travels
with its config as one durable unit. Members compare versions, never contents.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from standfast.core.ids import FIRST, BootId, ClusterUid, MemberUid, Version
from standfast.core.timing import Timing


class MemberKind(Enum):
    """Whether a member may become active."""

    DATA = "data"
    WITNESS = "witness"


class DataMode(Enum):
    """Where the data lives: decides who may lead and which proof a start needs."""

    NONE = "None"
    SHARED_DISK = "SharedDisk"
    REPLICATED = "Replicated"
    REPLICATED_ASYNC = "ReplicatedAsync"


@dataclass(frozen=True, slots=True)
class Member:
    """One voter.

    Attributes:
        uid: Its identity, drawn at enrolment.
        name: What people call it: the node's or witness's name.
        kind: Data nodes may become active; witnesses only vote.
        addresses: Communication paths, `host:port`, all used at once.
    """

    uid: MemberUid
    name: str
    kind: MemberKind
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Who votes, and by which timers.

    While `leaving` is set the config is joint: votes, renewals and commits need a majority of
    `members` and one of `leaving`, promises are asked for the longer ttl, and the lease is
    counted with the shorter hold.

    Attributes:
        cluster: The cluster's identity.
        incarnation: Raised only by break-glass recovery after a majority was lost for good.
        id: Version of the record that introduced this config.
        members: Voters in order of preference.
        timing: Their timers.
        data: Where the data lives.
        loss_max: `REPLICATED_ASYNC`: how far behind the record's position a node may lead, in
            the driver's unit (bytes of WAL for PostgreSQL).
        leaving: While joint: the voters of the config being left.
        leaving_timing: While joint: their timers.
    """

    cluster: ClusterUid
    members: tuple[Member, ...]
    timing: Timing
    data: DataMode = DataMode.NONE
    incarnation: int = 1
    id: Version = FIRST
    loss_max: int = 0
    leaving: tuple[Member, ...] | None = None
    leaving_timing: Timing | None = None

    def electorates(self) -> Iterator[tuple[Member, ...]]:
        """Each set of voters of which a majority is needed."""
        yield self.members
        if self.leaving is not None:
            yield self.leaving

    def everyone(self) -> tuple[Member, ...]:
        """All voters of all electorates, each once."""
        known = {member.uid for member in self.members}
        return self.members + tuple(m for m in self.leaving or () if m.uid not in known)

    def member(self, uid: MemberUid) -> Member | None:
        return next((member for member in self.everyone() if member.uid == uid), None)

    def data_nodes(self) -> tuple[MemberUid, ...]:
        """Nodes that may become active, in order of preference; leaving nodes may not."""
        return tuple(m.uid for m in self.members if m.kind is MemberKind.DATA)

    @property
    def ttl_ms(self) -> int:
        """The shortest promise to ask for: while joint, the longer of the two."""
        other = self.leaving_timing
        return self.timing.ttl_ms if other is None else max(self.timing.ttl_ms, other.ttl_ms)

    @property
    def ttl_max_ms(self) -> int:
        other = self.leaving_timing
        mine = self.timing.ttl_max_ms
        return (
            max(mine, self.ttl_ms) if other is None else max(mine, other.ttl_max_ms, self.ttl_ms)
        )

    @property
    def heartbeat_ms(self) -> int:
        """Between two renewals: while joint, the shorter, as the shorter hold counts."""
        other = self.leaving_timing
        mine = self.timing.heartbeat_ms
        return mine if other is None else min(mine, other.heartbeat_ms)

    @property
    def tick_ms(self) -> int:
        """Longest time between two looks at the holder's clock: while joint, the shorter."""
        other = self.leaving_timing
        return self.timing.tick_ms if other is None else min(self.timing.tick_ms, other.tick_ms)

    def hold_ms(self, ttl_ms: int) -> int:
        """How long an answer to a request for `ttl_ms` lets the holder hold, from its sending."""
        mine = self.timing.hold_ms(ttl_ms)
        other = self.leaving_timing
        if other is None:
            return mine
        return min(
            mine,
            self.timing.hold_ms(self.timing.ttl_ms),
            other.hold_ms(other.ttl_ms),
        )

    @property
    def digest(self) -> str:
        """A short fingerprint of everything in it, to tell two first configs apart."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, in which boot."""

    member: MemberUid
    boot: BootId


@dataclass(frozen=True, slots=True)
class Suspect:
    """A former holder that may have started an exclusive resource and is not proven stopped.

    Attributes:
        watchdog_ms: Timeout of its watchdog, armed by its own record; no part of who it is.
    """

    member: MemberUid
    boot: BootId
    term: int
    watchdog_ms: int | None = field(default=None, compare=False)


class Proof(Enum):
    """Why a suspect cannot write any more. See `core.proof` for what each is good for."""

    RELEASED = "Released"
    ATTESTED = "Attested"
    POWERED_OFF = "PoweredOff"
    REBOOTED = "Rebooted"
    OBSERVED = "Observed"
    RESERVED = "Reserved"
    WATCHDOG = "Watchdog"
    LEASE_EXPIRED = "LeaseExpired"


@dataclass(frozen=True, slots=True)
class Cleared:
    """A suspect that a record removed, and by which proof.

    Attributes:
        approver: Who vouched, when a person did.
    """

    suspect: Suspect
    proof: Proof
    approver: str = ""


CLEARED_KEPT = 32
"""Entries of `Record.cleared`; of more, the oldest that no person vouched for go first."""


def with_cleared(cleared: tuple[Cleared, ...], new: tuple[Cleared, ...]) -> tuple[Cleared, ...]:
    """Add entries, bounded: what a person vouched for is kept longest."""
    found = (*cleared, *new)
    surplus = max(0, len(found) - CLEARED_KEPT)
    by_age = sorted(range(len(found)), key=lambda at: (found[at].proof is Proof.ATTESTED, at))
    gone = set(by_age[:surplus])
    return tuple(entry for at, entry in enumerate(found) if at not in gone)


@dataclass(frozen=True, slots=True)
class WatchdogArmed:
    """The holder's watchdog, armed and tested.

    Attributes:
        timeout_ms: The machine resets this long after the last feeding.
    """

    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """The one thing a cluster agrees on.

    Attributes:
        version: Orders records; see `Version`.
        config: Who votes; travels with the record.
        holder: Who won the term and wrote this; none in the first record of a cluster.
        in_sync: Data nodes whose copy holds every acknowledged write (`REPLICATED`).
        position: Bounds the loss in asynchronous modes, in the driver's unit; none when unknown.
        watchdog: The holder's, when armed and tested.
        suspects: Former holders not yet proven stopped; per member and boot the highest term.
        cleared: Suspects that this term's records removed, with the proof; those that a person
            vouched for stay from term to term.
        consented: Whether the term was won by a person's consent to lose data.
        left_out: Members that a recovery left out: told so when they come back, for they do not
            know it.
    """

    version: Version
    config: Config
    holder: Holder | None = None
    in_sync: frozenset[MemberUid] = frozenset()
    position: int | None = None
    watchdog: WatchdogArmed | None = None
    suspects: tuple[Suspect, ...] = ()
    cleared: tuple[Cleared, ...] = ()
    consented: bool = False
    left_out: tuple[Member, ...] = ()


def first_record(config: Config) -> Record:
    """The record (0, 0) that comes with a first config: no holder, every data node in sync."""
    return Record(version=FIRST, config=config, in_sync=frozenset(config.data_nodes()))


def former_holders(record: Record) -> Iterator[Suspect]:
    """Everybody who may have started something up to this record."""
    yield from record.suspects
    if record.holder is not None:
        by, armed = record.holder, record.watchdog
        watchdog_ms = None if armed is None else armed.timeout_ms
        yield Suspect(by.member, by.boot, record.version.term, watchdog_ms)


def with_suspect(suspects: tuple[Suspect, ...], new: Suspect) -> tuple[Suspect, ...]:
    """Add a suspect; of one member and boot only the highest term is kept."""
    same = [s for s in suspects if (s.member, s.boot) == (new.member, new.boot)]
    if any(s.term >= new.term for s in same):
        return suspects
    return (*(s for s in suspects if s not in same), new)
