"""Moving a disk through the real wire: who has it, who is refused, and what is read back."""

from collections.abc import AsyncIterator

import pytest

from standfast.adapters.linux.clock import BootClock
from standfast.adapters.vsphere.vcenter import Vcenter
from standfast.errors import TransientError, UserError
from standfast.lab.paths import DISKS, VmSpec
from tests.integration.vcenter_parts import VM_A, VM_B, VcenterLab, vcenter_lab

pytestmark = pytest.mark.lab

(DISK,) = DISKS
A, B = VM_A.instance_uuid, VM_B.instance_uuid
VM_C = VmSpec("vm-c", A[:-1] + "c", VM_A.bios_uuid[:-1] + "c", "esx-1.lab")
MOVE_MS = 20_000


async def yes() -> None:
    """It is wanted still."""


@pytest.fixture
async def lab() -> AsyncIterator[VcenterLab]:
    async with vcenter_lab("vdisk", (VM_A, VM_B, VM_C)) as running:
        running.hypervisor.power["vm-c"] = "on"
        yield running


@pytest.fixture
async def vcenter(lab: VcenterLab) -> AsyncIterator[Vcenter]:
    found = Vcenter(lab.access(), BootClock(), lambda _: None)
    yield found
    await found.close()


async def test_a_disk_goes_to_one_vm_and_leaves_the_other(
    lab: VcenterLab, vcenter: Vcenter
) -> None:
    first = await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
    assert (first.left, first.to, first.attached) == ((), "vm-a", True)
    again = await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
    assert (again.left, again.attached) == ((), False), "what is done is seen"
    moved = await vcenter.move_disk(
        DISK.path, DISK.uuid.upper(), B, frozenset({A}), MOVE_MS, still=yes
    )
    assert (moved.left, moved.to, moved.attached) == (("vm-a",), "vm-b", True)
    assert lab.hypervisor.disks == [("attach", "vm-a"), ("detach", "vm-a"), ("attach", "vm-b")]


async def test_a_vm_that_is_no_node_keeps_its_disk(lab: VcenterLab, vcenter: Vcenter) -> None:
    """The hypervisor's lock refuses; nothing is taken from a stranger."""
    await vcenter.move_disk(
        DISK.path, DISK.uuid, VM_C.instance_uuid, frozenset(), MOVE_MS, still=yes
    )
    with pytest.raises(TransientError, match=r"attaching \[shared\] files/data.vmdk to vm-a"):
        await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
    assert lab.hypervisor.attached == {DISK.uuid: "vm-c"}


async def test_a_disk_of_another_uuid_is_said(vcenter: Vcenter) -> None:
    other = "6000c298-0000-0000-0000-000000000000"
    with pytest.raises(UserError, match=f"has the UUID {DISK.uuid}, not {other}") as refused:
        await vcenter.move_disk(DISK.path, other, A, frozenset({B}), MOVE_MS, still=yes)
    assert DISK.uuid in refused.value.remedy


async def test_a_disk_that_does_not_exist_is_said(vcenter: Vcenter) -> None:
    with pytest.raises(TransientError, match=r"attaching \[shared\] none.vmdk to vm-a"):
        await vcenter.move_disk(
            "[shared] none.vmdk", DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes
        )


async def test_a_lost_host_keeps_the_disk_where_it_is(lab: VcenterLab, vcenter: Vcenter) -> None:
    await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
    await lab.control.lose_host(VM_A.host)
    with pytest.raises(TransientError, match=r"detaching .* from vm-a"):
        await vcenter.move_disk(DISK.path, DISK.uuid, B, frozenset({A}), MOVE_MS, still=yes)
    await lab.control.heal_host(VM_A.host)
    await vcenter.move_disk(DISK.path, DISK.uuid, B, frozenset({A}), MOVE_MS, still=yes)
    assert lab.hypervisor.attached == {DISK.uuid: "vm-b"}


async def test_a_restarted_vcenter_finds_the_disk_where_it_is(
    lab: VcenterLab, vcenter: Vcenter
) -> None:
    await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
    await lab.stop()
    await lab.start()
    fresh = Vcenter(lab.access(), BootClock(), lambda _: None)
    moved = await fresh.move_disk(DISK.path, DISK.uuid, B, frozenset({A}), MOVE_MS, still=yes)
    assert moved.left == ("vm-a",)
    await fresh.close()


async def test_a_hypervisor_that_refuses_is_heard(lab: VcenterLab, vcenter: Vcenter) -> None:
    lab.hypervisor.refusal = "no path to the datastore"
    with pytest.raises(TransientError, match="no path to the datastore"):
        await vcenter.move_disk(DISK.path, DISK.uuid, A, frozenset({B}), MOVE_MS, still=yes)
