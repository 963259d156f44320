"""What is seen of a resource: looks, checks and signals, and what each means.

On the active node a signal of death and a check that finds nothing left (GONE) are failures at
once. A check that says DOWN and one that hangs are failed checks, and so many of the newest make a
failure as the declaration says, with the first one when it says nothing; UNKNOWN says nothing and
is not remembered. On a standby the same looks find strangers and try whether a start would work.
"""

from standfast.core import group_events as ev
from standfast.core.group_start import count_failure
from standfast.core.group_state import (
    LOOK_AGAIN_MS,
    STANDBY_LOOK_MS,
    Cell,
    Doing,
    Fault,
    Phase,
    Want,
)
from standfast.core.group_stop import FLAPPING, begin_stop, must_stop, on_verified
from standfast.core.group_turn import GroupTurn


def on_looked(turn: GroupTurn, event: ev.Looked) -> None:
    cell = turn.answered(event.name, event.call)
    if cell is None:
        return
    if cell.doing is Doing.VERIFY:
        on_verified(turn, event)
        return
    turn.set(event.name, message=event.message)
    match event.seen:
        case ev.Seen.RUNNING:
            _seen_running(turn, cell)
        case ev.Seen.STOPPED:
            _seen_stopped(turn, cell, event)
        case ev.Seen.UNKNOWN:  # pragma: no branch - the last of a closed enum
            _seen_nothing(turn, cell, event)


def on_look_hung(turn: GroupTurn, cell: Cell) -> None:
    took_ms = turn.now_ms - cell.began_ms
    message = f"a look at it did not come back within {took_ms} ms"
    turn.set(cell.spec.name, message=message)
    looked = ev.Looked(cell.spec.name, cell.call, ev.Seen.UNKNOWN, message)
    _seen_nothing(turn, cell, looked)


def _seen_running(turn: GroupTurn, cell: Cell) -> None:
    turn.set(cell.spec.name, look_at_ms=turn.now_ms + STANDBY_LOOK_MS)
    if cell.phase in {Phase.UNKNOWN, Phase.STOPPED}:
        turn.set(cell.spec.name, phase=Phase.FOUND, obstacles=())


def _seen_stopped(turn: GroupTurn, cell: Cell, event: ev.Looked) -> None:
    name = cell.spec.name
    if cell.phase is Phase.FOUND or cell.phase is Phase.UNKNOWN:
        turn.set(name, phase=Phase.STOPPED)
    obstacles = event.obstacles
    if obstacles is not None:
        turn.set(name, obstacles=obstacles)
    turn.set(name, look_at_ms=turn.now_ms + STANDBY_LOOK_MS)


def _seen_nothing(turn: GroupTurn, cell: Cell, event: ev.Looked) -> None:
    """The look could not see; what was verified before stays, but nobody counts on it."""
    name = cell.spec.name
    turn.set(name, obstacles=(event.message,), look_at_ms=turn.now_ms + LOOK_AGAIN_MS)
    if cell.phase is Phase.UNKNOWN and turn.group.want is Want.RELEASE:
        begin_stop(turn, name)  # its stop verifies


def on_checked(turn: GroupTurn, event: ev.Checked) -> None:
    cell = turn.answered(event.name, event.call)
    if cell is None or cell.phase is not Phase.RUNNING:
        return
    spec = cell.spec
    turn.set(spec.name, message=event.message, look_at_ms=turn.now_ms + spec.check_every_ms)
    match event.verdict:
        case ev.Verdict.UP:
            _remember(turn, cell, failed=False)
        case ev.Verdict.DOWN:
            _check_failed(turn, cell, Fault("CheckFailed", event.message))
        case ev.Verdict.GONE:
            _found_down(turn, cell, Fault("CheckFailed", event.message))
        case ev.Verdict.UNKNOWN:  # pragma: no branch - the last of a closed enum
            pass


