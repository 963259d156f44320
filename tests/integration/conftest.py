"""What the tests of the operator share: one API server for all of them, a bed for each.

A module that wants other VMs, or declares something else, overrides the fixture of that name.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from standfast.lab.paths import VmSpec
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.operator_bed import OperatorBed, Plant, operator_bed
from tests.integration.vcenter_parts import VM_A, VM_B, vcenter_lab


@pytest.fixture(scope="session")
def kube() -> Iterator[KubeLab]:
    """An API server; every bed removes what was declared in it."""
    with kube_lab("operator") as running:
        yield running


@pytest.fixture
def vms() -> tuple[VmSpec, ...]:
    """What vCenter has."""
    return (VM_A, VM_B)


@pytest.fixture
async def bed(
    kube: KubeLab, vms: tuple[VmSpec, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[OperatorBed]:
    """A vCenter, and everything else ready to begin."""
    subnet = 100 + crc32(request.node.name.encode()) % 100
    async with (
        vcenter_lab("opvc", vms, board=Plant()) as vcenter,
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
