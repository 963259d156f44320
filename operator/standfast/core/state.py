"""The state of a quorum member for one cluster: what is durable and what a restart forgets.

All of it is frozen; `dataclasses.replace` makes the next one. `start` makes the state of a new
run from what the disk held. Times are milliseconds on the member's own clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.messages import Consent, Fenced, Release, VoteRequest
from standfast.core.record import Proof, Record, Suspect, WatchdogArmed

RUNS_KEPT = 64
"""How many earlier runs of this disk are remembered, to tell a clone's run from one of ours."""


class Run(NamedTuple):
    """One run of this disk.

    Attributes:
        id: Its nonce.
        since: The generation it began with.
    """

    id: RunId
    since: int


@dataclass(frozen=True, slots=True)
class Durable:
    """What is on disk before any message that depends on it is sent.

    Attributes:
        generation: Counts durable writes; a copy of the disk falls behind and is found out.
        runs: Runs of this disk, the present one last, at most `RUNS_KEPT`.
        term: Highest term seen.
        voted_for: Who got this member's vote, or whose renewals it accepts, in `term`.
        record: Newest accepted, with its config.
        promised_ttl_ms: Longest ttl promised to `voted_for` beyond the configured one, or 0.
            Without `voted_for`: what a recovery within a boot hold left to be waited for.
        fenced: Boots attested dead by power-off.
        halted: Why this member may take no part any more (reverted, cloned, superseded), or "".
        machine: What its machine calls itself (generation id, product UUID), or "" when unknown.
    """

    cluster: ClusterUid
    me: MemberUid
    record: Record
    generation: int = 0
    runs: tuple[Run, ...] = ()
    term: int = 0
    voted_for: MemberUid | None = None
    promised_ttl_ms: int = 0
    fenced: tuple[Fenced, ...] = ()
    halted: str = ""
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """This member elects nobody else before `until_ms`."""

    holder: MemberUid
    boot: BootId
    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Window:
    """After a release with successor: until `until_ms` only the successor gets this vote."""

    successor: MemberUid
    release: Release
    until_ms: int


@dataclass(frozen=True, slots=True)
class Candidacy:
    """A round of asking.

    Attributes:
        ask: What was sent, to tell answers to it from others, and to repeat it.
        asked_at_ms: The lease counts from here.
        yes: Who granted.
        no: Who refused.
    """

    ask: VoteRequest
    asked_at_ms: int
    yes: frozenset[MemberUid]
    no: frozenset[MemberUid] = frozenset()


@dataclass(frozen=True, slots=True)
class Beat:
    """A renewal that was sent and may still be answered."""

    sent_at_ms: int
    hold_ms: int


@dataclass(frozen=True, slots=True)
class VoterClock:
    """One answer of a voter's, for comparing how far both clocks moved."""

    run: RunId
    theirs_ms: int
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease won, and what keeps it.

    Attributes:
        term: Of the lease.
        won_at_ms: When the majority was complete.
        lease_until_ms: Resources may run only before this; the emergency stop begins here.
        kept_until_ms: Assured by answers given under an earlier config or term of ours.
        assured: Per voter, what its answers assure under the present config.
        acked: Per voter, the newest record version it holds.
        committed: Newest version of this term that a majority holds; none before the first.
        proposals: Records of this term from the newest committed one on, oldest first.
        beat: Number of the newest renewal.
        beats: Renewals that may still be answered.
        next_beat_at_ms: When the next renewal is due.
        ttl_ms: What is asked for; more than the config's before a known stun.
        renews: False for a lease that runs to its end unrenewed: adopted by a restarted agent,
            or refused with a higher term.
        releasing: Set while everything is being stopped for a planned release.
        successor: Who should follow.
        called_off: How often a release of this lease was called off.
        clocks: Per voter, an earlier answer.
    """

    term: int
    won_at_ms: int
    lease_until_ms: int
    kept_until_ms: int
    assured: Mapping[MemberUid, int]
    acked: Mapping[MemberUid, Version]
    proposals: tuple[Record, ...]
    next_beat_at_ms: int
    ttl_ms: int
    committed: Version | None = None
    beat: int = 0
    beats: Mapping[int, Beat] = field(default_factory=dict)
    renews: bool = True
    releasing: bool = False
    successor: MemberUid | None = None
    called_off: int = 0
    clocks: Mapping[MemberUid, VoterClock] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """The newest that was seen of another member.

    Attributes:
        before: The boot that it was in before, until the present one says that it is clean.
    """

    boot: BootId
    run: RunId
    generation: int
    at_ms: int
    before: BootId | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest renewal accepted, to refuse older ones."""

    run: RunId
    term: int
    beat: int


@dataclass(frozen=True, slots=True)
class Local:
    """What the rest of this node says of itself.

    Attributes:
        eligible: May stand: not in maintenance, not in cool-down, drivers promotable.
        position: How far its copy of the data reaches, in the driver's unit.
        watchdog: Armed and tested, or none.
    """

    eligible: bool = False
    position: int | None = None
    watchdog: WatchdogArmed | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One member of one cluster, between two events.

    Attributes:
        boot_hold_until_ms: Until then it votes only for its durable `voted_for`.
        promise: In force while `now < until_ms`.
        must_stop: Term of a lease that ended otherwise than by release; nothing is stood for
            before everything is verified stopped.
        last_term: Highest term this run (or the run it adopted) held.
        stand_at_ms: When to stand; none until something sets it.
        attempts: Failed candidacies in a row, for the back-off.
        term_seen: Highest term in any refusal.
        releases: Newest per member.
        stopped: Newest per member that says that everything is stopped: a later one that only
            takes a vote back does not make it forgotten.
        confirmed: Members that confirmed the first config.
        proofs: Held against suspects, the best of each; `Reserved` is not among them.
        reserved: By disk: suspects that its storage shuts out while this lease lasts.
        vouched: Who attested, for the record.
        fenced_at: Generation with the newest power-off on this disk: a member that has seen it
            speaks from a later boot than the one that was powered off.
    """

    durable: Durable
    boot: BootId
    run: RunId
    boot_hold_until_ms: int
    local: Local = Local()
    promise: Promise | None = None
    window: Window | None = None
    candidacy: Candidacy | None = None
    holding: Holding | None = None
    must_stop: int | None = None
    last_term: int = 0
    stand_at_ms: int | None = None
    attempts: int = 0
    term_seen: int = 0
    request: int = 0
    hello_at_ms: int = 0
    consent: Consent | None = None
    consent_until_ms: int = 0
    releases: Mapping[MemberUid, Release] = field(default_factory=dict)
    stopped: Mapping[MemberUid, Release] = field(default_factory=dict)
    confirmed: frozenset[MemberUid] = frozenset()
    peers: Mapping[MemberUid, Peer] = field(default_factory=dict)
    heard: Heard | None = None
    proofs: Mapping[Suspect, Proof] = field(default_factory=dict)
    reserved: Mapping[str, frozenset[Suspect]] = field(default_factory=dict)
    vouched: Mapping[Suspect, str] = field(default_factory=dict)
    fenced_at: int = 0

    @property
    def me(self) -> MemberUid:
        return self.durable.me

    @property
    def record(self) -> Record:
        return self.durable.record

    def holds(self, now_ms: int) -> bool:
        """Whether this member may run resources at `now_ms`."""
        return self.holding is not None and now_ms < self.holding.lease_until_ms

    def serves(self, now_ms: int) -> bool:
        """Whether it holds, and its first record of the term is committed."""
        held = self.holding
        return held is not None and now_ms < held.lease_until_ms and held.committed is not None
