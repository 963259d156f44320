"""`Switchover`: one planned move of service, as an object.

Executed at most once. A role that may create these, and nothing else, may switch over and change
nothing.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from standfast.api.base import KubeObject, LocalRef, Model, ObservedGeneration
from standfast.api.conditions import Conditions
from standfast.api.markers import ListMap, Rule
from standfast.api.scalars import (
    Duration,
    Label,
    Milliseconds,
    Sentence,
    Serial,
    TimeMs,
    Word,
    between,
    duration_ms,
)


class SwitchoverPhase(StrEnum):
    """How far it has come; the last three are final."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    RELEASING = "Releasing"
    STARTING = "Starting"
    COMPLETED = "Completed"
    REFUSED = "Refused"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({SwitchoverPhase.COMPLETED, SwitchoverPhase.REFUSED, SwitchoverPhase.FAILED})


class SwitchoverSpec(Model):
    """Where to, why, until when."""

    cluster_ref: LocalRef = Field(description="The HACluster whose service moves.")
    to: Label | None = Field(
        default=None,
        description="The node to move to; when absent, the most preferred one that can take over.",
        examples=["orders-b"],
    )
    reason: Annotated[str, Field(max_length=256)] = Field(
        default="", description="Why, for the record.", examples=["host maintenance"]
    )
    deadline: Annotated[Duration, between("5s", "1h")] = Field(
        default="60s",
        description="Counted from creation. A move that has not begun by then is refused; one "
        "that has begun is finished.",
    )
    dry_run: bool = Field(
        default=False,
        description="Whether to check only: the answer is what would happen, and nothing moves.",
    )

    @property
    def deadline_ms(self) -> int:
        return duration_ms(self.deadline)


class Step(Model):
    """One step, with its time."""

    name: Word = Field(description="What was done.")
    started_at: TimeMs = Field(description="When it began.")
    took_ms: Milliseconds | None = Field(
        default=None, description="How long it took; absent while it goes on."
    )
    message: Sentence = Field(default="", description="What came of it.")


class SwitchoverStatus(Model):
    """How far it has come."""

    observed_generation: ObservedGeneration = -1
    phase: SwitchoverPhase | None = Field(
        default=None, description="How far it has come; Completed, Refused and Failed are final."
    )
    from_: Label | None = Field(default=None, alias="from", description="The node it left.")
    to: Label | None = Field(default=None, description="The node it moves to.")
    term_before: Serial | None = Field(default=None, description="The term that it ended.")
    term: Serial | None = Field(default=None, description="The term that began with it.")
    request_id: Word | None = Field(
        default=None, description="What the agents know it by, so that it is done at most once."
    )
    started_at: TimeMs | None = Field(default=None, description="When the first step began.")
    completed_at: TimeMs | None = Field(default=None, description="When it became final.")
    took_ms: Milliseconds | None = Field(
        default=None, description="From the first stop on the old node to service on the new one."
    )
    steps: Annotated[tuple[Step, ...], Field(max_length=16), ListMap("name")] = Field(
        default=(), description="The steps, in order."
    )
    reason: Word | None = Field(default=None, description="Why it is in this phase, in one word.")
    message: Sentence | None = Field(default=None, description="The same as a sentence.")
    remedy: Sentence | None = Field(
        default=None, description="What would change a refusal or repair a failure."
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: it is completed. Stalled: it was refused or failed. Reconciling: it "
        "is under way.",
    )


class Switchover(KubeObject):
    """One planned move of a cluster's service to another node, executed at most once.

    Create it to move, read its status to follow, delete it while Pending to cancel. A refusal
    says why and what would change it; nothing has been touched then.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.spec == oldSelf.spec",
            message="spec of a Switchover cannot change, because it may be under way: delete it "
            "and create another",
        ),
    )

    kind: Literal["Switchover"] = "Switchover"
    spec: SwitchoverSpec = Field(description="What is asked for.")
    status: SwitchoverStatus = Field(
        default=SwitchoverStatus(), description="What became of it; written by the operator."
    )
