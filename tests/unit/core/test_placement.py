"""The operator's plan: what it does about a cluster, and above all what it does not."""

import itertools
from dataclasses import replace

import pytest

from standfast.core.fencing import Contact, Power
from standfast.core.placement import (
    FAILBACK_SETTLED_MS,
    GRACE_MS,
    Brace,
    Fence,
    HandOver,
    PowerOn,
    Tell,
    not_ready,
    plan,
    successor,
    what_helps,
)
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.core.view import BootOf, FencePolicy, FenceSeen, Role, WantedNode
from tests.unit.core.operator_views import (
    NOW_MS,
    VM_ON,
    A,
    B,
    W,
    active,
    lost,
    node,
    seen,
    wanted,
    well,
    witness,
)

OFF = replace(VM_ON, power=Power.OFF)
OLD = BootOf(A, f"boot-{A}", 5)
SHARED = {"data": DataMode.SHARED_DISK}


def holding(name: str, **changed: object) -> object:
    return node(
        name, role=Role.HOLDING, term=6, suspects=(OLD,), holding_since_ms=NOW_MS, **changed
    )


def serving_after(name: str, **changed: object) -> object:
    return active(name, term=6, suspects=(OLD,), **changed)


def test_a_settled_cluster_is_left_alone() -> None:
    decision = plan(wanted(), well())
    assert (decision.reason, decision.actions) == (Reason.STEADY, ())


@pytest.mark.parametrize(
    "task",
    ["VirtualMachine.createSnapshotEx", "VirtualMachine.migrate", "Drm.ExecuteVMotionLRO"],
)
def test_f17_f18_a_task_that_may_stun_the_active_makes_its_lease_longer(task: str) -> None:
    on = replace(VM_ON, tasks=("VirtualMachine.reconfigure", task))
    decision = plan(wanted(), seen(active(A, vm=on), node(B), witness()))
    assert (decision.reason, decision.actions) == (Reason.STEADY, (Brace(A),))
    assert f"{task} runs on its VM" in decision.message
    of_the_standby = plan(wanted(), seen(active(A), node(B, vm=on), witness()))
    assert of_the_standby.actions == ()


def test_other_tasks_change_nothing() -> None:
    on = replace(VM_ON, tasks=("VirtualMachine.reconfigure",))
    assert plan(wanted(), seen(active(A, vm=on), node(B), witness())).actions == ()


def test_paused_means_watching_whatever_happens() -> None:
    """Also the truth that a VM is off is not told: it would make the members act."""
    picture = seen(lost(A, vm=OFF), node(B), witness(), over=frozenset({OLD}))
    decision = plan(wanted(paused=True), picture)
    assert (decision.reason, decision.actions) == (Reason.PAUSED, ())


def test_before_all_have_joined_it_says_who_is_missing_and_what_to_type() -> None:
    picture = seen(lost(A, enrolled=False), node(B), witness(), configured=False, holder=None)
    decision = plan(wanted(), picture)
    assert decision.reason is Reason.WAITING_FOR_NODES
    assert "kubectl standfast enroll orders orders-a" in decision.remedy


def test_a_boot_that_is_over_is_told_at_once_and_once() -> None:
    picture = seen(lost(A, vm=OFF), node(B), witness(), over=frozenset({OLD}))
    decision = plan(wanted(), picture)
    assert decision.actions == (Tell(A, OLD.boot),)
    assert decision.reason is Reason.NODE_FOUND_OFF
    again = plan(wanted(), replace(picture, told=frozenset({OLD})))
    assert not any(isinstance(action, Tell) for action in again.actions)


@pytest.mark.parametrize("policy", [FencePolicy.WHEN_NEEDED, FencePolicy.ALWAYS])
def test_a_silent_active_node_is_not_shot_before_another_won_the_vote(policy: FencePolicy) -> None:
    """F87: the operator hears less than the members do."""
    picture = seen(lost(A), node(B), witness())
    assert plan(wanted(fence=policy, **SHARED), picture).actions == ()


