"""The status of each `HAResource`: what its agents say of it, on the active node and elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from standfast.api.cluster import HACluster
from standfast.api.conditions import ConditionType
from standfast.api.resource import (
    CopyRole,
    HAResource,
    HAResourceStatus,
    ReplicationOnNode,
    ResourceOnNode,
    ResourceState,
)
from standfast.api.switchover import Switchover
from standfast.controller import disks
from standfast.controller.listening import Line
from standfast.controller.parts import Parts
from standfast.controller.statuses import Judged
from standfast.controller.store import Key
from standfast.controller.switchovers import refuse_orphan
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.core.view import Observed
from standfast.wire.api import ReplicationStatus, ResourceStatus


async def report_resources(
    parts: Parts,
    cluster: HACluster,
    resources: Sequence[HAResource],
    lines: Mapping[str, Line],
    seen: Observed,
) -> None:
    """Write the status of every resource of a cluster that changed."""
    for resource in resources:
        namespace, name = resource.key
        held = parts.store.held(Key(HAResource.__name__, namespace, name))
        if held is None:
            continue
        judged = Judged(Key(HAResource.__name__, namespace, name), held)
        on = {
            node.name: found
            for node in cluster.spec.nodes
            if (line := lines.get(node.name)) is not None
            and line.now is not None
            and (found := _named(line.now.resources, name)) is not None
        }
        errors = parts.errands.errors(Key(HACluster.__name__, *cluster.key), disks.WHAT)
        stuck = disks.claim_of(errors, name, seen.active.name) if seen.active else None
        await parts.statuses.write(judged, _status(judged, resource, on, seen, stuck))


async def report_unread(parts: Parts, cluster: Key) -> None:
    """Resources that do not read say so; no agent was told what they ask for."""
    for key, error in list(
        parts.store.unread_of_cluster(HAResource, cluster.namespace, cluster.name)
    ):
        held = parts.store.held(key)
        if held is not None:
            await parts.statuses.refuse(Judged(key, held), error)


async def report_orphans(parts: Parts, cluster: Key) -> None:
    """Resources and moves of a cluster that does not exist say so."""
    missing = Claim(
        True,
        Reason.REFERENCE_MISSING,
        f"HACluster {cluster.namespace}/{cluster.name} does not exist",
        "create it, or correct clusterRef",
    )
    namespace, name = cluster.namespace, cluster.name
    for resource in list(parts.store.of_cluster(HAResource, namespace, name)):
        await _orphan(parts, Key(HAResource.__name__, *resource.key), resource, missing)
    for switchover in list(parts.store.of_cluster(Switchover, namespace, name)):
        phase = switchover.status.phase
        if phase is None or not phase.final:
            key = Key(Switchover.__name__, *switchover.key)
            held = parts.store.held(key)
            if held is not None:
                status = refuse_orphan(switchover, missing.message, datetime.now(UTC))
                await parts.statuses.write(Judged(key, held), status)


async def _orphan(parts: Parts, key: Key, resource: HAResource, missing: Claim) -> None:
    held = parts.store.held(key)
    if held is None:
        return
    judged = Judged(key, held)
    ready = Claim(False, missing.reason, missing.message, missing.remedy)
    status = HAResourceStatus(
        observed_generation=resource.metadata.generation,
        type=resource.spec.type,
        target=resource.spec.target,
        message=missing.message,
        conditions=judged.claimed(
            {
                ConditionType.READY: ready,
                ConditionType.RECONCILING: None,
                ConditionType.STALLED: missing,
            }
        ),
    )
    await parts.statuses.write(judged, status)


def _named(found: Sequence[ResourceStatus], name: str) -> ResourceStatus | None:
    return next((each for each in found if each.name == name), None)


def _status(
    judged: Judged,
    resource: HAResource,
    on: Mapping[str, ResourceStatus],
    seen: Observed,
    stuck: Claim | None,
) -> HAResourceStatus:
    active = seen.active
    here = on.get(active.name) if active is not None else None
    claim = _ready(here, active.name if active is not None else None)
    if stuck is not None and claim.holds is not True:
        claim = stuck
    return HAResourceStatus(
        observed_generation=resource.metadata.generation,
        type=resource.spec.type,
        target=resource.spec.target,
        state=ResourceState(here.state) if here is not None else None,
        node=active.name if active is not None else None,
        nodes=tuple(
            ResourceOnNode(
                node=node,
                state=ResourceState(each.state),
                reason=each.reason,
                message=each.message,
                restarts=each.restarts,
                failed_checks=each.failed_checks,
                since=each.since.replace(microsecond=0),
                replication=_replication(each.replication),
            )
            for node, each in on.items()
        ),
        message=claim.message,
        conditions=judged.claimed(
            {
                ConditionType.READY: claim,
                ConditionType.RECONCILING: claim
                if claim.reason in {Reason.STARTING, Reason.CONVERGING}
                else None,
                ConditionType.STALLED: None,
            }
        ),
    )


def _replication(found: ReplicationStatus | None) -> ReplicationOnNode | None:
    """A copy, told coarsely: a number that always moves would write the status again and again."""
    if found is None:
        return None
    lag = found.lag_bytes
    return ReplicationOnNode(
        role=CopyRole(found.role),
        message=found.message,
        lag_mib=None if lag is None else 0 if lag < 16 << 20 else 1 << (lag >> 20).bit_length(),
        percent=None if found.percent is None else found.percent // 5 * 5,
    )


def _ready(here: ResourceStatus | None, active: str | None) -> Claim:
    if active is None:
        return Claim(None, Reason.NO_ACTIVE_NODE, "no node is heard serving")
    if here is None:
        return Claim(False, Reason.CONVERGING, f"{active} has not taken it up yet")
    because = f": {here.message}" if here.message else ""
    match here.state:
        case "Running":
            return Claim(True, Reason.RUNNING, f"it runs on {active}")
        case "Starting" | "Stopping":
            return Claim(
                False, Reason.STARTING, f"it is {here.state.lower()} on {active}{because}"
            )
        case "Unknown":
            return Claim(None, Reason.NOT_RUNNING, f"{active} cannot tell{because}")
        case _:
            return Claim(
                False,
                Reason.NOT_RUNNING,
                f"it is {here.state} on {active}{because}",
                f"look at {active}: journalctl -u standfast-agent",
            )
