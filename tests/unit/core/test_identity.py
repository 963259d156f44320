"""Members that are not who they were: reverted, cloned, of another incarnation, or merely late."""

from dataclasses import replace

import pytest

from standfast.core.events import EmergencyStop, FencedReported, Halted, ProofFound
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.messages import Ack, Fenced, Refuse
from standfast.core.record import Proof, Suspect
from tests.unit.core.one_member import RUN, One, record_of
from tests.unit.core.small_world import A, B, W, config_of

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
    effects = one.hear(B, one.renew(5), incarnation=2)
    assert isinstance(effects[0], EmergencyStop)
    assert any(isinstance(effect, Halted) for effect in effects)
    assert "left out when the cluster was recovered" in one.state.durable.halted


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
    one.hear(B, one.ask(1), boot="boot-2")
    assert [f.member for f in one.state.durable.fenced] == [A]


def test_a_member_shows_each_peer_what_it_has_seen_of_it() -> None:
    one = One(W)
    one.hear(A, one.renew(5), generation=17)
    (sent,) = [effect for effect in one.effects if hasattr(effect, "envelope")]
    envelope = sent.envelope
    assert isinstance(envelope.body, Ack | Refuse)
    assert (envelope.seen_generation, envelope.seen_run) == (17, "a-run-1")
