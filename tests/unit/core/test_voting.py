"""The voter's rules: every combination of what can stand in the way, then each rule as a story."""

import itertools
from dataclasses import replace

import pytest

from standfast.core.events import EmergencyStop, FencedReported, Loss, Persist, ProofFound
from standfast.core.ids import BootId, Version
from standfast.core.messages import Ack, Consent, Fenced, Grant, Refusal, Refuse, Release
from standfast.core.record import DataMode, Proof, Suspect
from standfast.core.state import Promise, Window
from standfast.core.timing import Profile
from standfast.core.voting import judge, may_lead
from tests.unit.core.one_member import One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

A1, A2, B1 = (BootId(name) for name in ("a-boot-1", "a-boot-2", "b-boot-1"))
TTL = Profile.NORMAL.timing.ttl_ms


def test_a_vote_is_granted_only_if_no_rule_stands_in_the_way() -> None:
    """The whole product of a small world: 2,304 voters, one candidate, one question."""
    config = config_of(A, B, W)
    base = One(W, config, record=record_of(config, Version(4, 2), B)).state
    now = 500_000
    promises = (
        None,
        Promise(A, A1, 4, now + 1),
        Promise(A, A2, 4, now + 1),
        Promise(B, B1, 4, now + 1),
        Promise(B, B1, 4, now),
    )
    windows = (
        None,
        Window(A, Release(B, B1, 4, True, A), now + 1),
        Window(B, Release(A, A1, 4, True, B), now + 1),
        Window(B, Release(A, A1, 4, True, B), now),
    )
    for term, voted, promise, window, hold, version, fenced, released in itertools.product(
        (3, 4, 5),
        (None, A, B),
        promises,
        windows,
        (now, now + 1),
        (Version(4, 1), Version(4, 2), Version(5, 1)),
        ((), (Fenced(A, A1),), (Fenced(A, A2),), (Fenced(B, B1),)),
        (None, 3, 5),
    ):
        durable = replace(base.durable, term=4, voted_for=voted, fenced=fenced)
        state = replace(
            base,
            durable=durable,
            promise=promise,
            window=window,
            boot_hold_until_ms=hold,
            releases={} if released is None else {A: Release(A, A1, released, False)},
        )
        record = record_of(config, version, B)
        ask = replace(One(W, config).ask(term), record=record)
        refusal, _ = judge(state, ask, A, A1, now)
        bound = promise is not None and promise.until_ms > now
        freed = promise is not None and Fenced(promise.holder, promise.boot) in fenced
        to_candidate = promise is not None and (promise.holder, promise.boot) == (A, A1)
        rules = (
            term > 4 or (term == 4 and voted == A),
            released is None or released < term,
            not bound or freed or to_candidate,
            window is None or window.until_ms <= now or window.successor == A,
            hold <= now or voted == A,
            version >= Version(4, 2),
            Fenced(A, A1) not in fenced,
        )
        assert (refusal is None) == all(rules), (refusal, rules)


@pytest.mark.parametrize("data", DataMode)
@pytest.mark.parametrize("in_sync", [True, False])
@pytest.mark.parametrize("known", [None, 100])
@pytest.mark.parametrize("mine", [None, 89, 90, 100, 120])
def test_who_may_lead_by_the_data(
    data: DataMode, in_sync: bool, known: int | None, mine: int | None
) -> None:
    config = config_of(A, B, W, data=data, loss_max=10)
    record = record_of(config, Version(4, 2), B, in_sync=frozenset({A} if in_sync else {B}))
    refusal = may_lead(replace(record, position=known), A, mine)
    near = known is not None and mine is not None and mine >= known - 10
    allowed = {
        DataMode.NONE: True,
        DataMode.SHARED_DISK: True,
        DataMode.REPLICATED: in_sync,
        DataMode.REPLICATED_ASYNC: in_sync or near,
    }[data]
    assert (refusal is None) is allowed


CONSENT = Consent(A, A1, 5, Version(4, 2), "somebody")


