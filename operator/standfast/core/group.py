"""The resources of one node as a pure state machine: start, stop, watch, recover, in order.

`step` takes the state, one event and the time, and returns the next state and what is to be done.
The shell (`agent`) performs the effects with drivers and reports every outcome as an event; it
never decides. The rules are level-triggered: after each event every cell is compared with what is
wanted of the group, so that a lost or doubled event delays and never derails.

Order of starting: `dependsOn` forward, branches in parallel; of stopping: backward. Nothing starts
without a lease that runs and a proof against every suspect. Nothing is reported stopped that was
not seen stopped.

Source: `docs/protocol.md`, sections 6 and 7. Safety: S2.
"""

from collections.abc import Iterable
from typing import assert_never

from standfast.core import group_events as ev
from standfast.core import group_start, group_stop, group_watch
from standfast.core.group_spec import Spec, problems
from standfast.core.group_state import Cell, Doing, Group, Phase, Want
from standfast.core.group_stop import may_stop_now, must_stop
from standfast.core.group_turn import GroupTurn

SETTLING_ROUNDS_MAX = 100
"""More than any group needs for its cells to agree within one step."""


def step(
    group: Group, event: ev.GroupEvent, now_ms: int
) -> tuple[Group, tuple[ev.GroupEffect, ...]]:
    """What `event` does to the group at `now_ms`."""
    turn = GroupTurn(group, now_ms)
    _take(turn, event)
    _give_up_on_the_hung(turn)
    group_start.hand_over_if_due(turn)
    _settle(turn)
    group_start.say_serving(turn)
    if _say_all_stopped(turn):
        _settle(turn)
    return turn.finish()


def _take(turn: GroupTurn, event: ev.GroupEvent) -> None:
    match event:
        case ev.Tick():
            pass
        case ev.Declared():
            _on_declared(turn, event)
        case ev.Permitted():
            _on_permitted(turn, event)
        case ev.Adopted(term, until_ms):
            turn.change(want=Want.KEEP, term=term, until_ms=until_ms)
        case ev.Extended(until_ms):
            if turn.group.want in {Want.UP, Want.KEEP, Want.RELEASE}:
                turn.change(until_ms=until_ms)
        case ev.ProofsChanged(suspects, proofs, reserved):
            turn.change(suspects=suspects, proofs=proofs, reserved=reserved)
        case ev.StopAll():
            _on_stop_all(turn, event)
        case ev.Resumed():
            if turn.group.want is Want.RELEASE:
                turn.change(want=Want.UP, report_owed=False)
        case ev.OthersChanged(eligible, somebody_holds):
            turn.change(others_eligible=eligible, somebody_holds=somebody_holds)
        case ev.Forgiven():
            turn.change(cool_until_ms=0)
        case ev.HandOverDeclined():
            group_start.on_hand_over_declined(turn, event)
        case ev.Looked():
            group_watch.on_looked(turn, event)
        case ev.Checked():
            group_watch.on_checked(turn, event)
        case ev.Started():
            group_start.on_started(turn, event)
        case ev.StartFailed():
            group_start.on_start_failed(turn, event)
        case ev.StopEnded():
            group_stop.on_stop_ended(turn, event)
        case ev.Changed():
            group_watch.on_changed(turn, event)
        case _:
            assert_never(event)


# ------------------------------------------------------------------ declarations


def _on_declared(turn: GroupTurn, event: ev.Declared) -> None:
    """Take a new declaration with as few restarts as it allows."""
    if event.generation < turn.group.generation:
        turn.emit(
            ev.GroupDeclined(
                f"declaration {event.generation} is older than {turn.group.generation}, which "
                f"this node has accepted",
                "send the newest declaration",
            )
        )
        return
    found = problems(event.specs)
    if found:
        turn.emit(ev.GroupDeclined("; ".join(found), "correct dependsOn of the HAResources"))
        return
    turn.change(generation=event.generation, hindrance=event.hindrance)
    for spec in event.specs:
        _declare(turn, spec)
    names = {spec.name for spec in event.specs}
    for name, cell in turn.cells.items():
        if name not in names and not cell.removed:
            turn.set(name, removed=True, fresh=None)
            turn.note("Removed", "Resource is no longer declared", resource=name)


def _declare(turn: GroupTurn, spec: Spec) -> None:
    cell = turn.cells.get(spec.name)
    if cell is None:
        turn.cells[spec.name] = Cell(spec, since_ms=turn.now_ms)
        turn.emit(ev.Make(spec))
        return
    if spec == cell.spec and cell.fresh is None and not cell.removed:
        return
    if spec.fingerprint == cell.spec.fingerprint and spec.kind == cell.spec.kind:
        turn.set(spec.name, spec=spec, fresh=None, removed=False)
    else:
        turn.set(spec.name, fresh=spec, removed=False)
    # A person changed something: what was given up gets another chance.
    turn.set(spec.name, abandoned=False, spent=False, retry_at_ms=turn.now_ms, failures=())


# ------------------------------------------------------------------ permission and stop


def _on_permitted(turn: GroupTurn, event: ev.Permitted) -> None:
    if turn.group.want is Want.EMERGENCY:
        return  # it is not over before everything is verified stopped
    turn.change(
        want=Want.UP,
        term=event.term,
        until_ms=event.until_ms,
        suspects=event.suspects,
        reserved={},  # what an earlier lease had reserved is nothing now
        report_owed=False,
        handing_over=False,
    )
    for name in turn.cells:
        turn.set(name, abandoned=False, retry_at_ms=turn.now_ms)


