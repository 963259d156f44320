"""Changing the config: joint then new, one voter at a time, the lease cut in between."""

from dataclasses import replace

from standfast.core.events import ChangeRequested, Declined, InSyncProposed, LeaseExtended, Tick
from standfast.core.ids import BootId, Version
from standfast.core.messages import Renew
from standfast.core.record import Config, DataMode, Member
from standfast.core.timing import Profile, Timing
from tests.unit.core.one_member import One, record_of
from tests.unit.core.small_world import A, B, C, W, World, X, config_of, member

PAIR = config_of(A, B, W)
FAST, TOLERANT = Profile.FAST.timing, Profile.TOLERANT.timing


def holder(config: Config = PAIR) -> One:
    one = One(A, config)
    one.win(W)
    return one


def request(one: One, *uids: object, timing: Timing | None = None) -> ChangeRequested:
    members = tuple(member(uid) for uid in uids) or one.record.config.members  # type: ignore[arg-type]
    return ChangeRequested(one.record.config.id, members, timing or one.record.config.timing)


def declined(one: One, event: ChangeRequested) -> str:
    before = one.record
    (effect,) = one.tell(event)
    assert isinstance(effect, Declined)
    assert one.record == before
    return effect.problem


def test_a_voter_is_added_in_two_committed_steps() -> None:
    one = holder()
    one.tell(request(one, A, B, W, X))
    joint = one.record.config
    assert joint.leaving == PAIR.members
    assert joint.id == one.record.version
    assert {to for to, _ in one.sent(Renew)} == {B, W, X}
    one.ack(W)
    assert one.record.config == joint
    one.ack(B)
    final = one.record.config
    assert final.leaving is None
    assert [m.uid for m in final.members] == [A, B, W, X]
    assert final.id == one.record.version


def test_while_joint_a_majority_of_each_config_is_needed() -> None:
    """Four new voters need three; two of three old ones do not commit for them."""
    one = holder()
    one.tell(request(one, A, B, W, X))
    one.ack(X)
    assert one.record.config.leaving is not None
    one.ack(W)
    assert one.record.config.leaving is None


def test_the_lease_is_cut_the_moment_a_change_is_proposed() -> None:
    one = One(A, config_of(A, B, W, timing=TOLERANT))
    one.win(W)
    held = one.state.holding
    assert held is not None
    assert held.lease_until_ms > one.now_ms + FAST.hold_ms(FAST.ttl_ms)
    one.tell(request(one, timing=FAST))
    cut = one.state.holding
    assert cut is not None
    assert cut.lease_until_ms == one.now_ms + FAST.hold_ms(FAST.ttl_ms)
    assert LeaseExtended(held.term, cut.lease_until_ms) in one.effects
    assert {b.ttl_ms for _, b in one.sent(Renew) if isinstance(b, Renew)} == {TOLERANT.ttl_ms}


def test_answers_under_the_old_config_are_forgotten() -> None:
    one = holder()
    held = one.state.holding
    assert held is not None
    one.now_ms = held.next_beat_at_ms
    one.tell(Tick())
    beat_before = one.state.holding
    assert beat_before is not None
    one.tell(request(one, A, B, W, X))
    after = one.state.holding
    assert after is not None
    one.ack(W, beat=beat_before.beat, config=PAIR.id, version=Version(1, 1))
    assert one.state.holding == after


def test_a_commit_without_promises_under_both_does_not_finish_the_change() -> None:
    one = holder()
    one.tell(request(one, A, B, W, X))
    joint = one.record
    one.ack(W, config=PAIR.id)
    one.ack(X, config=PAIR.id)
    assert one.record == joint
    one.ack(W)
    one.ack(X)
    assert one.record.config.leaving is None


def test_the_same_config_again_is_no_change() -> None:
    one = holder()
    before = one.record
    assert one.tell(request(one)) == ()
    assert one.record == before


def test_who_does_not_serve_changes_nothing() -> None:
    assert "does not serve" in declined(One(A), request(One(A), A, B))


def test_a_change_before_the_first_record_is_committed_is_declined() -> None:
    one = One(A)
    one.win(W, commits=False)
    base = one.record.config
    (effect,) = one.tell(ChangeRequested(base.id, base.members, Profile.TOLERANT.timing))
    assert isinstance(effect, Declined)
    assert effect.problem == "this node does not serve"


