"""The plan of a change: the holder takes every step, and the last one is the target."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standfast.core.change_plan import Step, Target, Waits, next_step, reach_problem
from standfast.core.events import ChangeRequested, Declined
from standfast.core.ids import MemberUid
from standfast.core.record import Config, Member, MemberKind
from standfast.core.timing import Profile
from tests.unit.core.one_member import One
from tests.unit.core.small_world import A, B, C, W, X, config_of, member

PAIR = config_of(A, B, W)
ALL = frozenset({A, B, C, W, X})


def target(
    *uids: str, missing: tuple[str, ...] = (), lost: frozenset[MemberUid] = frozenset()
) -> Target:
    members = tuple(member(MemberUid(uid)) for uid in uids)
    return Target(members, PAIR.timing, missing=missing, lost=lost)


def step(config: Config, to: Target, holder: str | None = A) -> Step:
    found = next_step(config, None if holder is None else MemberUid(holder), to, ALL)
    assert isinstance(found, Step)
    return found


def waits(
    config: Config, to: Target, holder: str | None = A, heard: frozenset[MemberUid] = ALL
) -> Waits:
    found = next_step(config, None if holder is None else MemberUid(holder), to, heard)
    assert isinstance(found, Waits)
    return found


def uids(config: Config) -> list[str]:
    return [each.uid for each in config.members]


def test_what_is_declared_and_in_force_needs_nothing() -> None:
    assert next_step(PAIR, A, target(A, B, W), ALL) is None


def test_new_voters_come_before_those_that_leave() -> None:
    first = step(PAIR, target(A, C, W))
    assert uids(first.config) == [A, C, W, B]
    assert first.config.id == PAIR.id
    assert first.sentence == f"adding {member(C).name}"
    second = step(first.config, target(A, C, W))
    assert uids(second.config) == [A, C, W]


def test_nobody_leaves_while_a_declared_member_has_not_joined() -> None:
    found = waits(PAIR, target(A, W, missing=("orders-c",)))
    assert found.sentence == "orders-c has not joined yet, so it does not vote"


def test_a_member_that_lost_its_disk_leaves_before_its_successor_has_joined() -> None:
    """The old uid is never given to the disk that forgot its votes."""
    wiped = target(A, B, W, missing=(member(B).name,), lost=frozenset({B}))
    assert uids(step(PAIR, wiped).config) == [A, W]


def test_the_holder_hands_over_before_it_leaves() -> None:
    found = waits(PAIR, target(B, W))
    assert "holds the lease, so it hands over before it is removed" in found.sentence
    assert uids(step(PAIR, target(B, W), holder=B).config) == [B, W]


def test_timers_change_in_a_step_of_their_own() -> None:
    fast = replace(target(A, B, W, X), timing=Profile.FAST.timing)
    first = step(PAIR, fast)
    assert (uids(first.config), first.config.timing) == ([A, B, W, X], PAIR.timing)
    second = step(first.config, fast)
    assert second.config.timing == Profile.FAST.timing
    assert "changing timers from ttl" in second.sentence
    broken = replace(fast, timing=replace(PAIR.timing, guard_ms=0))
    assert waits(PAIR, broken).is_stuck


def test_addresses_and_order_follow_the_declaration() -> None:
    moved = Target(
        (replace(member(B), addresses=("10.0.0.9:7380",)), member(A), member(W)), PAIR.timing
    )
    found = step(PAIR, moved)
    assert found.config.members == moved.members
    assert found.sentence == "changing the order or addresses of members"


def test_a_joint_config_is_waited_for() -> None:
    joint = replace(PAIR, leaving=PAIR.members, leaving_timing=PAIR.timing)
    assert "is joint" in waits(joint, target(A, B, W, X)).sentence


def test_nothing_is_changed_without_a_holder_or_without_majorities() -> None:
    assert "until a node serves" in waits(PAIR, target(A, B, W, X), holder=None).sentence
    found = waits(PAIR, target(A, B, W, X), heard=frozenset({A, X}))
    assert f"{member(B).name}, {member(W).name} of 4 voters are not heard" in found.sentence
    assert reach_problem(PAIR, (member(A), member(W)), {A, B}) == (
        f"{member(W).name} of 2 voters are not heard, and 2 are needed"
    )


def test_a_cluster_keeps_a_node() -> None:
    assert "no declared node has joined" in waits(PAIR, target(W)).sentence


NODES = [Member(MemberUid(f"n{i}"), f"node-{i}", MemberKind.DATA) for i in range(4)]
WITNESSES = [Member(MemberUid(f"w{i}"), f"witness-{i}", MemberKind.WITNESS) for i in range(3)]
shapes = st.tuples(
    st.lists(st.sampled_from(NODES), min_size=1, unique_by=lambda m: m.uid),
    st.lists(st.sampled_from(WITNESSES), unique_by=lambda m: m.uid),
).map(lambda both: tuple(both[0] + both[1]))


@given(before=shapes, after=shapes, profile=st.sampled_from(Profile))
def test_every_step_is_one_voter_and_the_last_is_the_target(
    before: tuple[Member, ...],
    after: tuple[Member, ...],
    profile: Profile,
) -> None:
    config = Config(PAIR.cluster, before, Profile.NORMAL.timing)
    wanted = Target(after, profile.timing)
    everybody = frozenset(m.uid for m in (*NODES, *WITNESSES))
    stays = {m.uid for m in after}
    holder = next(m.uid for m in before if m.kind is MemberKind.DATA)
    for _ in range(len(before) + len(after) + 2):
        found = next_step(config, holder, wanted, everybody)
        if isinstance(found, Waits):
            assert holder not in stays, "only the holder may be in the way"
            holder = next(
                m.uid for m in config.members if m.uid in stays and m.kind is MemberKind.DATA
            )
            continue
        if found is None:
            break
        old, new = ({m.uid for m in each.members} for each in (config, found.config))
        assert len(old ^ new) <= 1
        assert holder in new
        config = replace(found.config, id=config.id._replace(seq=config.id.seq + 2))
    assert next_step(config, holder, wanted, everybody) is None
    assert (config.members, config.timing) == (after, profile.timing)


@pytest.mark.parametrize("to", [(A, B, W, X), (A, W), (A, C, W), (A, B, C, W, X), (A,)])
def test_the_holder_takes_every_step(to: tuple[MemberUid, ...]) -> None:
    one = One(A, PAIR)
    one.win(W)
    wanted = Target(tuple(member(uid) for uid in to), Profile.TOLERANT.timing)
    while isinstance(found := next_step(one.record.config, A, wanted, ALL), Step):
        asked = found.config
        effects = one.tell(ChangeRequested(asked.id, asked.members, asked.timing))
        assert not any(isinstance(effect, Declined) for effect in effects)
        for uid in (B, C, W, X, B, C, W, X):
            if any(m.uid == uid for m in one.record.config.everyone()):
                one.ack(uid)
    assert found is None
    assert one.record.config.members == wanted.members
