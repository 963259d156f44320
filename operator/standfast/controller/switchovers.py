"""One planned move, step by step: what stands in its status and what was seen decide the next.

Pure. The order that makes it happen at most once: a phase is written, and only what stands
written is acted on. The request carries the object's uid, so that asking twice is asking once;
an operator that died goes on where the status says.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from standfast.api.conditions import Condition, ConditionType, with_condition
from standfast.api.switchover import Step, Switchover, SwitchoverPhase, SwitchoverStatus
from standfast.core.explain import failover_ms
from standfast.core.fencing import Power
from standfast.core.placement import HandOver, not_ready, successor
from standfast.core.reasons import ABOUT, Reason
from standfast.core.view import MemberSeen, Observed, Role, Wanted
from standfast.errors import RefusedError, StandfastError

UNDER_WAY_MAX = timedelta(minutes=10)
"""A move that has begun is finished; one that is not after this long has failed."""

_UNDER_WAY = {SwitchoverPhase.PREPARING, SwitchoverPhase.RELEASING, SwitchoverPhase.STARTING}


@dataclass(frozen=True, slots=True)
class Scene:
    """What the next step is decided by.

    Attributes:
        busy: Another move of the cluster is under way, as a sentence; "" when none is.
        refusal: The active node's answer to the request, when it was an error.
        now: Wall-clock time, for the record and the deadline.
    """

    want: Wanted
    seen: Observed
    busy: str
    refusal: StandfastError | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Next:
    """The status to write, and what to do once it stands written."""

    status: SwitchoverStatus
    action: HandOver | None = None


def is_under_way(switchover: Switchover) -> bool:
    return switchover.status.phase in _UNDER_WAY


def step(switchover: Switchover, scene: Scene) -> Next:
    """Decide the next step of a move that is not final."""
    status = switchover.status
    match status.phase:
        case None | SwitchoverPhase.PENDING:
            return _begin(switchover, scene)
        case SwitchoverPhase.PREPARING:
            return Next(_enter(switchover, scene, SwitchoverPhase.RELEASING))
        case SwitchoverPhase.RELEASING:
            return _release(switchover, scene)
        case SwitchoverPhase.STARTING:
            return _follow(switchover, scene)
        case SwitchoverPhase.COMPLETED | SwitchoverPhase.REFUSED | SwitchoverPhase.FAILED:
            return Next(status)


def refuse_orphan(switchover: Switchover, said: str, now: datetime) -> SwitchoverStatus:
    """A move of a cluster that does not exist."""
    conditions: tuple[Condition, ...] = ()
    for kind, holds in ((ConditionType.READY, False), (ConditionType.STALLED, True)):
        conditions = with_condition(
            conditions,
            kind,
            holds,
            reason=Reason.REFERENCE_MISSING.value,
            message=said,
            generation=switchover.metadata.generation,
            now=now,
        )
    return switchover.status.model_copy(
        update={
            "observed_generation": switchover.metadata.generation,
            "phase": SwitchoverPhase.REFUSED,
            "completed_at": now,
            "reason": Reason.REFERENCE_MISSING.value,
            "message": f"refused, nothing was touched: {said}",
            "remedy": ABOUT[Reason.REFERENCE_MISSING].remedy,
            "conditions": conditions,
        }
    )


def _begin(switchover: Switchover, scene: Scene) -> Next:
    spec, want, seen = switchover.spec, scene.want, scene.seen
    is_late = _is_late(switchover, scene)
    if want.paused:
        return _refuse(switchover, scene, Reason.PAUSED, f"HACluster {want.name} is paused")
    if spec.to is not None and all(node.name != spec.to for node in want.nodes):
        names = ", ".join(node.name for node in want.nodes)
        said = f"{spec.to} is not a node of {want.name}; its nodes are {names}"
        return _refuse(switchover, scene, Reason.UNKNOWN_NODE, said)
    active = seen.active
    if active is not None and spec.to == active.name:
        said = f"{active.name} is active already: nothing moved"
        return Next(_final(switchover, scene, Reason.ALREADY_THERE, said))
    waiting = _in_the_way(switchover, scene)
    if waiting is not None:
        reason, said, is_for_good = waiting
        if is_late or is_for_good:
            return _refuse(switchover, scene, reason, said)
        return Next(_waiting(switchover, scene, reason, said))
    if is_late:
        said = f"it had not begun within {spec.deadline}"
        return _refuse(switchover, scene, Reason.DEADLINE, said)
    assert active is not None, "nothing is in the way"
    target = _target(switchover, scene, active)
    assert target is not None, "nothing is in the way"
    if spec.dry_run:
        seconds = (failover_ms(want, target) - want.timing.ttl_ms) / 1000
        said = (
            f"{target.name} would take over from {active.name} with an outage of about "
            f"{seconds:.1f} s; nothing moved"
        )
        return Next(_final(switchover, scene, Reason.DRY_RUN, said))
    status = switchover.status.model_copy(
        update={
            "from_": active.name,
            "to": target.name,
            "term": active.term,
            "request_id": switchover.metadata.uid,
            "started_at": scene.now,
        }
    )
    said = f"moving from {active.name} to {target.name}"
    return Next(
        _moved(
            switchover,
            scene,
            status,
            phase=SwitchoverPhase.PREPARING,
            reason=Reason.PREPARING,
            said=said,
        )
    )


def _in_the_way(switchover: Switchover, scene: Scene) -> tuple[Reason, str, bool] | None:
    """What stands in the way of beginning: reason, sentence, and whether waiting is in vain."""
    want, seen, spec = scene.want, scene.seen, switchover.spec
    if scene.busy:
        return Reason.BUSY, scene.busy, False
    active = seen.active
    if active is None:
        return Reason.NOT_CONVERGED, f"no node of {want.name} is heard serving", False
    if seen.present < want.majority:
        said = f"{seen.present} voters answer, and {want.majority} are needed to choose"
        return Reason.NO_MAJORITY, said, False
    if _target(switchover, scene, active) is not None:
        return None
    named = [node.name for node in want.nodes if node.name != active.name]
    names = [spec.to] if spec.to is not None else named
    members = [member for name in names if (member := seen.member(name)) is not None]
    causes = [why for member in members if (why := not_ready(want, member)) is not None]
    is_for_good = all(_is_out(want, member) for member in members)
    return Reason.TARGET_NOT_READY, "; ".join(causes), is_for_good


def _is_out(want: Wanted, member: MemberSeen) -> bool:
    """Not ready for a cause that a minute does not change."""
    return (
        not member.enrolled
        or not member.heard
        or bool(member.halted)
        or member.vm.power in {Power.OFF, Power.SUSPENDED}
        or want.in_maintenance(member.name)
    )


def _target(switchover: Switchover, scene: Scene, active: MemberSeen) -> MemberSeen | None:
    to = switchover.spec.to
    if to is None:
        return successor(scene.want, scene.seen, active.name)
    member = scene.seen.member(to)
    if member is None or not_ready(scene.want, member) is not None:
        return None
    return member


def _release(switchover: Switchover, scene: Scene) -> Next:
    """The request is out, or goes out now: this phase stands written."""
    status, seen = switchover.status, scene.seen
    assert status.from_ is not None, "written with the phase before"
    assert status.to is not None, "written with the phase before"
    old = seen.member(status.from_)
    if seen.active is not None and seen.active.term > (status.term or 0):
        return _follow(switchover, scene)
    if isinstance(scene.refusal, RefusedError) and _still_serves(old, status):
        said = f"{status.from_} refuses to hand over: {scene.refusal.problem}"
        return _refuse(switchover, scene, Reason.ACTIVE_REFUSES, said, scene.refusal.remedy)
    if not _still_serves(old, status) or (old is not None and old.releasing):
        return Next(_enter(switchover, scene, SwitchoverPhase.STARTING))
    if scene.refusal is not None and old is not None and old.heard and _is_late(switchover, scene):
        said = f"{status.from_} could not be asked: {scene.refusal.problem}"
        return _refuse(switchover, scene, Reason.DEADLINE, said)
    if _too_long(status, scene):
        return _fail(switchover, scene, Reason.DEADLINE, f"{status.from_} did not hand over")
    why = f"Switchover {switchover.metadata.name}: {switchover.spec.reason or 'no reason given'}"
    request = status.request_id or switchover.metadata.uid
    return Next(status, HandOver(status.from_, status.to, request, why))


def _still_serves(old: MemberSeen | None, status: SwitchoverStatus) -> bool:
    """Unheard counts as serving: silence is not a hand-over."""
    if old is None or not old.heard:
        return True
    return old.role in {Role.ACTIVE, Role.HOLDING} and old.term <= (status.term or 0)


def _follow(switchover: Switchover, scene: Scene) -> Next:
    status = switchover.status
    before = status.term or 0
    active = scene.seen.active
    if active is not None and active.term > before:
        if active.name == status.to:
            return _complete(switchover, scene, active)
        said = f"{active.name} serves in term {active.term}, not {status.to}"
        return _fail(switchover, scene, Reason.WENT_ELSEWHERE, said)
    if _too_long(status, scene):
        return _fail(
            switchover, scene, Reason.NO_ACTIVE_NODE, f"{status.to} did not come to serve"
        )
    return Next(status)


def _is_late(switchover: Switchover, scene: Scene) -> bool:
    created = switchover.metadata.creation_timestamp or scene.now
    return scene.now >= created + timedelta(milliseconds=switchover.spec.deadline_ms)


def _too_long(status: SwitchoverStatus, scene: Scene) -> bool:
    return status.started_at is not None and scene.now - status.started_at > UNDER_WAY_MAX


def _complete(switchover: Switchover, scene: Scene, active: MemberSeen) -> Next:
    status = switchover.status
    began = next(
        (each.started_at for each in status.steps if each.name == "Releasing"), status.started_at
    )
    took_ms = None if began is None else _ms(scene.now - began)
    status = status.model_copy(update={"term": active.term, "took_ms": took_ms})
    seconds = "" if took_ms is None else f" after {took_ms / 1000:.1f} s"
    said = f"{active.name} serves in term {active.term}{seconds}"
    done = switchover.model_copy(update={"status": status})
    return Next(_final(done, scene, Reason.COMPLETED, said))


def _enter(switchover: Switchover, scene: Scene, phase: SwitchoverPhase) -> SwitchoverStatus:
    status = switchover.status
    said = {
        SwitchoverPhase.RELEASING: f"{status.from_} is stopping its resources",
        SwitchoverPhase.STARTING: f"{status.to} is taking over",
    }[phase]
    reason = {
        SwitchoverPhase.RELEASING: Reason.RELEASING,
        SwitchoverPhase.STARTING: Reason.STARTING,
    }[phase]
    return _moved(switchover, scene, status, phase=phase, reason=reason, said=said)


def _waiting(switchover: Switchover, scene: Scene, reason: Reason, said: str) -> SwitchoverStatus:
    status = switchover.status.model_copy(
        update={
            "observed_generation": switchover.metadata.generation,
            "phase": SwitchoverPhase.PENDING,
            "reason": reason.value,
            "message": f"waiting: {said}",
            "remedy": ABOUT[reason].remedy,
        }
    )
    return _judged(switchover, scene, status, reason, said=said)


def _moved(
    switchover: Switchover,
    scene: Scene,
    status: SwitchoverStatus,
    *,
    phase: SwitchoverPhase,
    reason: Reason,
    said: str,
) -> SwitchoverStatus:
    """Enter a phase: the step before ends, a new one begins."""
    steps = tuple(_ended(each, scene.now) for each in status.steps)
    status = status.model_copy(
        update={
            "observed_generation": switchover.metadata.generation,
            "phase": phase,
            "steps": (*steps, Step(name=phase.value, started_at=scene.now)),
            "reason": reason.value,
            "message": said,
            "remedy": None,
        }
    )
    return _judged(switchover, scene, status, reason, said=said)


def _final(
    switchover: Switchover,
    scene: Scene,
    reason: Reason,
    said: str,
    *,
    phase: SwitchoverPhase = SwitchoverPhase.COMPLETED,
    remedy: str = "",
) -> SwitchoverStatus:
    status = switchover.status
    status = status.model_copy(
        update={
            "observed_generation": switchover.metadata.generation,
            "phase": phase,
            "completed_at": scene.now,
            "steps": tuple(_ended(each, scene.now) for each in status.steps),
            "reason": reason.value,
            "message": said,
            "remedy": remedy or None,
        }
    )
    return _judged(switchover, scene, status, reason, said=said, remedy=remedy)


def _refuse(
    switchover: Switchover, scene: Scene, reason: Reason, said: str, remedy: str = ""
) -> Next:
    return Next(
        _final(
            switchover,
            scene,
            reason,
            f"refused, nothing was touched: {said}",
            phase=SwitchoverPhase.REFUSED,
            remedy=remedy or ABOUT[reason].remedy,
        )
    )


def _fail(switchover: Switchover, scene: Scene, reason: Reason, said: str) -> Next:
    return Next(
        _final(
            switchover,
            scene,
            reason,
            said,
            phase=SwitchoverPhase.FAILED,
            remedy=f"kubectl standfast explain {scene.want.name}",
        )
    )


def _ended(each: Step, now: datetime) -> Step:
    if each.took_ms is not None:
        return each
    return each.model_copy(update={"took_ms": _ms(now - each.started_at)})


def _ms(length: timedelta) -> int:
    return max(int(length.total_seconds() * 1000), 0)


def _judged(
    switchover: Switchover,
    scene: Scene,
    status: SwitchoverStatus,
    reason: Reason,
    *,
    said: str,
    remedy: str = "",
) -> SwitchoverStatus:
    """The conditions that pipelines judge by."""
    phase = status.phase
    is_bad = phase in {SwitchoverPhase.REFUSED, SwitchoverPhase.FAILED}
    wanted = (
        (ConditionType.READY, phase is SwitchoverPhase.COMPLETED),
        (ConditionType.RECONCILING, phase is not None and not phase.final),
        (ConditionType.STALLED, is_bad),
    )
    conditions: tuple[Condition, ...] = status.conditions
    for kind, holds in wanted:
        conditions = with_condition(
            conditions,
            kind,
            holds,
            reason=reason.value,
            message=said,
            generation=switchover.metadata.generation,
            now=scene.now,
            remedy=remedy,
        )
    return status.model_copy(update={"conditions": conditions})
