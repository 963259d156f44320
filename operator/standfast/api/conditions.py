"""Conditions: what is true of an object, for users and for `kubectl wait`.

They are Kubernetes' own (`metav1.Condition`), a list keyed by type, three-valued. The helpers are
pure: they take the moment and give the next tuple. `Reconciling` and `Stalled` exist only while
true, so that kstatus, Argo CD and Flux judge an object rightly.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from standfast.api.base import Model
from standfast.api.markers import Clip, ListMap
from standfast.api.scalars import Serial, Time, Truth


class ConditionType(StrEnum):
    """Every type of condition that the operator writes."""

    READY = "Ready"
    PROTECTED = "Protected"
    DEGRADED = "Degraded"
    QUORATE = "Quorate"
    IN_SYNC = "InSync"
    FENCE_READY = "FenceReady"
    VIP_ANNOUNCED = "VipAnnounced"
    PRIVILEGED = "Privileged"
    PAUSED = "Paused"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


_FIX = " Fix: "
"""`metav1.Condition` has no field for a remedy; it ends the message, after this."""

ONLY_WHILE_TRUE = frozenset({ConditionType.RECONCILING, ConditionType.STALLED})
"""Types that are taken away rather than set to False."""


class Condition(Model):
    """One claim about the object, with why and since when."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="What is claimed, such as Ready or Protected."
    )
    status: Truth = Field(description="Whether the claim holds; Unknown when nothing could tell.")
    observed_generation: Serial = Field(
        default=0, description="metadata.generation of the spec that this was judged by."
    )
    last_transition_time: Time = Field(description="When status last became what it is.")
    reason: Annotated[
        str, Field(max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ] = Field(description="One word for machines; the reference lists each with its remedy.")
    message: Annotated[str, Clip(4096)] = Field(
        default="", description="A sentence for people, with the values and what to do."
    )


Conditions = Annotated[tuple[Condition, ...], Field(max_length=20), ListMap("type")]
"""The field `status.conditions` of every kind."""


def sentence(text: str) -> str:
    """Text that ends like a sentence; empty stays empty."""
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of that type, or None when nobody has claimed anything."""
    return next((held for held in conditions if held.type == kind), None)


def with_condition(
    conditions: tuple[Condition, ...],
    kind: ConditionType,
    status: Truth | bool | None,
    *,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
    remedy: str = "",
) -> tuple[Condition, ...]:
    """Return the conditions with one claim set, in the order they were first claimed.

    Args:
        conditions: What was claimed before.
        kind: Type of the claim.
        status: True, False, or None for Unknown.
        reason: One word in CamelCase.
        message: A sentence, with the values.
        generation: `metadata.generation` of the spec this was judged by.
        now: Kept as `lastTransitionTime` only when the status differs from before.
        remedy: What to type or change; becomes the end of the message.
    """
    truth = status if isinstance(status, Truth) else Truth.of(status)
    if kind in ONLY_WHILE_TRUE and truth is not Truth.TRUE:
        return without_condition(conditions, kind)
    before = find_condition(conditions, kind)
    since = before.last_transition_time if before and before.status is truth else now
    claim = Condition(
        type=kind.value,
        status=truth,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason,
        message=f"{sentence(message)}{_FIX}{remedy}" if remedy else sentence(message),
    )
    if before is None:
        return (*conditions, claim)
    return tuple(claim if held.type == kind else held for held in conditions)


def message_and_remedy(condition: Condition) -> tuple[str, str]:
    """Return what a condition says, and what to do about it ("" when nothing is to be done)."""
    said, _, remedy = condition.message.partition(_FIX)
    return said, remedy


def without_condition(
    conditions: tuple[Condition, ...], kind: ConditionType
) -> tuple[Condition, ...]:
    """Return the conditions without the claim of that type."""
    return tuple(held for held in conditions if held.type != kind)
