"""Power through vCenter: for whoever won the vote, told only when proven, resumed when cut."""

import asyncio
import signal

import pytest

from tests.integration.operator_bed import (
    OperatorBed,
    condition,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(180)]

SHARED = {"data": "SharedDisk"}


async def pair_of(bed: OperatorBed, **spec: object) -> str:
    """A settled pair; the active node."""
    bed.operator().start()
    await bed.declare(**spec)
    await bed.enrol()
    cluster = await bed.settled()
    return str(cluster["status"]["active"])


def served_by_other(old: str):
    return lambda c: truth(c, "Ready") == "True" and c["status"].get("active") not in {old, None}


async def test_a_shared_disk_is_taken_over_after_a_proven_power_off(bed: OperatorBed) -> None:
    """F87: the loser of the vote is shot, and comes back as a standby by policy."""
    old = await pair_of(bed, **SHARED)
    bed.machines[old].signal(signal.SIGSTOP)
    after = await bed.until(served_by_other(old), within_s=30)
    orders = [(o["vm"], o["op"]) for o in bed.vcenter.hypervisor.orders]
    assert orders[0] == (old, "off")
    new = after["status"]["active"]
    record = await bed.until(lambda r: r.get("status", {}).get("to"), "FailoverRecord", "orders-2")
    assert record["status"]["proof"] == "PoweredOff"
    assert any("power-off task" in line for line in record["status"]["evidence"])
    settled = await bed.settled()
    assert (old, "on") in [(o["vm"], o["op"]) for o in bed.vcenter.hypervisor.orders]
    assert settled["status"]["active"] == new
    node = next(n for n in settled["status"]["nodes"] if n["name"] == old)
    assert node["role"] == "Standby"
    await bed.until(lambda c: all("fence" not in n for n in c["status"]["nodes"]), within_s=10)


async def test_a_fence_that_vcenter_refuses_is_tried_until_it_succeeds(bed: OperatorBed) -> None:
    """F85: nothing starts meanwhile, and the condition says what is missing."""
    old = await pair_of(bed, **SHARED)
    bed.vcenter.hypervisor.refusal = "the VM process ignores signals"
    bed.machines[old].signal(signal.SIGSTOP)
    waiting = await bed.until(
        lambda c: c["status"]["decision"]["reason"] == "FenceFailed", within_s=30
    )
    assert "the VM process ignores signals" in waiting["status"]["decision"]["message"]
    assert truth(waiting, "Ready") == "False"
    bed.vcenter.hypervisor.refusal = ""
    await bed.until(served_by_other(old), within_s=60)


async def test_an_operator_killed_while_the_task_runs_is_followed_by_another(
    bed: OperatorBed,
) -> None:
    """F72: the order stands in the status; the next run asks the task and shoots nobody."""
    old = await pair_of(bed, **SHARED)
    bed.vcenter.hypervisor.answers.clear()
    bed.machines[old].signal(signal.SIGSTOP)
    await bed.until(lambda c: any(n.get("fence") for n in c["status"]["nodes"]), within_s=20)
    async with asyncio.timeout(10):
        while not bed.vcenter.hypervisor.orders:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    bed.operators[0].kill()
    bed.vcenter.hypervisor.answers.set()
    bed.operator("op-2").start()
    await bed.until(served_by_other(old), within_s=60)
    offs = [o for o in bed.vcenter.hypervisor.orders if o["op"] == "off"]
    assert len(offs) == 1, "found off: nothing was ordered twice"


async def test_policy_never_only_watches(bed: OperatorBed) -> None:
    old = await pair_of(bed, fencing={"policy": "Never"})
    bed.machines[old].signal(signal.SIGSTOP)
    await bed.until(served_by_other(old))
    await asyncio.sleep(2)
    assert bed.vcenter.hypervisor.orders == []


async def test_policy_always_powers_off_after_every_failover_and_leaves_off_when_told(
    bed: OperatorBed,
) -> None:
    old = await pair_of(bed, fencing={"policy": "Always", "afterFence": "LeaveOff"})
    bed.machines[old].signal(signal.SIGSTOP)
    await bed.until(served_by_other(old))
    after = await bed.until(
        lambda c: any(n.get("fence", {}).get("proven") for n in c["status"]["nodes"]),
        within_s=20,
    )
    assert condition(after, "Ready")["status"] == "True"
    await asyncio.sleep(2)
    assert [o["op"] for o in bed.vcenter.hypervisor.orders] == ["off"]


async def test_paused_shoots_nobody(bed: OperatorBed) -> None:
    old = await pair_of(bed, **SHARED)
    await bed.apply("HACluster", "orders", {**bed.cluster_spec(), **SHARED, "paused": True})
    await bed.until(lambda c: truth(c, "Paused") == "True")
    bed.machines[old].signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    assert bed.vcenter.hypervisor.orders == []
    await bed.apply("HACluster", "orders", {**bed.cluster_spec(), **SHARED, "paused": False})
    await bed.until(served_by_other(old), within_s=30)


async def test_a_vm_that_is_another_than_the_node_refutes_its_own_power_off(
    bed: OperatorBed,
) -> None:
    """F86: vCenter says off, the agent answers in the same boot: nobody is told of an end."""
    old = await pair_of(bed)
    await asyncio.sleep(11)
    await bed.vcenter.control.set_power(old, "off")
    await bed.until(lambda c: any(n["powerState"] == "PoweredOff" for n in c["status"]["nodes"]))
    await asyncio.sleep(3)
    after = await bed.cluster()
    assert after["status"]["active"] == old
    assert truth(after, "Ready") == "True"
    errors = [line["error"] for line in bed.operators[0].lines("Errand failed")]
    assert any("its agent answers in the boot that would be over" in error for error in errors)