@pytest.mark.parametrize(
    ("consent", "granted"),
    [
        (None, False),
        (CONSENT, True),
        (replace(CONSENT, candidate=B), False),
        (replace(CONSENT, boot=A2), False),
        (replace(CONSENT, term_min=6), False),
        (replace(CONSENT, record=Version(4, 1)), False),
    ],
)
def test_a_consent_replaces_the_data_for_one_candidate_boot_term_and_record(
    consent: Consent | None, granted: bool
) -> None:
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    one = One(W, config, record=record_of(config, Version(4, 2), B, in_sync=frozenset({B})))
    one.hear(A, one.ask(5, consent=consent))
    assert isinstance(one.answer(), Grant) is granted


def test_a_consent_does_not_excuse_an_older_record() -> None:
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    one = One(W, config, record=record_of(config, Version(4, 2), B, in_sync=frozenset({B})))
    old = record_of(config, Version(4, 1), B)
    one.hear(A, one.ask(5, record=old, consent=replace(CONSENT, record=Version(4, 1))))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert (answer.reason, answer.record) == (Refusal.OLD_RECORD, one.record)


def test_a_witness_or_a_stranger_is_not_elected() -> None:
    one = One(B)
    for stranger in (W, C):
        one.hear(stranger, one.ask(5))
        answer = one.answer()
        assert isinstance(answer, Refuse)
        assert answer.reason is Refusal.NOT_A_DATA_NODE


@pytest.mark.parametrize("ttl_ms", [TTL - 1, Profile.NORMAL.timing.ttl_max_ms + 1])
def test_a_promise_outside_the_declared_range_is_not_given(ttl_ms: int) -> None:
    one = One(W)
    one.hear(A, one.ask(5, ttl_ms=ttl_ms))
    asked = one.answer()
    one.hear(A, one.renew(5, ttl_ms=ttl_ms))
    renewed = one.answer()
    assert isinstance(asked, Refuse)
    assert isinstance(renewed, Refuse)
    assert asked.reason is renewed.reason is Refusal.TTL_OUT_OF_RANGE


def test_a_grant_is_durable_before_it_is_sent_and_promises_from_the_receipt() -> None:
    one = One(W)
    newer = record_of(one.config, Version(4, 2), B)
    effects = one.hear(A, one.ask(5, record=newer))
    assert isinstance(effects[0], Persist)
    assert (one.state.durable.term, one.state.durable.voted_for) == (5, A)
    assert one.record == newer
    assert one.state.promise == Promise(A, A1, 5, one.now_ms + TTL)


def test_a_grant_takes_the_candidates_newer_record_over() -> None:
    one = One()
    newer = record_of(one.config, Version(4, 2), B)
    one.hear(A, one.ask(5, record=newer))
    assert isinstance(one.answer(), Grant)
    assert one.record == newer


def test_a_newer_record_in_a_renewal_is_stored_and_acknowledged() -> None:
    one = One()
    newer = record_of(one.config, Version(5, 2), A)
    one.hear(A, one.renew(5, record=newer, version=newer.version))
    assert one.record == newer
    answer = one.answer()
    assert isinstance(answer, Ack)
    assert answer.version == newer.version


def test_a_pre_vote_changes_nothing_at_all() -> None:
    one = One(W)
    before = one.state
    one.hear(A, one.ask(5, pre=True, record=record_of(one.config, Version(4, 2), B)))
    assert isinstance(one.answer(), Grant)
    assert replace(one.state, peers=before.peers) == before


def test_a_refusal_changes_nothing_at_the_voter() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    before = one.state
    one.hear(B, one.ask(9))
    assert isinstance(one.answer(), Refuse)
    assert replace(one.state, peers=before.peers) == before


def test_a_term_is_voted_in_once() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.now_ms += TTL
    one.hear(B, one.ask(5))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert answer.reason is Refusal.VOTED_OTHERWISE
    one.hear(A, one.ask(5))
    assert isinstance(one.answer(), Grant)


def test_a_refusal_for_a_promise_says_how_long_it_lasts() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.now_ms += 300
    one.hear(B, one.ask(6))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert answer.retry_after_ms == TTL - 300


def test_a_longer_promise_is_remembered_on_disk_and_never_shortened() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(A, one.renew(5, ttl_ms=6_000))
    assert one.state.durable.promised_ttl_ms == 6_000
    until_ms = one.now_ms + 6_000
    one.now_ms += 100
    one.hear(A, one.renew(5, beat=2))
    assert one.state.promise == Promise(A, A1, 5, until_ms)
    assert one.state.durable.promised_ttl_ms == 6_000


