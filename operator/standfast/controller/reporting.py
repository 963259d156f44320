"""What a cluster's status says, made from the picture of one pass: pure.

Nothing here may change while nothing happens: no ages, no round-trip times, no counters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from standfast.api.cluster import HACluster
from standfast.api.cluster_status import (
    Alert,
    Attested,
    Candidate,
    DataRecord,
    Decision,
    Enrolment,
    FenceStatus,
    HAClusterStatus,
    LastFailover,
    NodeResource,
    NodeStatus,
    PathStatus,
    PowerState,
    ProofStatus,
    Role,
    TimingStatus,
    WitnessMember,
)
from standfast.api.conditions import Condition, ConditionType
from standfast.api.resource import ResourceState
from standfast.api.rolling import RollingPhase, RollingStatus
from standfast.api.scalars import Truth
from standfast.controller import rolling
from standfast.controller.authorities import Register
from standfast.controller.listening import Line
from standfast.controller.members import is_joint
from standfast.controller.statuses import Claims
from standfast.core import explain, placement
from standfast.core.explain import Claim
from standfast.core.ids import Version
from standfast.core.placement import not_ready
from standfast.core.reasons import ABOUT, Reason
from standfast.core.record import DataMode, MemberKind, Proof
from standfast.core.sizes import size
from standfast.core.timing import Timing
from standfast.core.view import MemberSeen, Observed, Wanted
from standfast.wire.api import MemberStatus

ATTESTED_MAX = 32
ALERTS_MAX, PATHS_MAX, REASONS_MAX, KEPT_MAX = 16, 48, 8, 64


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a pass came to.

    Attributes:
        stalled: What a person must change first, the most important; none when nothing.
        converging: What is still being put into effect; none when all is.
        fences: Power-offs to remember, by node.
    """

    cluster: HACluster
    want: Wanted
    seen: Observed
    decision: placement.Decision
    register: Register
    lines: Mapping[str, Line]
    timing: Timing
    fences: Mapping[str, FenceStatus]
    resources: int
    kept: tuple[str, ...] = ()
    stalled: Claim | None = None
    converging: Claim | None = None
    rolling: RollingStatus | None = None
    last: LastFailover | None = None


def claims(found: Findings) -> Claims:
    """All conditions of a cluster."""
    want, seen = found.want, found.seen
    round_ = rolling.claim(found.rolling)
    is_stopped = found.rolling is not None and found.rolling.phase is RollingPhase.STOPPED
    return {
        ConditionType.READY: explain.ready(want, seen),
        ConditionType.PROTECTED: explain.protected(want, seen),
        ConditionType.DEGRADED: explain.degraded(want, seen),
        ConditionType.QUORATE: explain.quorate(want, seen),
        ConditionType.IN_SYNC: explain.in_sync(want, seen),
        ConditionType.FENCE_READY: explain.fence_ready(want, seen),
        ConditionType.VIP_ANNOUNCED: explain.announced(want, seen),
        ConditionType.PAUSED: Claim(
            want.paused,
            Reason.PAUSED if want.paused else Reason.STEADY,
            "spec.paused is true: the operator watches and does not act; the agents still fail "
            "over by themselves"
            if want.paused
            else "the operator acts",
            f"kubectl standfast resume {want.name}" if want.paused else "",
        ),
        ConditionType.RECONCILING: found.converging or (None if is_stopped else round_),
        ConditionType.STALLED: found.stalled or (round_ if is_stopped else None),
    }


