"""Switchovers and failovers as one history."""

from tests.unit.api import statuses
from tests.unit.cli import screens
from tests.unit.cli.snapshots import assert_same

from standfast.cli import text
from standfast.cli.render_history import history_table, moves, timelines

HISTORY = moves(
    [screens.switchover(statuses.SWITCHOVER), screens.switchover(dry_run=True)],
    [screens.record()],
)


def test_both_kinds_are_one_table_newest_first() -> None:
    assert_same("history", text.plain(history_table(HISTORY)))


def test_each_step_has_its_time() -> None:
    assert_same("history-steps", text.plain(timelines(HISTORY)))


def test_a_record_that_is_not_filled_yet_is_no_obstacle() -> None:
    bare = screens.record().model_copy(update={"status": type(statuses.RECORD)()})

    (moved,) = moves([], [bare])

    assert moved.outcome == "not yet told"


def test_a_cause_that_is_the_proof_as_well_is_said_once() -> None:
    status = statuses.RECORD.model_copy(update={"cause": "PoweredOff", "proof": "PoweredOff"})
    (moved,) = moves([], [screens.record().model_copy(update={"status": status})])

    assert moved.outcome == "PoweredOff"
