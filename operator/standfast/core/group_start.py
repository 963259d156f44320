"""How a resource is started, and what follows when it fails.

Start: permission, proof against every suspect, everything below it running. Failure: again in
place, a number of times within a window, with a pause that grows; then by policy to another node,
or on and on here, or not at all. With nobody else to take over, trying here never ends.
"""

from standfast.core import group_events as ev
from standfast.core.group_spec import Spec, Then, shaken_by
from standfast.core.group_state import (
    COOL_DOWN_MS,
    HAND_OVER_AGAIN_MS,
    RETRY_MS,
    RETRY_MS_MAX,
    Cell,
    Doing,
    Fault,
    Group,
    Phase,
    Want,
)
from standfast.core.group_stop import FLAPPING, begin_stop, kill, must_stop
from standfast.core.group_turn import GroupTurn
from standfast.core.record import Proof, Suspect

FAILING = "KeepsFailing"


def unproven(group: Group, spec: Spec) -> tuple[Suspect, ...]:
    """Suspects in the way of this resource; the lease alone is proof where that is enough."""
    if Proof.LEASE_EXPIRED in spec.suffices:
        return ()
    shut_out = group.reserved.get(spec.disk, ()) if Proof.RESERVED in spec.suffices else ()
    return tuple(
        suspect
        for suspect in group.suspects
        if group.proofs.get(suspect) not in spec.suffices and suspect not in shut_out
    )


def may_start(turn: GroupTurn, name: str) -> bool:
    """Whether to start it now, or to adopt what was found running."""
    cell, group = turn.cells[name], turn.group
    if group.want is not Want.UP or turn.now_ms >= group.until_ms or must_stop(turn, name):
        return False
    if cell.phase not in {Phase.STOPPED, Phase.FOUND} or cell.doing not in {
        Doing.NOTHING,
        Doing.LOOK,
    }:
        return False
    if turn.now_ms < cell.retry_at_ms or cell.abandoned or _waits_to_hand_over(turn, cell):
        return False
    if any(below.phase is not Phase.RUNNING for below in turn.dependencies(name)):
        return False
    if any(above.restart and above.is_here for above in turn.dependents(name)):
        return False
    return not unproven(group, cell.spec)


def start(turn: GroupTurn, name: str) -> None:
    turn.set(name, phase=Phase.STARTING)
    turn.call(name, Doing.START)


def on_started(turn: GroupTurn, event: ev.Started) -> None:
    cell = turn.answered(event.name, event.call)
    if cell is None:
        return
    spec = cell.spec
    turn.note(
        "Started", "Resource started", resource=spec.name, took_ms=turn.now_ms - cell.began_ms
    )
    turn.set(
        spec.name,
        phase=Phase.RUNNING,
        checks=(),
        fault=None,
        spent=False,
        retry_at_ms=0,
        ran_term=turn.group.term,
        obstacles=(),
        look_at_ms=turn.now_ms + spec.check_every_ms,
        message="",
    )
    turn.calm(spec.name)


def on_start_failed(turn: GroupTurn, event: ev.StartFailed) -> None:
    cell = turn.answered(event.name, event.call)
    if cell is None:
        return
    fault = Fault("StartFailed", event.message, event.remedy)
    count_failure(turn, event.name, fault, lasting=event.lasting)
    begin_stop(turn, event.name)  # it may be half up


def on_start_hung(turn: GroupTurn, cell: Cell) -> None:
    name = cell.spec.name
    message = f"{name} did not start within {cell.spec.start_ms} ms"
    count_failure(turn, name, Fault("StartTimeout", message))
    turn.set(name, kills=0)
    kill(turn, name)


def count_failure(turn: GroupTurn, name: str, fault: Fault, *, lasting: bool = False) -> None:
    """Remember a failure and decide when, and whether, to try again here.

    Args:
        turn: The step.
        name: Of the resource.
        fault: What happened.
        lasting: Another try is of no use before a person changed something.
    """
    cell = turn.cells[name]
    spec = cell.spec
    since_ms = turn.now_ms - spec.window_ms
    failures = (*(at for at in cell.failures if at > since_ms), turn.now_ms)[-64:]
    spent = lasting or len(failures) > spec.restarts
    turn.note(
        "Failed",
        "Resource failed",
        resource=name,
        reason=fault.reason,
        error=fault.message,
        failures=len(failures),
    )
    turn.set(
        name,
        failures=failures,
        fault=fault,
        message=fault.message,
        spent=spent,
        abandoned=spent and spec.then is Then.IGNORE,
        retry_at_ms=turn.now_ms + _pause_ms(len(failures), lasting=lasting),
    )
    turn.calm(name, FLAPPING)
    specs = {key: cell.spec for key, cell in turn.cells.items()}
    for above in shaken_by(specs, name):
        if turn.cells[above].is_here:
            turn.set(above, restart=True)
    if spent:
        turn.alarm(name, FAILING, fault.message, fault.remedy)


def _pause_ms(failures: int, *, lasting: bool) -> int:
    if lasting:
        return RETRY_MS_MAX
    return 0 if failures < 2 else min(RETRY_MS << min(failures - 2, 10), RETRY_MS_MAX)


# ------------------------------------------------------------------ handing over


def counts(turn: GroupTurn, cell: Cell) -> bool:
    """Whether its failure moves the service to another node.

    A resource that is new to a service which already runs here does not: most likely its
    declaration is wrong, and would be wrong there too.
    """
    if not cell.spent or not cell.spec.critical or cell.spec.then is not Then.FAILOVER:
        return False
    group = turn.group
    return cell.ran_term == group.term or group.serving_term != group.term


def _waits_to_hand_over(turn: GroupTurn, cell: Cell) -> bool:
    return turn.group.handing_over and counts(turn, cell)


def hand_over_if_due(turn: GroupTurn) -> None:
    """Ask for the release of the lease when restarts here are used up and another node stands."""
    group = turn.group
    if (
        group.want is not Want.UP
        or group.handing_over
        or not group.others_eligible
        or turn.now_ms < group.hand_over_at_ms
    ):
        return
    for name, cell in turn.cells.items():
        if cell.phase is Phase.RUNNING or not counts(turn, cell) or cell.fault is None:
            continue
        message = f"{name} failed {len(cell.failures)} times here: {cell.fault.message}"
        turn.change(
            handing_over=True,
            hand_over_at_ms=turn.now_ms + HAND_OVER_AGAIN_MS,
            cool_until_ms=turn.now_ms + max(COOL_DOWN_MS, cell.spec.window_ms),
            cool_why=message,
        )
        turn.note("HandingOver", "Handing over to another node", resource=name, reason=message)
        turn.emit(ev.HandOver(name, message))
        return


def on_hand_over_declined(turn: GroupTurn, event: ev.HandOverDeclined) -> None:
    if not turn.group.handing_over:
        return
    turn.change(
        handing_over=False,
        cool_until_ms=0,
        hand_over_at_ms=turn.now_ms + HAND_OVER_AGAIN_MS,
    )
    turn.note("HandOverDeclined", "Going on here", reason=event.message)


def say_serving(turn: GroupTurn) -> None:
    """The first moment of a term at which everything critical runs."""
    group = turn.group
    if group.want is not Want.UP or group.serving_term == group.term:
        return
    critical = [cell for cell in turn.cells.values() if cell.spec.critical and not cell.removed]
    if all(cell.phase is Phase.RUNNING for cell in critical):
        turn.change(serving_term=group.term)
        turn.emit(ev.Serving(group.term))
