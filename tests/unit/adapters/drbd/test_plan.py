"""Steps of a standby, the start of an active copy, and whether writes may go on alone."""

from itertools import product

import pytest

from standfast.adapters.drbd.generations import Generations, read_generations
from standfast.adapters.drbd.plan import (
    Answer,
    Begin,
    Copy,
    Do,
    Stage,
    how_to_begin,
    may_go_alone,
    next_of_standby,
    progress,
    unfit,
)
from standfast.adapters.drbd.reading import Seen, read_proc
from tests.unit.adapters.drbd import recorded

OLD = read_generations(recorded.GI_OLD)
NEW = read_generations(recorded.GI_NEW)
TARGET = read_generations(recorded.GI_TARGET)
TAKEN_OVER = read_generations(recorded.GI_TAKEN_OVER)
READY = Seen(connection="StandAlone", disk="Consistent")


def test_writes_go_on_alone_only_when_the_record_has_let_the_other_go() -> None:
    """The whole table: S3 rests on it."""
    required = (None, frozenset[str](), frozenset({"b"}), frozenset({"c"}), frozenset({"b", "c"}))
    for stage, members in product(Stage, required):
        answer = may_go_alone(stage, "b", members)
        lets_go = stage is not Stage.NONE and members is not None and "b" not in members
        assert (answer is Answer.OUT) is lets_go
        waits = stage is Stage.ACTIVE and not lets_go
        assert (answer is None) is waits


def step(copy: Copy, theirs: Generations | None, *, counts: bool = False) -> Do:
    return next_of_standby(copy, theirs, counts_on_me=counts).do


def test_a_standby_waits_until_it_knows_which_data_the_active_one_has() -> None:
    assert step(Copy(READY, OLD), None) is Do.WAIT


def test_a_blank_disk_is_taken_and_another_is_not() -> None:
    assert step(Copy(Seen(), None, is_blank=True), TAKEN_OVER) is Do.CREATE
    assert step(Copy(Seen(), None), TAKEN_OVER) is Do.REFUSE


def test_a_copy_is_attached_judged_and_connected_in_that_order() -> None:
    assert step(Copy(Seen(), OLD), TAKEN_OVER) is Do.ATTACH
    taken_away = read_proc(recorded.TAKEN_AWAY, 0)
    assert step(Copy(taken_away, OLD), TAKEN_OVER) is Do.ATTACH
    assert step(Copy(READY, OLD), TAKEN_OVER) is Do.CONNECT
    waiting = Seen(connection="WFConnection", disk="Consistent")
    assert step(Copy(waiting, OLD), TAKEN_OVER) is Do.NOTHING


def test_nothing_is_done_to_a_copy_that_follows_or_serves() -> None:
    assert step(Copy(read_proc(recorded.SYNC_TARGET, 0), TARGET), TAKEN_OVER) is Do.NOTHING
    assert step(Copy(read_proc(recorded.ALONE, 0), OLD), TAKEN_OVER) is Do.NOTHING


@pytest.mark.parametrize(
    "mine",
    [
        Generations(0xA0, 0xBBE6423E39DE08E0),
        Generations(0xA0, 0x6FFB30DDFFA0B344),
        Generations(0xA0),
    ],
    ids=["split", "ahead", "unrelated"],
)
def test_copies_that_parted_are_left_to_a_person(mine: Generations) -> None:
    assert step(Copy(READY, mine), TAKEN_OVER) is Do.PARTED


def test_a_copy_that_acknowledged_writes_rest_on_is_not_taken_apart() -> None:
    assert step(Copy(READY, OLD), TAKEN_OVER, counts=True) is Do.WAIT
    assert step(Copy(READY, TAKEN_OVER), TAKEN_OVER, counts=True) is Do.CONNECT


def begin(copy: Copy, *, begins: bool, belongs: bool) -> Begin:
    return how_to_begin(copy, begins=begins, belongs=belongs)[0]


def test_the_first_node_begins_with_a_blank_disk_once() -> None:
    blank = Copy(Seen(), None, is_blank=True)
    assert begin(blank, begins=True, belongs=False) is Begin.CREATE
    assert begin(blank, begins=False, belongs=False) is Begin.NEVER
    assert begin(blank, begins=True, belongs=True) is Begin.NEVER, "it had data, and lost them"
    full = Copy(Seen(), None)
    assert begin(full, begins=True, belongs=False) is Begin.NEVER


def test_a_copy_that_was_never_filled_is_served_by_the_first_node_only() -> None:
    assert begin(Copy(READY, NEW), begins=True, belongs=False) is Begin.AS_FIRST
    assert begin(Copy(READY, NEW), begins=True, belongs=True) is Begin.NEVER
    assert begin(Copy(READY, NEW), begins=False, belongs=True) is Begin.NEVER


def test_a_copy_of_the_cluster_is_served_if_it_is_whole() -> None:
    assert begin(Copy(READY, OLD), begins=False, belongs=True) is Begin.PLAINLY
    assert begin(Copy(READY, OLD), begins=False, belongs=False) is Begin.NEVER
    assert begin(Copy(READY, OLD), begins=True, belongs=False) is Begin.PLAINLY
    half = Copy(Seen(connection="StandAlone", disk="Inconsistent"), TARGET)
    assert begin(half, begins=False, belongs=True) is Begin.NEVER
    assert "middle of a resync" in unfit(half)
    assert "middle of a resync" in unfit(Copy(Seen(), TARGET))
    outdated = Copy(Seen(connection="StandAlone", disk="Outdated"), OLD)
    assert "older" in unfit(outdated)
    was = Generations(0x10, is_consistent=True, was_up_to_date=False)
    assert "older" in unfit(Copy(Seen(), was))
    assert not unfit(Copy(Seen(), OLD))


def test_progress_changes_in_steps() -> None:
    assert progress(read_proc(recorded.SYNC_TARGET, 0)) == (
        "resync, 75 % done, less than a minute left"
    )
    assert progress(read_proc(recorded.SYNC_SOURCE, 0)) == ("resync, 5 % done, about 10 min left")
    assert progress(read_proc(recorded.PAUSED, 0)) == "resync paused"
    assert progress(Seen(connection="VerifyS", done=500)) == "comparing, 50 % done"
