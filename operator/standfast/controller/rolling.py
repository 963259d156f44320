"""A round of maintenance, step by step: its status and what was seen decide the next one.

Pure, and from scratch every time, as `switchovers`: a turn is written, and only what stands
written is acted on. A node whose turn is written as taken out counts as in maintenance
(`seats.effective`); everything else follows from that: it is not chosen, and hands over if it
serves. So an operator that dies goes on where the status says, and removing `spec.rolling` gives
every node back.

Standbys go first and the active node last, so that service moves once. Nothing is taken out while
anything is in doubt; what goes wrong after that stops the round until a person raises `attempt`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from standfast.api.rolling import (
    NodeTurn,
    RollingMaintenance,
    RollingNode,
    RollingPhase,
    RollingStatus,
    WorkDone,
)
from standfast.core import explain
from standfast.core.explain import Claim
from standfast.core.placement import not_ready, what_helps
from standfast.core.reasons import ABOUT, Reason
from standfast.core.record import MemberKind
from standfast.core.view import MemberSeen, Observed, Role, Wanted

SETTLED_MS = 10_000
"""A node must have been able to take over for this long before the next one is taken out."""

SOON = frozenset({RollingPhase.WAITING, RollingPhase.TAKING_OUT, RollingPhase.RETURNING})
"""Phases in which time alone may decide."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the next step is decided by.

    Attributes:
        want: With nodes that are out in maintenance.
        names: The nodes as declared, in order of preference.
        versions: Of the agents that are heard, by node.
        blocked: What else is under way, or keeps the spec from being acted on.
        now: Wall-clock time, for the record and the limits.
    """

    want: Wanted
    seen: Observed
    names: tuple[str, ...]
    versions: Mapping[str, str]
    blocked: Claim | None
    now: datetime


@dataclass(frozen=True, slots=True)
class _Doubt:
    reason: Reason
    message: str
    remedy: str


def step(
    spec: RollingMaintenance | None, status: RollingStatus | None, scene: Scene
) -> RollingStatus | None:
    """Decide the next step of a round; None when none is declared."""
    if spec is None:
        return None
    if status is None or status.name != spec.name:
        return _next(spec, _begun(spec, scene), scene)
    if status.phase is RollingPhase.COMPLETED:
        return status
    if status.phase is RollingPhase.STOPPED:
        return _stopped(spec, status, scene)
    if {each.name for each in status.nodes} != {*scene.names}:
        return _stop(status, scene, _of(Reason.NODES_CHANGED, "the nodes of the spec changed"))
    if scene.want.paused:
        return status
    match status.phase:
        case RollingPhase.WAITING:
            return _next(spec, status, scene)
        case RollingPhase.TAKING_OUT:
            return _take_out(spec, status, scene)
        case RollingPhase.WORKING:
            return _work(spec, status, scene)
        case RollingPhase.RETURNING:
            return _return(spec, status, scene)


def claim(status: RollingStatus | None) -> Claim | None:
    """What a round adds to `Reconciling` while it goes on, to `Stalled` when it stopped."""
    if status is None or not status.is_under_way:
        return None
    said = f"round {status.name} of maintenance: {status.message}"
    return Claim(True, Reason(status.reason), said, status.remedy)


# ------------------------------------------------------------------ the phases


def _begun(spec: RollingMaintenance, scene: Scene) -> RollingStatus:
    active = scene.seen.active
    serving = active.name if active is not None else ""
    order = [name for name in scene.names[::-1] if name != serving]
    order += [name for name in scene.names if name == serving]
    return RollingStatus(
        name=spec.name,
        attempt=spec.attempt,
        phase=RollingPhase.WAITING,
        nodes=tuple(RollingNode(name=name, turn=NodeTurn.PENDING) for name in order),
        since=scene.now,
        reason=Reason.PENDING.value,
    )


def _next(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> RollingStatus:
    """Take the next node out, when nothing is in doubt."""
    nodes = tuple(_passed_over(spec, each, scene) for each in status.nodes)
    status = status.model_copy(update={"nodes": nodes})
    pending = [each.name for each in nodes if each.turn is NodeTurn.PENDING]
    if not pending:
        said = f"all {len(nodes)} nodes have had their turn"
        return _enter(
            status, scene, RollingPhase.COMPLETED, _of(Reason.ROLLING_DONE, said), node=None
        )
    doubt = _doubt(spec, pending, scene)
    if doubt is not None:
        if _too_long(spec, status, scene):
            return _stop(status, scene, doubt)
        waits = _Doubt(doubt.reason, f"waiting: {doubt.message}", doubt.remedy)
        return _enter(status, scene, RollingPhase.WAITING, waits, node=None)
    active = scene.seen.active
    assert active is not None, "nothing is in doubt"
    name = next((each for each in pending if each != active.name), active.name)
    is_serving = name == active.name
    if is_serving and status.moves:
        said = f"{name} serves and is still to be worked on, but this round moved service already"
        return _stop(status, scene, _of(Reason.SECOND_MOVE, said, scene))
    how = f"{name} serves and hands over first" if is_serving else f"{name} stands by"
    status = _turned(status, name, NodeTurn.TAKING_OUT, began_at=scene.now)
    status = status.model_copy(
        update={"active": None if is_serving else active.name, "term": active.term}
    )
    said = f"taking {name} out: {how}"
    return _enter(status, scene, RollingPhase.TAKING_OUT, _of(Reason.ROLLING_OUT, said), node=name)


def _take_out(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> RollingStatus:
    name, active = _whose(status), scene.seen.active
    back = _turned(status, name, NodeTurn.PENDING)
    moved = _moved(status, scene) if status.active is not None else None
    if moved is not None:
        return _stop(back, scene, moved)
    member = scene.seen.member(name)
    if active is not None and active.name != name and _is_free(member):
        serves = explain.ready(scene.want, scene.seen)
        if serves.holds:
            return _free(spec, status, scene, active)
    if _too_long(spec, status, scene):
        said = f"{name} is not out of service after {spec.return_within}"
        why = explain.ready(scene.want, scene.seen)
        if active is not None and active.name == name:
            said = f"{name} still serves after {spec.return_within}: no other node takes over"
        elif why.holds is not True:
            said = f"{said}: {why.message}"
        return _stop(back, scene, _of(Reason.HANDOVER_WAITS, said, scene))
    return status


def _free(
    spec: RollingMaintenance, status: RollingStatus, scene: Scene, active: MemberSeen
) -> RollingStatus:
    """The node is out: the work may begin."""
    name = _whose(status)
    member = scene.seen.member(name)
    boot = member.boot if member is not None else ""
    is_moved = active.term > (status.term or 0)
    status = _turned(status, name, NodeTurn.WORKING, boot_id=boot or None, free_at=scene.now)
    status = status.model_copy(
        update={
            "active": active.name,
            "term": active.term,
            "moves": status.moves + (1 if is_moved else 0),
        }
    )
    said = f"{name} is out and {active.name} serves: the work on {name} may be done"
    work = _Doubt(Reason.ROLLING_WORK, said, _what_to_do(spec, name, scene.want.name))
    return _enter(status, scene, RollingPhase.WORKING, work, node=name)


def _work(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> RollingStatus:
    moved = _moved(status, scene)
    if moved is not None:
        return _stop(status, scene, moved)
    if not _is_done(spec, status, scene):
        return status
    name = _whose(status)
    status = _turned(status, name, NodeTurn.RETURNING, worked_at=scene.now)
    said = f"the work on {name} is done; waiting until it could take over"
    return _enter(status, scene, RollingPhase.RETURNING, _of(Reason.ROLLING_BACK, said), node=name)


def _return(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> RollingStatus:
    moved = _moved(status, scene)
    if moved is not None:
        return _stop(status, scene, moved)
    name, seen = _whose(status), scene.seen
    member = seen.member(name)
    why = not_ready(scene.want, member) if member is not None else f"{name} is not heard"
    since_ms = member.ready_since_ms if member is not None else None
    if why is None and since_ms is not None and seen.now_ms - since_ms >= SETTLED_MS:
        status = _turned(status, name, NodeTurn.DONE, done_at=scene.now)
        waiting = _of(Reason.PENDING, f"{name} could take over again")
        return _next(spec, _enter(status, scene, RollingPhase.WAITING, waiting, node=None), scene)
    if _too_long(spec, status, scene):
        said = f"{name} could not take over {spec.return_within} after the work on it"
        said = f"{said}: {why}" if why is not None else said
        helps = what_helps(scene.want, [member] if member is not None else [])
        doubt = _of(Reason.NODE_NOT_BACK, said, scene)
        remedy = f"{helps}; then {_go_on(scene.want.name)}" if helps else doubt.remedy
        return _stop(status, scene, _Doubt(doubt.reason, said, remedy))
    return status


def _stopped(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> RollingStatus:
    """Work that is finished meanwhile gives its node back; the rest waits for a person."""
    if status.node is not None and _is_done(spec, status, scene):
        turn = next((each.turn for each in status.nodes if each.name == status.node), None)
        if turn is NodeTurn.WORKING:
            status = _turned(status, status.node, NodeTurn.RETURNING, worked_at=scene.now)
    active = scene.seen.active
    if spec.attempt <= status.attempt or active is None or scene.want.paused:
        return status
    known = {each.name: each for each in status.nodes}
    new = RollingNode
    nodes = tuple(
        known.get(name) or new(name=name, turn=NodeTurn.PENDING)
        for name in dict.fromkeys((*(n for n in known if n in scene.names), *scene.names))
    )
    status = status.model_copy(
        update={
            "attempt": spec.attempt,
            "moves": 0,
            "nodes": nodes,
            "active": active.name,
            "term": active.term,
        }
    )
    for each in nodes:
        if each.turn is NodeTurn.WORKING:
            said = f"going on: the work on {each.name} may be done"
            remedy = _what_to_do(spec, each.name, scene.want.name)
            work = _Doubt(Reason.ROLLING_WORK, said, remedy)
            return _enter(status, scene, RollingPhase.WORKING, work, node=each.name)
        if each.turn is NodeTurn.RETURNING:
            said = f"going on: waiting until {each.name} could take over"
            back = _of(Reason.ROLLING_BACK, said)
            return _enter(status, scene, RollingPhase.RETURNING, back, node=each.name)
    waiting = _of(Reason.PENDING, "going on")
    return _next(spec, _enter(status, scene, RollingPhase.WAITING, waiting, node=None), scene)


# ------------------------------------------------------------------ doubts


def _doubt(spec: RollingMaintenance, pending: Iterable[str], scene: Scene) -> _Doubt | None:
    """Why no node is taken out now; the first that speaks."""
    want, seen = scene.want, scene.seen
    if scene.blocked is not None:
        return _claimed(scene.blocked)
    if want.paused:
        return _of(Reason.PAUSED, "spec.paused is true", scene)
    if seen.moving:
        return _of(Reason.BUSY, seen.moving, scene)
    early = sorted({*spec.done} & {*pending})
    if early:
        said = f"rolling.done names {early[0]}, whose turn has not come"
        return _of(Reason.DONE_TOO_EARLY, said, scene)
    serves = explain.ready(want, seen)
    if serves.holds is not True:
        return _claimed(serves)
    active = seen.active
    others = [
        member
        for member in seen.members
        if member.kind is MemberKind.DATA and (active is None or member.name != active.name)
    ]
    causes = [why for each in others if (why := not_ready(want, each)) is not None]
    if causes:
        return _Doubt(Reason.STANDBY_NOT_READY, "; ".join(causes), what_helps(want, others))
    silent = [each.name for each in seen.members if not each.present]
    if silent:
        said = f"{', '.join(silent)} does not answer, and one vote more is missing during the work"
        return _of(Reason.WITNESS_MISSING, said, scene)
    safe = explain.protected(want, seen)
    if safe.holds is not True:
        return _claimed(safe)
    if seen.present - 1 < want.majority:
        said = (
            f"{seen.present} voters answer, and {want.majority} are needed: a node that is "
            "restarted would take the service with it"
        )
        return _of(Reason.NO_MAJORITY_LEFT, said, scene)
    return None


def _moved(status: RollingStatus, scene: Scene) -> _Doubt | None:
    """Service is where the round left it, as far as anybody is heard serving."""
    active = scene.seen.active
    if active is None or (active.name, active.term) == (status.active, status.term):
        return None
    said = (
        f"{active.name} serves in term {active.term}, and it was {status.active} in term "
        f"{status.term} when this turn began"
    )
    return _of(Reason.SERVICE_MOVED, said, scene)


def _is_done(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> bool:
    name = _whose(status)
    member = scene.seen.member(name)
    match spec.until:
        case WorkDone.TOLD:
            return name in spec.done
        case WorkDone.REBOOTED:
            began = next((each.boot_id for each in status.nodes if each.name == name), None)
            return member is not None and member.heard and member.boot not in {"", began}
        case WorkDone.AGENT_VERSION:
            return scene.versions.get(name) == spec.agent_version


def _is_free(member: MemberSeen | None) -> bool:
    """It says itself that it would not serve, and does not."""
    return (
        member is not None
        and member.heard
        and member.role is Role.STANDBY
        and member.eligible is False
        and not member.releasing
    )


def _passed_over(spec: RollingMaintenance, each: RollingNode, scene: Scene) -> RollingNode:
    """Nothing is to be done on a node whose agent is of the version already."""
    is_there = spec.until is WorkDone.AGENT_VERSION and (
        scene.versions.get(each.name) == spec.agent_version
    )
    if each.turn is not NodeTurn.PENDING or not is_there:
        return each
    return each.model_copy(update={"turn": NodeTurn.DONE})


def _too_long(spec: RollingMaintenance, status: RollingStatus, scene: Scene) -> bool:
    return scene.now - status.since >= timedelta(milliseconds=spec.return_within_ms)


# ------------------------------------------------------------------ writing


def _whose(status: RollingStatus) -> str:
    assert status.node is not None, "written with the phase"
    return status.node


def _turned(
    status: RollingStatus, name: str, turn: NodeTurn, **known: datetime | str | None
) -> RollingStatus:
    nodes = tuple(
        each.model_copy(update={"turn": turn, **known}) if each.name == name else each
        for each in status.nodes
    )
    return status.model_copy(update={"nodes": nodes})


def _enter(
    status: RollingStatus, scene: Scene, phase: RollingPhase, said: _Doubt, *, node: str | None
) -> RollingStatus:
    since = status.since if status.phase is phase else scene.now
    return status.model_copy(
        update={
            "phase": phase,
            "node": node,
            "since": since,
            "reason": said.reason.value,
            "message": said.message,
            "remedy": said.remedy,
        }
    )


def _stop(status: RollingStatus, scene: Scene, doubt: _Doubt) -> RollingStatus:
    said = _Doubt(doubt.reason, f"stopped: {doubt.message}", doubt.remedy)
    return _enter(status, scene, RollingPhase.STOPPED, said, node=status.node)


def _of(reason: Reason, message: str, scene: Scene | None = None) -> _Doubt:
    remedy = ABOUT[reason].remedy
    if scene is None:
        return _Doubt(reason, message, "" if remedy == "Nothing." else remedy)
    return _Doubt(reason, message, remedy.replace("CLUSTER", scene.want.name))


def _claimed(found: Claim) -> _Doubt:
    return _Doubt(found.reason, found.message, found.remedy)


def _go_on(cluster: str) -> str:
    return f"kubectl standfast rolling {cluster} go-on"


def _what_to_do(spec: RollingMaintenance, name: str, cluster: str) -> str:
    match spec.until:
        case WorkDone.TOLD:
            return f"do the work on {name}, then: kubectl standfast rolling {cluster} done {name}"
        case WorkDone.REBOOTED:
            return f"do the work on {name} and reboot it"
        case WorkDone.AGENT_VERSION:
            return f"install the agent of version {spec.agent_version} on {name}"
