"""The operator comes, goes, freezes, loses its API server; moves are asked for and refused."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from standfast.adapters.kube.paths import EVENTS, SECRETS
from tests.integration.kube_parts import CRDS, KubeLab
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    Operator,
    OperatorBed,
    condition,
    kind,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]


def other(pair: OperatorBed, name: str) -> str:
    return next(each for each in pair.machines if each != name)


def served_by(name: str):
    return lambda c: truth(c, "Ready") == "True" and c["status"].get("active") == name


async def final(pair: OperatorBed, name: str) -> dict[str, Any]:
    found = await pair.until(
        lambda s: s.get("status", {}).get("phase") in {"Completed", "Refused", "Failed"},
        "Switchover",
        name,
    )
    return found["status"]


async def test_a_failover_while_the_operator_is_away_is_recorded_when_it_is_back(
    pair: OperatorBed,
) -> None:
    """F70, and what api.md promises of FailoverRecords."""
    old = await pair.active()
    assert pair.operators[0].stop() == 0
    pair.machines[old].off()
    await asyncio.sleep(4)
    pair.machines[old].on()
    pair.operator("op-2").start()
    new = other(pair, old)
    await pair.until(served_by(new))
    record = await pair.until(
        lambda r: r.get("status", {}).get("to"), "FailoverRecord", f"{CLUSTER}-2"
    )
    assert (record["status"]["from"], record["status"]["to"]) == (old, new)
    assert record["status"]["timeline"][0]["name"] == "Lease won"
    after = await pair.until(lambda c: c["status"].get("lastFailover"))
    assert after["status"]["lastFailover"]["record"] == f"{CLUSTER}-2"


async def test_an_api_server_that_is_away_stops_nothing(pair: OperatorBed, kube: KubeLab) -> None:
    """F69: the replica ends when its lease lapses, and another one goes on where it was."""
    before = await pair.cluster()
    await asyncio.to_thread(kube.stop)
    await asyncio.sleep(14)
    assert pair.operators[0].process is not None
    assert pair.operators[0].process.poll() == 75, "a lease that cannot be renewed ends it"
    for machine in pair.machines.values():
        assert machine.runs
        assert [line for line in machine.history() if line["what"] in {"stopped", "killed"}] == []
    await asyncio.to_thread(kube.start)
    pair.operator("op-2").start()
    await asyncio.sleep(3)
    after = await pair.settled()
    assert after["status"]["term"] == before["status"]["term"]
    assert pair.vcenter.hypervisor.orders == []


async def test_deleting_the_cluster_leaves_the_application_running(pair: OperatorBed) -> None:
    """F76: no finalizer wedges, agents go on by themselves."""
    active = await pair.active()
    cluster = await pair.cluster()
    assert not cluster["metadata"].get("finalizers")
    await pair.client.delete(kind("HACluster"), NAMESPACE, CLUSTER, cluster["metadata"]["uid"])
    async with asyncio.timeout(10):
        while await pair.client.find(kind("HACluster"), NAMESPACE, CLUSTER):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.sleep(4)
    history = pair.machines[active].history()
    assert [line for line in history if line["what"] in {"stopped", "killed"}] == []
    assert pair.operators[0].lines("Unmanaged")
    assert pair.operators[0].lines("Pass broke") == []


async def test_maintenance_of_the_active_node_hands_over_first(pair: OperatorBed) -> None:
    old = await pair.active()
    spec = pair.cluster_spec()
    for node in spec["nodes"]:
        node["maintenance"] = node["name"] == old
    await pair.apply("HACluster", CLUSTER, spec)
    after = await pair.until(served_by(other(pair, old)))
    after = await pair.until(
        lambda c: f"{old} is in maintenance" in condition(c, "Protected").get("message", "")
    )
    assert condition(after, "Degraded")["reason"] == "InMaintenance"
    await pair.apply("HACluster", CLUSTER, pair.cluster_spec())
    await pair.settled()


async def test_service_returns_to_the_preferred_node_by_policy_and_stays_where_it_was_sent(
    pair: OperatorBed,
) -> None:
    spec = {**pair.cluster_spec(), "placement": {"failback": "WhenInSync"}}
    await pair.apply("HACluster", CLUSTER, spec)
    first = await pair.active()
    pair.machines["vm-a"].off()
    await pair.until(served_by("vm-b"))
    pair.machines["vm-a"].on()
    await pair.settled()
    assert await pair.active() == "vm-b", f"not before it has been ready for a while ({first})"
    after = await pair.until(
        lambda c: (
            served_by("vm-a")(c) and c["status"].get("lastFailover", {}).get("cause") == "Failback"
        ),
        within_s=60,
    )
    assert after["status"]["lastFailover"]["planned"]
    await pair.apply(
        "Switchover", "to-b", {"clusterRef": {"name": CLUSTER}, "to": "vm-b", "reason": "test"}
    )
    await final(pair, "to-b")
    await pair.until(lambda c: c["status"].get("lastFailover", {}).get("cause") == "Switchover")


async def test_moves_that_are_refused_say_why_and_touch_nothing(pair: OperatorBed) -> None:
    active = await pair.active()
    standby = other(pair, active)
    term = (await pair.cluster())["status"]["term"]
    refs = {"clusterRef": {"name": CLUSTER}}
    await pair.apply("Switchover", "nobody", {**refs, "to": "vm-z"})
    status = await final(pair, "nobody")
    assert (status["phase"], status["reason"]) == ("Refused", "UnknownNode")
    assert "its nodes are vm-a, vm-b" in status["message"]
    await pair.apply("Switchover", "here", {**refs, "to": active})
    assert (await final(pair, "here"))["reason"] == "AlreadyThere"
    await pair.apply("Switchover", "dry", {**refs, "to": standby, "dryRun": True})
    status = await final(pair, "dry")
    assert (status["phase"], status["reason"]) == ("Completed", "DryRun")
    assert "outage of about" in status["message"]
    pair.machines[standby].off()
    await pair.until(lambda c: truth(c, "Protected") == "False")
    await pair.apply("Switchover", "dead", {**refs, "to": standby})
    status = await final(pair, "dead")
    assert (status["phase"], status["reason"]) == ("Refused", "TargetNotReady")
    assert f"{standby} is not heard" in status["message"]
    assert (await pair.cluster())["status"]["term"] == term


async def test_a_move_is_executed_once_although_the_operator_dies_in_the_middle(
    pair: OperatorBed,
) -> None:
    """F72: phases are written before they are acted on; the request carries the object's uid."""
    active = await pair.active()
    standby = other(pair, active)
    await pair.apply("Switchover", "cut", {"clusterRef": {"name": CLUSTER}, "to": standby})
    await pair.until(lambda s: s.get("status", {}).get("phase"), "Switchover", "cut")
    pair.operators[0].kill()
    pair.operator("op-2").start()
    status = await final(pair, "cut")
    assert status["phase"] == "Completed"
    after = await pair.until(served_by(standby))
    assert after["status"]["term"] == 2


