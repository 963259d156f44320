"""Directed stories of a cluster of two nodes and a witness."""

import pytest

from standfast.core import quorum
from standfast.core.events import (
    ChangeRequested,
    EmergencyStop,
    FencedReported,
    GaveUp,
    LeaseWon,
    Loss,
    Persist,
    ProofFound,
    ReleaseRequested,
    Stopped,
)
from standfast.core.ids import BootId, RunId
from standfast.core.messages import Fenced
from standfast.core.quorum import Adopted
from standfast.core.record import DataMode, Proof
from standfast.core.state import RUNS_KEPT
from tests.unit.core.small_world import A, B, C, W, World, X, config_of, member


@pytest.fixture
def world() -> World:
    world = World(config_of(A, B, W))
    world.run(500)
    return world


def test_the_first_of_the_config_becomes_active(world: World) -> None:
    assert world.serving() == [A]
    assert world.states[A].record.version.term == 1


def test_a_quiet_cluster_keeps_its_holder_and_its_record(world: World) -> None:
    version = world.states[A].record.version
    world.run(20_000)
    assert world.serving() == [A]
    assert world.states[A].record.version == version


def test_f14_the_standby_takes_over_when_the_active_dies(world: World) -> None:
    world.crash(A)
    died_ms = world.now_ms
    while not world.states[B].serves(world.now_ms):
        world.run(1)
        assert world.now_ms - died_ms < 1_600
    assert world.states[B].record.holder is not None
    assert [s.member for s in world.states[B].record.suspects] == [A]


def test_f30_an_isolated_active_stops_before_another_starts(world: World) -> None:
    world.isolate(A)
    world.run(3_000)
    assert world.serving() == [B]
    stops = [e for e in world.seen(EmergencyStop, A) if isinstance(e, EmergencyStop)]
    assert stops[-1].loss is Loss.EXPIRED


def test_f31_an_isolated_standby_disturbs_nobody(world: World) -> None:
    world.isolate(B)
    world.run(5_000)
    world.heal()
    world.run(5_000)
    assert world.serving() == [A]
    assert world.states[A].record.version.term == 1


def test_a_healed_former_active_proves_itself_stopped(world: World) -> None:
    world.isolate(A)
    world.run(4_000)
    world.heal()
    world.run(3_000)
    assert world.serving() == [B]


def test_f38_nobody_is_promoted_without_a_majority(world: World) -> None:
    world.crash(W)
    world.run(3_000)
    assert world.serving() == [A]
    world.crash(A)
    world.run(20_000)
    assert world.serving() == []


def test_a_planned_release_goes_to_the_named_successor_at_once(world: World) -> None:
    world.tell(A, ReleaseRequested(successor=B))
    world.run(20)
    assert world.serving() == [B]
    assert world.states[B].record.suspects == ()
    assert world.states[B].record.cleared[0].proof is Proof.RELEASED


def test_a_fenced_boot_frees_the_standby_before_its_promise_ends(world: World) -> None:
    boot = world.states[A].boot
    world.crash(A)
    world.tell(B, FencedReported(Fenced(A, boot, "powered off")))
    world.run(10)
    assert world.serving() == [B]
    proofs = [e for e in world.seen(ProofFound, B) if isinstance(e, ProofFound)]
    assert proofs[0].proof is Proof.POWERED_OFF


def test_a_fenced_boot_never_holds_again_and_its_next_boot_may(world: World) -> None:
    boot = world.states[A].boot
    world.crash(A)
    world.tell(W, FencedReported(Fenced(A, boot)))
    world.run(3_000)
    assert world.serving() == [B]
    world.boot(A, boot="a-boot-2")
    world.run(3_000)
    assert world.serving() == [B]
    world.crash(B)
    world.run(3_000)
    assert world.serving() == [A]


def test_a_restarted_agent_adopts_its_lease_without_a_gap(world: World) -> None:
    lease = world.states[A].holding
    assert lease is not None
    world.boot(A, adopted=Adopted(lease.term, lease.lease_until_ms))
    for _ in range(200):
        world.run(1)
        assert world.states[A].holds(world.now_ms)
    assert world.serving() == [A]
    assert world.states[A].record.version.term == 2


def test_a_restarted_agent_without_a_deadline_stops_first(world: World) -> None:
    world.boot(A)
    stops = [e for e in world.seen(EmergencyStop, A) if isinstance(e, EmergencyStop)]
    assert stops[-1].loss is Loss.RESTARTED
    world.run(3_000)
    assert len(world.serving()) == 1


def test_a_node_that_joins_stops_what_runs_before_it_stands() -> None:
    """No config names it when it starts, so nothing was stopped then."""
    world = World(config_of(A, B, W), others=(C, X))
    world.run(3_000)
    (old,) = world.serving()
    assert not world.seen(EmergencyStop, C)
    world.stops_by_itself = False
    for members in ((A, B, W, C), (A, B, W, C, X)):
        config = world.states[old].record.config
        added = tuple(member(uid) for uid in members)
        world.tell(old, ChangeRequested(config.id, added, config.timing))
        world.run(1_000)
    (stop,) = [e for e in world.seen(EmergencyStop, C) if isinstance(e, EmergencyStop)]
    assert stop.loss is Loss.JOINED
    assert not world.seen(EmergencyStop, X), "nothing runs on a witness"
    world.local(B if old == A else A, eligible=False)
    world.crash(old)
    world.run(6_000)
    assert world.serving() == [], "it has not verified that nothing runs"
    world.tell(C, Stopped())
    world.run(3_000)
    assert world.serving() == [C]


