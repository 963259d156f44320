"""Situations that had no way out, or a wrong one, when the rules were read a second time.

Each was a state in which a suspect stayed for ever, a lease was lost although a majority answered,
or a request was forgotten.
"""

from dataclasses import replace

from standfast.core import quorum
from standfast.core.events import (
    NO_LEASE,
    ChangeRequested,
    Declined,
    EmergencyStop,
    FencedReported,
    LocalChanged,
    Loss,
    ReleaseCancelled,
    ReleaseRequested,
    Send,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, RunId, Version
from standfast.core.messages import Ask, Fenced, Refusal, Refuse, Release, VoteRequest
from standfast.core.quorum import Adopted
from standfast.core.record import MemberKind, Proof, former_holders
from standfast.core.state import Local
from standfast.core.timing import Profile
from tests.unit.core.one_member import One, record_of
from tests.unit.core.small_world import A, B, W, World, config_of

A_BOOT = BootId("a-boot-1")


def active_a() -> World:
    world = World(config_of(A, B, W))
    world.run(500)
    assert world.serving() == [A]
    return world


def holder() -> One:
    one = One(A)
    one.win(B, W)
    return one


def refused_with_term(one: One, term: int) -> None:
    held = one.state.holding
    assert held is not None
    refuse = Refuse(Ask.RENEW, held.beat, one.state.run, held.term, term, Refusal.OLD_TERM)
    one.hear(W, refuse)


# --- suspects that stayed for ever -------------------------------------------------------------


def test_a_node_that_stopped_while_nobody_heard_it_says_so_when_it_is_heard_again() -> None:
    world = active_a()
    world.isolate(A)
    world.run(4_000)
    assert [suspect.member for suspect in world.states[B].record.suspects] == [A]
    world.heal()
    world.run(3_000)
    assert world.serving() == [B]
    assert world.states[B].record.suspects == ()
    assert world.states[B].record.cleared[0].proof is Proof.RELEASED


def test_a_node_that_has_not_stopped_yet_does_not_say_so() -> None:
    one = holder()
    term = one.record.version.term
    newer = record_of(one.config, Version(term + 1, 1), B)
    suspected = replace(newer, suspects=tuple(former_holders(one.record)))
    one.hear(B, one.renew(term + 1, version=newer.version, record=suspected))
    assert one.state.must_stop == term
    assert not one.sent(Release)
    one.tell(Stopped())
    one.hear(B, one.renew(term + 1, beat=2))
    assert [to for to, _ in one.sent(Release)] == [B]


def test_a_release_that_reached_another_member_only_reaches_the_holder() -> None:
    world = active_a()
    world.cut.add((A, B))
    world.tell(A, ReleaseRequested())
    world.run(2)
    world.crash(A)
    world.run(4_000)
    assert world.serving() == [B]
    assert world.states[B].record.suspects == ()


def test_a_power_off_that_was_told_to_another_member_only_reaches_the_holder() -> None:
    world = active_a()
    world.crash(A)
    world.run(4_000)
    assert world.states[B].record.suspects
    world.cut.add((W, B))
    world.tell(W, FencedReported(Fenced(A, A_BOOT, "task-1")))
    world.run(50)
    assert world.states[B].record.suspects
    world.cut.discard((W, B))
    world.run(500)
    assert world.states[B].record.cleared[0].proof is Proof.POWERED_OFF


def test_a_vote_taken_back_does_not_make_an_earlier_stop_forgotten() -> None:
    one = One(B, record=record_of(config_of(A, B, W), Version(5, 1), A))
    one.hear(A, Release(A, A_BOOT, 5, stopped=True))
    one.hear(A, Release(A, A_BOOT, 7, stopped=False))
    one.win(W)
    assert one.record.suspects == ()


def test_an_agent_that_restarts_after_it_was_superseded_still_proves_its_boot_stopped() -> None:
    world = active_a()
    world.isolate(A)
    world.run(4_000)
    theirs = world.states[B].durable
    disk = replace(world.states[A].durable, record=theirs.record, term=theirs.term, voted_for=B)
    world.heal()
    world.boot(A, disk)
    world.run(3_000)
    assert world.states[B].record.suspects == ()


def test_the_release_of_an_adopted_lease_covers_a_term_won_just_before_the_crash() -> None:
    """The record of term 6 was on disk, the deadline file still named term 5."""
    disk = quorum.durable_for(
        config_of(A, B, W), A, record_of(config_of(A, B, W), Version(6, 1), A)
    )
    state, _ = quorum.start(
        replace(disk, voted_for=A), A_BOOT, RunId("run-2"), 1_000, Adopted(5, 2_000)
    )
    state, _ = quorum.step(state, Tick(), 2_500)
    _, effects = quorum.step(state, Stopped(), 2_600)
    told = [e.envelope.body for e in effects if isinstance(e, Send)]
    assert Release(A, A_BOOT, 6, stopped=True) in told


# --- leases lost without need, or kept against better knowledge --------------------------------


def test_a_holder_stands_again_above_a_higher_term_although_it_is_not_eligible() -> None:
    one = holder()
    one.tell(LocalChanged(Local(eligible=False)))
    refused_with_term(one, 9)
    assert one.state.candidacy is not None


def test_a_long_absent_voter_with_the_fastest_clock_does_not_end_the_lease() -> None:
    """Both clocks at their bound: the quotient counts, twice the drift is not enough for long."""
    one = holder()
    began_ms = one.now_ms
    while one.now_ms < began_ms + 1_200_000:
        one.now_ms += 200
        one.tell(Tick())
        one.ack(B)
    mine_ms = one.now_ms - began_ms
    one.ack(W, clock_ms=began_ms + mine_ms * 101 // 99)
    assert one.state.holds(one.now_ms)


def test_while_timers_change_renewals_keep_the_pace_of_the_shorter() -> None:
    one = One(A, config_of(A, B, W, timing=Profile.FAST.timing))
    one.win(B, W)
    members = one.record.config.members
    one.tell(ChangeRequested(one.record.config.id, members, Profile.TOLERANT.timing))
    held = one.state.holding
    assert held is not None
    assert held.next_beat_at_ms == one.now_ms + Profile.FAST.timing.heartbeat_ms
    assert one.record.config.tick_ms == Profile.FAST.timing.tick_ms


def test_a_record_of_a_higher_term_in_a_question_ends_a_lease() -> None:
    one = holder()
    term = one.record.version.term
    newer = record_of(one.config, Version(term + 1, 1), B)
    effects = one.hear(W, VoteRequest(True, 1, term + 2, one.config.ttl_ms, newer))
    assert isinstance(effects[0], EmergencyStop)
    assert effects[0].loss is Loss.SUPERSEDED


def test_a_lease_is_not_adopted_in_a_boot_that_is_attested_powered_off() -> None:
    config = config_of(A, B, W)
    disk = quorum.durable_for(config, A, record_of(config, Version(5, 1), A))
    fenced = replace(disk, voted_for=A, fenced=(Fenced(A, A_BOOT),))
    state, effects = quorum.start(fenced, A_BOOT, RunId("run-2"), 1_000, Adopted(5, 2_000))
    assert state.holding is None
    assert isinstance(effects[0], EmergencyStop)


# --- requests ----------------------------------------------------------------------------------


def test_a_release_asked_for_while_the_holder_stands_again_is_not_forgotten() -> None:
    one = holder()
    refused_with_term(one, 9)
    one.tell(ReleaseRequested(successor=B))
    one.grant(B)
    one.grant(W)
    one.tell(Stopped())
    assert one.state.holding is None
    assert one.sent(Release)


def test_a_stop_that_was_called_off_does_not_release_the_next_time() -> None:
    """The word of the first stop waited in a mailbox while everything was started again."""
    one = holder()
    one.tell(ReleaseRequested(successor=B))
    one.tell(ReleaseCancelled())
    one.tell(ReleaseRequested(successor=B))
    one.tell(Stopped(called_off=0))
    assert one.state.holds(one.now_ms)
    one.tell(Stopped(called_off=1))
    assert one.state.holding is None


def test_what_was_verified_under_a_lease_says_nothing_about_its_emergency_stop() -> None:
    """Its release was called off, so everything was started again; then the lease ended."""
    one = holder()
    one.tell(ReleaseRequested(successor=B))
    one.tell(ReleaseCancelled())
    held = one.state.holding
    assert held is not None
    one.now_ms = held.lease_until_ms
    effects = one.tell(Stopped(called_off=0))  # it waited in a mailbox since the first stop
    assert isinstance(effects[0], EmergencyStop)
    assert not one.sent(Release)
    assert one.state.must_stop == held.term
    one.tell(Stopped(called_off=NO_LEASE))
    assert one.sent(Release)
    assert one.state.must_stop is None


def test_a_member_does_not_change_its_kind() -> None:
    one = holder()
    members = tuple(
        replace(member, kind=MemberKind.WITNESS) if member.uid == A else member
        for member in one.record.config.members
    )
    effects = one.tell(ChangeRequested(one.record.config.id, members, one.config.timing))
    assert isinstance(effects[0], Declined)
    assert "node-a" in effects[0].problem


def test_a_member_that_takes_no_part_any_more_is_never_woken() -> None:
    config = config_of(A, B, W)
    disk = replace(quorum.durable_for(config, A), halted="reverted")
    state, _ = quorum.start(disk, A_BOOT, RunId("run-2"), 1_000)
    assert quorum.wake_at_ms(state) is None
