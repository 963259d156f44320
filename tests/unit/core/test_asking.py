"""Standing for a term: what is asked, what is counted, what a refusal teaches."""

from dataclasses import replace

import pytest

from standfast.core.events import (
    Connected,
    ConsentGiven,
    EmergencyStop,
    GaveUp,
    LeaseWon,
    LocalChanged,
    Loss,
    ProofFound,
    Standing,
    StandRequested,
    Tick,
)
from standfast.core.ids import BootId, RunId, Version
from standfast.core.messages import (
    Ask,
    Consent,
    Fenced,
    Grant,
    Hello,
    Refusal,
    Refuse,
    Release,
    VoteRequest,
)
from standfast.core.record import DataMode, Holder, Proof, Suspect
from standfast.core.state import Local
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

A1, B1, W1 = (BootId(f"{name}-boot-1") for name in "abw")
PAIR = config_of(A, B, W)
FIVE = config_of(A, B, C, W, X)


def asked(one: One) -> VoteRequest:
    assert one.state.candidacy is not None
    return one.state.candidacy.ask


def test_a_term_is_raised_only_after_a_majority_said_yes_to_a_pre_vote() -> None:
    one = One(A, FIVE)
    one.stand()
    assert asked(one).pre
    assert one.state.durable.term == 0
    one.grant(W)
    assert one.state.durable.term == 0
    one.grant(X)
    assert not asked(one).pre
    assert (one.state.durable.term, one.state.durable.voted_for) == (1, A)
    assert [to for to, _ in one.sent(VoteRequest)] == [B, C, W, X]


def test_a_majority_wins_and_the_lease_counts_from_the_question() -> None:
    one = One(A)
    one.stand()
    one.grant(W)
    asked_ms = one.now_ms
    one.now_ms += 100
    one.grant(W)
    (won,) = [e for e in one.effects if isinstance(e, LeaseWon)]
    assert won.until_ms == asked_ms + one.config.hold_ms(one.config.ttl_ms)


@pytest.mark.parametrize(
    "change",
    [
        {"run": RunId("another")},
        {"request": 99},
        {"pre": True},
        {"term": 7},
        {"config": Version(3, 1)},
        {"ttl_ms": 1},
    ],
)
def test_a_grant_that_names_something_else_is_not_counted(change: dict[str, object]) -> None:
    one = One(A)
    one.stand()
    one.grant(W)
    one.grant(W, **change)
    assert one.state.holding is None
    one.grant(W)
    assert one.state.holding is not None


def test_a_grant_to_nobody_is_nothing() -> None:
    one = One(A)
    assert one.hear(W, Grant(False, 1, one.state.run, 1, Version(0, 0), 1500)) == ()


def test_a_lease_that_is_over_when_it_is_won_is_given_up() -> None:
    one = One(A)
    one.stand()
    one.grant(W)
    candidacy = one.state.candidacy
    assert candidacy is not None
    hold_ms = one.config.hold_ms(one.config.ttl_ms)
    late = replace(candidacy, asked_at_ms=one.now_ms - hold_ms)
    one.state = replace(one.state, candidacy=late)
    one.grant(W)
    assert one.state.holding is None
    assert any(isinstance(effect, GaveUp) for effect in one.effects)


def test_a_candidate_gives_up_when_a_majority_is_impossible() -> None:
    one = One(A)
    one.stand()
    one.refuse(B)
    assert one.state.candidacy is not None
    one.refuse(W)
    assert one.state.candidacy is None
    assert one.state.attempts == 1


def test_a_candidate_gives_up_after_two_heartbeats() -> None:
    one = One(A)
    one.stand()
    one.now_ms += one.config.timing.give_up_ms
    one.tell(Tick())
    assert any(isinstance(effect, GaveUp) for effect in one.effects)


def test_a_failed_candidate_takes_its_vote_back_and_frees_its_voters() -> None:
    one = One(A, FIVE)
    one.stand()
    one.grant(W)
    one.grant(X)
    one.now_ms += one.config.timing.give_up_ms
    one.tell(Tick())
    assert one.state.promise is None
    releases = [body for _, body in one.sent(Release)]
    assert releases == [Release(A, BOOT, 1, stopped=False)] * 4
    assert one.state.releases[A].term == 1


