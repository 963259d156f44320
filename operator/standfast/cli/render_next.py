"""Why the active node is where it is, and what would happen next: the tail of `explain`. Pure.

Made from what the operator wrote and from what is declared; nothing here decides. What nobody has
measured is said to be unknown, never rounded to no.
"""

from collections.abc import Iterator
from datetime import datetime

from standfast.api.cluster import AfterFence, Failback, FencePolicy, HACluster
from standfast.api.conditions import ConditionType, find_condition, message_and_remedy
from standfast.api.rolling import RollingPhase
from standfast.api.scalars import Truth
from standfast.cli import text
from standfast.core.record import Proof


def why_there(cluster: HACluster, now: datetime) -> str:
    """Why service is on that node and on no other."""
    status = cluster.status
    moved, active = status.last_failover, status.active
    if active is None:
        return ""
    if moved is None or moved.to != active:
        return f"{active} has served since the cluster began, as far as is on record."
    came = f" from {moved.from_}" if moved.from_ else ""
    how = moved.cause or ("a planned move" if moved.planned else "a failover")
    record = f" ({moved.record})" if moved.record else ""
    return f"Service moved there{came} {text.age(moved.time, now)} ago: {how}{record}."


def next_lines(cluster: HACluster) -> Iterator[str]:
    """What would happen next, each in a sentence."""
    status, spec = cluster.status, cluster.spec
    if status.active is None or status.observed_generation < 0:
        return
    active = status.active
    yield _if_it_died(cluster, active)
    yield _fence(cluster, active)
    turn = status.rolling
    if turn is not None and spec.rolling is not None and turn.phase is not RollingPhase.COMPLETED:
        yield f"Round {turn.name} of maintenance is {turn.phase.value}: {turn.message}."
    yield _where_it_goes(cluster, active)
    if spec.paused:
        yield "Paused: the operator would neither fence nor move anything; agents act alone."


def _if_it_died(cluster: HACluster, active: str) -> str:
    protected = find_condition(cluster.status.conditions, ConditionType.PROTECTED.value)
    if protected is None or protected.status is Truth.UNKNOWN:
        return f"If {active} died now: nobody knows whether another node would serve."
    if protected.status is Truth.TRUE:
        return message_and_remedy(protected)[0]
    return f"If {active} died now, nobody would serve until a person helps."


def _fence(cluster: HACluster, active: str) -> str:
    proofs = [
        p
        for p in cluster.status.proofs
        if p.available is Truth.TRUE and p.proof is not Proof.RELEASED  # the dead say nothing
    ]
    listed = ", ".join(
        p.proof.value + (f" in {text.length(p.expected_ms)}" if p.expected_ms is not None else "")
        for p in proofs
    )
    fencing = cluster.spec.fencing
    off = {
        FencePolicy.NEVER: "its VM would not be switched off (fencing.policy is Never)",
        FencePolicy.WHEN_NEEDED: "its VM would be switched off only if no quicker proof suffices",
        FencePolicy.ALWAYS: "its VM would be switched off each time",
    }[fencing.policy]
    if fencing.policy is not FencePolicy.NEVER and fencing.after_fence is AfterFence.LEAVE_OFF:
        off += ", and stay off until a person switches it on"
    said = f"by {listed}" if listed else "by nothing that could be had now"
    return f"That {active} has stopped would be proven {said}; {off}."


def _where_it_goes(cluster: HACluster, active: str) -> str:
    names = [node.name for node in cluster.spec.nodes]
    if active not in names:
        return f"{active} is no node of the spec any more: it hands over as soon as another can."
    better = names[: names.index(active)]
    if not better:
        return f"Service stays on {active}: it is the most preferred node."
    placement = cluster.spec.placement
    if placement.failback is Failback.NEVER:
        return f"Service stays on {active} although {better[0]} is preferred: failback is Never."
    moved = cluster.status.last_failover
    if moved is not None and moved.to == active and moved.cause == "Switchover":
        return f"Service stays on {active} for this tenure: a Switchover chose it."
    when = f" while the window {placement.window.cron} is open" if placement.window else ""
    return f"Service returns to {better[0]} once it has been ready for half a minute{when}."
