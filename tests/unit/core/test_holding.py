"""The holder's rules: what keeps a lease, what is committed, what is proposed, how it ends."""

from dataclasses import replace

import pytest

from standfast.core.events import (
    ClockSuspect,
    Declined,
    EmergencyStop,
    InSyncProposed,
    LeaseExtended,
    LocalChanged,
    Loss,
    Persist,
    PositionProposed,
    ProofHeld,
    RecordCommitted,
    ReleaseCancelled,
    Released,
    ReleaseRequested,
    StopForRelease,
    Stopped,
    Tick,
    TtlRequested,
)
from standfast.core.holding import in_sync_required, propose
from standfast.core.ids import BootId, MemberUid, RunId, Version
from standfast.core.messages import Ack, Ask, Fenced, Refusal, Refuse, Release, Renew
from standfast.core.record import DataMode, Proof, Suspect, WatchdogArmed
from standfast.core.state import Holding, Local
from standfast.core.turn import Turn
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

B1 = BootId("b-boot-1")
PAIR = config_of(A, B, W)
FIVE = config_of(A, B, C, W, X)
REPLICATED = config_of(A, B, C, W, X, data=DataMode.REPLICATED)


def held(one: One) -> Holding:
    assert one.state.holding is not None
    return one.state.holding


def holder(config: object = None) -> One:
    one = One(A, config)  # type: ignore[arg-type]
    one.win(*(uid for uid in (W, X) if one.config.member(uid) is not None))
    return one


def beat(one: One) -> None:
    one.now_ms = held(one).next_beat_at_ms
    one.tell(Tick())


# --- time --------------------------------------------------------------------------------------


def test_a_renewal_extends_the_own_promise_before_it_is_sent() -> None:
    one = holder()
    beat(one)
    assert one.state.promise is not None
    assert one.state.promise.until_ms == one.now_ms + one.config.ttl_ms
    assert {to for to, _ in one.sent(Renew)} == {B, W}


def test_the_lease_counts_from_when_the_answered_renewal_was_sent() -> None:
    one = holder()
    beat(one)
    sent_ms = one.now_ms
    one.now_ms += 150
    one.ack(W)
    one.ack(B)
    until_ms = sent_ms + one.config.hold_ms(one.config.ttl_ms)
    assert held(one).lease_until_ms == until_ms


def test_a_longer_lease_is_told() -> None:
    one = holder()
    beat(one)
    one.ack(W)
    assert LeaseExtended(held(one).term, held(one).lease_until_ms) in one.effects


def test_the_lease_ends_with_the_majority_th_voter() -> None:
    one = holder(FIVE)
    first_ms = held(one).lease_until_ms
    beat(one)
    one.ack(W)
    assert held(one).lease_until_ms == first_ms
    one.ack(B)
    assert held(one).lease_until_ms > first_ms


@pytest.mark.parametrize(
    "change",
    [{"run": RunId("another")}, {"term": 99}, {"beat": 77}, {"config": Version(9, 9)}],
)
def test_an_answer_that_names_something_else_extends_nothing(change: dict[str, object]) -> None:
    one = holder()
    beat(one)
    until_ms = held(one).lease_until_ms
    one.ack(W, **change)
    assert held(one).lease_until_ms == until_ms


def test_late_answers_do_not_revive_a_lease_that_is_gone() -> None:
    one = holder()
    beat(one)
    now, version = held(one), one.record.version
    ack = Ack(now.beat, one.state.run, now.term, version, PAIR.id, now.ttl_ms, one.now_ms)
    one.tell(ReleaseRequested())
    one.tell(Stopped())
    one.hear(W, ack)
    assert one.state.holding is None


def test_an_answer_that_comes_before_an_earlier_one_is_not_undone_by_it() -> None:
    one = holder()
    beat(one)
    first = held(one).beat
    one.now_ms += 10
    beat(one)
    one.ack(W)
    until_ms = held(one).lease_until_ms
    one.ack(W, beat=first)
    assert held(one).lease_until_ms == until_ms


