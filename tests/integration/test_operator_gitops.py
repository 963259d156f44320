"""A pipeline and the operator on the same objects: no fights over fields, no writes at rest.

The operator runs as the chart's ServiceAccount, with the rights that the chart gives and no more.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chart_rights import as_the_chart_says
from tests.integration.kube_parts import KubeLab
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    kind,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]

REST_S = 20.0
"""Two sweeps of what members send, several of the operator's own second looks."""


@pytest.fixture
async def pair(bed: OperatorBed, kube: KubeLab, tmp_path: Path) -> OperatorBed:
    operator = bed.operator()
    operator.kubeconfig = await asyncio.to_thread(as_the_chart_says, kube, tmp_path)
    operator.start()
    await bed.declare()
    await bed.enrol()
    await bed.settled()
    return bed


def managers(document: dict[str, Any], field: str) -> set[str]:
    """Who owns a top-level field of an object."""
    return {
        each["manager"]
        for each in document["metadata"]["managedFields"]
        if f"f:{field}" in each["fieldsV1"]
    }


async def test_a_pipeline_applies_changes_prunes_and_reverts_without_a_fight(
    pair: OperatorBed,
) -> None:
    before = await pair.cluster()
    assert managers(before, "spec") == {"test"}
    assert managers(before, "status") == {"standfast-operator"}

    # at rest nobody writes anything
    at_rest = await pair.operators[0].writes_at_rest()
    rested = await pair.cluster()
    await asyncio.sleep(REST_S)
    assert await pair.operators[0].writes() == at_rest
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
    await pair.settled()
    old = await pair.active()
    pair.machines[old].off()
    await pair.until(lambda c: truth(c, "Ready") == "True" and c["status"]["active"] != old)
    await pair.until(lambda c: c["status"].get("lastFailover", {}).get("record"))
    assert "forbidden" not in pair.operators[0].log.read_text().lower()
