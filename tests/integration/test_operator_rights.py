"""The rights that the chart gives, held against what the operator really called.

The API server's own audit log is the witness: in one run that goes through everything the operator
does, nothing was refused, and nothing is granted that was not used.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standfast.adapters.kube.paths import Collection
from tests.integration.chart_rights import USER, as_the_chart_says, rendered
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    Plant,
    kind,
    operator_bed,
    truth,
)
from tests.integration.vcenter_parts import VcenterLab, vcenter_lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]

Right = tuple[str, str, str]
"""Group, resource with its part, verb."""

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}
NOT_SEEN = {
    ("standfast.dev", "haclusters/finalizers", "update"): "asked for by the admission plugin "
    "OwnerReferencesPermissionEnforcement, where a platform has it on",
    ("standfast.dev", "witnesses/finalizers", "update"): "the same",
    ("events.k8s.io", "events", "patch"): "an Event that is told again is counted once a minute "
    "(test_an_event_is_told_once_and_counted)",
    **{
        ("standfast.dev", each, "get"): "an object that changed while its status was written is "
        "read anew; the watch is usually quicker"
        for each in (
            "haclusters",
            "haresources",
            "infrastructures",
            "switchovers",
            "witnesses",
            "failoverrecords",
        )
    },
}
"""Rights that a run cannot show to be needed, each with its reason."""

DISCOVERY = ("/api", "/version")
"""Paths that everybody who is authenticated may read."""

CONFIG_MAPS = Collection("v1", "ConfigMap", "configmaps")


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeLab]:
    with kube_lab("oprights", POLICY) as running:
        yield running


async def test_rights_are_those_that_were_used(kube: KubeLab, tmp_path: Path) -> None:
    async with (
        vcenter_lab("oprightsvc", board=Plant()) as vcenter,
        operator_bed(kube, vcenter, tmp_path, 73) as bed,
    ):
        operator = bed.operator()
        operator.kubeconfig = await asyncio.to_thread(as_the_chart_says, kube, tmp_path)
        operator.image = "registry.example/witness@sha256:" + "0" * 64
        operator.start()
        await _everything(bed, vcenter)
        assert operator.stop() == 0
    called = [json.loads(line) for line in kube.audit_log.read_text().splitlines()]
    assert called
    refused = [each for each in called if each["responseStatus"]["code"] in {401, 403}]
    assert refused == []
    used = {right for each in called for right in _used(each)}
    granted = await asyncio.to_thread(_granted)
    assert used - granted == set(), "what was called is granted by something else than the chart"
    unused = granted - used
    assert unused - NOT_SEEN.keys() == set(), "granted, and never called"


async def _everything(bed: OperatorBed, vcenter: VcenterLab) -> None:
    """Enrolment, managed witnesses, a move, a failover, records beyond the bound, a deletion."""
    bundle = {"data": {"ca.crt": vcenter.info.ca_file.read_text()}}
    await bed.client.apply(CONFIG_MAPS, NAMESPACE, "ca", bundle)
    await bed.declare()
    vsphere = {
        "server": vcenter.info.server,
        "credentialsSecretRef": {"name": "vcenter"},
        "caBundle": None,
        "caBundleConfigMapRef": {"name": "ca"},
    }
    await bed.apply("Infrastructure", "lab", {"vsphere": _known(vsphere)})
    for name, service in (("pod", "Headless"), ("lb", "LoadBalancer")):
        await bed.apply("Witness", name, {"managed": {"service": {"type": service}}})
    await bed.enrol()
    await bed.settled()
    for term in range(1000, 1051):
        refs = {"clusterRef": {"name": CLUSTER}, "term": term}
        await bed.apply("FailoverRecord", f"{CLUSTER}-{term}", refs)
    move = {"clusterRef": {"name": CLUSTER}, "reason": "rights"}
    await bed.apply("Switchover", "away", move)
    await bed.until(
        lambda s: s.get("status", {}).get("phase") == "Completed", "Switchover", "away"
    )
    await bed.settled()
    old = await bed.active()
    bed.machines[old].off()
    await bed.until(lambda c: truth(c, "Ready") == "True" and c["status"]["active"] != old)
    bed.machines[old].on()
    await bed.settled()
    for name in ("pod", "lb"):
        await bed.until(lambda w: truth(w, "Ready") == "False", "Witness", name)
    found = await bed.get("HAResource", "vip")
    await bed.client.delete(kind("HAResource"), NAMESPACE, "vip", found["metadata"]["uid"])
    await bed.until(lambda c: c["status"].get("kept") == ["vip"])


def _known(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def _used(event: dict[str, Any]) -> set[Right]:
    about = event.get("objectRef")
    if about is None or "resource" not in about:
        assert event["requestURI"].startswith(DISCOVERY), event["requestURI"]
        return set()
    part = f"/{about['subresource']}" if "subresource" in about else ""
    what = (about.get("apiGroup", ""), f"{about['resource']}{part}")
    verbs = {event["verb"]}
    if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
        verbs.add("create")
    return {(*what, verb) for verb in verbs}


def _granted() -> set[Right]:
    return {
        (group, resource, verb)
        for role in rendered()
        if role["kind"] in {"ClusterRole", "Role"} and role["metadata"]["name"].startswith(NAME)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


NAME = "standfast-operator"