def test_a_rebooted_witness_keeps_its_promise(world: World) -> None:
    world.boot(W, boot="w-boot-2")
    world.isolate(A)
    world.run(900)
    assert B not in world.holders()
    world.run(2_500)
    assert world.serving() == [B]


def test_f99_after_a_power_loss_of_everything_the_newest_record_leads(world: World) -> None:
    for uid in (A, B, W):
        world.boot(uid, boot=f"{uid}-boot-2")
    world.run(5_000)
    assert len(world.serving()) == 1


def test_three_data_nodes_elect_one_and_then_another() -> None:
    world = World(config_of(A, B, C))
    world.run(1_000)
    assert world.serving() == [A]
    world.crash(A)
    world.run(2_000)
    assert world.serving() == [B]


def test_a_single_node_serves() -> None:
    world = World(config_of(A))
    world.run(100)
    assert world.serving() == [A]
    world.run(5_000)
    assert world.serving() == [A]


def test_two_nodes_without_a_witness_do_not_fail_over() -> None:
    world = World(config_of(A, B))
    world.run(1_000)
    assert world.serving() == [A]
    world.crash(A)
    world.run(10_000)
    assert world.serving() == []


def test_a_node_that_is_not_in_sync_is_not_elected() -> None:
    world = World(config_of(A, B, W, data=DataMode.REPLICATED))
    world.run(1_000)
    assert world.serving() == [A]
    assert world.states[A].record.in_sync == {A}
    world.crash(A)
    world.run(10_000)
    assert world.serving() == []


def test_a_reverted_disk_takes_no_part(world: World) -> None:
    early = world.states[B].durable
    world.isolate(A)
    world.run(4_000)
    world.heal()
    world.run(2_000)
    world.boot(B, early, boot="b-boot-2")
    world.run(5_000)
    assert world.states[B].durable.halted
    assert quorum.wake_at_ms(world.states[B]) is None


def test_the_holder_stands_again_above_a_higher_term(world: World) -> None:
    disk = world.states[W].durable
    world.isolate(W)
    world.run(300)
    world.heal()
    world.boot(W, quorum.replace(disk, term=9, voted_for=B, generation=disk.generation + 50))
    world.run(3_000)
    assert world.serving() == [A]
    assert world.states[A].record.version.term == 10
    assert not [e for e in world.seen(EmergencyStop, A) if e.loss is not Loss.RESTARTED]  # type: ignore[union-attr]
    assert world.seen(LeaseWon, A)
    assert not world.seen(GaveUp, B)


def test_a_member_that_restarted_more_often_than_it_remembers_is_not_taken_for_a_clone(
    world: World,
) -> None:
    """The witness was away during a crash loop: the run it has seen is forgotten, not foreign."""
    world.isolate(W)
    cut = set(world.cut)
    for _ in range(RUNS_KEPT + 10):
        world.boot(B)
        world.cut = set(cut)
    world.heal()
    world.run(2_000)
    assert not world.states[B].durable.halted


def test_f20_a_disk_that_wakes_in_another_machine_takes_no_part(world: World) -> None:
    disk = world.states[B].durable
    first, _ = quorum.start(disk, BootId("b2"), RunId("r1"), world.now_ms, machine="one")
    again, _ = quorum.start(first.durable, BootId("b3"), RunId("r2"), world.now_ms, machine="one")
    assert not again.durable.halted
    copy, _ = quorum.start(again.durable, BootId("b4"), RunId("r3"), world.now_ms, machine="two")
    assert "wakes in two" in copy.durable.halted
    moved, _ = quorum.start(again.durable, BootId("b5"), RunId("r4"), world.now_ms)
    assert not moved.durable.halted


def test_a_holder_that_rebooted_learns_that_the_other_did_too() -> None:
    """Both nodes of a shared disk went down one after the other, and both are back.

    The new holder never saw the other's old boot; a fresh answer to its renewal is what tells.
    """
    world = World(config_of(A, B, W, data=DataMode.SHARED_DISK))
    world.run(500)
    assert world.serving() == [A]
    world.crash(A)
    world.run(3_000)
    assert world.serving() == [B]
    world.boot(B, boot="b-boot-2")
    world.boot(A, boot="a-boot-2")
    world.run(6_000)
    (serving,) = world.serving()
    assert world.states[serving].record.suspects == ()


def test_members_that_all_confirmed_the_first_config_fall_silent() -> None:
    world = World(config_of(A, B, W))
    for uid in (A, B):
        world.local(uid, eligible=False)
    world.run(1_000)
    before = len(world.effects)
    world.run(5_000)
    assert len(world.effects) == before


def test_f94_a_verified_stop_is_not_lost_with_a_write_that_the_disk_refuses() -> None:
    """Standing writes; the word that everything is stopped must not depend on that."""
    world = World(config_of(A), stops_by_itself=False)
    effects = world.tell(A, Stopped())
    assert not [effect for effect in effects if isinstance(effect, Persist)]
    assert world.states[A].must_stop is None
    world.run(50)
    assert world.serving() == [A]
