"""Whatever is deleted, in whatever order: agents stay safe, resources run unless told to stop."""

import asyncio

import pytest

from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    kind,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(180)]

SETTLING_S = 2.0
"""A pass, a register and a declaration to both agents take a tenth of this."""


async def delete(pair: OperatorBed, of: str, name: str) -> None:
    """Delete, and see it vanish: nothing of ours may hold it back."""
    found = await pair.get(of, name)
    assert not found["metadata"].get("finalizers")
    await pair.client.delete(kind(of), NAMESPACE, name, found["metadata"]["uid"])
    async with asyncio.timeout(10):
        while await pair.client.find(kind(of), NAMESPACE, name):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def ended(pair: OperatorBed, node: str) -> list[str]:
    """Resources that were stopped on a node."""
    history = pair.machines[node].history()
    return [line["resource"] for line in history if line["what"] in {"stopped", "killed"}]


async def test_f76_resources_deleted_before_their_cluster_go_on_running(
    pair: OperatorBed,
) -> None:
    """The order of `kubectl delete -f`, of a prune, of a namespace's end."""
    active = await pair.active()
    await delete(pair, "HAResource", "vip")
    kept = await pair.until(lambda c: c["status"].get("kept") == ["vip"])
    assert truth(kept, "Ready") == "True"
    assert kept["status"]["resources"] == 2
    await delete(pair, "HAResource", "web")
    await pair.until(lambda c: c["status"].get("kept") == ["vip", "web"])
    await delete(pair, "Witness", "third")
    await delete(pair, "Infrastructure", "lab")
    await delete(pair, "HACluster", CLUSTER)
    await asyncio.sleep(SETTLING_S)
    assert ended(pair, active) == []
    assert all(machine.runs for machine in pair.machines.values())
    assert pair.operators[0].lines("Pass broke") == []
    assert pair.operators[0].lines("Errand broke") == []


async def test_f76_what_is_kept_fails_over_and_is_declared_again_without_a_stop(
    pair: OperatorBed,
) -> None:
    old = await pair.active()
    pair.operators[0].kill()
    await delete(pair, "HAResource", "web")
    await delete(pair, "HAResource", "vip")
    pair.operator("op-2").start()
    await pair.until(lambda c: c["status"].get("kept") == ["vip", "web"])
    assert ended(pair, old) == []
    pair.machines[old].off()
    new = next(name for name in pair.machines if name != old)
    await pair.until(lambda c: truth(c, "Ready") == "True" and c["status"]["active"] == new)
    pair.machines[old].on()
    await pair.settled()
    await pair.declare()
    after = await pair.until(lambda c: not c["status"].get("kept"))
    assert after["status"]["resources"] == 2
    assert ended(pair, new) == []


async def test_f76_a_resource_is_stopped_by_its_deletion_when_that_was_asked_for(
    pair: OperatorBed,
) -> None:
    active = await pair.active()
    spec = {"clusterRef": {"name": CLUSTER}, "vip": {"address": "10.9.9.9/24"}}
    await pair.apply("HAResource", "vip", {**spec, "onDelete": "Stop"})
    await asyncio.sleep(SETTLING_S)
    assert ended(pair, active) == [], "how it ends is nothing to restart it for"
    pair.operators[0].kill()
    await delete(pair, "HAResource", "vip")
    pair.operator("op-2").start()
    async with asyncio.timeout(60):
        while ended(pair, active) != ["vip"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    after = await pair.until(lambda c: c["status"].get("resources") == 1)
    assert truth(after, "Ready") == "True"
    assert not after["status"].get("kept")


async def test_f76_a_cluster_deleted_first_leaves_orphans_that_say_so(pair: OperatorBed) -> None:
    active = await pair.active()
    assert (await pair.cluster())["status"]["configID"] == "0.0"
    await delete(pair, "HACluster", CLUSTER)
    orphan = await pair.until(lambda r: truth(r, "Stalled") == "True", "HAResource", "web")
    assert "HACluster databases/orders does not exist" in orphan["status"]["message"]
    await delete(pair, "Infrastructure", "lab")
    await delete(pair, "Witness", "third")
    await delete(pair, "HAResource", "web")
    await delete(pair, "HAResource", "vip")
    await asyncio.sleep(SETTLING_S)
    assert ended(pair, active) == []
