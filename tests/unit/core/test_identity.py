"""Members that are not who they were: reverted, cloned, of another incarnation, or merely late."""

from dataclasses import replace

import pytest

from standfast.core import quorum
from standfast.core.events import (
    Connected,
    EmergencyStop,
    FencedReported,
    Halted,
    ProofFound,
    ProofHeld,
    Send,
    Stopped,
)
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.messages import Ack, Fenced, Grant, Hello, Refuse, Release
from standfast.core.record import Proof, Suspect
from standfast.core.turn import PROOFS_KEPT
from tests.unit.core.one_member import RUN, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

PAIR = config_of(A, B, W)
B1 = BootId("b-boot-1")


@pytest.mark.parametrize(
    "change", [{"cluster": ClusterUid("another")}, {"to": MemberUid("another")}]
)
def test_a_message_to_somebody_else_is_dropped(change: dict[str, object]) -> None:
    one = One(W)
    before = one.state
    assert one.hear(A, one.ask(5), **change) == ()
    assert one.state == before


def test_a_member_of_an_older_incarnation_stops() -> None:
    one = One(A)
    one.win(W)
    effects = one.hear(B, replace(greeting(one), named=False), incarnation=2)
    assert isinstance(effects[0], EmergencyStop)
    assert any(isinstance(effect, Halted) for effect in effects)
    assert "left out when the cluster was recovered" in one.state.durable.halted


def greeting(one: One) -> Hello:
    return Hello(one.record.version, one.record.config.id, one.record.config.digest)


@pytest.mark.parametrize("body", ["Hello", "Renew", "RenewWhole", "VoteRequest", "Grant"])
def test_who_is_named_in_a_newer_incarnation_waits_for_the_order_to_take_part_in_it(
    body: str,
) -> None:
    one = One(W)
    newer = replace(one.record, config=replace(PAIR, incarnation=2), version=Version(7, 0))
    bodies = {
        "Hello": greeting(one),
        "Renew": one.renew(8),
        "RenewWhole": one.renew(8, record=newer, version=newer.version),
        "VoteRequest": one.ask(8, record=newer),
        "Grant": Grant(False, 1, RUN, 8, newer.config.id, PAIR.ttl_ms),
    }
    before = one.state
    assert one.hear(A, bodies[body], incarnation=2) == ()
    assert one.state == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_record_of_a_newer_incarnation_that_leaves_this_member_out_stops_it(whole: bool) -> None:
    one = One(W)
    config = replace(config_of(A, B), incarnation=2)
    newer = replace(one.record, config=config, version=Version(7, 0))
    body = one.renew(8, record=newer, version=newer.version) if whole else one.ask(8, record=newer)
    one.hear(A, body, incarnation=2)
    assert "left out when the cluster was recovered" in one.state.durable.halted


def test_a_greeting_says_whether_the_config_names_whom_it_greets() -> None:
    one = One(W)
    one.tell(Connected(A))
    one.tell(Connected(MemberUid("stranger")))
    ((_, stranger),) = one.sent(Hello)
    assert isinstance(stranger, Hello)
    assert not stranger.named


def test_a_message_of_an_older_incarnation_is_dropped() -> None:
    config = replace(PAIR, incarnation=2)
    one = One(W, config)
    before = one.state
    assert one.hear(A, one.ask(5), incarnation=1) == ()
    assert one.state == before


def test_a_disk_that_went_back_is_found_by_the_counter_that_a_peer_has_seen() -> None:
    one = One(W)
    own = one.state.durable.generation
    one.hear(A, one.ask(5), seen_generation=own, seen_run=RUN)
    assert not one.state.durable.halted
    own = one.state.durable.generation
    one.hear(A, one.ask(6), seen_generation=own + 1, seen_run=RUN)
    assert "reverted to an earlier state" in one.state.durable.halted


def test_a_copy_is_found_by_a_run_that_is_none_of_this_disks() -> None:
    one = One(W)
    one.hear(A, one.ask(5), seen_generation=1, seen_run=RunId("of a copy"))
    assert "are copies of one" in one.state.durable.halted
    assert one.sent() == []