def test_a_shared_disk_waits_for_the_old_node_to_be_powered_off() -> None:
    decision = plan(wanted(**SHARED), seen(lost(A), holding(B), witness()))
    assert decision.actions == (Fence(A, OLD.boot, 6),)


def test_where_the_end_of_the_lease_is_proof_enough_nobody_is_shot() -> None:
    assert plan(wanted(), seen(lost(A), holding(B), witness())).reason is Reason.STARTING


def test_policy_always_shoots_after_every_failover() -> None:
    picture = seen(lost(A), serving_after(B), witness())
    assert plan(wanted(fence=FencePolicy.ALWAYS), picture).actions == (Fence(A, OLD.boot, 6),)


def test_policy_never_shoots_nobody() -> None:
    picture = seen(lost(A), holding(B), witness())
    decision = plan(wanted(fence=FencePolicy.NEVER, **SHARED), picture)
    assert (decision.reason, decision.actions) == (Reason.PROOF_MISSING, ())


def test_an_old_holder_that_is_back_in_another_boot_is_not_shot() -> None:
    picture = seen(node(A, boot="another"), serving_after(B), witness())
    assert plan(wanted(fence=FencePolicy.ALWAYS), picture).reason is Reason.STEADY


def test_a_live_old_holder_gets_time_to_say_that_it_stopped() -> None:
    picture = seen(node(A), holding(B), witness())
    assert plan(wanted(**SHARED), picture).actions == ()
    later = replace(picture, now_ms=NOW_MS + GRACE_MS)
    assert plan(wanted(**SHARED), later).actions == (Fence(A, OLD.boot, 6),)


def test_a_fence_that_proved_nothing_is_tried_again_and_says_why() -> None:
    """F85: it does not give up, and a person reads what stands in the way."""
    picture = seen(lost(A), holding(B), witness(), fence_error="vCenter v refuses connections")
    decision = plan(wanted(**SHARED), picture)
    assert (decision.reason, decision.actions) == (Reason.FENCE_FAILED, (Fence(A, OLD.boot, 6),))
    assert "vCenter v refuses connections" in decision.message


def fenced(**changed: object) -> object:
    return lost(A, **{"vm": OFF, "fence": FenceSeen(OLD.boot, proven=True, term=6), **changed})


def test_a_fenced_node_is_powered_on_once_another_serves() -> None:
    picture = seen(fenced(), active(B, term=6), witness())
    assert plan(wanted(), picture).actions == (PowerOn(A),)
    assert plan(wanted(power_on=False), picture).actions == ()


def test_a_node_that_somebody_else_switched_off_stays_off() -> None:
    picture = seen(lost(A, vm=OFF), active(B, term=6), witness())
    assert plan(wanted(), picture).actions == ()


def test_a_fenced_node_stays_off_while_nobody_serves_or_a_person_works_on_it() -> None:
    assert plan(wanted(), seen(fenced(), node(B), witness())).actions == ()
    picture = seen(fenced(), active(B, term=6), witness())
    nodes = (WantedNode(A, maintenance=True), WantedNode(B))
    assert plan(wanted(nodes=nodes), picture).actions == ()
    hidden = fenced(vm=replace(OFF, contact=Contact.LOST))
    assert plan(wanted(), seen(hidden, active(B, term=6), witness())).actions == ()


def test_an_active_node_in_maintenance_hands_over_when_another_can_serve() -> None:
    nodes = (WantedNode(A, maintenance=True), WantedNode(B))
    decision = plan(wanted(nodes=nodes), well())
    assert decision.actions == (HandOver(A, B, "maintenance-5", "maintenance"),)
    alone = seen(active(A), lost(B), witness())
    assert plan(wanted(nodes=nodes), alone).reason is Reason.HANDOVER_WAITS