def _on_stop_all(turn: GroupTurn, event: ev.StopAll) -> None:
    turn.change(report_owed=True, handing_over=False)
    if event.emergency:
        turn.change(want=Want.EMERGENCY)
        group_stop.kill_everything(turn, event.why)
        return
    if turn.group.want is Want.EMERGENCY:
        return
    turn.change(want=Want.RELEASE)
    for name, cell in turn.cells.items():
        turn.set(name, restart=False)
        if cell.phase is Phase.STOPPED:  # believed so; a release is sent for what is seen
            turn.give_up_call(name)
            turn.set(name, phase=Phase.UNKNOWN, look_at_ms=turn.now_ms)


def _say_all_stopped(turn: GroupTurn) -> bool:
    if not turn.group.report_owed:
        return False
    if any(cell.is_here or cell.is_busy for cell in turn.cells.values()):
        return False
    turn.change(report_owed=False, want=Want.DOWN)
    turn.note("AllStopped", "Everything is verified stopped")
    turn.emit(ev.AllStopped())
    return True


# ------------------------------------------------------------------ comparing with what is wanted


def _give_up_on_the_hung(turn: GroupTurn) -> None:
    for name, cell in tuple(turn.cells.items()):
        if not cell.is_busy or turn.now_ms < cell.due_ms:
            continue
        turn.give_up_call(name)
        match cell.doing:
            case Doing.LOOK:
                group_watch.on_look_hung(turn, cell)
            case Doing.CHECK:
                group_watch.on_check_hung(turn, cell)
            case Doing.START:
                group_start.on_start_hung(turn, cell)
            case Doing.STOP | Doing.KILL | Doing.VERIFY:
                group_stop.on_stop_hung(turn, cell)
            case Doing.NOTHING:
                raise AssertionError("nothing cannot hang")


def _settle(turn: GroupTurn) -> None:
    """Let every cell act until none has anything left to do in this step."""
    for _ in range(SETTLING_ROUNDS_MAX):
        before = dict(turn.cells)
        for name in before:
            _act(turn, name)
        if turn.cells == before:
            return
    raise AssertionError(f"the group does not settle: {turn.cells}")


def _act(turn: GroupTurn, name: str) -> None:
    """What one cell has to do now."""
    cell = turn.cells[name]
    untouched = turn.group.want is Want.IDLE and cell.removed
    if (cell.phase is Phase.STOPPED or untouched) and not _renew(turn, name):
        return
    cell = turn.cells[name]
    if cell.phase is Phase.KILLING:
        if not cell.is_busy and turn.now_ms >= cell.look_at_ms:
            group_stop.kill(turn, name)
    elif group_start.may_start(turn, name):
        group_start.start(turn, name)
    elif _may_begin_stop(turn, cell):
        group_stop.begin_stop(turn, name)
    else:
        group_watch.look_if_due(turn, name)


def _renew(turn: GroupTurn, name: str) -> bool:
    """Forget or replace what is stopped and no longer declared so; whether the cell stays."""
    cell = turn.cells[name]
    if cell.removed:
        turn.give_up_call(name)
        turn.calm(name)
        turn.emit(ev.Drop(name))
        del turn.cells[name]
        return False
    if cell.fresh is not None:
        turn.give_up_call(name)
        turn.calm(name)
        turn.emit(ev.Make(cell.fresh))
        turn.cells[name] = Cell(cell.fresh, since_ms=turn.now_ms)
    elif cell.restart:
        turn.set(name, restart=False)
    return True


def _may_begin_stop(turn: GroupTurn, cell: Cell) -> bool:
    name = cell.spec.name
    stoppable = cell.phase in {Phase.FOUND, Phase.STARTING, Phase.RUNNING}
    return stoppable and must_stop(turn, name) and may_stop_now(turn, name)


# ------------------------------------------------------------------ what others ask


def wake_at_ms(group: Group, now_ms: int) -> int | None:
    """When the next `Tick` is due after a step at `now_ms`; none when nothing is planned."""
    return min((at_ms for at_ms in _moments(group) if at_ms > now_ms), default=None)


def _moments(group: Group) -> Iterable[int]:
    yield group.cool_until_ms
    yield group.hand_over_at_ms
    for cell in group.cells.values():
        if cell.is_busy:
            yield cell.due_ms
        elif cell.phase not in {Phase.STARTING, Phase.STOPPING}:
            yield cell.look_at_ms
        if group.want is Want.UP and cell.phase is Phase.STOPPED and not cell.abandoned:
            yield cell.retry_at_ms


def hindrances(group: Group, now_ms: int) -> tuple[str, ...]:
    """Why this node should not stand, as sentences; none means eligible."""
    found: list[str] = []
    if group.generation < 0:
        found.append("no resources were declared to this node yet")
    if group.hindrance:
        found.append(group.hindrance)
    if now_ms < group.cool_until_ms and group.others_eligible and group.somebody_holds:
        left_s = -(-(group.cool_until_ms - now_ms) // 1000)
        found.append(f"this node handed over and cools down for {left_s} s: {group.cool_why}")
    for name, cell in group.cells.items():
        if cell.removed or not cell.spec.critical:
            continue
        if cell.phase is Phase.KILLING and cell.kills > group_stop.KILLS_BEFORE_ALARM:
            found.append(f"{name} could not be stopped: {cell.message}")
        elif cell.phase in {Phase.UNKNOWN, Phase.STOPPED}:
            if cell.obstacles is None:
                found.append(f"{name} has not been looked at yet")
            else:
                found += cell.obstacles
    return tuple(found)


def is_settled(group: Group) -> bool:
    """Whether every resource has been looked at in this run: nothing here is unknown."""
    return all(cell.phase is not Phase.UNKNOWN for cell in group.cells.values())
