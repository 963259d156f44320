"""The next step of a copy that is to follow."""

from dataclasses import replace
from itertools import product

import pytest

from standfast.adapters.postgresql.control import ClusterState, Control
from standfast.adapters.postgresql.invitation import Invitation
from standfast.adapters.postgresql.plan import (
    APART_MS,
    STALLED_MS,
    STUCK_MS,
    BaseBackup,
    Building,
    Configure,
    Copy,
    Refuse,
    Rewind,
    Running,
    StartStandby,
    Stay,
    StopServer,
    Why,
    is_part,
    next_step,
)
from standfast.adapters.postgresql.wal import Branch, History

MINE = History(1)
CONTROL = Control("1", ClusterState.SHUT_DOWN_IN_RECOVERY, 1, 400, 450, True, 16 << 20)
COPY = Copy(Running.NO, 15, CONTROL, MINE, position=450)
STANDBY = replace(COPY, running=Running.STANDBY, is_configured=True, is_streaming=True)
ACTIVE = Invitation(
    system="1", version=15, timeline=1, port=5432, password="p", is_rewindable=True
)
NEXT = Invitation(
    system="1", version=15, timeline=2, past=((1, 500),), port=5432, password="p",
    is_rewindable=True,
)  # fmt: skip


def step(copy: Copy, invitation: Invitation | None = ACTIVE) -> object:
    return next_step(copy, "vm-a", invitation)


def was_active(state: ClusterState, checkpoint: int = 400) -> Copy:
    return replace(COPY, control=replace(CONTROL, state=state, checkpoint=checkpoint))


def test_a_copy_is_part_of_the_actives_only_while_its_history_says_so() -> None:
    """A number alone says nothing: what went another way may have more."""
    assert is_part(STANDBY, ACTIVE)
    assert is_part(STANDBY, NEXT), "it has less than where the active went on"
    assert not is_part(replace(STANDBY, position=501), NEXT), "it went further, the old way"
    assert not is_part(replace(STANDBY, history=NEXT.history), ACTIVE)
    assert not is_part(replace(STANDBY, beyond=ACTIVE.history), ACTIVE)
    assert not is_part(replace(STANDBY, building=Building.REWIND), ACTIVE)
    assert not is_part(replace(STANDBY, control=replace(CONTROL, system="2")), ACTIVE)
    assert not is_part(replace(STANDBY, control=None), ACTIVE)


def test_an_active_that_crashed_may_have_more_than_its_files_tell() -> None:
    """Its newest checkpoint lies before the parting, what it wrote afterwards may not."""
    assert is_part(was_active(ClusterState.SHUT_DOWN), NEXT)
    assert not is_part(was_active(ClusterState.PRODUCTION), NEXT)


def test_without_an_invitation_everything_stays() -> None:
    for copy in (COPY, STANDBY, replace(COPY, control=None, history=None)):
        assert isinstance(step(copy, None), Stay)


def test_what_accepts_writes_is_left_to_the_stop() -> None:
    assert isinstance(step(replace(COPY, running=Running.PRIMARY)), Stay)


def test_a_server_that_does_not_answer_is_not_touched() -> None:
    assert isinstance(step(replace(COPY, running=Running.UNKNOWN)), Stay)


def test_a_starting_standby_is_told_of_another_active_and_not_left_stuck() -> None:
    starting = replace(COPY, running=Running.UNKNOWN, is_starting=True)
    assert isinstance(step(starting, None), Stay)
    assert isinstance(step(starting), Configure)
    told = replace(starting, is_configured=True)
    assert step(told) == Stay("starting, to follow vm-a")
    stuck = step(replace(told, stalled_ms=STUCK_MS))
    assert isinstance(stuck, StopServer)
    assert stuck.why is Why.BEHIND


def test_no_data_are_copied() -> None:
    nothing = replace(COPY, control=None, history=None)
    assert isinstance(step(nothing), BaseBackup)
    assert isinstance(step(replace(nothing, running=Running.STANDBY)), StopServer)


def test_an_unfinished_build_is_begun_anew() -> None:
    for building in (Building.BACKUP, Building.REWIND):
        assert isinstance(step(replace(COPY, building=building)), BaseBackup)


def test_another_major_version_is_refused() -> None:
    refusal = step(replace(COPY, version=16))
    assert isinstance(refusal, Refuse)
    assert "PostgreSQL 16" in refusal.message


def test_another_database_is_refused_unless_it_holds_nothing() -> None:
    other = replace(COPY, control=replace(CONTROL, system="2"))
    refusal = step(other)
    assert isinstance(refusal, Refuse)
    assert refusal.remedy
    assert isinstance(step(replace(other, is_fresh=True)), BaseBackup)
    running = replace(other, is_fresh=True, running=Running.STANDBY)
    assert isinstance(step(running), StopServer)


@pytest.mark.parametrize("invitation", [ACTIVE, NEXT])
def test_a_standby_at_rest_is_started(invitation: Invitation) -> None:
    assert isinstance(step(COPY, invitation), StartStandby)


def test_a_standby_beyond_the_parting_is_stopped_and_rewound() -> None:
    beyond = replace(STANDBY, position=501, is_streaming=False, stalled_ms=APART_MS)
    assert step(beyond, NEXT) == StopServer(
        "this copy reaches 0/1F5, beyond where vm-a went its own way", Why.BEYOND
    )
    assert isinstance(step(replace(COPY, beyond=NEXT.history), NEXT), Rewind)
    assert isinstance(step(replace(COPY, beyond=NEXT.history), ACTIVE), StartStandby)


