"""What happens to a member, and what it wants done: two closed unions.

Events go in, effects come out, in the order in which they must be performed. `Persist` always
comes first: durable before sent.
"""

from dataclasses import dataclass
from enum import Enum

from standfast.core.ids import MemberUid, Version
from standfast.core.messages import Consent, Envelope, Fenced, Refusal
from standfast.core.record import Member, Proof, Record, Suspect
from standfast.core.state import Durable, Local
from standfast.core.timing import Timing


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Due at `quorum.wake_at_ms`, harmless at any other time."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message arrived and its sender's certificate matches `envelope.sender`."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Connected:
    """A link to a member came up: say hello."""

    member: MemberUid


@dataclass(frozen=True, slots=True)
class LocalChanged:
    """The node's own facts changed."""

    local: Local


@dataclass(frozen=True, slots=True)
class FencedReported:
    """The operator attests a power-off."""

    fenced: Fenced


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A planned hand-over: stop everything, then release."""

    successor: MemberUid | None = None


@dataclass(frozen=True, slots=True)
class ReleaseCancelled:
    """The hand-over is called off before everything was stopped; the node goes on."""


@dataclass(frozen=True, slots=True)
class StandRequested:
    """Stand now instead of after the rank delay."""


NO_LEASE = -1
"""No lease was held when everything was verified stopped: it cannot be given back by that."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Everything that may run only under the lease is stopped, and that was verified.

    Attributes:
        called_off: `Holding.called_off` when it was verified, or `NO_LEASE` when none was held:
            what was stopped for a release may run again, when that was called off since, and when
            the lease ended since it is stopped, and verified, anew. None: certainly true at this
            moment.
    """

    called_off: int | None = None


@dataclass(frozen=True, slots=True)
class ClockSuspect:
    """The node's clocks contradict each other: its lease may be over."""

    message: str


@dataclass(frozen=True, slots=True)
class ProofHeld:
    """A proof that only the outside can see (`Observed`, `Attested`, `Reserved`).

    Attributes:
        disk: `Reserved`: the only disk it is good for, by the name in its resource's spec.
        approver: `Attested`: who vouches; kept in the record.
    """

    suspect: Suspect
    proof: Proof
    disk: str = ""
    approver: str = ""


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """A verified consent for this node; void after `until_ms`."""

    consent: Consent
    until_ms: int


@dataclass(frozen=True, slots=True)
class InSyncProposed:
    """The driver wants this set in the record."""

    in_sync: frozenset[MemberUid]


@dataclass(frozen=True, slots=True)
class PositionProposed:
    """The driver's data reach this far."""

    position: int


@dataclass(frozen=True, slots=True)
class ChangeRequested:
    """A new config: one voter added or removed, or other timers.

    Attributes:
        base: Id of the config it was made from; another one in force refuses it.
    """

    base: Version
    members: tuple[Member, ...]
    timing: Timing
    loss_max: int = 0


@dataclass(frozen=True, slots=True)
class TtlRequested:
    """Ask for a longer promise for a while (a stun is announced), or the normal one (0)."""

    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """A verified order to take part in a new incarnation, after a majority was lost for good.

    Attributes:
        record: Its first: the config names who is left, `cleared` what was proven of the others.
    """

    record: Record


Event = (
    Tick
    | Received
    | Connected
    | LocalChanged
    | FencedReported
    | ReleaseRequested
    | ReleaseCancelled
    | StandRequested
    | Stopped
    | ClockSuspect
    | ProofHeld
    | ConsentGiven
    | InSyncProposed
    | PositionProposed
    | ChangeRequested
    | TtlRequested
    | Recovered
)


@dataclass(frozen=True, slots=True)
class Persist:
    """Write and fsync before any later effect of this step is performed."""

    durable: Durable


@dataclass(frozen=True, slots=True)
class Send:
    """Send if there is a link; a lost message is never an error."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class LeaseWon:
    """A majority granted `term`. Nothing may start before `RecordCommitted(first=True)`."""

    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class LeaseExtended:
    """Move the deadline: file under `/run`, guard, addresses."""

    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class RecordCommitted:
    """A majority holds this record.

    Attributes:
        first: The first of its term: resources may start, given their proofs.
    """

    record: Record
    first: bool


class Loss(Enum):
    """Why a lease ended otherwise than by release, or why nothing may run without ever one."""

    EXPIRED = "LeaseExpired"
    SUPERSEDED = "Superseded"
    FENCED = "Fenced"
    CLOCK = "ClockStoodStill"
    HALTED = "Halted"
    RESTARTED = "AgentRestarted"
    JOINED = "Joined"


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """Cut addresses and kill everything at once; report `Stopped` when verified."""

    term: int
    loss: Loss
    message: str


@dataclass(frozen=True, slots=True)
class StopForRelease:
    """Stop everything gracefully; report `Stopped` when verified."""

    term: int
    successor: MemberUid | None


@dataclass(frozen=True, slots=True)
class Released:
    """The lease is given up: remove the deadline file. Comes before the `Release` is sent."""

    term: int


@dataclass(frozen=True, slots=True)
class ProofFound:
    """A suspect is proven stopped; starts that waited for it may go on.

    Attributes:
        disk: `Reserved`: shut out from this disk only.
    """

    suspect: Suspect
    proof: Proof
    disk: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidacy began. For the log."""

    term: int
    pre: bool


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A candidacy failed. For the log, with what the refusals said."""

    term: int
    reasons: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Halted:
    """This member may take no part any more. It must be enrolled as a new one."""

    message: str


@dataclass(frozen=True, slots=True)
class Declined:
    """A request by operator or driver was not taken, and why: nothing changed."""

    problem: str
    remedy: str


Effect = (
    Persist
    | Send
    | LeaseWon
    | LeaseExtended
    | RecordCommitted
    | EmergencyStop
    | StopForRelease
    | Released
    | ProofFound
    | Standing
    | GaveUp
    | Halted
    | Declined
)