def test_a_run_from_before_those_remembered_proves_no_copy() -> None:
    one = One(W)
    (run,) = one.state.durable.runs
    durable = replace(one.state.durable, runs=(run._replace(since=5),), generation=9)
    one.state = replace(one.state, durable=durable)
    one.hear(A, one.ask(5), seen_generation=4, seen_run=RunId("forgotten"))
    assert not one.state.durable.halted


def test_a_late_message_is_dropped_and_judges_nobody() -> None:
    one = One(W)
    one.hear(A, one.renew(5))
    before = one.state
    assert one.hear(A, one.renew(5, beat=2), generation=0) == ()
    assert one.state == before


def test_a_halted_member_answers_nothing() -> None:
    one = One(W)
    one.hear(A, one.ask(5), seen_generation=99)
    assert one.hear(A, one.ask(6)) == ()


def test_a_later_boot_proves_the_earlier_one_over() -> None:
    suspects = (Suspect(B, B1, 3),)
    one = One(W, record=record_of(PAIR, Version(4, 1), A, suspects=suspects))
    one.hear(B, one.ask(1))
    effects = one.hear(B, one.ask(1), boot="boot-2")
    (found,) = [effect for effect in effects if isinstance(effect, ProofFound)]
    assert (found.suspect, found.proof) == (suspects[0], Proof.REBOOTED)


def test_a_later_boot_proves_nothing_before_what_began_with_it_is_stopped() -> None:
    suspects = (Suspect(B, B1, 3),)
    one = One(W, record=record_of(PAIR, Version(4, 1), A, suspects=suspects))
    one.hear(B, one.ask(1))
    one.hear(B, one.ask(1), boot="boot-2", clean=False)
    one.hear(B, one.ask(1), boot="boot-2", clean=False)
    assert one.state.proofs == {}
    one.hear(B, one.ask(1), boot="boot-2")
    assert one.state.proofs == {suspects[0]: Proof.REBOOTED}


def test_a_fresh_answer_proves_a_boot_over_only_when_what_began_with_it_is_stopped() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.win(W)
    (suspect,) = one.record.suspects
    held = one.state.holding
    assert held is not None
    ack = Ack(
        held.beat, RUN, held.term, one.record.version, PAIR.id, held.ttl_ms, clock_ms=one.now_ms
    )
    one.hear(B, ack, boot="boot-2", clean=False)
    assert one.record.suspects == (suspect,)
    one.hear(B, ack, boot="boot-2")
    assert one.record.suspects == ()


def test_a_member_says_that_it_is_clean_once_what_it_found_is_verified_stopped() -> None:
    disk = quorum.durable_for(PAIR, A)
    state, _ = quorum.start(disk, BootId("a-boot-1"), RUN, 0)
    state, effects = quorum.step(state, Connected(B), 1)
    assert {e.envelope.clean for e in effects if isinstance(e, Send)} == {False}
    state, _ = quorum.step(state, Stopped(), 2)
    state, effects = quorum.step(state, Connected(B), 3)
    assert {e.envelope.clean for e in effects if isinstance(e, Send)} == {True}


def test_a_late_message_of_an_earlier_boot_proves_nothing_about_the_later_one() -> None:
    suspects = (Suspect(B, BootId("b-boot-2"), 3),)
    one = One(W, record=record_of(PAIR, Version(4, 1), A, suspects=suspects))
    one.hear(B, one.ask(1), boot="boot-2")
    assert one.hear(B, one.ask(1), boot="boot-1", generation=0) == ()
    assert one.state.proofs == {}


def test_an_attested_power_off_is_forgotten_once_a_later_boot_is_seen() -> None:
    one = One(W)
    one.hear(B, one.ask(1))
    one.tell(FencedReported(Fenced(B, B1)))
    one.tell(FencedReported(Fenced(A, BootId("a-boot-1"))))
    own = one.state.durable.generation
    one.hear(B, one.ask(1), boot="boot-2", seen_generation=own)
    assert [f.member for f in one.state.durable.fenced] == [A]


