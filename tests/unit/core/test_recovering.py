"""Break-glass recovery: which proofs it demands, and what whoever is left begins anew with."""

from dataclasses import replace

import pytest

from standfast.core import quorum
from standfast.core.events import Declined, Effect, Received, Recovered, Send, Tick
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.messages import Grant, Hello, Refusal, VoteRequest
from standfast.core.record import DataMode, Holder, Proof, Record, Suspect
from standfast.core.recovering import (
    Known,
    of_a_later_term,
    recovered_record,
    recovery_problem,
)
from tests.unit.core.one_member import BOOT, One
from tests.unit.core.small_world import A, B, C, W, X, config_of, member

PAIR = config_of(A, B, W)
OFF = {A: Proof.ATTESTED, W: Proof.POWERED_OFF}


def promising(me: MemberUid = B, data: DataMode = DataMode.NONE) -> One:
    """A member that has just renewed the holder's lease."""
    config = replace(PAIR, data=data)
    one = One(me, config)
    record = Record(Version(3, 7), config, Holder(A, BootId("a-1")), frozenset({A, B}))
    one.hear(A, one.renew(3, record=record, version=record.version), boot="1")
    return one


def left_behind(data: DataMode = DataMode.NONE, me: MemberUid = B) -> One:
    """The standby: the holder and the witness are gone for good, and so is their lease."""
    one = promising(me, data)
    one.state = replace(one.state, promise=None)
    return one


def recovered(one: One, **changes: object) -> Record:
    record = recovered_record(one.record, (member(B),), OFF, one.state.durable.term)
    return replace(record, **changes)  # type: ignore[arg-type]


def taken(one: One, record: Record) -> tuple[Effect, ...]:
    return one.tell(Recovered(record))


@pytest.mark.parametrize(
    ("left", "proven", "holds", "said"),
    [
        ({B}, {A, W}, False, None),
        ({B}, {A}, False, "W neither answer nor are proven off"),
        ({B, W}, set(), False, "2 of 3 voters answer, which is a majority"),
        ({W}, {A, B}, False, "no node is left that could serve"),
        ({B}, {A, W}, True, "a node holds the lease"),
    ],
)
def test_f38_a_recovery_demands_a_proof_of_everybody_else(
    left: set[MemberUid], proven: set[MemberUid], holds: bool, said: str | None
) -> None:
    names = tuple(replace(m, name=m.uid.upper()) for m in PAIR.members)
    config = replace(PAIR, members=names)
    found = recovery_problem(config, left, proven, holds=holds)
    assert (
        found is None if said is None else found is not None and said.lower() in found[0].lower()
    )


def test_who_has_just_started_waits_out_its_boot_hold() -> None:
    """It may have promised the lease to somebody in the run before, and does not know."""
    one = left_behind()
    until_ms = one.now_ms + 1_000
    one.state = replace(one.state, boot_hold_until_ms=until_ms)
    taken(one, recovered(one))
    assert one.record.config.members == (member(B),)
    while one.now_ms < until_ms:
        assert one.state.holding is None
        one.now_ms += 1
        one.tell(Tick())
    one.stands_within(5_000)
    assert one.state.holding is not None


def test_who_restarts_again_after_a_recovery_waits_as_well() -> None:
    """The recovery forgets whom it voted for, not that it may have promised."""
    one = left_behind()
    one.state = replace(one.state, boot_hold_until_ms=one.now_ms + 1_000)
    taken(one, recovered(one))
    ttl_ms = one.record.config.ttl_ms
    again, _ = quorum.start(one.state.durable, BOOT, RunId("run-2"), one.now_ms)
    assert again.boot_hold_until_ms == one.now_ms + ttl_ms
    later = left_behind()
    taken(later, recovered(later))
    assert later.state.durable.promised_ttl_ms == 0


def test_f38_whoever_is_left_is_elected_alone_in_the_new_incarnation() -> None:
    one = left_behind()
    before = one.record
    taken(one, recovered(one))
    assert one.record.config.incarnation == before.config.incarnation + 1
    assert [m.uid for m in one.record.config.members] == [B]
    (cleared,) = recovered(left_behind()).cleared
    assert (cleared.suspect, cleared.proof) == (Suspect(A, BootId("a-1"), 3), Proof.ATTESTED)
    assert {m.uid for m in one.record.left_out} == {A, W}
    while one.state.holding is None:
        one.now_ms += 1
        one.tell(Tick())
    assert one.state.serves(one.now_ms)
    assert one.record.suspects == ()