def test_a_clock_that_stood_still_ends_the_lease() -> None:
    one = holder()
    beat(one)
    one.ack(W)
    beat(one)
    one.ack(W, clock_ms=one.now_ms + 5_000)
    stop = one.effects[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.CLOCK


@pytest.mark.parametrize("ahead_ms", [0, 80])
def test_a_clock_within_drift_and_a_tick_does_not(ahead_ms: int) -> None:
    one = holder()
    beat(one)
    one.ack(W)
    beat(one)
    one.ack(W, clock_ms=one.now_ms + ahead_ms)
    assert one.state.holding is not None


def test_clocks_of_two_runs_of_a_voter_are_not_compared() -> None:
    one = holder()
    beat(one)
    one.ack(W)
    beat(one)
    now, version = held(one), one.record.version
    far_ms = one.now_ms + 5_000
    ack = Ack(now.beat, one.state.run, now.term, version, PAIR.id, now.ttl_ms, far_ms)
    one.hear(W, ack, run="run-2")
    assert one.state.holding is not None


def test_clocks_that_contradict_each_other_end_the_lease() -> None:
    one = holder()
    stop = one.tell(ClockSuspect("CLOCK_REALTIME left CLOCK_BOOTTIME"))[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.CLOCK


# --- the record --------------------------------------------------------------------------------


def test_nothing_is_served_before_a_majority_holds_the_first_record() -> None:
    one = One(A, FIVE)
    one.win(W, X, commits=False)
    one.ack(W)
    assert not one.state.serves(one.now_ms)
    one.ack(X)
    (committed,) = [e for e in one.effects if isinstance(e, RecordCommitted)]
    assert (committed.record, committed.first) == (one.record, True)
    assert one.state.serves(one.now_ms)


def test_the_record_travels_whole_until_it_is_acknowledged() -> None:
    one = holder()
    beat(one)
    sent = dict(one.sent(Renew))
    assert isinstance(sent[B], Renew)
    assert isinstance(sent[W], Renew)
    assert sent[B].record == one.record
    assert sent[W].record is None


def test_a_voter_that_does_not_know_the_record_is_sent_it_again() -> None:
    one = holder()
    beat(one)
    now = held(one)
    one.hear(
        W, Refuse(Ask.RENEW, now.beat, one.state.run, now.term, now.term, Refusal.RECORD_UNKNOWN)
    )
    beat(one)
    sent = dict(one.sent(Renew))
    assert isinstance(sent[W], Renew)
    assert sent[W].record == one.record


def test_a_node_that_does_not_serve_proposes_nothing() -> None:
    one = One(A)
    for event in (InSyncProposed(frozenset({A})), PositionProposed(5)):
        (declined,) = one.tell(event)
        assert isinstance(declined, Declined)


def test_what_is_proposed_already_is_not_proposed_again() -> None:
    one = holder()
    version = one.record.version
    one.tell(InSyncProposed(one.record.in_sync))
    one.tell(PositionProposed(7))
    one.tell(PositionProposed(7))
    one.tell(LocalChanged(Local(eligible=True, watchdog=WatchdogArmed(2_000))))
    one.tell(LocalChanged(Local(eligible=True, watchdog=WatchdogArmed(2_000))))
    assert one.record.version == version._replace(seq=version.seq + 2)
    assert (one.record.position, one.record.watchdog) == (7, WatchdogArmed(2_000))


def test_a_watchdog_that_changed_before_the_first_record_was_committed_is_told_after_it() -> None:
    """Or others would rest on one that nobody feeds, or not on one that is armed."""
    one = One(A)
    one.tell(LocalChanged(Local(eligible=True, watchdog=WatchdogArmed(2_000))))
    one.win(B, W, commits=False)
    assert one.record.watchdog == WatchdogArmed(2_000)
    one.tell(LocalChanged(Local(eligible=True)))
    assert one.record.version.seq == 1
    one.ack(B)
    assert one.record.version.seq == 2
    assert one.record.watchdog is None


def test_only_data_nodes_can_be_in_sync_and_the_holder_always_is() -> None:
    one = holder(REPLICATED)
    one.tell(InSyncProposed(frozenset({B, W, MemberUid("stranger")})))
    assert one.record.in_sync == {A, B}


def test_writes_wait_for_the_committed_set_and_for_every_set_proposed_since() -> None:
    one = holder(REPLICATED)
    one.tell(InSyncProposed(frozenset({A, B})))
    one.ack(W)
    one.ack(X)
    assert in_sync_required(one.state) == {A, B}
    one.tell(InSyncProposed(frozenset({A, C})))
    assert in_sync_required(one.state) == {A, B, C}
    one.tell(InSyncProposed(frozenset({A})))
    assert in_sync_required(one.state) == {A, B, C}
    one.ack(W)
    assert in_sync_required(one.state) == {A, B, C}
    one.ack(X)
    assert in_sync_required(one.state) == {A}


def test_a_node_without_a_lease_requires_nobody() -> None:
    assert in_sync_required(One(A).state) == frozenset()


# --- suspects ----------------------------------------------------------------------------------


def suspicious() -> tuple[One, Suspect]:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.win(W)
    return one, Suspect(B, B1, 3)


def test_a_suspect_is_taken_off_by_a_record_that_names_the_proof() -> None:
    one, suspect = suspicious()
    assert one.record.suspects == (suspect,)
    one.tell(ProofHeld(suspect, Proof.ATTESTED))
    assert one.record.suspects == ()
    assert [(c.suspect, c.proof) for c in one.record.cleared] == [(suspect, Proof.ATTESTED)]


def test_a_proof_that_is_not_good_for_everything_leaves_the_suspect() -> None:
    one, suspect = suspicious()
    one.tell(ProofHeld(suspect, Proof.WATCHDOG))
    assert one.state.proofs == {suspect: Proof.WATCHDOG}
    assert one.record.suspects == (suspect,)


@pytest.mark.parametrize(
    "message",
    [Release(B, B1, 3, stopped=True), Fenced(B, B1)],
    ids=["Released", "PoweredOff"],
)
def test_what_the_holder_hears_itself_proves_too(message: Release | Fenced) -> None:
    one, _ = suspicious()
    one.hear(B if isinstance(message, Release) else W, message)
    assert one.record.suspects == ()


def test_what_was_known_before_winning_proves_too() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.hear(B, Release(B, B1, 3, stopped=True))
    one.win(W)
    assert one.record.suspects == ()


# --- refusals ----------------------------------------------------------------------------------


def refusal(one: One, **changes: object) -> Refuse:
    now = held(one)
    refuse = Refuse(Ask.RENEW, now.beat, one.state.run, now.term, 9, Refusal.OLD_TERM)
    return replace(refuse, **changes)  # type: ignore[arg-type]


def test_a_refusal_with_a_higher_term_does_not_end_a_valid_lease() -> None:
    one = holder(FIVE)
    until_ms = held(one).lease_until_ms
    one.hear(W, refusal(one))
    assert held(one).lease_until_ms == until_ms
    assert one.state.candidacy is not None
    assert one.state.candidacy.ask.term == 10


def test_the_old_lease_is_not_renewed_while_it_asks_for_votes_above_it() -> None:
    one = holder(FIVE)
    one.hear(W, refusal(one))
    one.grant(W)
    one.grant(X)
    assert not held(one).renews
    until_ms = held(one).lease_until_ms
    one.ack(W)
    one.ack(X)
    assert held(one).lease_until_ms == until_ms
    one.grant(W)
    one.grant(X)
    assert held(one).term == 10
    assert held(one).renews
    assert held(one).lease_until_ms >= until_ms


def test_writes_wait_for_the_old_terms_sets_until_the_new_record_is_committed() -> None:
    one = holder(REPLICATED)
    one.tell(InSyncProposed(frozenset({A, B})))
    one.ack(W)
    one.ack(X)
    one.tell(InSyncProposed(frozenset({A, B, C})))
    one.hear(W, refusal(one))
    for _ in range(2):
        one.grant(W)
        one.grant(X)
    assert held(one).committed is None
    assert in_sync_required(one.state) == {A, B, C}
    assert one.record.in_sync >= {A, B}
    one.ack(W)
    one.ack(X)
    assert in_sync_required(one.state) == one.record.in_sync


@pytest.mark.parametrize("change", [{"run": RunId("another")}, {"asked_term": 0}])
def test_a_refusal_that_names_something_else_teaches_nothing(change: dict[str, object]) -> None:
    one = holder()
    one.hear(W, refusal(one, **change))
    assert one.state.term_seen == 0


def test_a_refusal_after_the_lease_teaches_nothing() -> None:
    one = holder()
    late = refusal(one)
    one.tell(ClockSuspect("gone"))
    one.hear(W, late)
    assert one.state.term_seen == 0


def test_a_refusal_that_attests_the_own_boot_off_ends_the_lease() -> None:
    one = holder()
    one.hear(W, refusal(one, reason=Refusal.FENCED, fenced=(Fenced(A, BOOT),)))
    assert one.state.holding is None


def test_a_refusal_brings_power_offs_of_others_along() -> None:
    one = holder()
    one.hear(W, refusal(one, term=0, fenced=(Fenced(B, B1),)))
    assert one.state.durable.fenced == (Fenced(B, B1),)


# --- releasing ---------------------------------------------------------------------------------


def test_a_release_leaves_only_after_everything_is_verified_stopped() -> None:
    one = holder()
    term = held(one).term
    (stop,) = one.tell(ReleaseRequested(B))
    assert stop == StopForRelease(term, B)
    assert one.state.holding is not None
    effects = one.tell(Stopped())
    assert effects.index(Released(term)) == 0
    assert {body for _, body in one.sent(Release)} == {Release(A, BOOT, term, True, B)}
    assert one.state.holding is None
    assert one.state.promise is None


def test_a_releasing_holder_does_not_stand_above_a_higher_term() -> None:
    one = holder()
    one.tell(ReleaseRequested())
    one.hear(W, refusal(one))
    assert one.state.candidacy is None


def test_a_release_can_be_called_off_before_everything_stopped() -> None:
    one = holder()
    one.tell(ReleaseRequested(B))
    one.tell(ReleaseCancelled())
    one.tell(Stopped())
    assert one.state.holding is not None
    one.tell(ReleaseCancelled())
    assert one.state.holding is not None


@pytest.mark.parametrize(
    ("successor", "problem"),
    [(C, "is not a data node"), (W, "is not a data node"), (A, "holds the lease already")],
)
def test_a_release_to_nobody_able_is_declined(successor: MemberUid, problem: str) -> None:
    one = holder()
    (declined,) = one.tell(ReleaseRequested(successor))
    assert isinstance(declined, Declined)
    assert problem in declined.problem


def test_a_release_to_a_node_without_the_data_is_declined() -> None:
    one = holder(REPLICATED)
    (declined,) = one.tell(ReleaseRequested(B))
    assert isinstance(declined, Declined)
    assert "does not hold every acknowledged write" in declined.problem


def test_who_does_not_serve_has_nothing_to_release() -> None:
    (declined,) = One(A).tell(ReleaseRequested())
    assert isinstance(declined, Declined)


def test_after_a_lost_lease_a_release_of_its_term_follows_the_stop() -> None:
    one = holder()
    term = held(one).term
    one.tell(ClockSuspect("gone"))
    assert one.state.must_stop == term
    one.tell(Stopped())
    assert {body for _, body in one.sent(Release)} == {Release(A, BOOT, term, True)}
    assert one.state.must_stop is None


def test_a_stop_that_nobody_asked_for_changes_nothing() -> None:
    one = holder()
    before = one.state
    one.tell(Stopped())
    assert one.state == before
    two = One(A)
    two.stand()
    state = two.state
    two.tell(Stopped())
    assert two.state == state


# --- longer for a while ------------------------------------------------------------------------


def test_a_holder_asks_for_longer_and_goes_back() -> None:
    one = holder()
    one.tell(TtlRequested(6_000))
    assert all(isinstance(b, Renew) and b.ttl_ms == 6_000 for _, b in one.sent(Renew))
    one.ack(W)
    assert held(one).lease_until_ms == one.now_ms + one.config.hold_ms(6_000)
    one.tell(TtlRequested(0))
    assert held(one).ttl_ms == one.config.ttl_ms


def test_it_asks_for_no_longer_than_the_config_allows() -> None:
    one = holder()
    one.tell(TtlRequested(10**9))
    assert held(one).ttl_ms == one.config.ttl_max_ms


def test_who_holds_nothing_asks_for_nothing() -> None:
    (declined,) = One(A).tell(TtlRequested(6_000))
    assert isinstance(declined, Declined)


def test_a_second_refusal_does_not_put_the_next_candidacy_off() -> None:
    one = holder(FIVE)
    one.tell(ReleaseRequested())
    one.hear(W, refusal(one))
    due_ms = one.state.stand_at_ms
    one.now_ms += 50
    one.hear(X, refusal(one, term=12))
    assert (one.state.stand_at_ms, one.state.term_seen) == (due_ms, 12)


def test_what_an_unrenewed_lease_proposes_is_not_sent_by_a_renewal() -> None:
    one = holder()
    one.state = replace(one.state, holding=replace(held(one), renews=False))
    turn = Turn(one.state, one.now_ms)
    record = propose(turn, position=5)
    state, effects = turn.finish()
    assert [type(effect) for effect in effects] == [Persist]
    assert state.record == record
