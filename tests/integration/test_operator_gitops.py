"""A pipeline and the operator on the same objects: no fights over fields, no writes at rest.

The operator runs as the chart's ServiceAccount, with the rights that the chart gives and no more.
"""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from standfast.api.crdgen import REPOSITORY
from standfast.lab import tools
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
from tests.integration.vcenter_parts import vcenter_lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]

REST_S = 20.0
"""Two sweeps of what members send, several of the operator's own second looks."""


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeLab]:
    with kube_lab("opgit") as running:
        yield running


@pytest.fixture
async def pair(kube: KubeLab, tmp_path: Path) -> AsyncIterator[OperatorBed]:
    async with (
        vcenter_lab("opvc", board=Plant()) as vcenter,
        operator_bed(kube, vcenter, tmp_path, 72) as made,
    ):
        operator = made.operator()
        operator.kubeconfig = await asyncio.to_thread(_as_the_chart_says, kube, tmp_path)
        operator.start()
        await made.declare()
        await made.enrol()
        await made.settled()
        yield made


def _as_the_chart_says(kube: KubeLab, directory: Path) -> Path:
    """Rights from the chart, and a kubeconfig of its ServiceAccount."""
    programs = asyncio.run(tools.provide())
    chart = REPOSITORY / "charts/standfast"
    shown = subprocess.run(
        [programs.helm, "template", "standfast", chart, "--namespace", NAMESPACE],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wanted = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    rights = [each for each in yaml.safe_load_all(shown) if each and each["kind"] in wanted]

    def kubectl(*arguments: str, given: str | None = None) -> str:
        return subprocess.run(
            [programs.kubectl, "--kubeconfig", kube.kubeconfig, "-n", NAMESPACE, *arguments],
            input=given, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    kubectl("apply", "-f", "-", given=yaml.safe_dump_all(rights))
    token = kubectl("create", "token", "standfast-operator", "--duration=1h").strip()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    claims = token.split(".")[1]
    who = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    assert who == f"system:serviceaccount:{NAMESPACE}:standfast-operator"
    path = directory / "as-the-chart-says.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def managers(document: dict[str, Any], field: str) -> set[str]:
    """Who owns a top-level field of an object."""
    return {
        each["manager"]
        for each in document["metadata"]["managedFields"]
        if f"f:{field}" in each["fieldsV1"]
    }


async def writes(pair: OperatorBed) -> float:
    shown = await pair.operators[0].metrics()
    line = next(
        each for each in shown.splitlines() if each.startswith("standfast_operator_api_writes ")
    )
    return float(line.split()[1])


async def test_a_pipeline_applies_changes_prunes_and_reverts_without_a_fight(
    pair: OperatorBed,
) -> None:
    before = await pair.cluster()
    assert managers(before, "spec") == {"test"}
    assert managers(before, "status") == {"standfast-operator"}

    # at rest nobody writes anything
    await asyncio.sleep(5)
    at_rest = await writes(pair)
    rested = await pair.cluster()
    await asyncio.sleep(REST_S)
    assert await writes(pair) == at_rest
    after = await pair.cluster()
    assert after["metadata"]["resourceVersion"] == rested["metadata"]["resourceVersion"]

    # the same words again change nothing
    await pair.apply("HACluster", CLUSTER, pair.cluster_spec())
    again = await pair.cluster()
    assert again["metadata"]["generation"] == before["metadata"]["generation"]

    # a change is seen, and what was declared stays as it was declared
    changed = {**pair.cluster_spec(), "placement": {"failback": "WhenInSync"}}
    await pair.apply("HACluster", CLUSTER, changed)
    seen = await pair.until(
        lambda c: (
            c["status"]["observedGeneration"] == c["metadata"]["generation"]
            and c["spec"]["placement"]["failback"] == "WhenInSync"
        )
    )
    assert managers(seen, "spec") == {"test"}
    assert not truth(seen, "Stalled")

    # pruned and reverted: the application never stops
    active = await pair.active()
    found = await pair.get("HAResource", "vip")
    await pair.client.delete(kind("HAResource"), NAMESPACE, "vip", found["metadata"]["uid"])
    await pair.until(lambda c: c["status"].get("kept") == ["vip"])
    await pair.declare()
    await pair.until(
        lambda c: (
            not c["status"].get("kept")
            and c["status"]["observedGeneration"] == c["metadata"]["generation"]
        )
    )
    await pair.settled()
    history = pair.machines[active].history()
    assert [line for line in history if line["what"] in {"stopped", "killed"}] == []

    # and all of it with the rights of the chart
    log = pair.operators[0].log.read_text()
    assert "the operator may not do this" not in log
    assert "forbidden" not in log.lower()


async def test_moves_records_and_fences_need_no_more_rights(pair: OperatorBed) -> None:
    refs = {"clusterRef": {"name": CLUSTER}}
    await pair.apply("Switchover", "away", {**refs, "to": "vm-b", "reason": "rights"})
    await pair.until(
        lambda s: s.get("status", {}).get("phase") in {"Completed", "Failed", "Refused"},
        "Switchover",
        "away",
    )
    old = await pair.active()
    await pair.settled()
    pair.machines[old].off()
    await pair.until(lambda c: truth(c, "Ready") == "True" and c["status"]["active"] != old)
    await pair.until(lambda c: c["status"].get("lastFailover", {}).get("record"))
    assert "forbidden" not in pair.operators[0].log.read_text().lower()
