"""Why a cluster is as it is, in sentences, with what to do next. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from standfast.api.cluster import HACluster
from standfast.api.conditions import (
    Condition,
    ConditionType,
    find_condition,
    message_and_remedy,
)
from standfast.api.resource import HAResource
from standfast.api.scalars import Truth
from standfast.cli import text
from standfast.cli.render_next import next_lines, why_there

_WRONG_WHEN = {
    ConditionType.STALLED: Truth.TRUE,
    ConditionType.READY: Truth.FALSE,
    ConditionType.QUORATE: Truth.FALSE,
    ConditionType.PROTECTED: Truth.FALSE,
    ConditionType.DEGRADED: Truth.TRUE,
    ConditionType.IN_SYNC: Truth.FALSE,
    ConditionType.FENCE_READY: Truth.FALSE,
    ConditionType.VIP_ANNOUNCED: Truth.FALSE,
}
"""Conditions that can be wrong, the worst first, and the status that is wrong."""


def explanation(
    cluster: HACluster, resources: Sequence[HAResource], now: datetime
) -> RenderableType:
    """Return why it is as it is: who serves, what is wrong, what nobody knows, what is next.

    Args:
        cluster: As the API server has it.
        resources: Its resources.
        now: For ages.
    """
    parts: list[RenderableType] = [_who(cluster)]
    there = why_there(cluster, now)
    if there:
        parts.append(Text(there))
    decision = cluster.status.decision
    if decision:
        parts.append(_said(f"Now ({decision.reason}): {decision.message}", decision.remedy))
    wrong = _wrong(cluster)
    if wrong:
        parts += [_title("What is wrong"), *(_condition(held, now) for held in wrong)]
    unknown = [c for c in cluster.status.conditions if c.status is Truth.UNKNOWN]
    if unknown:
        parts += [_title("What nobody knows"), *(_condition(held, now) for held in unknown)]
    members = _members(cluster)
    if members:
        parts += [_title("What its members say"), *members]
    failing = _resources(resources)
    if failing:
        parts += [_title("What its resources say"), *failing]
    fine = [c for c in cluster.status.conditions if c not in wrong and c not in unknown]
    if fine:
        parts += [_title("What holds"), *(_condition(held, now) for held in fine)]
    coming = list(next_lines(cluster))
    if coming:
        parts += [_title("What would happen next"), *(Text(f"  {said}") for said in coming)]
    return Group(*parts)


def explanation_data(cluster: HACluster, now: datetime) -> dict[str, Any]:
    """Return the same for programs: who serves, the decision, the conditions by their meaning.

    Args:
        cluster: As the API server has it.
        now: For ages.
    """
    status = cluster.status
    wrong = _wrong(cluster)
    unknown = [c for c in status.conditions if c.status is Truth.UNKNOWN]
    fine = [c for c in status.conditions if c not in wrong and c not in unknown]
    return {
        "cluster": cluster.metadata.name,
        "active": status.active,
        "term": status.term,
        "why": why_there(cluster, now),
        "paused": cluster.spec.paused,
        "decision": status.decision.to_object() if status.decision else None,
        "wrong": [_as_data(held) for held in wrong],
        "unknown": [_as_data(held) for held in unknown],
        "holds": [_as_data(held) for held in fine],
        "next": list(next_lines(cluster)),
    }


def _as_data(held: Condition) -> dict[str, str]:
    message, remedy = message_and_remedy(held)
    return {
        "type": held.type,
        "status": held.status.value,
        "reason": held.reason,
        "since": held.last_transition_time.isoformat(),
        "message": message,
        "remedy": remedy,
    }


def _who(cluster: HACluster) -> Text:
    status = cluster.status
    name = cluster.metadata.name
    if status.observed_generation < 0:
        return Text(
            f"The operator has not looked at {name} yet.\n"
            "  fix: kubectl get deployment -A -l app.kubernetes.io/name=standfast-operator"
        )
    if status.active is None:
        line = Text.assemble((name, "name"), " is served by nobody.", style="")
    else:
        term = "" if status.term is None else f", term {status.term}"
        line = Text.assemble((name, "name"), f" is served by {status.active}{term}.")
    if cluster.spec.paused:
        line.append(" It is paused: the operator watches and does not act.")
    if status.kept:
        line.append(
            f" {', '.join(status.kept)} is kept in service although its HAResource was deleted."
        )
    return line


def _wrong(cluster: HACluster) -> list[Condition]:
    found = (
        (find_condition(cluster.status.conditions, kind), bad) for kind, bad in _WRONG_WHEN.items()
    )
    return [held for held, bad in found if held is not None and held.status is bad]


def _title(said: str) -> Text:
    return Text(f"\n{said}", style="head")


def _condition(held: Condition, now: datetime) -> Text:
    message, remedy = message_and_remedy(held)
    since = text.age(held.last_transition_time, now)
    said = f"  {held.type} is {held.status.value} for {since} ({held.reason}). {message}"
    return _said(said, remedy)


def _said(sentence: str, remedy: str) -> Text:
    return Text(f"{sentence}\n    fix: {remedy}" if remedy else sentence)


def _members(cluster: HACluster) -> list[Text]:
    lines: list[Text] = []
    for node in cluster.status.nodes:
        if node.enrolment.value == "Waiting":
            enroll = f"kubectl standfast enroll {cluster.metadata.name} {node.name}"
            lines.append(_said(f"  {node.name} has not joined.", enroll))
        lines += [
            _said(f"  {node.name} cannot be active: {r}", "") for r in node.ineligible_reasons
        ]
    for member in (*cluster.status.nodes, *cluster.status.witnesses):
        lines += [_said(f"  {member.name}: {a.message}", a.remedy) for a in member.alerts]
    return lines


def _resources(resources: Sequence[HAResource]) -> list[Text]:
    lines: list[Text] = []
    for resource in resources:
        ready = find_condition(resource.status.conditions, ConditionType.READY)
        if ready is not None and ready.status is not Truth.TRUE:
            message, remedy = message_and_remedy(ready)
            lines.append(_said(f"  {resource.metadata.name} ({ready.reason}): {message}", remedy))
    return lines