def test_a_failed_candidate_under_an_older_lease_frees_nobody() -> None:
    one = One(A, FIVE)
    one.win(W, X)
    one.hear(W, refusal_of_renewal(one, term=6))
    assert asked(one).pre
    one.grant(W)
    one.grant(X)
    assert asked(one).term == 7
    until_ms = one.state.promise.until_ms if one.state.promise is not None else 0
    for other in (B, C, W):
        one.refuse(other)
    assert one.state.candidacy is None
    assert one.sent(Release) == []
    assert one.state.promise is not None
    assert one.state.promise.until_ms == until_ms


def refusal_of_renewal(one: One, term: int, **changes: object) -> Refuse:
    held = one.state.holding
    assert held is not None
    refuse = Refuse(Ask.RENEW, held.beat, one.state.run, held.term, term, Refusal.OLD_TERM)
    return replace(refuse, **changes)  # type: ignore[arg-type]


def test_a_refusal_of_another_run_teaches_nothing() -> None:
    one = One(A)
    one.stand()
    before = one.state
    one.refuse(W, run=RunId("another"), term=9)
    assert replace(one.state, peers=before.peers) == before


def test_the_next_question_is_above_every_term_seen() -> None:
    one = One(A)
    one.stand()
    one.refuse(W, term=9)
    one.refuse(B, term=4)
    one.stand()
    assert asked(one).term == 10


def test_a_refusal_with_a_newer_record_ends_the_candidacy_first() -> None:
    one = One(A)
    one.stand()
    newer = record_of(PAIR, Version(3, 1), B)
    one.refuse(W, record=newer, term=3, reason=Refusal.OLD_RECORD)
    assert any(isinstance(effect, GaveUp) for effect in one.effects)
    assert one.record == newer
    assert asked(one).record == newer
    assert asked(one).term == 4


def test_the_promise_that_the_candidate_gave_itself_is_gone_before_a_newer_record_is_stored() -> (
    None
):
    one = One(A, FIVE)
    one.stand()
    one.grant(W)
    one.grant(X)
    one.refuse(B, record=record_of(FIVE, Version(3, 1), B), term=3, reason=Refusal.OLD_RECORD)
    assert one.state.promise is None
    assert one.state.releases[A].term == 1


def test_a_member_that_has_won_takes_no_record_from_a_refusal() -> None:
    one = One(A)
    one.stand()
    one.grant(W)
    late = Refuse(
        Ask.VOTE,
        asked(one).request,
        one.state.run,
        1,
        3,
        Refusal.OLD_RECORD,
        record=record_of(PAIR, Version(3, 1), B),
    )
    one.grant(W)
    mine = one.record
    one.hear(B, late)
    assert one.record == mine
    assert one.state.holding is not None


def test_a_refusal_for_a_promise_that_ends_soon_is_waited_for_exactly() -> None:
    one = One(A)
    one.stand()
    one.refuse(W, retry_after_ms=50)
    assert one.state.stand_at_ms == one.now_ms + 51


def test_a_refusal_brings_power_offs_and_releases_along() -> None:
    one = One(A)
    one.stand()
    release = Release(B, B1, 4, stopped=True)
    one.refuse(W, fenced=(Fenced(B, B1),), release=release)
    assert one.state.durable.fenced == (Fenced(B, B1),)
    assert one.state.releases[B] == release


def test_a_fresh_answer_from_another_boot_proves_a_suspect_rebooted() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.stand()
    candidacy = one.state.candidacy
    assert candidacy is not None
    ask = candidacy.ask
    grant = Grant(True, ask.request, one.state.run, ask.term, ask.record.config.id, ask.ttl_ms)
    effects = one.hear(B, grant, boot="boot-2")
    (found,) = [effect for effect in effects if isinstance(effect, ProofFound)]
    assert (found.suspect, found.proof) == (Suspect(B, B1, 3), Proof.REBOOTED)