def test_a_member_of_the_old_incarnation_stops_when_it_meets_the_new_one() -> None:
    one = One(A, PAIR)
    one.win(W)
    one.hear(B, Hello(Version(9, 0), Version(9, 0), "x", named=False), incarnation=2)
    assert one.state.durable.halted
    assert one.state.holding is None


def test_messages_of_the_old_incarnation_are_dropped() -> None:
    one = left_behind()
    taken(one, recovered(one))
    one.hear(A, VoteRequest(False, 1, 99, PAIR.ttl_ms, one.record), incarnation=1)
    assert one.sent() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": Version(3, 9)}, "is of term 3, and 3 was seen here"),
        ({"config": replace(PAIR, incarnation=3)}, "begins incarnation 3, after 1 here"),
        ({"config": replace(PAIR, cluster=ClusterUid("other"))}, "is of cluster other"),
        ({"config": config_of(A, W)}, "begins incarnation 1"),
        ({"config": replace(config_of(A, W), incarnation=2)}, "leaves this member out"),
    ],
)
def test_another_record_is_declined(changes: dict[str, object], said: str) -> None:
    one = left_behind()
    before = one.state.durable
    (effect,) = taken(one, recovered(one, **changes))
    assert isinstance(effect, Declined)
    assert said in effect.problem
    assert one.state.durable == before


def test_a_record_that_came_with_a_refusal_counts_as_seen() -> None:
    """Its term is above every one that this member voted or renewed in."""
    newer = replace(left_behind().record, version=Version(5, 2))
    one = left_behind()
    one.stand()
    one.refuse(W, reason=Refusal.OLD_RECORD, record=newer)
    assert (one.record.version, one.state.durable.term) == (Version(5, 2), 3)
    (effect,) = taken(one, replace(recovered(one), version=Version(5, 0)))
    assert isinstance(effect, Declined)
    assert "is of term 5, and 5 was seen here" in effect.problem
    taken(one, recovered(one))
    assert one.record.config.incarnation == 2


def test_half_a_proof_clears_nobody() -> None:
    one = left_behind()
    record = recovered_record(one.record, (member(B),), {A: Proof.WATCHDOG}, 3)
    (effect,) = taken(one, record)
    assert isinstance(effect, Declined)
    assert "less than a full proof" in effect.problem


def test_a_former_holder_that_is_left_stays_a_suspect() -> None:
    one = left_behind()
    record = recovered_record(one.record, (member(A), member(B)), OFF, one.state.durable.term)
    taken(one, record)
    assert one.record.suspects == (Suspect(A, BootId("a-1"), 3),)


def test_a_witness_that_is_left_takes_part_and_waits_to_be_asked() -> None:
    one = One(W, PAIR)
    record = recovered_record(one.record, (member(B), member(W)), OFF, 3)
    taken(one, record)
    assert one.record == record
    assert one.state.stand_at_ms is None
    one.hear(B, one.ask(record.version.term + 1), incarnation=2)
    assert isinstance(one.answer(), Grant)


def test_a_holder_is_not_recovered() -> None:
    one = One(A, PAIR)
    one.win(W)
    record = recovered_record(one.record, (member(A),), {}, one.state.durable.term)
    (effect,) = taken(one, record)
    assert isinstance(effect, Declined)
    assert effect.problem == "this node holds the lease"


def test_who_has_promised_to_another_is_not_recovered() -> None:
    """An order that was late: whoever it calls off has come back, and holds by this promise."""
    one = promising()
    (effect,) = taken(one, recovered(one))
    assert isinstance(effect, Declined)
    assert effect.problem == f"a may hold the lease for {PAIR.ttl_ms} ms yet"
    assert one.record.config.incarnation == 1


