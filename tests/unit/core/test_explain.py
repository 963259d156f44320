"""The conditions: true only of what was measured, said in sentences with the values."""

from dataclasses import replace

import pytest

from standfast.core import explain
from standfast.core.explain import Claim
from standfast.core.fencing import Contact, Power
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.core.view import MemberSeen, PathSeen, ResourceSeen, Role, VmSeen, WantedNode
from tests.unit.core.operator_views import (
    VIP,
    VM_ON,
    WEB,
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

NONE_HEARD = seen(lost(A), lost(B), lost(W))


def is_(claim: Claim | None, holds: bool | None, reason: Reason) -> str:
    assert claim is not None
    assert (claim.holds, claim.reason) == (holds, reason), claim.message
    return claim.message


def test_ready_names_node_term_and_resources() -> None:
    message = is_(explain.ready(wanted(), well()), True, Reason.SERVING)
    assert message == "orders-a serves in term 5: 2 resources run"


def test_ready_is_false_with_the_cause_when_a_critical_resource_fails() -> None:
    web = replace(WEB, state="Failed", message="unit web.service was not found")
    picture = seen(replace(active(A), resources=(web, VIP)), node(B), witness())
    message = is_(explain.ready(wanted(), picture), False, Reason.RESOURCE_FAILED)
    assert "web is Failed (unit web.service was not found)" in message


def test_a_resource_that_is_not_critical_leaves_ready_true() -> None:
    web = replace(WEB, state="Failed", critical=False)
    picture = seen(replace(active(A), resources=(web, VIP)), node(B), witness())
    assert "web, which is not critical" in is_(
        explain.ready(wanted(), picture), True, Reason.SERVING
    )


def test_ready_is_unknown_when_nothing_was_measured() -> None:
    is_(explain.ready(wanted(), NONE_HEARD), None, Reason.NOBODY_HEARD)
    unheard = seen(lost(A, heard_by=(B, W)), node(B), witness())
    is_(explain.ready(wanted(), unheard), None, Reason.ACTIVE_NOT_HEARD)


def test_ready_is_false_while_a_winner_starts_and_when_nobody_serves() -> None:
    is_(
        explain.ready(wanted(), seen(lost(A), node(B, role=Role.HOLDING), witness())),
        False,
        Reason.STARTING,
    )
    is_(explain.ready(wanted(), seen(lost(A), node(B), witness())), False, Reason.NO_ACTIVE_NODE)


def test_protected_says_who_would_serve_and_in_how_many_seconds() -> None:
    message = is_(
        explain.protected(wanted(data=DataMode.REPLICATED), well()),
        True,
        Reason.FAILOVER_POSSIBLE,
    )
    assert message == (
        "If orders-a died now, orders-b would serve in about 2.2 s and no acknowledged write "
        "would be lost."
    )


def test_a_measured_start_counts_in_the_expected_time() -> None:
    assert explain.failover_ms(wanted(), node(B, start_ms=5_000)) == 1500 + 400 + 5_000
    assert explain.failover_ms(wanted(), None) == 1500 + 400 + explain.START_MS_DEFAULT


@pytest.mark.parametrize(
    ("standby", "reason", "words", "remedy"),
    [
        (
            lost(B),
            Reason.NO_STANDBY,
            "orders-b is not heard",
            "on orders-b: systemctl status standfast-agent; TCP port 7380 must be open",
        ),
        (
            node(B, eligible=False, ineligible_reasons=("unit web.service does not exist",)),
            Reason.STANDBY_NOT_READY,
            "unit web.service does not exist",
            "on orders-b: standfast-agent status, and journalctl -u standfast-agent",
        ),
        (
            lost(B, vm=replace(VM_ON, power=Power.OFF)),
            Reason.STANDBY_NOT_READY,
            "the VM of orders-b is powered off",
            "power the VM of orders-b on",
        ),
        (
            lost(B, vm=replace(VM_ON, power=Power.SUSPENDED)),
            Reason.STANDBY_NOT_READY,
            "is suspended",
            "resume the VM of orders-b",
        ),
        (
            node(B, halted="its disk is a copy"),
            Reason.STANDBY_NOT_READY,
            "its disk is a copy",
            "on orders-b: standfast-agent status",
        ),
        (
            node(B, in_sync=False),
            Reason.STANDBY_BEHIND,
            "lacks acknowledged writes",
            "wait until it has caught up: kubectl standfast status orders -w",
        ),
        (
            lost(B, enrolled=False),
            Reason.NO_STANDBY,
            "has not joined yet",
            "kubectl standfast enroll orders orders-b",
        ),
        (
            node(B, role=Role.CANDIDATE),
            Reason.STANDBY_NOT_READY,
            "is Candidate, not standby",
            "kubectl standfast status orders -w",
        ),
    ],
)
def test_protected_is_false_with_the_cause_and_its_own_remedy(
    standby: MemberSeen, reason: Reason, words: str, remedy: str
) -> None:
    picture = seen(active(A), standby, witness())
    claim = explain.protected(wanted(data=DataMode.REPLICATED), picture)
    assert words in is_(claim, False, reason)
    assert claim.remedy == remedy


def test_two_nodes_without_a_witness_are_not_protected() -> None:
    message = is_(
        explain.protected(wanted(witnesses=()), seen(active(A), node(B))), False, Reason.NO_WITNESS
    )
    assert "no majority of 2 voters" in message


def test_a_missing_witness_takes_protection_away() -> None:
    picture = seen(active(A), node(B), replace(witness(), heard=False, heard_by=()))
    message = is_(explain.protected(wanted(), picture), False, Reason.WITNESS_MISSING)
    assert "tokyo-c" in message
    three = (WantedNode(A), WantedNode(B), WantedNode("orders-c"))
    picture = seen(active(A), node(B), lost("orders-c"))
    is_(
        explain.protected(wanted(nodes=three, witnesses=()), picture),
        False,
        Reason.NO_MAJORITY_LEFT,
    )


def test_a_shared_disk_is_protected_only_while_the_active_node_could_be_fenced() -> None:
    want = wanted(data=DataMode.SHARED_DISK)
    assert "from the same disk" in is_(
        explain.protected(want, well()), True, Reason.FAILOVER_POSSIBLE
    )
    silent = replace(VM_ON, problem="vCenter v refuses the password")
    assert "refuses the password" in is_(
        explain.protected(want, seen(active(A, vm=silent), node(B), witness())),
        False,
        Reason.NO_PROOF,
    )
    blind = seen(active(A, vm=VmSeen()), node(B), witness())
    is_(explain.protected(want, blind), None, Reason.NO_PROOF)


def test_nobody_serving_means_not_protected_and_unknown_stays_unknown() -> None:
    is_(
        explain.protected(wanted(), seen(lost(A), node(B), witness())),
        False,
        Reason.NO_ACTIVE_NODE,
    )
    is_(explain.protected(wanted(), NONE_HEARD), None, Reason.NOBODY_HEARD)


def test_a_cluster_that_is_being_set_up_says_so() -> None:
    picture = replace(NONE_HEARD, configured=False)
    is_(explain.ready(wanted(), picture), False, Reason.WAITING_FOR_NODES)
    assert explain.in_sync(wanted(data=DataMode.REPLICATED), picture) is None


def test_quorate_counts_all_declared_voters() -> None:
    assert is_(explain.quorate(wanted(), well()), True, Reason.MAJORITY).startswith("3 of 3")
    alone = seen(active(A, heard_by=()), lost(B), lost(W))
    assert "missing: orders-b, tokyo-c" in is_(
        explain.quorate(wanted(), alone), False, Reason.NO_MAJORITY
    )
    is_(explain.quorate(wanted(), NONE_HEARD), None, Reason.NOBODY_HEARD)
    is_(
        explain.ready(wanted(), seen(node(A, heard_by=()), lost(B), lost(W))),
        None,
        Reason.NO_MAJORITY,
    )


def test_degraded_lists_everything_that_is_missing() -> None:
    is_(explain.degraded(wanted(), well()), False, Reason.REDUNDANT)
    same = replace(VM_ON, host="host-1", host_name="esx-1")
    path = PathSeen(B, "10.20.1.12:7380", up=False)
    picture = seen(
        active(A, vm=same, paths=(path,), alerts=(("NoWatchdog", "no watchdog", "load softdog"),)),
        node(B, vm=same),
        witness(),
    )
    message = is_(explain.degraded(wanted(), picture), True, Reason.SAME_HOST)
    assert "orders-a and orders-b run on host esx-1" in message
    assert "orders-a does not reach orders-b at 10.20.1.12:7380" in message
    assert "NoWatchdog: no watchdog" in message


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (lost(B, enrolled=False), Reason.WAITING_FOR_NODES),
        (lost(B, vm=replace(VM_ON, power=Power.OFF)), Reason.NODE_POWERED_OFF),
        (lost(B, vm=replace(VM_ON, power=Power.SUSPENDED)), Reason.NODE_POWERED_OFF),
        (lost(B), Reason.NODE_MISSING),
        (lost(B, heard_by=(A,)), Reason.NODE_MISSING),
        (node(B, halted="copied"), Reason.NODE_HALTED),
        (node(B, heard_by=()), Reason.NODE_MISSING),
        (node(B, eligible=False), Reason.STANDBY_NOT_READY),
    ],
)
def test_degraded_names_what_is_wrong_with_a_node(member: object, reason: Reason) -> None:
    is_(explain.degraded(wanted(), seen(active(A), member, witness())), True, reason)