def test_a_power_off_is_kept_against_whatever_was_sent_before_it() -> None:
    """A message of an even earlier boot comes late, and none of the later was ever heard."""
    one = One(W)
    own = one.state.durable.generation
    one.tell(FencedReported(Fenced(B, BootId("b-boot-2"))))
    one.hear(B, one.ask(1), boot="boot-1", seen_generation=own)
    assert [f.boot for f in one.state.durable.fenced] == ["b-boot-2"]
    one.hear(B, one.ask(1), boot="boot-2", seen_generation=own + 1)
    assert [f.boot for f in one.state.durable.fenced] == ["b-boot-2"]


def test_a_power_off_that_an_earlier_run_learnt_is_forgotten_as_well() -> None:
    one = One(W)
    one.tell(FencedReported(Fenced(B, B1)))
    before = one.state.durable.generation
    one.state, _ = quorum.start(one.state.durable, one.state.boot, RUN, one.now_ms)
    one.hear(B, one.ask(1), boot="boot-2", seen_generation=before, seen_run=RUN)
    assert one.state.durable.fenced
    one.hear(B, one.ask(1), boot="boot-2", seen_generation=before + 1, seen_run=RUN)
    assert one.state.durable.fenced == ()


def test_a_power_off_is_kept_while_its_boot_is_suspected() -> None:
    suspects = (Suspect(B, B1, 3),)
    one = One(W, record=record_of(PAIR, Version(4, 1), A, suspects=suspects))
    one.tell(FencedReported(Fenced(B, B1)))
    own = one.state.durable.generation
    one.hear(B, one.ask(1), boot="boot-2", seen_generation=own, clean=False)
    assert [f.boot for f in one.state.durable.fenced] == [B1]


def test_of_members_that_left_nothing_is_remembered() -> None:
    five = config_of(A, B, C, W, X)
    one = One(W, five)
    one.hear(A, one.renew(5))
    one.hear(C, one.ask(1))
    one.hear(C, Release(C, BootId("c-boot-1"), 2, stopped=True))
    one.tell(FencedReported(Fenced(C, BootId("c-boot-1"))))
    smaller = replace(config_of(A, B, W, X), id=Version(5, 3))
    record = record_of(smaller, Version(5, 3), A)
    one.hear(A, one.renew(5, beat=2, record=record, version=record.version))
    state = one.state
    assert state.durable.fenced == ()
    assert C not in state.releases
    assert C not in state.stopped
    assert C not in state.peers
    assert A in state.peers


def test_a_power_off_of_a_stranger_is_not_learnt() -> None:
    one = One(W)
    assert one.tell(FencedReported(Fenced(C, BootId("c-boot-1")))) == ()


def test_proofs_against_nobody_on_the_record_are_kept_within_bounds() -> None:
    one = One(W)
    for term in range(1, 3 * PROOFS_KEPT):
        suspect = Suspect(B, BootId(f"boot-{term}"), term)
        record = record_of(PAIR, Version(term, 1), A, suspects=(suspect,))
        one.hear(A, one.renew(term, record=record, version=record.version))
        one.tell(ProofHeld(suspect, Proof.ATTESTED, approver="jane@example.com"))
        assert suspect in one.state.proofs
    assert len(one.state.proofs) == PROOFS_KEPT + 1
    assert set(one.state.vouched) == set(one.state.proofs)


def test_a_member_shows_each_peer_what_it_has_seen_of_it() -> None:
    one = One(W)
    one.hear(A, one.renew(5), generation=17)
    (sent,) = [effect for effect in one.effects if hasattr(effect, "envelope")]
    envelope = sent.envelope
    assert isinstance(envelope.body, Ack | Refuse)
    assert (envelope.seen_generation, envelope.seen_run) == (17, "a-run-1")