def status_of(found: Findings, conditions: tuple[Condition, ...]) -> HAClusterStatus:
    """The whole status."""
    want, seen = found.want, found.seen
    active = seen.active
    decision = _shown(found.decision)
    newest = max(
        (
            line.now
            for line in found.lines.values()
            if line.now is not None and not is_joint(line.now)
        ),
        key=lambda status: status.record_version,
        default=None,
    )
    return HAClusterStatus(
        observed_generation=found.cluster.metadata.generation,
        active=active.name if active is not None else None,
        term=active.term if active is not None else found.cluster.status.term,
        standbys=_standbys(want, seen),
        witness=_witness(want, seen),
        nodes=tuple(_node(found, m) for m in seen.members if m.kind is MemberKind.DATA),
        witnesses=tuple(_voter(found, m) for m in seen.members if m.kind is MemberKind.WITNESS),
        proofs=_proofs(want, seen),
        timing=_timing(found),
        config_id=_config_version(newest) or found.cluster.status.config_id,
        resources=found.resources,
        kept=found.kept[:KEPT_MAX],
        incarnation=newest.incarnation if newest is not None and newest.incarnation > 1 else None,
        data_record=_data_record(found, newest),
        candidates=_candidates(found),
        attested=_attested(found, newest),
        last_failover=found.last,
        rolling=found.rolling,
        decision=decision,
        message=decision.message,
        conditions=conditions,
    )


def _data_record(found: Findings, newest: MemberStatus | None) -> DataRecord | None:
    """Who is in sync, noted when that changes: what was heard once is known when it is needed."""
    before = found.cluster.status.data_record
    if newest is None or found.want.data is not DataMode.REPLICATED:
        return before
    version = Version(*newest.record_version)
    names = {entry.uid: name for name, entry in found.register.members.items()}
    in_sync = tuple(sorted(names[uid] for uid in newest.in_sync if uid in names))
    is_older = before is not None and Version(*map(int, before.version.split("."))) >= version
    if not newest.config_id or is_older or (before is not None and before.in_sync == in_sync):
        return before
    return DataRecord(version=str(version), in_sync=in_sync)


def _config_version(newest: MemberStatus | None) -> str | None:
    """As people read it, also of an agent that still says `Version(term=3, seq=7)`."""
    numbers = re.findall(r"[0-9]+", newest.config_id) if newest is not None else []
    return str(Version(*map(int, numbers))) if len(numbers) == 2 else None


def _shown(decision: placement.Decision) -> Decision:
    return Decision(
        reason=decision.reason.value,
        message=decision.message,
        remedy=decision.remedy or _remedy(decision.reason),
    )


def _remedy(reason: Reason) -> str:
    remedy = ABOUT[reason].remedy
    return "" if remedy == "Nothing." else remedy


def _candidates(found: Findings) -> tuple[Candidate, ...]:
    """While nobody serves: whom a consent would let serve, and what it would cost."""
    if found.seen.active is not None or found.seen.winner is not None:
        return ()
    names = {entry.uid: name for name, entry in found.register.members.items()}
    return tuple(
        _candidate(names.get(line.now.member_uid, line.now.name), line.now)
        for line in found.lines.values()
        if line.now is not None and line.now.data_hindrance and not line.now.halted
    )


def _candidate(node: str, status: MemberStatus) -> Candidate:
    known, reached = status.record_position, status.position
    lost = max(known - reached, 0) if known is not None and reached is not None else None
    how = (
        f"{size(lost)} up to the position that was known, and what was acknowledged after it"
        if lost is not None
        else "every write since it was last in sync; nobody who is heard can tell how many"
    )
    return Candidate(
        node=node,
        boot_id=status.boot_id,
        record="{}.{}".format(*status.record_version),
        hindrance=status.data_hindrance,
        bytes_lost=lost,
        message=f"if {node} leads, lost: {how}",
    )


def _attested(found: Findings, newest: MemberStatus | None) -> tuple[Attested, ...]:
    if newest is None:
        return found.cluster.status.attested
    names = {entry.uid: name for name, entry in found.register.members.items()}
    return tuple(
        Attested(
            node=names.get(each.member, each.member),
            boot_id=each.boot,
            term=each.term,
            approver=each.approver or "unknown",
        )
        for each in newest.attested[-ATTESTED_MAX:]
    )


def _standbys(want: Wanted, seen: Observed) -> str:
    active = seen.active
    nodes = [m for m in seen.members if m.kind is MemberKind.DATA and m is not active]
    able = sum(not_ready(want, m) is None for m in nodes)
    return f"{able}/{max(len(want.nodes) - 1, able)}"


def _witness(want: Wanted, seen: Observed) -> str:
    there = sum(m.present for m in seen.members if m.kind is MemberKind.WITNESS)
    return f"{there}/{len(want.witnesses)}"