def test_an_answer_from_the_same_boot_proves_nothing() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.stand()
    one.grant(B)
    assert not [effect for effect in one.effects if isinstance(effect, ProofFound)]


def test_the_first_record_names_the_winner_alone_in_sync_and_all_older_holders_as_suspects() -> (
    None
):
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    older = (Suspect(A, A1, 2), Suspect(B, B1, 1))
    before = record_of(config, Version(3, 4), B, suspects=older, in_sync=frozenset({A, B}))
    one = One(A, config, record=before)
    term = one.win(W, commits=False)
    record = one.record
    assert record.version == Version(term, 1)
    assert record.holder == Holder(A, BOOT)
    assert record.in_sync == {A}
    assert set(record.suspects) == {Suspect(A, A1, 2), Suspect(B, B1, 3)}


def test_without_replicated_data_in_sync_is_left_alone() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 4), B))
    one.win(W)
    assert one.record.in_sync == {A, B}


def test_nobody_stands_before_every_member_has_confirmed_the_first_config() -> None:
    one = One(A)
    one.state = replace(one.state, confirmed=frozenset({B}))
    assert not one.stands_within(5_000)
    one.hear(W, Hello(Version(0, 0), Version(0, 0), "another first config"))
    assert not one.stands_within(5_000)
    one.hear(W, Hello(Version(0, 0), Version(0, 0), PAIR.digest))
    assert one.stands_within(5_000)


def test_whoever_is_beyond_the_first_record_has_confirmed_the_first_config() -> None:
    one = One(A)
    one.state = replace(one.state, confirmed=frozenset({B}))
    one.hear(W, Hello(Version(2, 1), Version(0, 0), "whatever"))
    assert one.state.confirmed == {B, W}


def test_an_ineligible_node_does_not_stand_and_stands_when_it_becomes_eligible() -> None:
    one = One(A)
    one.tell(LocalChanged(Local(eligible=False)))
    one.tell(StandRequested())
    assert not one.stands_within(5_000)
    one.tell(LocalChanged(Local(eligible=True)))
    assert one.stands_within(5_000)


@pytest.mark.parametrize("pre", [True, False])
def test_a_candidate_that_may_not_stand_any_more_gives_up(pre: bool) -> None:
    """Maintenance that begins while votes are on their way: it must not win what it cannot use."""
    one = One(A)
    one.stand()
    if not pre:
        one.grant(B)
    ask = asked(one)
    assert ask.pre is pre
    one.tell(LocalChanged(Local(eligible=False)))
    assert one.state.candidacy is None
    assert bool(one.sent(Release)) is not pre
    one.hear(W, Grant(pre, ask.request, one.state.run, ask.term, ask.record.config.id, ask.ttl_ms))
    assert one.state.holding is None
    assert not one.stands_within(5_000)


def test_who_stands_to_keep_a_lease_goes_on_although_it_becomes_ineligible() -> None:
    one = One(A)
    one.win(B, W)
    held = one.state.holding
    assert held is not None
    one.hear(B, Refuse(Ask.RENEW, held.beat, one.state.run, held.term, 9, Refusal.OLD_TERM))
    assert one.state.candidacy is not None
    one.tell(LocalChanged(Local(eligible=False)))
    assert one.state.candidacy is not None


def test_a_node_that_its_own_data_forbid_does_not_even_ask() -> None:
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    one = One(A, config, record=record_of(config, Version(3, 1), B, in_sync=frozenset({B})))
    one.now_ms += 60_000
    one.tell(Tick())
    assert one.state.candidacy is None
    assert one.state.stand_at_ms is not None
    assert one.state.stand_at_ms > one.now_ms


def consented() -> One:
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    one = One(A, config, record=record_of(config, Version(3, 1), B, in_sync=frozenset({B})))
    one.tell(ConsentGiven(Consent(A, BOOT, 1, Version(3, 1)), one.now_ms + 1_000))
    return one


