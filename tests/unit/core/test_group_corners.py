"""Moments of a group that no order of events was found to reach: what then holds all the same."""

from dataclasses import replace

from standfast.core import group as groups
from standfast.core import group_events as ev
from standfast.core import group_watch
from standfast.core.group_state import Cell, Doing, Group, Phase, Want
from standfast.core.group_turn import GroupTurn
from tests.unit.core.test_group import DB


def turn_with(cell: Cell) -> GroupTurn:
    return GroupTurn(replace(Group(), want=Want.UP, cells={"db": cell}), 1_000)


def test_between_two_rungs_of_a_stop_nothing_is_looked_at_and_nothing_planned() -> None:
    cell = Cell(DB, phase=Phase.STOPPING, look_at_ms=900)
    turn = turn_with(cell)
    group_watch.look_if_due(turn, "db")
    assert turn.cells == {"db": cell}
    assert turn.effects == []
    assert groups.wake_at_ms(turn.group, 500) is None


def test_a_check_that_hangs_beside_a_stop_counts_no_failure() -> None:
    cell = Cell(DB, phase=Phase.STOPPING, doing=Doing.CHECK, call=1)
    turn = turn_with(cell)
    group_watch.on_check_hung(turn, cell)
    assert turn.cells == {"db": cell}
    group_watch.on_checked(turn, ev.Checked("db", 1, ev.Verdict.GONE, ""))
    assert turn.cells["db"].failures == ()
    assert turn.cells["db"].message == ""