def test_a_promise_to_oneself_hinders_no_recovery() -> None:
    """A candidate's own: it holds nothing."""
    one = left_behind()
    one.stand()
    one.grant(W)
    assert one.state.promise is not None
    taken(one, recovered(one))
    assert one.record.config.incarnation == 2


def test_who_is_left_without_the_data_needs_a_consent() -> None:
    one = left_behind(DataMode.REPLICATED)
    assert recovered(one).in_sync == {B}
    behind = replace(one.record, in_sync=frozenset({A}))
    assert recovered_record(behind, (member(B),), OFF, 3).in_sync == frozenset()


def test_a_witness_that_is_left_votes_again_at_once() -> None:
    one = left_behind(me=W)
    taken(one, recovered_record(one.record, (member(B), member(W)), {A: Proof.ATTESTED}, 3))
    assert one.record.config.incarnation == 2
    assert one.state.stand_at_ms is None
    one.hear(B, one.ask(5, record=one.record, ttl_ms=PAIR.ttl_ms), incarnation=2)
    assert isinstance(one.answer(), Grant)


@pytest.mark.parametrize(
    ("version", "in_sync", "complete"),
    [
        (Version(3, 8), frozenset({A}), frozenset()),
        (Version(3, 6), frozenset({A}), frozenset({B})),
        (Version(4, 1), frozenset({A, B}), frozenset({B})),
    ],
)
def test_s3_who_was_given_up_by_those_who_are_gone_is_in_sync_no_more(
    version: Version, in_sync: frozenset[MemberUid], complete: frozenset[MemberUid]
) -> None:
    """The holder and the witness let B go and acknowledged writes without it; then they died.

    B holds the record from before, which calls it in sync.
    """
    one = left_behind(DataMode.REPLICATED)
    known = Known(version, in_sync, position=900)
    record = recovered_record(one.record, (member(B),), OFF, one.state.durable.term, known=known)
    assert record.in_sync == complete
    assert record.position == (900 if version > one.record.version else None)
    taken(one, record)
    if not complete:
        for _ in range(10 * record.config.ttl_ms):
            one.now_ms += 1
            one.tell(Tick())
        assert one.state.holding is None, "it waits for a person's consent"


def _deliver(members: dict[MemberUid, One], sender: One) -> None:
    """What one has just sent, with every answer and what follows, in order."""
    waiting = [e.envelope for e in sender.effects if isinstance(e, Send)]
    while waiting:
        envelope = waiting.pop(0)
        one = members.get(envelope.to)
        if one is not None:
            one.tell(Received(envelope))
            waiting += [e.envelope for e in one.effects if isinstance(e, Send)]


def _time_until_one_serves(members: dict[MemberUid, One], ms_max: int = 60_000) -> One | None:
    for _ in range(ms_max // 10):
        for one in members.values():
            one.now_ms += 10
            one.tell(Tick())
            _deliver(members, one)
        for one in members.values():
            if one.state.serves(one.now_ms):
                return one
    return None


def test_f38_who_voted_again_before_the_order_came_takes_the_same_one_of_a_later_term() -> None:
    """Two of five are left; one took the recovery, the other voted with those who came back."""
    five = config_of(A, B, C, W, X)
    newest = Record(Version(3, 7), five, Holder(C, BootId("c-1")), frozenset({A, B}))
    off = dict.fromkeys((C, W, X), Proof.ATTESTED)
    order = recovered_record(newest, (member(A), member(B)), off, 3)
    one, other = (One(me, five, record=newest) for me in (A, B))
    for each in (one, other):
        each.state = replace(each.state, promise=None)
    taken(one, order)
    other.hear(C, other.ask(9), boot="2")
    other.state = replace(other.state, promise=None)
    assert other.state.durable.term >= order.version.term
    (declined,) = taken(other, order)
    assert isinstance(declined, Declined)
    members = {A: one, B: other}
    assert _time_until_one_serves(members, 20_000) is None, "a minority of it never serves"

    other.state = replace(other.state, promise=None)
    again = of_a_later_term(order, other.state.durable.term)
    taken(other, again)
    assert other.record.version == again.version
    serving = _time_until_one_serves(members)
    assert serving is not None
    assert one.record.config.id == other.record.config.id == again.config.id
