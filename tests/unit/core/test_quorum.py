"""Starting, stepping, waking: what belongs to no single rule."""

from dataclasses import replace

import pytest

from standfast.core import quorum
from standfast.core.events import (
    Connected,
    EmergencyStop,
    Halted,
    LocalChanged,
    Loss,
    Persist,
    ProofHeld,
    Send,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, RunId, Version
from standfast.core.messages import Hello, Release
from standfast.core.quorum import Adopted
from standfast.core.record import Holder, Proof, Suspect
from standfast.core.state import Local
from tests.unit.core.one_member import BOOT, RUN, One, record_of
from tests.unit.core.small_world import A, B, W, config_of

PAIR = config_of(A, B, W)


def test_a_member_that_joins_later_starts_from_the_term_of_the_record() -> None:
    """It could otherwise win a term below its record, whose first record would go back."""
    record = record_of(PAIR, Version(7, 3), B)
    disk = quorum.durable_for(PAIR, A, record)
    assert (disk.term, disk.record, disk.voted_for) == (7, record, None)
    assert quorum.durable_for(PAIR, A).term == 0


def test_every_start_is_a_run_and_a_durable_write() -> None:
    disk = quorum.durable_for(PAIR, W)
    state, effects = quorum.start(disk, BOOT, RUN, 1_000)
    assert effects == (Persist(state.durable),)
    assert state.durable.generation == disk.generation + 1
    assert [run.id for run in state.durable.runs] == [RUN]


@pytest.mark.parametrize(
    ("voted_for", "promised_ms", "hold_ms"), [(None, 0, 0), (A, 0, 1_500), (A, 9_000, 9_000)]
)
def test_the_hold_after_a_start_is_the_longest_promise_it_may_have_forgotten(
    voted_for: object, promised_ms: int, hold_ms: int
) -> None:
    disk = replace(
        quorum.durable_for(PAIR, W),
        voted_for=voted_for,  # type: ignore[arg-type]
        promised_ttl_ms=promised_ms,
    )
    state, _ = quorum.start(disk, BOOT, RUN, 1_000)
    assert state.boot_hold_until_ms == 1_000 + hold_ms


HELD = replace(record_of(PAIR, Version(4, 1), None), holder=Holder(A, BOOT))


def started(adopted: Adopted | None, **changes: object) -> tuple[quorum.State, tuple[object, ...]]:
    disk = replace(quorum.durable_for(PAIR, A, HELD), voted_for=A)
    return quorum.start(replace(disk, **changes), BOOT, RUN, 1_000, adopted)  # type: ignore[arg-type]


def test_a_lease_of_this_boot_that_still_runs_is_adopted_unrenewed() -> None:
    state, effects = started(Adopted(4, 1_200))
    assert [type(effect) for effect in effects] == [Persist]
    assert state.holds(1_199)
    assert not state.serves(1_199)
    assert state.holding is not None
    assert not state.holding.renews


@pytest.mark.parametrize(
    ("adopted", "changes"),
    [
        (None, {}),
        (Adopted(4, 1_000), {}),
        (Adopted(4, 1_200), {"halted": "a copy"}),
        (Adopted(4, 1_200), {"record": replace(HELD, holder=Holder(A, BootId("before")))}),
        (Adopted(4, 1_200), {"record": replace(HELD, holder=Holder(B, BOOT))}),
        (Adopted(4, 1_200), {"record": replace(HELD, holder=None)}),
    ],
)
def test_whatever_else_is_found_is_stopped_first(
    adopted: Adopted | None, changes: dict[str, object]
) -> None:
    state, effects = started(adopted, **changes)
    stop = effects[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.RESTARTED
    assert state.holding is None
    assert state.must_stop is not None


def test_the_stop_after_a_start_releases_what_this_boot_may_have_held() -> None:
    state, _ = started(None)
    assert state.must_stop == 4
    after, effects = quorum.step(state, Stopped(), 1_100)
    releases = {effect.envelope.body for effect in effects if isinstance(effect, Send)}
    assert releases == {Release(A, BOOT, 4, stopped=True)}
    assert after.must_stop is None


def test_a_member_that_may_take_no_part_any_more_says_so_and_does_nothing() -> None:
    state, effects = started(None, halted="this machine is a copy")
    assert Halted("this machine is a copy") in effects
    for event in (Tick(), LocalChanged(Local(eligible=True)), Connected(B)):
        state, effects = quorum.step(state, event, 2_000)
        assert effects == ()
    state, effects = quorum.step(state, Stopped(), 2_000)
    assert (state.must_stop, effects) == (None, ())


def test_a_new_link_is_greeted() -> None:
    one = One(W)
    one.tell(Connected(A))
    assert one.sent() == [(A, Hello(Version(0, 0), Version(0, 0), PAIR.digest))]


def test_a_lease_that_ended_before_an_event_is_lost_whatever_the_event_says() -> None:
    one = One(A)
    one.win(W)
    held = one.state.holding
    assert held is not None
    one.now_ms = held.lease_until_ms
    one.ack(W)
    stop = one.effects[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.EXPIRED
    assert one.state.holding is None


def test_a_proof_for_somebody_who_is_not_suspected_is_nothing() -> None:
    one = One(A)
    one.win(W)
    one.tell(ProofHeld(Suspect(B, BootId("b"), 1), Proof.ATTESTED))
    assert one.state.proofs == {}


def test_a_quiet_witness_needs_no_waking() -> None:
    one = One(W)
    assert quorum.wake_at_ms(one.state) is None


def test_a_standby_wakes_to_stand_and_a_candidate_to_give_up() -> None:
    one = One(B)
    one.hear(A, one.ask(5))
    assert quorum.wake_at_ms(one.state) == one.state.stand_at_ms
    one.stand()
    candidacy = one.state.candidacy
    assert candidacy is not None
    due_ms = candidacy.asked_at_ms + one.config.timing.give_up_ms
    assert quorum.wake_at_ms(one.state) == due_ms


def test_a_holder_wakes_for_its_next_beat_and_an_unrenewed_lease_for_its_end() -> None:
    one = One(A)
    one.win(W)
    held = one.state.holding
    assert held is not None
    assert quorum.wake_at_ms(one.state) == held.next_beat_at_ms
    unrenewed = replace(held, renews=False, lease_until_ms=held.next_beat_at_ms - 1)
    adopted = replace(one.state, holding=unrenewed, stand_at_ms=None)
    assert quorum.wake_at_ms(adopted) == held.next_beat_at_ms - 1


def test_until_the_first_config_is_confirmed_hello_is_repeated_every_heartbeat() -> None:
    disk = quorum.durable_for(PAIR, W)
    state, _ = quorum.start(disk, BOOT, RunId("r"), 1_000)
    state, effects = quorum.step(state, Tick(), 1_000)
    assert len(effects) == 2
    assert quorum.wake_at_ms(state) == 1_200
    _, effects = quorum.step(state, Tick(), 1_100)
    assert effects == ()
