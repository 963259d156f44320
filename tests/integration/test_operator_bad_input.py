"""What people get wrong: a condition with value, rule and remedy, and nothing stops for it."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from standfast.adapters.kube.paths import SECRETS
from standfast.errors import UserError
from standfast.lab.ca import Authority, Subject
from tests.integration.kube_parts import CRDS, KubeLab
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    condition,
    kind,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(120)]

CALM_S = 2.0
"""An order to stop would have been carried out meanwhile."""


@pytest.fixture
async def bed(bed: OperatorBed) -> OperatorBed:
    """Declared, and nobody enrolled."""
    bed.operator().start()
    await bed.declare()
    return bed


async def infrastructure(bed: OperatorBed, **changed: Any) -> dict[str, Any]:
    info = bed.vcenter.info
    spec = {
        "server": info.server,
        "credentialsSecretRef": {"name": "vcenter"},
        "caBundle": info.ca_file.read_text(),
    }
    await bed.apply("Infrastructure", "lab", {"vsphere": {**spec, **changed}})
    return spec


def stalled(reason: str):
    return lambda o: condition(o, "Stalled").get("reason") == reason


async def test_a_vcenter_that_is_right_is_said_to_be(bed: OperatorBed) -> None:
    found = await bed.until(
        lambda o: truth(o, "Ready") == "True" and truth(o, "Privileged") == "True",
        "Infrastructure",
        "lab",
    )
    assert found["status"]["version"].startswith("VMware vCenter Server")
    assert found["status"]["virtualMachines"] == 2


async def test_a_wrong_password(bed: OperatorBed) -> None:
    await bed.until(lambda o: truth(o, "Ready") == "True", "Infrastructure", "lab")
    await bed.client.apply(SECRETS, NAMESPACE, "vcenter", {"stringData": {"password": "wrong"}})
    # Read again at the latest after a minute; a changed spec is read at once.
    await infrastructure(bed, scope={"datacenter": "lab"})
    found = await bed.until(stalled("CredentialsRefused"), "Infrastructure", "lab")
    message = condition(found, "Stalled")["message"]
    assert bed.vcenter.info.username in message
    assert f"{NAMESPACE}/vcenter" in message
    await bed.until(lambda c: "refuses user" in condition(c, "FenceReady").get("message", ""))
    right = bed.vcenter.info.password
    await bed.client.apply(SECRETS, NAMESPACE, "vcenter", {"stringData": {"password": right}})
    await bed.until(lambda o: truth(o, "Ready") == "True", "Infrastructure", "lab")


async def test_an_unknown_authority_and_no_secret(bed: OperatorBed) -> None:
    other = Authority(bed.directory / "other", "another authority")
    other.issue("any", Subject("any", hosts=("localhost",)))
    await infrastructure(bed, caBundle=other.pair.certificate.read_text())
    found = await bed.until(stalled("CertificateRefused"), "Infrastructure", "lab")
    assert "caBundle" in condition(found, "Stalled")["message"]
    await infrastructure(bed, credentialsSecretRef={"name": "nobody"})
    found = await bed.until(stalled("CredentialsRefused"), "Infrastructure", "lab")
    assert f"Secret {NAMESPACE}/nobody" in condition(found, "Stalled")["message"]
    await infrastructure(bed)
    await bed.until(lambda o: truth(o, "Ready") == "True", "Infrastructure", "lab")


async def test_a_vcenter_that_is_not_there(bed: OperatorBed) -> None:
    await infrastructure(bed, server="127.0.0.1:9")
    found = await bed.until(
        lambda o: condition(o, "Ready").get("reason") == "Unreachable", "Infrastructure", "lab"
    )
    assert "127.0.0.1:9 refuses connections" in condition(found, "Ready")["message"]
    assert truth(found, "Stalled") == "", "it may come back by itself"


async def test_an_unknown_instance_uuid(bed: OperatorBed) -> None:
    spec = bed.cluster_spec()
    spec["nodes"][0]["name"] = "vm-x"
    spec["nodes"][0]["vm"]["instanceUUID"] = "5f3c1a52-0000-4000-8000-0000000000ff"
    cluster = await bed.cluster()
    await bed.client.delete(kind("HACluster"), NAMESPACE, CLUSTER, cluster["metadata"]["uid"])
    await bed.apply("HACluster", CLUSTER, spec)
    found = await bed.until(stalled("VmUnknown"))
    message = condition(found, "Stalled")["message"]
    assert "5f3c1a52-0000-4000-8000-0000000000ff" in message
    assert "config.instanceUuid" in message


async def test_one_node_is_refused_by_the_api_server(bed: OperatorBed) -> None:
    spec = bed.cluster_spec()
    with pytest.raises(UserError, match="a failover needs a second VM"):
        await bed.apply("HACluster", "single", {**spec, "nodes": spec["nodes"][:1]})


async def test_references_to_nothing(bed: OperatorBed) -> None:
    spec = bed.cluster_spec()
    await bed.apply("HACluster", CLUSTER, {**spec, "witnesses": [{"name": "nobody"}]})
    found = await bed.until(stalled("ReferenceMissing"))
    assert f"Witness {NAMESPACE}/nobody does not exist" in condition(found, "Stalled")["message"]
    await bed.apply("HACluster", CLUSTER, {**spec, "infrastructureRef": {"name": "none"}})
    found = await bed.until(
        lambda c: "Infrastructure" in condition(c, "Stalled").get("message", "")
    )
    assert "none does not exist" in condition(found, "Stalled")["message"]


async def test_a_cluster_that_does_not_exist_is_named_by_who_refers_to_it(
    bed: OperatorBed,
) -> None:
    refs = {"clusterRef": {"name": "nobody"}}
    await bed.apply("HAResource", "lost", {**refs, "systemd": {"unit": "lost.service"}})
    found = await bed.until(stalled("ReferenceMissing"), "HAResource", "lost")
    assert f"HACluster {NAMESPACE}/nobody does not exist" in found["status"]["message"]
    await bed.apply("Switchover", "lost", refs)
    found = await bed.until(
        lambda s: s.get("status", {}).get("phase") == "Refused", "Switchover", "lost"
    )
    assert found["status"]["reason"] == "ReferenceMissing"


async def test_a_circle_of_resources_changes_nothing_for_what_runs(bed: OperatorBed) -> None:
    await bed.enrol()
    before = await bed.settled()
    await bed.apply(
        "HAResource",
        "web",
        {
            "clusterRef": {"name": CLUSTER},
            "systemd": {"unit": "web.service"},
            "dependsOn": [{"name": "vip"}],
        },
    )
    found = await bed.until(stalled("DependencyCycle"))
    assert "vip -> web" in condition(found, "Stalled")["message"]
    assert truth(found, "Ready") == "True"
    assert found["status"]["term"] == before["status"]["term"]
    spec = bed.cluster_spec()
    spec["timing"] = {"profile": "Fast"}
    await bed.apply("HACluster", CLUSTER, spec)
    history = bed.machines[before["status"]["active"]].history()
    assert [line["what"] for line in history if line["what"] != "extended"].count("stopped") == 0


@contextlib.asynccontextmanager
async def newer_resources(bed: OperatorBed) -> AsyncIterator[None]:
    """The CRD of a version whose HAResource has one field more, with a default."""
    name = "haresources.standfast.dev"
    before = (await bed.client.get(CRDS, "", name))["spec"]["versions"]
    after = copy.deepcopy(before)
    properties = after[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["novelty"] = {"type": "integer", "default": 7}
    await bed.client.merge(CRDS, "", name, {"spec": {"versions": after}})
    try:
        yield
    finally:
        await bed.client.merge(CRDS, "", name, {"spec": {"versions": before}})


async def test_resources_of_a_newer_version_are_said_and_what_runs_goes_on(
    bed: OperatorBed,
) -> None:
    """With `onDelete: Stop` one that does not read would be stopped, were it taken for deleted."""
    refs = {"clusterRef": {"name": CLUSTER}}
    spec = {**refs, "systemd": {"unit": "batch.service"}, "onDelete": "Stop"}
    await bed.apply("HAResource", "batch", spec)
    await bed.enrol()
    before = await bed.settled()
    history = bed.machines[before["status"]["active"]].history
    async with newer_resources(bed):
        await bed.until(lambda o: o["spec"].get("novelty") == 7, "HAResource", "batch")
        await bed.apply("HAResource", "batch", {**spec, "monitor": {"interval": "7s"}})
        found = await bed.until(stalled("SpecRefused"))
        said = "spec.novelty is not a field that this version knows"
        assert said in condition(found, "Stalled")["message"]
        await bed.until(stalled("SpecRefused"), "HAResource", "batch")
        await asyncio.sleep(CALM_S)
        assert "stopped" not in [line["what"] for line in history()]
        assert truth(found, "Ready") == "True"
    after = await bed.until(lambda o: truth(o, "Stalled") in {"", "False"})
    assert after["status"]["term"] == before["status"]["term"]
    assert "stopped" not in [line["what"] for line in history()]


async def test_another_node_after_the_first_configuration(bed: OperatorBed) -> None:
    await bed.enrol()
    await bed.settled()
    spec = bed.cluster_spec()
    spec["nodes"][0]["addresses"] = ["127.0.250.11"]
    await bed.apply("HACluster", CLUSTER, spec)
    found = await bed.until(stalled("ConfigChanged"))
    assert "addresses of vm-a changed" in condition(found, "Stalled")["message"]
    await bed.apply("HACluster", CLUSTER, bed.cluster_spec())
    await bed.until(lambda c: truth(c, "Stalled") == "" and truth(c, "Ready") == "True")


async def test_a_foreign_secret_in_the_place_of_the_authority(
    kube: KubeLab, bed: OperatorBed
) -> None:
    await bed.client.create(SECRETS, NAMESPACE, {"metadata": {"name": "other-ca"}})
    spec = bed.cluster_spec()
    for node in spec["nodes"]:
        node["addresses"] = [node["addresses"][0].replace("127.0.", "127.1.")]
    await bed.apply("HACluster", "other", spec)
    found = await bed.until(stalled("AuthorityDamaged"), name="other")
    assert "does not belong to HACluster other" in condition(found, "Stalled")["message"]


async def test_an_authority_that_vanished_is_never_replaced(bed: OperatorBed) -> None:
    await bed.enrol()
    await bed.settled()
    found = await bed.client.get(SECRETS, NAMESPACE, f"{CLUSTER}-ca")
    await bed.client.delete(SECRETS, NAMESPACE, f"{CLUSTER}-ca", found["metadata"]["uid"])
    uids = [node["memberUID"] for node in (await bed.cluster())["status"]["nodes"]]
    bed.operators[0].kill()
    # The second one reads what the first one has reported.
    for name in ("op-2", "op-3"):
        operator = bed.operator(name)
        operator.start()
        after = await bed.until(stalled("AuthorityDamaged"))
        assert "restore Secret" in condition(after, "Stalled")["message"]
        assert [node["memberUID"] for node in after["status"]["nodes"]] == uids
        operator.kill()
    assert await bed.client.find(SECRETS, NAMESPACE, f"{CLUSTER}-ca") is None
    machine = bed.machines["vm-a"]
    assert machine.runs