def test_a_standby_that_is_cut_off_for_a_moment_is_left_alone() -> None:
    for change in ({"is_streaming": True}, {"is_streaming": False, "stalled_ms": APART_MS - 1}):
        assert isinstance(step(replace(STANDBY, position=501, **change), NEXT), Stay)


def test_a_running_standby_is_configured_then_left_alone() -> None:
    assert isinstance(step(replace(STANDBY, is_configured=False)), Configure)
    assert step(STANDBY) == Stay("following vm-a")
    assert isinstance(step(replace(STANDBY, is_streaming=False)), Stay)


def test_a_standby_whose_log_is_gone_is_built_anew() -> None:
    gone = replace(STANDBY, is_streaming=False, stalled_ms=STALLED_MS)
    past = Invitation(system="1", version=15, timeline=1, port=5432, password="p", oldest=10_000)
    assert isinstance(step(gone), Stay)
    stop = step(gone, past)
    assert isinstance(stop, StopServer)
    assert stop.why is Why.BEHIND
    assert isinstance(step(replace(COPY, behind=past.history), past), BaseBackup)


def test_after_a_clean_stop_that_was_taken_over_whole_it_follows_at_once() -> None:
    assert isinstance(step(was_active(ClusterState.SHUT_DOWN), NEXT), StartStandby)
    wrote_on = was_active(ClusterState.SHUT_DOWN, checkpoint=500)
    assert isinstance(step(replace(wrote_on, position=500), NEXT), Rewind)


@pytest.mark.parametrize("state", [ClusterState.PRODUCTION, ClusterState.SHUTTING_DOWN])
def test_what_crashed_while_active_is_rewound(state: ClusterState) -> None:
    assert isinstance(step(was_active(state), NEXT), Rewind)


def test_f20_a_log_that_was_replayed_for_a_rewind_ends_in_no_clean_stop() -> None:
    """The rewind did not reach the active; the checkpoint of the replay is of this copy alone."""
    replayed = replace(was_active(ClusterState.SHUT_DOWN), building=Building.REPLAYED)
    assert isinstance(step(replayed, NEXT), Rewind)
    assert not is_part(replayed, NEXT)


def test_a_copy_just_made_is_started_whatever_its_source_did() -> None:
    made = replace(was_active(ClusterState.PRODUCTION), is_made=True)
    assert isinstance(step(made), StartStandby)
    assert isinstance(step(made, NEXT), StartStandby)
    assert isinstance(step(replace(made, position=501), NEXT), BaseBackup)


def test_a_rewind_waits_for_the_first_checkpoint_of_the_active() -> None:
    early = Invitation(
        system="1", version=15, timeline=2, past=((1, 500),), port=5432, password="p"
    )
    assert isinstance(step(was_active(ClusterState.PRODUCTION), early), Stay)


def test_what_cannot_be_rewound_is_copied() -> None:
    control = replace(CONTROL, state=ClusterState.PRODUCTION, can_rewind=False)
    assert isinstance(step(replace(COPY, control=control), NEXT), BaseBackup)


def test_two_active_on_one_timeline_are_never_merged() -> None:
    assert isinstance(step(was_active(ClusterState.SHUT_DOWN), ACTIVE), BaseBackup)
    twin = replace(COPY, history=History(2, (Branch(1, 400),)))
    assert isinstance(step(twin, NEXT), BaseBackup)


def test_what_is_copied_was_not_started_since_and_what_was_is_stopped_in_order_first() -> None:
    crashed = replace(COPY, control=replace(CONTROL, state=ClusterState.ARCHIVE_RECOVERY))
    assert isinstance(step(replace(crashed, beyond=NEXT.history), NEXT), StartStandby)


def test_files_are_changed_at_rest_only() -> None:
    """Over a small world: no rewind, base backup or start while a server is there."""
    for running, state, system, building, timeline, position, own in product(
        Running, ClusterState, ("1", "2"), Building, (1, 2, 3), (450, 501), (ACTIVE, NEXT)
    ):
        control = replace(CONTROL, state=state, system=system)
        history = History(timeline, (Branch(1, 480),) if timeline > 1 else ())
        copy = Copy(running, 15, control, history, position, building=building)
        found = step(copy, own)
        if isinstance(found, Rewind | BaseBackup | StartStandby):
            assert running is Running.NO
        if isinstance(found, Rewind):
            assert system == "1"
            assert building in {Building.NOTHING, Building.REPLAYED}
        if isinstance(found, StartStandby | Configure):
            assert system == "1"


@pytest.mark.parametrize(
    "copy",
    [
        replace(COPY, beyond=ACTIVE.history),
        replace(COPY, control=None, history=None),
        replace(COPY, building=Building.REWIND),
        replace(COPY, behind=ACTIVE.history),
    ],
)
def test_a_copy_that_acknowledged_writes_rest_on_is_not_taken_apart(copy: Copy) -> None:
    """S3: the active may die for good in the middle of it."""
    assert isinstance(step(copy), Rewind | BaseBackup)
    waits = next_step(copy, "vm-a", ACTIVE, is_counted=True)
    assert isinstance(waits, Stay)
    assert "once vm-a no longer counts on it" in waits.message


def test_what_takes_nothing_apart_does_not_wait() -> None:
    assert next_step(COPY, "vm-a", ACTIVE, is_counted=True) == step(COPY)
    apart = replace(STANDBY, history=NEXT.history, is_streaming=False, stalled_ms=APART_MS)
    assert isinstance(next_step(apart, "vm-a", ACTIVE, is_counted=True), StopServer)