async def test_a_deleted_move_is_called_off(pair: OperatorBed) -> None:
    standby = other(pair, await pair.active())
    spec = {"clusterRef": {"name": CLUSTER}, "to": standby}
    await pair.apply("HACluster", CLUSTER, {**pair.cluster_spec(), "paused": True})
    await pair.until(lambda c: truth(c, "Paused") == "True")
    await pair.apply("Switchover", "void", spec)
    status = await final(pair, "void")
    assert (status["phase"], status["reason"]) == ("Refused", "Paused")


async def test_a_vcenter_that_is_away_during_a_failover_delays_nothing(
    pair: OperatorBed,
) -> None:
    """F80: agents and witness do it alone; the condition says that VMs are not seen."""
    old = await pair.active()
    await pair.vcenter.stop()
    gone = await pair.until(lambda c: truth(c, "FenceReady") == "False", within_s=45)
    assert truth(gone, "Ready") == "True"
    pair.machines[old].off()
    await pair.until(served_by(other(pair, old)), within_s=10)
    await pair.vcenter.start()
    await pair.until(lambda c: truth(c, "FenceReady") == "True", within_s=60)


async def test_a_lost_witness_is_said_and_comes_back(pair: OperatorBed) -> None:
    assert pair.witness is not None
    pair.witness.signal(signal.SIGKILL)
    gone = await pair.until(lambda c: truth(c, "Protected") == "False", within_s=15)
    assert condition(gone, "Protected")["reason"] == "WitnessMissing"
    assert truth(gone, "Ready") == "True"
    assert gone["status"]["witness"] == "0/1"
    pair.witness.start()
    await pair.settled()


async def test_bundles_are_spent_and_certificates_known(pair: OperatorBed) -> None:
    async with asyncio.timeout(10):
        while await pair.client.find(SECRETS, NAMESPACE, f"{CLUSTER}-vm-a-bundle"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    status = (await pair.cluster())["status"]
    assert all(node["enrolment"] == "Enrolled" for node in status["nodes"])


async def test_events_tell_the_story(pair: OperatorBed) -> None:
    old = await pair.active()
    pair.machines[old].off()
    await pair.until(served_by(other(pair, old)))
    await pair.until(lambda c: c["status"].get("lastFailover"))
    await asyncio.sleep(2)
    found = [
        event
        async for event in pair.client.list(EVENTS, NAMESPACE)
        if event["regarding"]["name"] == CLUSTER
    ]
    reasons = {event["reason"] for event in found}
    assert "FailedOver" in reasons
    assert "Serving" in reasons
    print(sorted((event["reason"], event["type"], event["note"]) for event in found))


async def test_an_operator_that_comes_before_its_kinds_waits_for_them(
    kube: KubeLab, tmp_path: Path
) -> None:
    """Helm may install the operator first; what is not served when watching begins is not seen."""
    client = kube.client()
    crd = await client.get(CRDS, "", "switchovers.standfast.dev")
    await client.delete(CRDS, "", "switchovers.standfast.dev", crd["metadata"]["uid"])
    operator = Operator(kube.kubeconfig, tmp_path, "early")
    operator.start()
    try:
        async with asyncio.timeout(15):
            while not operator.lines("Waiting for the kinds"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert "switchovers" in operator.lines("Waiting for the kinds")[0]["why"]
        assert operator.lines("Elected") == []
    finally:  # others use this API server as well
        await client.apply(CRDS, "", "switchovers.standfast.dev", {"spec": crd["spec"]})
    async with asyncio.timeout(30):
        while not operator.lines("Elected"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert operator.stop() == 0
    await client.close()
