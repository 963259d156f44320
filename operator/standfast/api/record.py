"""`FailoverRecord`: what happened when service moved and nobody had asked for it.

Written by the operator, one per cluster and term, from what the agents durably logged: it exists
also for failovers that happened while the operator was away.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from standfast.api.base import KubeObject, LocalRef, Model, ObservedGeneration
from standfast.api.conditions import Conditions
from standfast.api.markers import immutable
from standfast.api.scalars import Label, Milliseconds, Sentence, Serial, TimeMs, Word
from standfast.api.switchover import Step
from standfast.core.record import Proof


class FailoverRecordSpec(Model):
    """Which failover this is about."""

    cluster_ref: LocalRef = Field(description="The HACluster.")
    term: Serial = Field(description="The term that began with it.")


class ProofUsed(Model):
    """Why it was safe to start: how the old node was proven unable to write."""

    suspect: Label = Field(description="The node that had to be proven stopped.")
    proof: Proof = Field(description="Which proof sufficed.")
    took_ms: Milliseconds | None = Field(default=None, description="How long it took to obtain.")
    message: Sentence = Field(default="", description="The evidence, in a sentence.")


class LossKnown(StrEnum):
    """What is known about lost writes."""

    NONE = "None"
    BOUNDED = "Bounded"
    UNKNOWN = "Unknown"


class DataLoss(Model):
    """Acknowledged writes that were lost."""

    known: LossKnown = Field(
        description="None: it is known that none was lost. Bounded: at most as much as is said. "
        "Unknown: nobody can tell."
    )
    bytes_max: Serial | None = Field(
        default=None,
        description="At most this many bytes of what the members had last agreed on. With data: "
        "ReplicatedAsync, what was acknowledged after that, in about a second and a lease, comes "
        "on top.",
    )
    message: Sentence = Field(default="", description="How that is known.")


class FailoverRecordStatus(Model):
    """What happened."""

    observed_generation: ObservedGeneration = -1
    from_: Label | None = Field(default=None, alias="from", description="The node that failed.")
    to: Label | None = Field(default=None, description="The node that took over.")
    cause: Word | None = Field(
        default=None, description="Why, in one word.", examples=["LeaseExpired"]
    )
    message: Sentence | None = Field(default=None, description="What happened, in one sentence.")
    evidence: Annotated[tuple[Sentence, ...], Field(max_length=16)] = Field(
        default=(), description="What was seen, one sentence each."
    )
    proofs: Annotated[tuple[ProofUsed, ...], Field(max_length=8)] = Field(
        default=(), description="How old nodes were proven unable to write before the start."
    )
    proof: Word | None = Field(
        default=None, description="The proof that the start waited for, in one word."
    )
    started_at: TimeMs | None = Field(
        default=None, description="When the new node began to take over."
    )
    completed_at: TimeMs | None = Field(default=None, description="When it served.")
    took_ms: Milliseconds | None = Field(
        default=None, description="From the first sign of failure to service."
    )
    outage_ms: Milliseconds | None = Field(
        default=None,
        description="From the last word that the new node had of the old one to service: the "
        "outage as users felt it, at most. Absent when the new node had not heard the old one "
        "since its own start.",
    )
    data_loss: DataLoss | None = Field(
        default=None, description="Acknowledged writes that were lost."
    )
    approved_by: Word | None = Field(
        default=None, description="Who consented to a loss, where one was needed."
    )
    timeline: Annotated[tuple[Step, ...], Field(max_length=32)] = Field(
        default=(), description="The steps, in order, as the agents logged them."
    )
    conditions: Conditions = Field(default=(), description="Ready: the record is complete.")


class FailoverRecord(KubeObject):
    """What happened in one failover: cause, evidence, proof, loss, each step with its time.

    The operator writes it and keeps a bounded number of them.
    """

    kind: Literal["FailoverRecord"] = "FailoverRecord"
    spec: Annotated[
        FailoverRecordSpec,
        immutable("spec of a FailoverRecord", remedy="it names what the record is about"),
    ] = Field(description="Which failover it is about.")
    status: FailoverRecordStatus = Field(
        default=FailoverRecordStatus(), description="What happened; written by the operator."
    )