def test_one_change_at_a_time() -> None:
    one = holder()
    one.tell(request(one, A, B, W, X))
    assert "is not finished" in declined(one, request(one, A, W, X))


def test_a_change_made_from_another_config_is_declined() -> None:
    one = holder()
    stale = replace(request(one, A, B, W, X), base=Version(9, 9))
    assert "made from config 9.9" in declined(one, stale)


def test_timers_that_break_an_inequality_are_declined_with_the_number() -> None:
    one = holder()
    bad = replace(PAIR.timing, guard_ms=1)
    assert "guardMs is 1" in declined(one, request(one, timing=bad))


def test_a_member_is_listed_once() -> None:
    one = holder()
    assert "listed twice" in declined(one, request(one, A, B, W, W))


def test_one_voter_at_a_time() -> None:
    one = holder()
    assert "2 voters differ" in declined(one, request(one, A, C, W))


def test_after_a_recovery_others_may_be_added() -> None:
    one = One(A, record=replace(record_of(PAIR, Version(3, 1), A), left_out=(member(C),)))
    one.win(W)
    one.tell(request(one, A, B, W, X))
    assert one.record.config.leaving is not None


def test_who_was_left_out_by_a_recovery_is_not_added_again() -> None:
    """It halts as soon as it hears the new incarnation: a voter that never answers."""
    gone = member(C)
    one = One(A, record=replace(record_of(PAIR, Version(3, 1), B), left_out=(gone,)))
    one.win(W)
    assert "was left out when the cluster was recovered" in declined(one, request(one, A, B, C, W))


def test_the_holder_is_not_removed() -> None:
    one = holder()
    assert "holds the lease" in declined(one, request(one, B, W))


def test_a_suspect_is_not_removed() -> None:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.win(W)
    assert "not proven stopped" in declined(one, request(one, A, W))


def test_another_node_than_the_suspect_may_be_removed() -> None:
    config = config_of(A, B, W, X)
    one = One(A, config, record=record_of(config, Version(3, 1), B))
    one.win(W, X)
    one.tell(request(one, A, B, W))
    assert one.record.config.leaving is not None


def test_a_node_that_writes_wait_for_is_not_removed() -> None:
    config = config_of(A, B, W, data=DataMode.REPLICATED)
    one = holder(config)
    one.tell(InSyncProposed(frozenset({A, B})))
    one.ack(W)
    one.tell(InSyncProposed(frozenset({A})))
    assert "writes wait for it" in declined(one, request(one, A, W))
    one.ack(W)
    one.tell(request(one, A, W))
    assert one.record.config.leaving is not None


def test_without_replicated_data_in_sync_binds_nobody() -> None:
    one = holder()
    one.tell(request(one, A, W))
    assert one.record.config.leaving is not None


def test_an_inherited_change_is_finished_by_the_next_holder() -> None:
    joint = replace(
        config_of(A, B, W, X), leaving=PAIR.members, leaving_timing=PAIR.timing, id=Version(3, 2)
    )
    one = One(A, joint, record=record_of(joint, Version(3, 2), A))
    one.state = replace(one.state, boot=BootId("a-boot-1"))
    one.win(W, X)
    assert one.record.config.leaving is None


def test_a_whole_cluster_changes_its_timers_and_goes_on_serving() -> None:
    world = World(PAIR)
    world.run(500)
    config = world.states[A].record.config
    world.tell(A, ChangeRequested(config.id, config.members, FAST))
    for _ in range(30):
        world.run(100)
        assert world.serving() == [A]
    assert all(state.record.config.timing == FAST for state in world.states.values())


def test_a_whole_cluster_replaces_its_witness() -> None:
    world = World(PAIR, others=[X])
    world.run(500)
    for members in ((A, B, W, X), (A, B, X)):
        config = world.states[A].record.config
        new: tuple[Member, ...] = tuple(member(uid) for uid in members)
        world.tell(A, ChangeRequested(config.id, new, config.timing))
        world.run(2_000)
    assert world.serving() == [A]
    assert [m.uid for m in world.states[X].record.config.members] == [A, B, X]
    world.crash(A)
    world.run(3_000)
    assert world.serving() == [B]
