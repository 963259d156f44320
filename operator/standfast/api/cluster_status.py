"""`HACluster.status`: who is active, who could take over, and how everybody does.

The operator writes it once per pass; nothing in it changes while nothing happens, so that a
cluster at rest costs no writes (no ages, no round-trip times).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from standfast.api.base import Model, ObservedGeneration
from standfast.api.conditions import Conditions
from standfast.api.markers import Clip, ListMap
from standfast.api.resource import ResourceState
from standfast.api.rolling import RollingStatus
from standfast.api.scalars import (
    Count,
    Label,
    Milliseconds,
    ObjectName,
    Reason,
    Sentence,
    Serial,
    Time,
    TimeMs,
    Truth,
    Word,
)
from standfast.core.record import Proof

_RATIO = Annotated[str, Field(max_length=8, pattern=r"^[0-9]+/[0-9]+$")]


class Role(StrEnum):
    """What a member is for its cluster now, as it says itself."""

    ACTIVE = "Active"
    HOLDING = "Holding"
    CANDIDATE = "Candidate"
    STANDBY = "Standby"
    WITNESS = "Witness"
    UNCONFIGURED = "Unconfigured"
    UNKNOWN = "Unknown"


class PowerState(StrEnum):
    """What the infrastructure says of a VM."""

    ON = "PoweredOn"
    OFF = "PoweredOff"
    SUSPENDED = "Suspended"
    UNKNOWN = "Unknown"


class Enrolment(StrEnum):
    """How far a member has come in joining."""

    WAITING = "Waiting"
    ENROLLED = "Enrolled"


class Decision(Model):
    """What is being done now, and why."""

    reason: Reason = Field(description="One word; the reference lists each with its remedy.")
    message: Sentence = Field(default="", description="A sentence with the values.")
    remedy: Sentence = Field(default="", description="What to type or change, if anything.")


class Alert(Model):
    """Something at a member that stays true until somebody changes it."""

    reason: Reason = Field(description="One word; the reference lists each with its remedy.")
    message: Sentence = Field(description="A sentence with the values.")
    remedy: Sentence = Field(default="", description="What to type or change.")


class PathStatus(Model):
    """One communication path from a member to another, as the member sees it."""

    peer: Label = Field(description="Name of the other member.")
    address: Word = Field(description="The other's address.")
    up: Truth = Field(description="Whether messages arrive.")


class NodeResource(Model):
    """One resource on this node."""

    name: ObjectName = Field(description="Name of the HAResource.")
    type: Word = Field(default="", description="Its type: vip, systemd.")
    state: ResourceState = Field(description="What it does here.")
    message: Sentence = Field(
        default="", description="A sentence, when there is something to say."
    )


class MemberStatus(Model):
    """What nodes and witnesses have in common: a vote."""

    name: ObjectName = Field(description="Its name in spec.")
    member_uid: Word | None = Field(
        default=None, description="Identity of the voter, drawn at enrolment."
    )
    enrolment: Enrolment = Field(
        default=Enrolment.WAITING,
        description="Waiting: `kubectl standfast enroll` gives the bundle to join with.",
    )
    role: Role = Field(default=Role.UNKNOWN, description="What it is now, as it says itself.")
    reachable: Truth = Field(
        default=Truth.UNKNOWN, description="Whether the operator or another member hears it."
    )
    boot_id: Word | None = Field(default=None, description="The boot it was last seen in.")
    agent_version: Word | None = Field(default=None, description="Version of its agent.")
    certificate_not_after: Time | None = Field(
        default=None, description="When its certificate ends; renewed at two thirds of its life."
    )
    alerts: Annotated[tuple[Alert, ...], Field(max_length=16)] = Field(
        default=(), description="What stays wrong at it until somebody changes it."
    )
    paths: Annotated[tuple[PathStatus, ...], Field(max_length=48)] = Field(
        default=(), description="Its communication paths to the other members."
    )


class FenceStatus(Model):
    """A power-off that the operator ordered for a node; kept until the node is back."""

    boot_id: Word = Field(description="The boot that it ends.")
    term: Serial = Field(description="The term of the node that won, for whose sake it was done.")
    task: Word | None = Field(
        default=None, description="The infrastructure's task, so that another run can follow it."
    )
    proven: bool = Field(
        default=False, description="Whether the power-off is proven and the members were told."
    )
    ordered_at: TimeMs = Field(
        description="When it was ordered, by the infrastructure's own clock: a power-off that it "
        "did since then ended that boot."
    )
    message: Sentence = Field(default="", description="The evidence, or what is still missing.")


class NodeStatus(MemberStatus):
    """One node."""

    eligible: Truth = Field(
        default=Truth.UNKNOWN, description="Whether it could be active now, as it says itself."
    )
    ineligible_reasons: Annotated[tuple[Sentence, ...], Field(max_length=8)] = Field(
        default=(), description="Why it could not, one sentence each."
    )
    in_sync: Truth = Field(
        default=Truth.UNKNOWN,
        description="Whether its copy of the data holds every acknowledged write.",
    )
    vm_name: Word | None = Field(default=None, description="Name of its VM in the infrastructure.")
    power_state: PowerState = Field(
        default=PowerState.UNKNOWN, description="What the infrastructure says of its VM."
    )
    host: Word | None = Field(default=None, description="The physical host that runs its VM.")
    resources: Annotated[tuple[NodeResource, ...], Field(max_length=64), ListMap("name")] = Field(
        default=(), description="The cluster's resources on this node."
    )
    fence: FenceStatus | None = Field(
        default=None, description="A power-off ordered by the operator, until the node is back."
    )


class WitnessMember(MemberStatus):
    """One witness, as a voter of this cluster."""


class ProofStatus(Model):
    """A proof that could be obtained if the active node failed."""

    proof: Proof = Field(description="Which proof.")
    available: Truth = Field(description="Whether it could be obtained now.")
    expected_ms: Milliseconds | None = Field(
        default=None, description="How long it takes, by measurement or rule."
    )
    message: Sentence = Field(default="", description="How it was checked, or what is missing.")


class TimingStatus(Model):
    """The timers in force."""

    profile: Word = Field(default="", description="The profile, or Custom for a target.")
    heartbeat_ms: Milliseconds = Field(description="Between two renewals of the lease.")
    ttl_ms: Milliseconds = Field(description="How long a voter's promise lasts.")
    guard_ms: Milliseconds = Field(
        description="How early the active node begins to stop before its lease ends."
    )
    expected_failover_ms: Milliseconds | None = Field(
        default=None, description="From the death of the active node to service on a standby."
    )
    measured_failover_ms: Milliseconds | None = Field(
        default=None, description="The same, as last measured."
    )


class LastFailover(Model):
    """The last time service moved."""

    time: Time = Field(description="When it served again.")
    from_: Label | None = Field(default=None, alias="from", description="The node it left.")
    to: Label = Field(description="The node it moved to.")
    term: Serial = Field(description="The term that began with it.")
    planned: bool = Field(default=False, description="Whether it was a switchover.")
    cause: Word | None = Field(
        default=None,
        description="Why, in one word: Switchover, Maintenance, Failback for planned moves, else "
        "the cause in its FailoverRecord.",
    )
    took_ms: Milliseconds | None = Field(default=None, description="How long it took.")
    outage_ms: Milliseconds | None = Field(
        default=None,
        description="From the last word of the node it left to service: as users felt it, at "
        "most.",
    )
    record: ObjectName | None = Field(
        default=None, description="Name of the FailoverRecord or Switchover that tells it."
    )


class Candidate(Model):
    """A node that could serve if a person accepted what would be lost."""

    node: Label = Field(description="The node.")
    boot_id: Word = Field(description="Its boot; a consent is good for this one only.")
    record: Word = Field(description="Version of the record that it holds.")
    hindrance: Word = Field(
        description="Why it may not lead by itself: NotInSync, or Behind.", examples=["NotInSync"]
    )
    bytes_lost: Serial | None = Field(
        default=None,
        description="How far its copy is behind what was known; absent when nobody can tell. What "
        "was acknowledged after that comes on top.",
    )
    message: Sentence = Field(default="", description="What would be lost, in a sentence.")


class Attested(Model):
    """A node that a person vouched for as switched off; it stays on record."""

    node: Word = Field(description="The node, or its uid when it is a member no more.")
    boot_id: Word = Field(description="The boot that was over.")
    term: Serial = Field(description="The tenure it had.")
    approver: Word = Field(description="Who vouched, and when.")


class DataRecord(Model):
    """Which copies were whole, by the newest record that the operator has heard of."""

    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$", max_length=41)] = Field(
        description="The first record with this set that was heard of."
    )
    in_sync: Annotated[tuple[Label, ...], Field(max_length=8)] = Field(
        description="Nodes that had every acknowledged write by it."
    )


class HAClusterStatus(Model):
    """Who is active, who could take over, and how everybody does."""

    observed_generation: ObservedGeneration = -1
    active: Label | None = Field(default=None, description="The node that serves.")
    term: Serial | None = Field(
        default=None, description="Number of its tenure; grows with every change."
    )
    standbys: _RATIO | None = Field(
        default=None,
        description="Nodes that could take over now, of those that are to.",
        examples=["1/1"],
    )
    witness: _RATIO | None = Field(
        default=None, description="Witnesses that answer, of those listed.", examples=["1/1"]
    )
    nodes: Annotated[tuple[NodeStatus, ...], Field(max_length=8), ListMap("name")] = Field(
        default=(), description="Each node."
    )
    witnesses: Annotated[tuple[WitnessMember, ...], Field(max_length=8), ListMap("name")] = Field(
        default=(), description="Each witness."
    )
    proofs: Annotated[tuple[ProofStatus, ...], Field(max_length=8), ListMap("proof")] = Field(
        default=(), description="Proofs that a takeover from the active node could use."
    )
    timing: TimingStatus | None = Field(default=None, description="The timers in force.")
    config_id: Word | None = Field(
        default=None, description="Version of the configuration that the members agreed on."
    )
    resources: Count | None = Field(default=None, description="Resources of this cluster.")
    kept: Annotated[tuple[ObjectName, ...], Field(max_length=64)] = Field(
        default=(),
        description="Resources that are kept in service although their HAResource was deleted, "
        "because its onDelete was Keep.",
    )
    incarnation: Count | None = Field(
        default=None,
        description="How often the cluster was begun anew after a majority was lost for good, "
        "plus one.",
    )
    data_record: DataRecord | None = Field(
        default=None,
        description="Which copies were whole when that last changed. After a majority is lost for "
        "good, those who are left may not know that others went on without them; this does.",
    )
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=8), ListMap("node")] = Field(
        default=(),
        description="Only while nobody serves: nodes that a consent would let serve, and what it "
        "would cost (kubectl standfast consent).",
    )
    attested: Annotated[tuple[Attested, ...], Field(max_length=32)] = Field(
        default=(), description="Former active nodes for which a person vouched that they are off."
    )
    last_failover: LastFailover | None = Field(
        default=None, description="The last time service moved."
    )
    rolling: RollingStatus | None = Field(
        default=None, description="How far the round of maintenance in spec.rolling has come."
    )
    decision: Decision | None = Field(
        default=None, description="What the operator is doing now, and why."
    )
    message: Annotated[str, Clip(1024)] | None = Field(
        default=None, description="The decision as one sentence."
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: service is up on the active node, also while degraded. Protected: if "
        "the active node died now, a standby would serve; the message tells in how many seconds "
        "and with which loss. Degraded: something is missing. Quorate: a majority of voters "
        "answers. Reconciling and Stalled exist only while true.",
    )