def test_service_returns_by_policy_and_only_to_a_node_that_has_been_ready_for_a_while() -> None:
    ready_ms = NOW_MS - FAILBACK_SETTLED_MS
    picture = seen(node(A, ready_since_ms=ready_ms), active(B), witness())
    assert plan(wanted(), picture).actions == ()
    decision = plan(wanted(failback=True), picture)
    assert decision.actions == (HandOver(B, A, "failback-5", "failback"),)
    fresh = seen(node(A, ready_since_ms=ready_ms + 1), active(B), witness())
    assert plan(wanted(failback=True), fresh).actions == ()
    assert plan(wanted(failback=True), replace(picture, moving="switchover x")).actions == ()


def test_where_a_person_moved_service_it_stays_for_that_tenure() -> None:
    picture = seen(node(A, ready_since_ms=0), active(B), witness(), chosen=B)
    assert plan(wanted(failback=True), picture).reason is Reason.STEADY
    failed = seen(active(A), node(B, ready_since_ms=0), witness(), chosen=B)
    assert plan(wanted(failback=True), failed).reason is Reason.STEADY
    other = seen(node(A, ready_since_ms=0), active(B), witness(), chosen="orders-c")
    assert plan(wanted(failback=True), other).reason is Reason.FAILING_BACK


def test_service_returns_when_its_window_opens_and_not_before() -> None:
    picture = seen(node(A, ready_since_ms=0), active(B), witness())
    waits = plan(wanted(failback=True, failback_closed=True), picture)
    assert (waits.reason, waits.actions) == (Reason.STEADY, ())
    assert (
        "orders-a is preferred, and service returns to it when the window opens" in waits.message
    )
    leaving = seen(node(A, ready_since_ms=0), active(B, releasing=True), witness())
    begun = plan(wanted(failback=True, failback_closed=True), leaving)
    assert begun.reason is Reason.FAILING_BACK, "what has begun is followed to its end"


def test_where_nobody_can_serve_each_cause_has_its_remedy() -> None:
    nodes = (WantedNode(A, maintenance=True), WantedNode(B))
    halted = node(B, halted="its disk is a copy", eligible=False)
    decision = plan(wanted(nodes=nodes), seen(node(A, eligible=False), halted, witness()))
    assert decision.reason is Reason.NO_ACTIVE_NODE
    assert decision.remedy == (
        "kubectl standfast maintenance orders orders-a off, when the work is done; "
        "on orders-b: standfast-agent status"
    )


def test_who_is_unheard_by_everybody_makes_no_majority() -> None:
    decision = plan(wanted(), seen(lost(A), node(B, heard_by=()), lost(W)))
    assert decision.reason is Reason.NO_MAJORITY


def test_an_active_node_that_only_its_peers_hear_is_left_to_them() -> None:
    decision = plan(wanted(), seen(lost(A, heard_by=(B, W)), node(B), witness()))
    assert (decision.reason, decision.actions) == (Reason.ACTIVE_NOT_HEARD, ())


def test_when_nobody_is_heard_nothing_is_done() -> None:
    decision = plan(wanted(), seen(lost(A), lost(B), lost(W)))
    assert (decision.reason, decision.actions) == (Reason.NOBODY_HEARD, ())


def test_a_node_that_lacks_writes_is_no_successor() -> None:
    picture = seen(active(A), node(B, in_sync=False), witness())
    assert successor(wanted(data=DataMode.REPLICATED), picture, A) is None
    assert successor(wanted(), picture, A) is not None


def test_a_configuration_that_is_on_its_way_is_said() -> None:
    picture = seen(node(A), node(B), witness(), configured=False)
    assert plan(wanted(), picture).reason is Reason.CONFIGURING


def test_maintenance_is_said_before_what_the_agent_makes_of_it() -> None:
    nodes = (WantedNode(A), WantedNode(B, maintenance=True))
    assert not_ready(wanted(nodes=nodes), node(B, eligible=False)) == "orders-b is in maintenance"


