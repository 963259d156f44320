"""Clusters of other shapes than a pair with a witness: who serves, who follows, who does not."""

import pytest

from standfast.core.events import InSyncProposed, ReleaseRequested
from standfast.core.ids import MemberUid
from standfast.core.record import DataMode
from tests.unit.core.small_world import A, B, C, W, World, X, config_of


def serving(*uids: MemberUid, data: DataMode = DataMode.NONE) -> World:
    world = World(config_of(*uids, data=data))
    world.run(1_000)
    assert world.serving() == [A]
    return world


def test_a_single_node_serves_and_serves_again_after_a_reboot() -> None:
    world = serving(A)
    world.crash(A)
    world.run(5_000)
    world.boot(A, boot="a-boot-2")
    world.run(5_000)
    assert world.serving() == [A]
    assert world.states[A].record.suspects == ()


@pytest.mark.parametrize("data", [DataMode.NONE, DataMode.REPLICATED])
def test_two_nodes_without_a_witness_serve_and_nobody_follows_a_dead_one(data: DataMode) -> None:
    world = serving(A, B, data=data)
    world.crash(A)
    world.run(30_000)
    assert world.serving() == []


def test_two_nodes_without_a_witness_stop_when_either_is_cut_off_and_go_on_afterwards() -> None:
    world = serving(A, B)
    world.isolate(B)
    world.run(5_000)
    assert world.holders() == []
    world.heal()
    world.run(10_000)
    assert len(world.serving()) == 1


def test_two_nodes_without_a_witness_hand_over_when_asked() -> None:
    world = serving(A, B)
    world.tell(A, ReleaseRequested(B))
    world.run(500)
    assert world.serving() == [B]


def test_of_three_nodes_any_one_may_be_lost_but_no_two() -> None:
    world = serving(A, B, C)
    world.crash(A)
    world.run(5_000)
    assert world.serving() == [B]
    world.crash(B)
    world.run(30_000)
    assert world.serving() == []
    world.boot(A, boot="a-boot-2")
    world.run(15_000)
    assert len(world.serving()) == 1


def test_of_three_replicated_nodes_only_those_in_sync_follow() -> None:
    world = serving(A, B, C, data=DataMode.REPLICATED)
    world.tell(A, InSyncProposed(frozenset({A, C})))
    world.run(500)
    world.crash(A)
    world.run(10_000)
    assert world.serving() == [C]


def test_two_nodes_and_two_witnesses_bear_one_loss_and_not_half() -> None:
    """Four voters need three: the second witness adds nothing but one more that may fail."""
    world = serving(A, B, W, X)
    world.crash(X)
    world.run(5_000)
    assert world.serving() == [A]
    world.crash(W)
    world.run(5_000)
    assert world.holders() == []
    world.boot(W)
    world.run(15_000)
    assert len(world.serving()) == 1


def test_two_nodes_and_two_witnesses_cut_in_half_serve_on_neither_side() -> None:
    world = serving(A, B, W, X)
    one, other = {A, W}, {B, X}
    world.cut = {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}
    world.run(30_000)
    assert world.holders() == []
    world.heal()
    world.run(15_000)
    assert len(world.serving()) == 1
