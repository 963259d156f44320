"""Rolling maintenance: one node after the other is taken out for work, the active one last.

Declared in `HACluster.spec.rolling`, reported in `HACluster.status.rolling`. The operator does not
do the work: it makes room for it, waits for the word that it is done, and for the node to be able
to take over again, before it goes on.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from standfast.api.base import Model
from standfast.api.markers import ListMap, ListSet, Rule
from standfast.api.scalars import (
    Count,
    Duration,
    Label,
    Reason,
    Sentence,
    Serial,
    Time,
    Word,
    between,
    duration_ms,
)


class WorkDone(StrEnum):
    """How it is known that the work on a node is done."""

    TOLD = "Told"
    REBOOTED = "Rebooted"
    AGENT_VERSION = "AgentVersion"


class RollingMaintenance(Model):
    """One round of maintenance over all nodes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.agentVersion) == (self.until == 'AgentVersion')",
            message="agentVersion is the version that ends the work on a node, and belongs to "
            "until: AgentVersion alone: set both, or remove agentVersion",
            holds=lambda r: (r.agent_version is not None) == (r.until is WorkDone.AGENT_VERSION),
        ),
        Rule(
            cel="size(self.done) == 0 || self.until == 'Told'",
            message="done tells on which nodes the work is done, but until names another sign of "
            "it: empty done, or set until to Told",
            holds=lambda r: not r.done or r.until is WorkDone.TOLD,
        ),
        Rule(
            cel="self.name != oldSelf.name || self.attempt >= oldSelf.attempt",
            message="attempt of the same round cannot go back: it counts how often somebody "
            "looked and let it go on",
        ),
        Rule(
            cel="self.name != oldSelf.name || self.until == oldSelf.until",
            message="until cannot change in the middle of a round: begin another one under a new "
            "name",
        ),
    )

    name: Label = Field(
        description="Which round it is. Another name begins another round.",
        examples=["os-2026-11"],
    )
    until: WorkDone = Field(
        default=WorkDone.TOLD,
        description="What ends the work on a node. Told: its name in done. Rebooted: the node is "
        "back in another boot. AgentVersion: its agent is of agentVersion; nodes where it is "
        "already are passed over.",
    )
    agent_version: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="With until: AgentVersion: the version to wait for.",
        examples=["1.3.0"],
    )
    done: Annotated[tuple[Label, ...], Field(max_length=7), ListSet()] = Field(
        default=(),
        description="With until: Told: nodes on which the work of this round is done. Empty when "
        "the round begins.",
    )
    return_within: Annotated[Duration, between("30s", "24h")] = Field(
        default="10m",
        description="How long a node may take after the work until it could take over again, and "
        "how long the round waits for the next one to be safe. It stops after that.",
    )
    attempt: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="Raise it to let a round go on that has stopped, once you know why. Service "
        "moves once in each attempt at most.",
    )

    @property
    def return_within_ms(self) -> int:
        return duration_ms(self.return_within)


class RollingPhase(StrEnum):
    """How far a round has come; it stops and ends at the last two."""

    WAITING = "Waiting"
    TAKING_OUT = "TakingOut"
    WORKING = "Working"
    RETURNING = "Returning"
    STOPPED = "Stopped"
    COMPLETED = "Completed"


class NodeTurn(StrEnum):
    """How far a round is with one node."""

    PENDING = "Pending"
    TAKING_OUT = "TakingOut"
    WORKING = "Working"
    RETURNING = "Returning"
    DONE = "Done"


OUT = frozenset({NodeTurn.TAKING_OUT, NodeTurn.WORKING})
"""Turns in which a node is in maintenance."""


class RollingNode(Model):
    """One node in a round."""

    name: Label = Field(description="The node.")
    turn: NodeTurn = Field(description="Working: the work may be done now.")
    boot_id: Word | None = Field(default=None, description="Its boot when the work began.")
    began_at: Time | None = Field(default=None, description="When it was taken out.")
    free_at: Time | None = Field(default=None, description="When the work could begin.")
    worked_at: Time | None = Field(default=None, description="When the work was done.")
    done_at: Time | None = Field(default=None, description="When it could take over again.")


class RollingStatus(Model):
    """How far a round has come."""

    name: Label = Field(description="The round.")
    attempt: Count = Field(default=1, description="The attempt that this is about.")
    phase: RollingPhase = Field(
        description="Working: the node may be worked on. Stopped: a person must look; the reason "
        "and the remedy are below."
    )
    node: Label | None = Field(default=None, description="Whose turn it is.")
    nodes: Annotated[tuple[RollingNode, ...], Field(max_length=7), ListMap("name")] = Field(
        default=(), description="All nodes, in the order of their turns when the round began."
    )
    active: Label | None = Field(
        default=None, description="The node that is to serve during this turn."
    )
    term: Serial | None = Field(default=None, description="The tenure it is to serve in.")
    moves: Count = Field(default=0, description="How often this round moved service.")
    since: Time = Field(description="Since when it has been in this phase.")
    reason: Reason = Field(description="One word; the reference lists each with its remedy.")
    message: Sentence = Field(default="", description="A sentence with the values.")
    remedy: Sentence = Field(default="", description="What to type or change, if anything.")

    @property
    def out(self) -> frozenset[str]:
        """Nodes that it keeps in maintenance."""
        return frozenset(each.name for each in self.nodes if each.turn in OUT)

    @property
    def is_under_way(self) -> bool:
        return self.phase is not RollingPhase.COMPLETED
