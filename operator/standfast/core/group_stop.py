"""How a resource is stopped: dependents first, gracefully within a budget, then by killing.

The ladder has no rung called "blocked": a kill that is not verified is repeated for as long as it
takes, and that is reported; the guard, the watchdog and a power-off stand behind it. An emergency
has no order and no grace.

Source: `docs/protocol.md`, section "Stopping is the hard part". Safety: S2.
"""

from standfast.core import group_events as ev
from standfast.core.group_state import KILL_AGAIN_MS, Cell, Doing, Phase, Want
from standfast.core.group_turn import GroupTurn

STUCK = "Stuck"
STRAY = "RunsWithoutPermission"
FLAPPING = "ChecksFail"
KILLS_BEFORE_ALARM = 2

_NOTHING_MAY_RUN = frozenset({Want.DOWN, Want.RELEASE, Want.EMERGENCY})


def must_stop(turn: GroupTurn, name: str) -> bool:
    """Whether this may not go on running as it is."""
    cell = turn.cells[name]
    if turn.group.want in _NOTHING_MAY_RUN:
        return True
    if turn.group.want is Want.IDLE:
        return False
    if cell.removed or cell.fresh is not None or cell.restart:
        return True
    if cell.spec.rides_out:
        return False
    return any(must_stop(turn, below.spec.name) for below in turn.dependencies(name))


def may_stop_now(turn: GroupTurn, name: str) -> bool:
    """Whether everything that has to stop before it has stopped."""
    return all(
        above.phase is Phase.STOPPED
        for above in turn.dependents(name)
        if must_stop(turn, above.spec.name)
    )


def begin_stop(turn: GroupTurn, name: str) -> None:
    """The first rung."""
    cell = turn.cells[name]
    if turn.group.want is Want.DOWN and cell.phase is Phase.FOUND:
        turn.note("Stray", "Stopping what runs without permission", resource=name)
        turn.alarm(
            name,
            STRAY,
            f"{name} was started on this node by something else than its agent ({cell.message}), "
            f"and this node is not active: it is being stopped",
            "find out what started it (systemctl status, crontab) and let only the agent do so",
        )
    else:
        turn.note("Stopping", "Stopping resource", resource=name)
    turn.set(name, phase=Phase.STOPPING, kills=0)
    turn.call(name, Doing.STOP)


def kill(turn: GroupTurn, name: str) -> None:
    """The second rung, as often as it takes."""
    cell = turn.set(name, phase=Phase.KILLING, kills=turn.cells[name].kills + 1)
    if cell.kills > KILLS_BEFORE_ALARM:
        turn.note("KillRepeated", "Resource does not die", resource=name, kills=cell.kills)
        turn.alarm(
            name,
            STUCK,
            f"{name} is not verified stopped after {cell.kills - 1} kills: {cell.message}",
            "power this node off if it stays so; another node waits for proof that it is stopped",
        )
    turn.call(name, Doing.KILL)


def kill_everything(turn: GroupTurn, why: str) -> None:
    """The emergency stop: addresses first, then everything else, in one step."""
    turn.note("EmergencyStop", "Stopping everything now", reason=why)
    for name in sorted(turn.cells, key=lambda key: (not turn.cells[key].spec.rides_out, key)):
        turn.set(name, restart=False, kills=0)
        kill(turn, name)


def on_stop_ended(turn: GroupTurn, event: ev.StopEnded) -> None:
    cell = turn.answered(event.name, event.call)
    if cell is None:
        return
    if event.problem:
        turn.set(event.name, message=event.problem)
    if cell.doing is Doing.STOP:
        if event.problem:
            _overdue(turn, cell, event.problem)
        else:
            stopped(turn, event.name, "stopped")
    elif event.problem:
        turn.set(event.name, look_at_ms=turn.now_ms + KILL_AGAIN_MS)
    else:
        turn.call(event.name, Doing.VERIFY)


def _overdue(turn: GroupTurn, cell: Cell, problem: str) -> None:
    name = cell.spec.name
    took_ms = turn.now_ms - cell.since_ms
    what = "Graceful stop ran out of time, killing"
    turn.note("StopOverdue", what, resource=name, error=problem, took_ms=took_ms)
    kill(turn, name)


def on_stop_hung(turn: GroupTurn, cell: Cell) -> None:
    """A stop, a kill or the look after it did not come back in time."""
    name = cell.spec.name
    took_ms = turn.now_ms - cell.began_ms
    problem = f"{cell.doing.value.lower()} did not come back within {took_ms} ms"
    turn.set(name, message=problem)
    if cell.doing is Doing.STOP:
        _overdue(turn, cell, problem)
    else:
        kill(turn, name)


def on_verified(turn: GroupTurn, event: ev.Looked) -> None:
    """The look after a kill."""
    if event.seen is ev.Seen.STOPPED:
        stopped(turn, event.name, event.message)
    else:
        turn.set(event.name, message=event.message, look_at_ms=turn.now_ms + KILL_AGAIN_MS)


def stopped(turn: GroupTurn, name: str, message: str) -> None:
    """It is verified stopped."""
    cell = turn.cells[name]
    took_ms = turn.now_ms - cell.since_ms  # of the rung that did it
    if cell.kills:
        how = "Resource stopped by killing"
        turn.note("Stopped", how, resource=name, took_ms=took_ms, kills=cell.kills)
    else:
        turn.note("Stopped", "Resource stopped", resource=name, took_ms=took_ms)
    turn.set(
        name,
        phase=Phase.STOPPED,
        kills=0,
        message=message,
        obstacles=None if cell.fresh is not None else (),
        look_at_ms=turn.now_ms,
    )
    turn.calm(name, STUCK, STRAY, FLAPPING)
