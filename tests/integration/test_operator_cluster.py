"""The operator from `kubectl apply` to a survived failure, among real parts."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    Plant,
    condition,
    operator_bed,
    truth,
)
from tests.integration.vcenter_parts import vcenter_lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeLab]:
    with kube_lab("opclus") as running:
        yield running


@pytest.fixture
async def bed(
    kube: KubeLab, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[OperatorBed]:
    subnet = 100 + abs(hash(request.node.name)) % 100
    async with (
        vcenter_lab("opvc", board=Plant()) as vcenter,
        operator_bed(kube, vcenter, tmp_path, subnet) as made,
    ):
        yield made


@pytest.fixture
async def pair(bed: OperatorBed) -> OperatorBed:
    """A settled pair."""
    bed.operator().start()
    await bed.declare()
    await bed.enrol()
    await bed.settled()
    return bed


async def test_a_declared_pair_converges_and_says_so(pair: OperatorBed) -> None:
    cluster = await pair.cluster()
    status = cluster["status"]
    assert status["active"] in {"vm-a", "vm-b"}
    assert (status["standbys"], status["witness"]) == ("1/1", "1/1")
    assert condition(cluster, "Protected")["message"].startswith("If vm-")
    assert truth(cluster, "Stalled") == ""
    print(cluster)
