"""The in-sync set: grow the driver's set, then propose; commit, then shrink."""

from dataclasses import dataclass, field, replace

from standfast.core.ids import MemberUid
from standfast.core.in_sync import (
    CALM_MS,
    FORGIVEN_MS,
    PATIENCE_MS,
    SETTLED_MS,
    Keeper,
    Plan,
    Progress,
    Seen,
    View,
    keep,
)

A, B, C = MemberUid("a"), MemberUid("b"), MemberUid("c")
LOOK_MS = 250


@dataclass
class World:
    """An active node A with B beside it; the record is committed as soon as it is proposed."""

    view: View
    now_ms: int = 0
    position: int = 1000
    keeper: Keeper = field(default_factory=dict)

    def look(self, **followers: Progress) -> Plan:
        seen = Seen(self.position, {MemberUid(name): p for name, p in followers.items()})
        self.keeper, plan = keep(self.keeper, self.view, {"pg": seen}, self.now_ms)
        self.now_ms += LOOK_MS
        return plan

    def looks(self, ms: int, **followers: Progress) -> Plan:
        plan = self.look(**followers)
        for _ in range(ms // LOOK_MS):
            plan = self.look(**followers)
        return plan

    def commit(self, *members: MemberUid) -> None:
        self.view = replace(self.view, in_sync=frozenset(members), required=frozenset(members))


def alone() -> World:
    return World(View(A, frozenset({B}), frozenset({A}), frozenset({A})))


def together() -> World:
    return World(View(A, frozenset({B}), frozenset({A, B}), frozenset({A, B})))


def at(position: int, *, near: bool = True, holds_all: bool = False) -> Progress:
    return Progress(position, near, holds_all)


def test_a_follower_that_is_lost_while_writes_are_held_is_given_up_at_once() -> None:
    world = together()
    plan = world.look(b=replace(at(999, near=False), lost=True))
    assert plan.propose == frozenset({A})
    assert plan.dropped == frozenset({B})
    assert B in plan.require, "writes wait for it until that is committed"
    world.commit(A)
    assert world.look(b=replace(at(999, near=False), lost=True)).propose is None


def test_alone_writes_wait_for_nobody() -> None:
    assert alone().looks(60_000) == Plan(frozenset())


def test_writes_wait_for_a_follower_before_it_is_proposed() -> None:
    world = alone()
    assert world.look(b=at(1000)) == Plan(frozenset())
    assert world.looks(SETTLED_MS, b=at(1000)) == Plan(frozenset({B}))
    plan = world.look(b=at(1000, holds_all=True))
    assert plan == Plan(frozenset({B}), frozenset({A, B}))


def test_a_follower_far_behind_holds_up_nobody() -> None:
    assert alone().looks(60_000, b=at(0, near=False)) == Plan(frozenset())


def test_a_follower_that_is_lost_while_growing_is_let_go_at_once() -> None:
    world = alone()
    assert world.looks(SETTLED_MS, b=at(1000)).require == {B}
    assert world.look() == Plan(frozenset())


def test_a_lost_follower_is_proposed_away_and_waited_for_until_that_is_committed() -> None:
    world = together()
    world.look(b=at(1000))
    world.position = 2000
    plan = world.looks(PATIENCE_MS - 2 * LOOK_MS)
    assert plan == Plan(frozenset({B}))
    plan = world.look()
    assert plan == Plan(frozenset({B}), frozenset({A}), frozenset({B}))
    world.view = replace(world.view, in_sync=frozenset({A}))
    assert world.look() == Plan(frozenset({B}))
    world.commit(A)
    assert world.look() == Plan(frozenset())


def test_a_follower_that_is_connected_but_does_not_write_is_lost_too() -> None:
    world = together()
    world.look(b=at(1000))
    world.position = 2000
    plan = world.looks(PATIENCE_MS, b=at(1000))
    assert plan.propose == frozenset({A})


def test_a_slow_follower_that_gets_on_stays() -> None:
    world = together()
    for _ in range(100):
        world.position += 1000
        plan = world.look(b=at(world.position - 1500))
        assert plan == Plan(frozenset({B}))


def test_an_idle_follower_stays() -> None:
    assert together().looks(60_000, b=at(1000)) == Plan(frozenset({B}))


def test_a_dropped_follower_comes_back_after_a_pause_that_grows() -> None:
    world = together()
    pauses = []
    for _ in range(3):
        world.look(b=at(world.position))
        world.position += 1000
        world.looks(PATIENCE_MS)
        world.commit(A)
        begin_ms = world.now_ms
        while not world.look(b=at(world.position)).require:
            pass
        pauses.append(world.now_ms - begin_ms)
        world.commit(A, B)
    assert CALM_MS - 1000 < pauses[0] < pauses[1] < pauses[2]


def test_data_that_are_not_served_judge_nobody() -> None:
    world = together()
    world.looks(PATIENCE_MS * 2, b=at(1000))
    keeper, plan = keep(world.keeper, world.view, {"pg": None}, world.now_ms)
    assert (keeper, plan) == ({}, Plan(frozenset({B})))


def test_of_two_followers_only_the_lost_one_goes() -> None:
    both = frozenset({A, B, C})
    world = World(View(A, frozenset({B, C}), both, both))
    world.look(b=at(1000), c=at(1000))
    world.position = 2000
    plan = world.looks(PATIENCE_MS, b=at(2000))
    assert plan == Plan(frozenset({B, C}), frozenset({A, B}), frozenset({C}))


def test_a_node_that_left_the_config_is_proposed_away() -> None:
    world = World(View(A, frozenset({B}), frozenset({A, B, C}), frozenset({A, B, C})))
    plan = world.look(b=at(1000))
    assert plan == Plan(frozenset({B, C}), frozenset({A, B}))


def test_a_follower_that_kept_up_for_long_is_trusted_again() -> None:
    world = together()
    for _ in range(4):
        world.look(b=at(world.position))
        world.position += 1000
        world.looks(PATIENCE_MS)
        world.commit(A)
        while not world.look(b=at(world.position)).require:
            pass
        world.commit(A, B)
    assert world.keeper["pg", B].drops == 4
    world.looks(FORGIVEN_MS, b=at(world.position))
    assert world.keeper["pg", B].drops == 0


def test_without_replicated_resources_every_node_is_in_sync() -> None:
    _, plan = keep({}, alone().view, {}, 0)
    assert plan == Plan(frozenset({B}), frozenset({A, B}))


def test_a_follower_must_keep_up_with_every_resource() -> None:
    world = together()
    fine, stuck = Seen(2000, {B: at(2000)}), Seen(2000, {B: at(1000)})
    keeper, _ = keep({}, world.view, {"one": fine, "two": stuck}, 0)
    keeper, plan = keep(keeper, world.view, {"one": fine, "two": stuck}, PATIENCE_MS)
    assert plan.propose == frozenset({A})


def test_while_one_resource_is_not_served_nobody_is_judged() -> None:
    world = together()
    stuck = Seen(2000, {B: at(1000)})
    keeper, _ = keep({}, world.view, {"one": None, "two": stuck}, 0)
    keeper, plan = keep(keeper, world.view, {"one": None, "two": stuck}, PATIENCE_MS)
    assert plan == Plan(frozenset({B}))