def test_a_new_holder_starts_with_its_own_promised_length() -> None:
    one = One(W)
    one.hear(A, one.renew(5, ttl_ms=6_000))
    one.hear(B, one.renew(6))
    assert one.state.durable.promised_ttl_ms == 0


# --- renewals ----------------------------------------------------------------------------------


def test_a_renewal_of_an_older_term_is_refused() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(B, one.renew(4))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert (answer.reason, answer.term) == (Refusal.OLD_TERM, 5)


def test_a_renewal_needs_neither_a_vote_nor_a_free_promise() -> None:
    """Its sender won a majority, whoever this voter voted for."""
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(B, one.renew(5))
    assert isinstance(one.answer(), Ack)
    assert one.state.durable.voted_for == B
    assert one.state.promise == Promise(B, B1, 5, one.now_ms + TTL)


def test_a_late_copy_of_a_renewal_is_not_answered() -> None:
    one = One(W)
    one.hear(A, one.renew(5, beat=3))
    one.now_ms += 50
    assert one.hear(A, one.renew(5, beat=2)) == ()
    assert one.hear(A, one.renew(5, beat=3)) == ()
    assert one.hear(A, one.renew(5, beat=1), run="run-2") != ()
    assert one.hear(A, one.renew(6, beat=1)) != ()


def test_a_fenced_boot_and_a_released_term_are_not_renewed() -> None:
    one = One(W)
    one.tell(FencedReported(Fenced(A, A1)))
    one.hear(A, one.renew(5))
    fenced = one.answer()
    assert isinstance(fenced, Refuse)
    assert (fenced.reason, fenced.fenced) == (Refusal.FENCED, (Fenced(A, A1),))
    one.hear(B, Release(B, B1, 6, stopped=False))
    one.hear(B, one.renew(6))
    released = one.answer()
    assert isinstance(released, Refuse)
    assert released.reason is Refusal.RELEASED_TERM


def test_a_renewal_with_a_record_unknown_here_asks_for_the_whole() -> None:
    one = One(W)
    record = record_of(one.config, Version(5, 2), A)
    one.hear(A, one.renew(5, version=record.version))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert answer.reason is Refusal.RECORD_UNKNOWN
    one.hear(A, one.renew(5, version=record.version, record=record))
    assert isinstance(one.answer(), Ack)
    assert one.record == record


def test_an_older_record_in_a_renewal_replaces_nothing() -> None:
    config = config_of(A, B, W)
    mine = record_of(config, Version(5, 3), A)
    one = One(W, config, record=mine)
    old = record_of(config, Version(5, 2), A)
    one.hear(A, one.renew(5, version=old.version, record=old))
    answer = one.answer()
    assert isinstance(answer, Ack)
    assert (answer.version, one.record) == (mine.version, mine)


def test_a_renewal_of_a_higher_term_ends_a_lease_at_once() -> None:
    one = One(A)
    one.win(W)
    effects = one.hear(B, one.renew(9))
    stop = effects[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.SUPERSEDED
    assert one.state.holding is None


def test_a_renewal_ends_an_own_candidacy_of_its_term() -> None:
    one = One(A, config_of(A, B, C, W, X))
    one.stand()
    one.grant(W)
    one.grant(X)
    assert one.state.candidacy is not None
    assert not one.state.candidacy.ask.pre
    one.hear(B, one.renew(one.state.durable.term))
    assert one.state.candidacy is None
    assert one.state.durable.voted_for == B


# --- releases ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "frees"),
    [
        (Release(A, A1, 5, stopped=True), True),
        (Release(A, A1, 6, stopped=False), True),
        (Release(A, A1, 4, stopped=True), False),
        (Release(A, A2, 5, stopped=True), False),
        (Release(B, B1, 5, stopped=True), False),
    ],
)
def test_a_release_frees_a_promise_to_that_member_and_boot_of_that_term_or_older(
    release: Release, frees: bool
) -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(release.member, release)
    assert (one.state.promise is None) is frees


def test_a_release_that_frees_nothing_opens_no_window() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(A, Release(A, A1, 4, stopped=True, successor=B))
    assert one.state.window is None
    one.hear(A, Release(A, A1, 5, stopped=True, successor=B))
    assert one.state.window is not None
    assert one.state.window.until_ms == one.now_ms + TTL