def _node(found: Findings, member: MemberSeen) -> NodeStatus:
    status = _now(found, member)
    common = _voter(found, member)
    return NodeStatus(
        **{name: getattr(common, name) for name in WitnessMember.model_fields},
        eligible=Truth.of(member.eligible),
        ineligible_reasons=member.ineligible_reasons[:REASONS_MAX],
        in_sync=Truth.of(member.in_sync),
        vm_name=member.vm.name or None,
        power_state=PowerState(member.vm.power.value),
        host=member.vm.host_name or None,
        resources=()
        if status is None
        else tuple(
            NodeResource(
                name=resource.name,
                type=resource.type,
                state=ResourceState(resource.state),
                message=resource.message,
            )
            for resource in status.resources
        ),
        fence=found.fences.get(member.name),
    )


def _uid(found: Findings, name: str) -> str | None:
    """By the register; as it was said before while the register is gone with its Secret.

    Whether an authority that is missing has members is known from this status alone.
    """
    entry = found.register.members.get(name)
    if entry is not None or found.register.members:
        return entry.uid if entry is not None else None
    status = found.cluster.status
    members = (*status.nodes, *status.witnesses)
    return next((before.member_uid for before in members if before.name == name), None)


def _voter(found: Findings, member: MemberSeen) -> WitnessMember:
    status = _now(found, member)
    line = found.lines.get(member.name)
    known = line.status if line is not None else None
    return WitnessMember(
        name=member.name,
        member_uid=_uid(found, member.name),
        enrolment=Enrolment.ENROLLED if member.enrolled else Enrolment.WAITING,
        role=_role(member),
        reachable=Truth.of(member.present if member.enrolled else None),
        boot_id=member.boot or None,
        agent_version=known.agent_version if known is not None else None,
        certificate_not_after=known.certificate_not_after if known is not None else None,
        alerts=()
        if status is None
        else tuple(
            Alert(reason=alert.reason, message=alert.message, remedy=alert.remedy)
            for alert in status.alerts[:ALERTS_MAX]
        ),
        paths=tuple(
            PathStatus(peer=path.peer, address=path.address, up=Truth.of(path.up))
            for path in member.paths[:PATHS_MAX]
        ),
    )


def _now(found: Findings, member: MemberSeen) -> MemberStatus | None:
    line = found.lines.get(member.name)
    return line.now if line is not None else None


def _role(member: MemberSeen) -> Role:
    if member.role is None:
        return Role.UNKNOWN
    if member.kind is MemberKind.WITNESS and member.role.value != "Unconfigured":
        return Role.WITNESS
    return Role(member.role.value)


def _timing(found: Findings) -> TimingStatus:
    declared = found.cluster.spec.timing
    profile = declared.profile.value if declared.profile is not None else "Custom"
    active = found.seen.active
    standby = (
        placement.successor(found.want, found.seen, active.name) if active is not None else None
    )
    last = found.last
    return TimingStatus(
        profile=profile,
        heartbeat_ms=found.timing.heartbeat_ms,
        ttl_ms=found.timing.ttl_ms,
        guard_ms=found.timing.guard_ms,
        expected_failover_ms=explain.failover_ms(found.want, standby)
        if standby is not None
        else None,
        measured_failover_ms=(last.outage_ms or last.took_ms)
        if last is not None and not last.planned
        else None,
    )


def _proofs(want: Wanted, seen: Observed) -> tuple[ProofStatus, ...]:
    """What a takeover from the active node could use, and how it was checked."""
    active = seen.active
    if active is None:
        return ()
    off = explain.fence_ready_of(active)
    enough = "enough for this data" if not want.needs_power_off else "not enough for a shared disk"
    return (
        ProofStatus(
            proof=Proof.LEASE_EXPIRED,
            available=Truth.of(not want.needs_power_off),
            expected_ms=want.timing.ttl_ms,
            message=f"the lease ends by itself; {enough}",
        ),
        ProofStatus(proof=Proof.POWERED_OFF, available=Truth.of(off.holds), message=off.message),
        ProofStatus(
            proof=Proof.RELEASED,
            available=Truth.of(active.heard),
            message=f"{active.name} says so itself in a planned move",
        ),
    )
