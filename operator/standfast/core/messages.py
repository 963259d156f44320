"""What members say to each other.

Every message travels in an `Envelope` over mutual TLS. Every request carries a number; every
answer repeats the requester's run and that number, and counts only for the present run, the
present term and the request it names. Nobody lies, but messages are lost, delayed, duplicated and
reordered.
"""

from dataclasses import dataclass
from enum import Enum

from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.record import Record


class Refusal(Enum):
    """Why a voter said no."""

    OLD_TERM = "OldTerm"
    VOTED_OTHERWISE = "VotedOtherwise"
    RELEASED_TERM = "ReleasedTerm"
    PROMISED = "Promised"
    HANDOVER = "Handover"
    BOOT_HOLD = "BootHold"
    OLD_RECORD = "OldRecord"
    NOT_IN_SYNC = "NotInSync"
    BEHIND = "Behind"
    NOT_A_DATA_NODE = "NotADataNode"
    FENCED = "Fenced"
    TTL_OUT_OF_RANGE = "TtlOutOfRange"
    RECORD_UNKNOWN = "RecordUnknown"


class Ask(Enum):
    """What a request asked for."""

    PRE_VOTE = "PreVote"
    VOTE = "Vote"
    RENEW = "Renew"


@dataclass(frozen=True, slots=True)
class Release:
    """A member gives up a term.

    Attributes:
        member: Who.
        boot: In which boot.
        term: Which term, and every older one.
        stopped: True only when everything is stopped and verified.
        successor: Who should follow; only with `stopped`.
    """

    member: MemberUid
    boot: BootId
    term: int
    stopped: bool
    successor: MemberUid | None = None


@dataclass(frozen=True, slots=True)
class Fenced:
    """Infrastructure's attestation that a boot of a member is powered off.

    Attributes:
        boot: Known before the power-off was asked for.
        evidence: What was seen, in words.
    """

    member: MemberUid
    boot: BootId
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """A person accepts a stated loss so that one candidate may lead. Used once.

    The signature, and the answer to the candidate's own challenge, are checked before it gets
    here; its expiry is kept by the candidate, on the candidate's clock.
    """

    candidate: MemberUid
    boot: BootId
    term_min: int
    record: Version
    approver: str = ""


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """`PreVote` and `Vote`: may I be the holder of `term`?"""

    pre: bool
    request: int
    term: int
    ttl_ms: int
    record: Record
    position: int | None = None
    consent: Consent | None = None
    handover: Release | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Yes, and for `ttl_ms` nobody else."""

    pre: bool
    request: int
    run: RunId
    term: int
    config: Version
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, and why; with what the asker may not know.

    Attributes:
        ask: What was asked for.
        request: The request's number, or the beat.
        run: The asker's run.
        asked_term: The term that was asked for.
        term: The highest term this voter has seen.
        reason: Why.
        record: The voter's, when newer than the asker's.
        release: The newest release known of the asker or of the promise's holder.
        fenced: Boots known to be powered off.
        retry_after_ms: How long the promise in the way still lasts, when that is the reason.
    """

    ask: Ask
    request: int
    run: RunId
    asked_term: int
    term: int
    reason: Refusal
    record: Record | None = None
    release: Release | None = None
    fenced: tuple[Fenced, ...] = ()
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Renew:
    """The holder's heartbeat.

    Attributes:
        beat: Counts the renewals of one run.
        version: Of the holder's record.
        record: Whole, for a voter that has not yet acknowledged this version.
    """

    term: int
    beat: int
    ttl_ms: int
    version: Version
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """A voter renewed its promise.

    Attributes:
        clock_ms: The voter's clock, which tells a holder whose own clock stood still.
    """

    beat: int
    run: RunId
    term: int
    version: Version
    config: Version
    ttl_ms: int
    clock_ms: int


@dataclass(frozen=True, slots=True)
class Hello:
    """On connect, and until everybody has confirmed the first config.

    Attributes:
        asks: The sender wants one back: it has not heard everybody yet.
        named: The sender's config names the receiver; a recovery may have left it out.
    """

    version: Version
    config: Version
    config_digest: str
    asks: bool = False
    named: bool = True


Body = VoteRequest | Grant | Refuse | Renew | Ack | Release | Fenced | Hello


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message on its way.

    Attributes:
        incarnation: Of the sender's config; members of an older one stop.
        generation: The sender's count of durable writes.
        seen_generation: Highest generation the sender has seen of the receiver; 0 for none.
        seen_run: The run it came from.
        clean: Nothing runs at the sender that began with its boot, or before its agent did: all
            that it found is verified stopped, or its own under a lease.
    """

    cluster: ClusterUid
    incarnation: int
    sender: MemberUid
    to: MemberUid
    boot: BootId
    run: RunId
    generation: int
    body: Body
    seen_generation: int = 0
    seen_run: RunId | None = None
    clean: bool = True