def test_maintenance_and_a_silent_witness_are_degradations() -> None:
    nodes = (WantedNode(A), WantedNode(B, maintenance=True))
    is_(explain.degraded(wanted(nodes=nodes), well()), True, Reason.IN_MAINTENANCE)
    silent = replace(witness(), heard=False, heard_by=())
    claim = explain.degraded(wanted(), seen(active(A), node(B), silent))
    assert claim.remedy == "kubectl describe witness tokyo-c"


def test_fence_ready_is_true_only_when_every_vm_is_seen_through_a_connected_host() -> None:
    is_(explain.fence_ready(wanted(), well()), True, Reason.FENCE_POSSIBLE)
    away = replace(VM_ON, contact=Contact.LOST, host_name="esx-1")
    assert "esx-1" in is_(
        explain.fence_ready(wanted(), seen(active(A), node(B, vm=away), witness())),
        False,
        Reason.FENCE_NOT_POSSIBLE,
    )
    unknown = replace(VM_ON, problem="no VM with instance UUID 5031")
    is_(
        explain.fence_ready(wanted(), seen(active(A), node(B, vm=unknown), witness())),
        False,
        Reason.FENCE_NOT_POSSIBLE,
    )
    is_(
        explain.fence_ready(wanted(), seen(active(A), node(B, vm=VmSeen()), witness())),
        None,
        Reason.FENCE_NOT_POSSIBLE,
    )