def test_a_boot_whose_end_was_told_is_not_shot_again() -> None:
    picture = seen(lost(A, vm=OFF), holding(B), witness(), told=frozenset({OLD}))
    assert plan(wanted(**SHARED), picture).reason is Reason.PROOF_MISSING


def test_a_move_that_policy_began_is_followed_and_not_begun_again() -> None:
    nodes = (WantedNode(A, maintenance=True), WantedNode(B))
    leaving = seen(active(A, releasing=True), node(B), witness())
    decision = plan(wanted(nodes=nodes), leaving)
    assert (decision.reason, decision.actions) == (Reason.HANDING_OVER, ())
    back = seen(node(A, ready_since_ms=0), active(B, releasing=True), witness())
    decision = plan(wanted(failback=True), back)
    assert (decision.reason, decision.actions) == (Reason.FAILING_BACK, ())


def test_who_may_stand_is_named_while_the_members_choose() -> None:
    decision = plan(wanted(), seen(lost(A), node(B), witness()))
    assert (decision.reason, decision.message) == (
        Reason.ELECTING,
        "the members are choosing; orders-b may stand",
    )


SHAPES = {
    "active": lambda name: active(name, term=6),
    "serving": lambda name: active(name, term=6, suspects=(OLD,)),
    "holding": lambda name: node(name, role=Role.HOLDING, term=6, suspects=(OLD,)),
    "standby": node,
    "maintained": lambda name: node(name, eligible=False),
    "heard by peers": lambda name: lost(name, heard_by=(W,)),
    "lost": lost,
    "off": lambda name: lost(name, vm=OFF),
    "fenced": lambda name: lost(name, vm=OFF, fence=FenceSeen(OLD.boot, proven=True, term=6)),
}
WORLD = list(
    itertools.product(
        SHAPES,
        SHAPES,
        (True, False),
        FencePolicy,
        (DataMode.NONE, DataMode.SHARED_DISK),
        (True, False),
        ("", "vCenter is silent"),
    )
)


def test_over_all_small_worlds_it_never_harms_the_node_that_serves() -> None:
    """Exhaustive: no fence or power-on of whoever serves, no fence before a vote was won."""
    for a, b, with_witness, policy, data, failback, problem in WORLD:
        members = (SHAPES[a](A), SHAPES[b](B), witness() if with_witness else lost(W))
        picture = seen(*members, fence_error=problem)
        want = wanted(fence=policy, data=data, failback=failback)
        decision = plan(want, picture)
        assert decision.message
        serving = {m.name for m in members if m.role is Role.ACTIVE}
        newest = picture.active.name if picture.active else None
        for action in decision.actions:
            match action:
                case Fence(name, _, term):
                    assert picture.winner is not None
                    assert term == picture.winner.term
                    assert name != picture.winner.name
                    assert policy is not FencePolicy.NEVER
                    if policy is FencePolicy.WHEN_NEEDED:
                        assert data is DataMode.SHARED_DISK
                        assert name not in serving
                case PowerOn(name):
                    assert newest is not None
                    assert name != newest
                case HandOver(name, to, _, _):
                    assert name == newest
                    assert successor(want, picture, name) is not None
                    assert picture.member(to).heard
                case Tell():
                    pytest.fail("nothing was proven over in these worlds")


def test_a_node_that_a_round_took_out_is_given_back_by_the_round() -> None:
    want = wanted(nodes=(WantedNode(A), WantedNode(B, maintenance=True, rolling="os-2026-11")))
    back = what_helps(want, [node(B)])
    assert back == f"kubectl standfast rolling orders done {B}, when the work is done"
    by_hand = wanted(nodes=(WantedNode(A), WantedNode(B, maintenance=True)))
    back = what_helps(by_hand, [node(B)])
    assert back == f"kubectl standfast maintenance orders {B} off, when the work is done"