def test_a_consent_is_asked_with_and_used_once() -> None:
    one = consented()
    one.tell(StandRequested())
    assert asked(one).consent is not None
    one.grant(W)
    one.grant(W)
    assert one.state.holding is not None
    assert one.record.consented
    assert one.state.consent is None


def test_an_expired_consent_is_not_used() -> None:
    one = consented()
    one.now_ms += 1_000
    one.tell(StandRequested())
    assert one.state.candidacy is None


def test_a_consent_that_expires_between_the_two_rounds_is_not_shown_to_voters() -> None:
    one = consented()
    one.now_ms += 999
    one.tell(StandRequested())
    assert asked(one).consent is not None
    one.now_ms += 1
    one.grant(W)
    assert one.state.candidacy is None
    assert one.state.durable.voted_for is None
    assert one.sent(VoteRequest) == []


def test_a_consent_is_void_after_an_agent_start() -> None:
    one = consented()
    again = One(A, one.state.record.config, record=one.state.record)
    assert again.state.consent is None


def test_a_candidate_whose_own_judgement_changes_between_the_rounds_gives_up() -> None:
    """It learns with the answers that its own boot is attested powered off."""
    one = One(A, FIVE)
    one.stand()
    one.hear(W, Fenced(A, BOOT))
    one.grant(W)
    one.grant(X)
    assert one.state.candidacy is None
    assert one.state.durable.term == 0


def test_a_question_is_repeated_to_whoever_comes_within_reach() -> None:
    one = One(A, FIVE)
    one.stand()
    one.grant(W)
    one.tell(Connected(B))
    assert [to for to, _ in one.sent(VoteRequest)] == [B]
    one.tell(Connected(W))
    assert one.sent(VoteRequest) == []


def test_standing_is_told_for_the_log() -> None:
    one = One(A)
    one.stand()
    assert Standing(1, pre=True) in one.effects
    one.grant(W)
    assert Standing(1, pre=False) in one.effects


def test_the_holder_stands_again_above_a_higher_term_with_the_ttl_it_has_asked_for() -> None:
    one = One(A)
    one.win(W)
    held = one.state.holding
    assert held is not None
    one.state = replace(one.state, holding=replace(held, ttl_ms=6_000))
    one.hear(W, refusal_of_renewal(one, term=9))
    assert (asked(one).term, asked(one).ttl_ms) == (10, 6_000)


def test_a_newer_record_from_a_refusal_of_a_higher_term_ends_a_lease() -> None:
    one = One(A)
    one.win(W)
    one.hear(W, refusal_of_renewal(one, term=9))
    one.refuse(B, record=record_of(PAIR, Version(8, 1), B), term=9)
    assert one.state.holding is None
    assert [e.loss for e in one.effects if isinstance(e, EmergencyStop)] == [Loss.SUPERSEDED]


@pytest.mark.parametrize("data", [DataMode.REPLICATED, DataMode.REPLICATED_ASYNC])
def test_who_may_not_stand_by_its_own_record_asks_for_a_newer_one(data: DataMode) -> None:
    """The holder added it to in_sync, told one voter so, and died."""
    config = config_of(A, B, W, data=data)
    one = One(A, record=record_of(config, Version(7, 2), B, in_sync=frozenset({B})), config=config)
    for _ in range(20_000):
        one.now_ms += 1
        one.tell(Tick())
        if one.sent(VoteRequest):
            break
    (_, to_b), (_, to_w) = one.sent(VoteRequest)
    assert isinstance(to_w, VoteRequest)
    assert to_b == to_w
    assert to_w.pre
    assert one.state.candidacy is None
    assert one.state.durable.voted_for is None
    newer = record_of(config, Version(7, 3), B, in_sync=frozenset({A, B}))
    run, term = one.state.run, to_w.term
    told = Refuse(Ask.PRE_VOTE, to_w.request, run, term, 7, Refusal.OLD_RECORD, record=newer)
    one.hear(W, told)
    assert one.record == newer
    one.now_ms += 1
    one.tell(Tick())
    assert asked(one).record == newer