def test_in_sync_is_claimed_for_replicated_data_only() -> None:
    want = wanted(data=DataMode.REPLICATED)
    assert explain.in_sync(wanted(), well()) is None
    is_(explain.in_sync(want, well()), True, Reason.IN_SYNC)
    is_(
        explain.in_sync(want, seen(active(A), node(B, in_sync=False), witness())),
        False,
        Reason.OUT_OF_SYNC,
    )
    is_(
        explain.in_sync(want, seen(active(A), node(B, in_sync=None), witness())),
        None,
        Reason.NOBODY_HEARD,
    )


def test_what_a_lost_standby_lacks_is_said_in_bytes() -> None:
    pg = ResourceSeen("pg", "postgresql", "Running", lacks=((B, 40 << 20),))
    serving = replace(active(A), resources=(pg,))
    said = is_(
        explain.in_sync(
            wanted(data=DataMode.REPLICATED), seen(serving, node(B, in_sync=False), witness())
        ),
        False,
        Reason.OUT_OF_SYNC,
    )
    assert "(at most 64.0 MiB at risk until it has them)" in said


def test_asynchronous_copies_are_in_sync_and_protect_within_the_declared_bound() -> None:
    want = wanted(data=DataMode.REPLICATED_ASYNC, loss_max=16 << 20)
    picture = seen(active(A), node(B, in_sync=False), witness())
    said = is_(explain.in_sync(want, picture), True, Reason.IN_SYNC)
    assert "within 16.0 MiB" in said
    said = is_(explain.protected(want, picture), True, Reason.FAILOVER_POSSIBLE)
    assert "at most 16.0 MiB of the newest writes would be lost" in said

    alert = (explain.BEYOND_MAX_DATA_LOSS, "the nearest copy lacks 40.0 MiB", "look")
    other = ("NoWatchdog", "no watchdog", "load softdog")
    picture = seen(active(A, alerts=(other, alert)), node(B, in_sync=False), witness())
    assert "40.0 MiB" in is_(explain.in_sync(want, picture), False, Reason.OUT_OF_SYNC)
    assert "40.0 MiB" in is_(explain.protected(want, picture), False, Reason.OUT_OF_SYNC)
    nobody = seen(node(A), node(B), witness())
    is_(explain.in_sync(want, nobody), None, Reason.NOBODY_HEARD)


def test_addresses_are_announced_where_their_agent_verified_them() -> None:
    assert explain.announced(wanted(), seen(node(A), node(B), witness())) is None
    is_(explain.announced(wanted(), well()), True, Reason.ANNOUNCED)
    stranger = replace(VIP, state="Failed", message="02:00:00:00:00:01 answers for it")
    picture = seen(replace(active(A), resources=(WEB, stranger)), node(B), witness())
    assert "02:00:00:00:00:01" in is_(
        explain.announced(wanted(), picture), False, Reason.NOT_ANNOUNCED
    )
    picture = seen(node(A, resources=(replace(VIP, state="Stopped"),)), node(B), witness())
    is_(explain.announced(wanted(), picture), None, Reason.NO_ACTIVE_NODE)