def on_check_hung(turn: GroupTurn, cell: Cell) -> None:
    if cell.phase is not Phase.RUNNING:
        return
    message = f"the check of {cell.spec.name} did not come back within {cell.spec.check_ms} ms"
    turn.set(cell.spec.name, message=message, look_at_ms=turn.now_ms + cell.spec.check_every_ms)
    _check_failed(turn, cell, Fault("CheckTimeout", message))


def _remember(turn: GroupTurn, cell: Cell, *, failed: bool) -> Cell:
    """One more check; the alarm ends with the last failed one that is remembered."""
    name, spec = cell.spec.name, cell.spec
    after = turn.set(name, checks=(*cell.checks, failed)[-spec.checks_seen :])
    if not after.failed_checks:
        turn.calm(name, FLAPPING)
    return after


def _check_failed(turn: GroupTurn, cell: Cell, fault: Fault) -> None:
    """One failed check: enough of them, or something to be seen."""
    after = _remember(turn, cell, failed=True)
    name, spec, failed = cell.spec.name, cell.spec, after.failed_checks
    if failed >= spec.failures_max:
        _found_down(turn, cell, fault)
        return
    if not cell.checks or not cell.checks[-1]:
        turn.note(
            "CheckFailed",
            "Check failed, and others before it did not",
            resource=name,
            reason=fault.reason,
            error=fault.message,
            failed=failed,
        )
    turn.alarm(
        name,
        FLAPPING,
        f"{failed} of the last {len(after.checks)} checks failed ({fault.message}); with "
        f"{spec.failures_max} of {spec.checks_seen} it counts as failed",
        "look why it answers late or wrongly; spec.monitor of the HAResource has the threshold",
    )


def _found_down(turn: GroupTurn, cell: Cell, fault: Fault) -> None:
    """It is there but not well: stop it, start it again."""
    count_failure(turn, cell.spec.name, fault)
    turn.set(cell.spec.name, restart=True)


def on_changed(turn: GroupTurn, event: ev.Changed) -> None:
    cell = turn.cells.get(event.name)
    if cell is None:
        return
    match event.turned:
        case ev.Turned.DIED:
            _died(turn, cell, event.message)
        case ev.Turned.APPEARED:
            if cell.phase in {Phase.STOPPED, Phase.UNKNOWN}:
                turn.give_up_call(event.name)
                turn.set(event.name, phase=Phase.FOUND, message=event.message, obstacles=())
        case ev.Turned.UNSURE:  # pragma: no branch - the last of a closed enum
            turn.set(event.name, look_at_ms=turn.now_ms)


def _died(turn: GroupTurn, cell: Cell, message: str) -> None:
    name = cell.spec.name
    turn.calm(name, FLAPPING)
    if cell.phase is Phase.FOUND or (cell.phase is Phase.RUNNING and must_stop(turn, name)):
        turn.give_up_call(name)
        turn.set(name, phase=Phase.UNKNOWN, message=message, look_at_ms=turn.now_ms)
    elif cell.phase is Phase.RUNNING:
        turn.give_up_call(name)
        turn.set(name, phase=Phase.STOPPED, look_at_ms=turn.now_ms + STANDBY_LOOK_MS)
        count_failure(turn, name, Fault("Died", message))


def look_if_due(turn: GroupTurn, name: str) -> None:
    """Look, check, or try whether a start would work, when it is time."""
    cell = turn.cells[name]
    if cell.is_busy or turn.now_ms < cell.look_at_ms:
        return
    match cell.phase:
        case Phase.STOPPED if turn.group.report_owed:
            pass  # nothing delays the report
        case Phase.UNKNOWN | Phase.STOPPED | Phase.FOUND:
            turn.call(name, Doing.LOOK)
        case Phase.RUNNING:
            turn.call(name, Doing.CHECK)
        case Phase.STARTING | Phase.STOPPING | Phase.KILLING:  # pragma: no branch - the rest
            pass