def test_within_the_window_only_the_successor_is_elected() -> None:
    config = config_of(A, B, C)
    one = One(C, config)
    one.hear(A, one.ask(5))
    one.hear(A, Release(A, A1, 5, stopped=True, successor=B))
    one.hear(A, one.ask(6))
    answer = one.answer()
    assert isinstance(answer, Refuse)
    assert (answer.reason, answer.retry_after_ms) == (Refusal.HANDOVER, TTL)
    one.hear(B, one.ask(6))
    assert isinstance(one.answer(), Grant)


def test_the_successor_itself_stands_at_once() -> None:
    one = One(B)
    one.hear(A, one.ask(5))
    one.hear(A, Release(A, A1, 5, stopped=True, successor=B))
    assert one.state.candidacy is not None


def test_a_handover_that_comes_with_the_question_counts_as_heard() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    release = Release(A, A1, 5, stopped=True, successor=B)
    one.hear(B, one.ask(6, handover=release))
    assert isinstance(one.answer(), Grant)


def test_an_older_release_does_not_replace_a_newer_one() -> None:
    one = One(W)
    newer = Release(A, A1, 5, stopped=True)
    one.hear(A, newer)
    one.hear(A, Release(A, A1, 4, stopped=True))
    one.hear(A, Release(A, A1, 5, stopped=False))
    assert one.state.releases[A] == newer


@pytest.mark.parametrize(
    ("release", "proven"),
    [
        (Release(A, A1, 5, stopped=True), True),
        (Release(A, A1, 6, stopped=True), True),
        (Release(A, A1, 5, stopped=False), False),
        (Release(A, A1, 4, stopped=True), False),
        (Release(A, A2, 5, stopped=True), False),
    ],
)
def test_only_a_stopped_release_of_that_boot_and_term_proves(
    release: Release, proven: bool
) -> None:
    config = config_of(A, B, W)
    suspects = (Suspect(A, A1, 5),)
    one = One(W, config, record=record_of(config, Version(7, 1), B, suspects=suspects))
    effects = one.hear(A, release)
    found = [e for e in effects if isinstance(e, ProofFound)]
    assert [e.proof for e in found] == ([Proof.RELEASED] if proven else [])


# --- power-offs --------------------------------------------------------------------------------


def test_a_power_off_is_durable_told_once_and_frees_the_promise() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    effects = one.tell(FencedReported(Fenced(A, A1)))
    assert isinstance(effects[0], Persist)
    assert [to for to, _ in one.sent(Fenced)] == [A, B]
    assert one.state.promise is None
    assert one.tell(FencedReported(Fenced(A, A1, "again"))) == ()


def test_a_power_off_of_another_boot_frees_nothing() -> None:
    """F29."""
    one = One(W)
    one.hear(A, one.ask(5))
    one.tell(FencedReported(Fenced(A, A2)))
    assert one.state.promise is not None


def test_a_power_off_of_one_boot_forbids_no_other() -> None:
    one = One()
    one.tell(FencedReported(Fenced(A, BootId("a-boot-1"))))
    one.hear(A, one.ask(5), boot="boot-2")
    assert isinstance(one.answer(), Grant)


def test_a_power_off_of_the_successor_closes_its_window() -> None:
    one = One(W)
    one.hear(A, one.ask(5))
    one.hear(A, Release(A, A1, 5, stopped=True, successor=B))
    one.tell(FencedReported(Fenced(B, B1)))
    assert one.state.window is None


def test_a_member_that_learns_that_it_is_off_stops() -> None:
    one = One(A)
    one.win(W)
    effects = one.hear(B, Fenced(A, one.state.boot))
    stop = effects[0]
    assert isinstance(stop, EmergencyStop)
    assert stop.loss is Loss.FENCED


def test_a_power_off_proves_a_suspect_of_that_boot() -> None:
    config = config_of(A, B, W)
    suspects = (Suspect(A, A1, 5),)
    one = One(W, config, record=record_of(config, Version(7, 1), B, suspects=suspects))
    assert not [e for e in one.hear(B, Fenced(A, A2)) if isinstance(e, ProofFound)]
    (found,) = [e for e in one.hear(B, Fenced(A, A1)) if isinstance(e, ProofFound)]
    assert found.proof is Proof.POWERED_OFF
