"""What can be verified about a cluster before it is needed: pure, objects in, findings out.

From files: what the API server cannot see in one object (references, order, votes). From a running
cluster: what its status claims, each claim that does not hold as one finding. A claim that nothing
has measured is a finding too: unknown is not good.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from standfast.api.cluster import DataMode, HACluster
from standfast.api.conditions import (
    Condition,
    ConditionType,
    find_condition,
    message_and_remedy,
)
from standfast.api.infrastructure import Infrastructure
from standfast.api.resource import HAResource
from standfast.api.scalars import Truth
from standfast.api.witness import Witness

EXPIRES_SOON = timedelta(days=7)


class Level(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: In a few words.
        message: What was found.
        remedy: What to do about it; empty when nothing is.
    """

    level: Level
    what: str
    message: str
    remedy: str = ""


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether somebody has to do something before it is safe."""
    return any(each.level in {Level.FAILED, Level.UNKNOWN} for each in findings)


# ------------------------------------------------------------------ what is declared


def declared(
    cluster: HACluster,
    resources: Sequence[HAResource],
    witnesses: Iterable[str],
    infrastructures: Iterable[str],
) -> list[Finding]:
    """What of a cluster's declaration does not hold together.

    Args:
        cluster: As declared.
        resources: Of this cluster.
        witnesses: Names of those that exist beside it.
        infrastructures: Likewise.
    """
    return [
        *_references(cluster, set(witnesses), set(infrastructures)),
        *_votes(cluster),
        *_timing(cluster),
        *_order(resources),
        *_targets(resources),
    ]


def _references(
    cluster: HACluster, witnesses: set[str], infrastructures: set[str]
) -> list[Finding]:
    named = {ref.name for node in cluster.spec.nodes if (ref := node.infrastructure_ref)}
    if cluster.spec.infrastructure_ref is not None:
        named.add(cluster.spec.infrastructure_ref.name)
    missing = [f"Infrastructure {name}" for name in sorted(named - infrastructures)]
    voters = {ref.name for ref in cluster.spec.witnesses}
    missing += [f"Witness {name}" for name in sorted(voters - witnesses)]
    if missing:
        said = f"{', '.join(missing)} does not exist"
        return [Finding(Level.FAILED, "references", said, "create it, or correct the name")]
    return [Finding(Level.OK, "references", "everything that is named exists")]


def _votes(cluster: HACluster) -> list[Finding]:
    count = len(cluster.spec.nodes) + len(cluster.spec.witnesses)
    spare = (count - 1) // 2
    if spare == 0:
        said = f"{count} voters survive the loss of none: nobody could take over"
        remedy = "create a Witness at a third place and list it in spec.witnesses"
        return [Finding(Level.FAILED, "votes", said, remedy)]
    if count % 2 == 0:
        said = f"{count} voters survive the loss of {spare}, as {count - 1} would"
        return [Finding(Level.WARNING, "votes", said, "have an odd number of nodes and witnesses")]
    return [Finding(Level.OK, "votes", f"{count} voters survive the loss of {spare}")]


def _timing(cluster: HACluster) -> list[Finding]:
    problems = cluster.spec.timing.to_core().problems()
    if problems:
        return [Finding(Level.FAILED, "timing", problems[0], "set spec.timing.profile")]
    paths = {len(node.addresses) for node in cluster.spec.nodes}
    if paths == {1}:
        said = "every node has one address: the failure of one network is the failure of a node"
        return [
            Finding(Level.WARNING, "paths", said, "list an address on a second network per node")
        ]
    return [Finding(Level.OK, "paths", f"at least {min(paths)} paths between nodes")]


def _order(resources: Sequence[HAResource]) -> list[Finding]:
    needs = {r.metadata.name: {ref.name for ref in r.spec.depends_on} for r in resources}
    for name, before in needs.items():
        for other in sorted(before - needs.keys()):
            said = f"{name} depends on {other}, which is not a resource of this cluster"
            remedy = f"create HAResource {other}, or remove it from dependsOn"
            return [Finding(Level.FAILED, "order", said, remedy)]
    left = dict(needs)
    while left:
        free = [name for name, before in left.items() if not before & left.keys()]
        if not free:
            said = f"dependsOn leads in a circle: {', '.join(sorted(left))}"
            return [Finding(Level.FAILED, "order", said, "remove one of these references")]
        for name in free:
            del left[name]
    if not needs:
        return [Finding(Level.WARNING, "order", "nothing is protected: there is no HAResource")]
    return [Finding(Level.OK, "order", f"{len(needs)} resources have an order")]


def _targets(resources: Sequence[HAResource]) -> list[Finding]:
    count = Counter((r.spec.type, r.spec.target.partition("/")[0]) for r in resources)
    twice = [" ".join(target) for target, times in count.items() if times > 1]
    if twice:
        said = f"{', '.join(twice)} is wanted by two resources: one would stop it under the other"
        return [Finding(Level.FAILED, "targets", said, "keep one of them")]
    return []


# ------------------------------------------------------------------ what runs


def running(
    cluster: HACluster,
    infrastructures: Sequence[Infrastructure],
    witnesses: Sequence[Witness],
    now: datetime,
) -> list[Finding]:
    """What of a running cluster would be missing if it was needed now."""
    status = cluster.status
    name = cluster.metadata.name
    if status.observed_generation < cluster.metadata.generation:
        said = "the operator has not looked at this spec"
        remedy = "kubectl get deployment -A -l app.kubernetes.io/name=standfast-operator"
        return [Finding(Level.FAILED, "operator", said, remedy)]
    found = [_condition(status.conditions, kind) for kind in _CLAIMS]
    if cluster.spec.data in {DataMode.NONE, DataMode.SHARED_DISK}:
        found = [each for each in found if each.what != ConditionType.IN_SYNC.value]
    stands_on: tuple[Infrastructure | Witness, ...] = (*infrastructures, *witnesses)
    found += [
        _condition(each.status.conditions, kind, f"{each.kind} {each.metadata.name}: {kind.value}")
        for each in stands_on
        for kind in _CLAIMS_OF[each.kind]
    ]
    return [*found, *_paths(cluster), *_versions(cluster), *_certificates(cluster, now, name)]


_CLAIMS = {
    ConditionType.READY: Truth.TRUE,
    ConditionType.PROTECTED: Truth.TRUE,
    ConditionType.QUORATE: Truth.TRUE,
    ConditionType.IN_SYNC: Truth.TRUE,
    ConditionType.FENCE_READY: Truth.TRUE,
    ConditionType.VIP_ANNOUNCED: Truth.TRUE,
    ConditionType.DEGRADED: Truth.FALSE,
    ConditionType.PAUSED: Truth.FALSE,
}
_CLAIMS_OF = {
    "Infrastructure": (ConditionType.READY, ConditionType.PRIVILEGED),
    "Witness": (ConditionType.READY,),
}
_ABSENT_IS_FINE = {ConditionType.VIP_ANNOUNCED, ConditionType.IN_SYNC}
_ONLY_WARN = {ConditionType.DEGRADED, ConditionType.PAUSED, ConditionType.FENCE_READY}


def _condition(conditions: Iterable[Condition], kind: ConditionType, what: str = "") -> Finding:
    held = find_condition(conditions, kind)
    what = what or kind.value
    if held is None:
        if kind in _ABSENT_IS_FINE:
            return Finding(Level.OK, what, "does not apply")
        return Finding(Level.UNKNOWN, what, "nobody has judged it yet")
    message, remedy = message_and_remedy(held)
    if held.status is _CLAIMS.get(kind, Truth.TRUE):
        return Finding(Level.OK, what, message)
    if kind in _ONLY_WARN:
        return Finding(Level.WARNING, what, message, remedy)
    level = Level.UNKNOWN if held.status is Truth.UNKNOWN else Level.FAILED
    return Finding(level, what, message, remedy)


def _paths(cluster: HACluster) -> list[Finding]:
    members = (*cluster.status.nodes, *cluster.status.witnesses)
    down = [
        f"{member.name} to {path.peer} at {path.address}"
        for member in members
        for path in member.paths
        if path.up is Truth.FALSE
    ]
    if down:
        remedy = "check that network, and TCP port 7380 on it"
        return [Finding(Level.WARNING, "paths", f"down: {'; '.join(down)}", remedy)]
    count = sum(len(member.paths) for member in members)
    return [Finding(Level.OK, "paths", f"all {count} paths between members are up")]


def _versions(cluster: HACluster) -> list[Finding]:
    members = (*cluster.status.nodes, *cluster.status.witnesses)
    versions = sorted({member.agent_version for member in members if member.agent_version})
    if len(versions) > 1:
        said = f"members run {', '.join(versions)}"
        return [Finding(Level.WARNING, "versions", said, "upgrade the older ones, standby first")]
    return [Finding(Level.OK, "versions", f"every member runs {''.join(versions) or 'unknown'}")]


def _certificates(cluster: HACluster, now: datetime, name: str) -> list[Finding]:
    ends = [
        (member.certificate_not_after, member.name)
        for member in (*cluster.status.nodes, *cluster.status.witnesses)
        if member.certificate_not_after is not None
    ]
    if not ends:
        return [Finding(Level.UNKNOWN, "certificates", "no member has shown one")]
    first, whose = min(ends)
    said = f"the first to end is that of {whose}, at {first:%Y-%m-%d}"
    if first - now < EXPIRES_SOON:
        remedy = f"the operator must reach {whose} to renew it: kubectl standfast explain {name}"
        return [Finding(Level.FAILED, "certificates", said, remedy)]
    return [Finding(Level.OK, "certificates", said)]
