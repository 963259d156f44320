"""The vCenter adapter over the real wire: facts, proof, and every way to be refused."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from standfast.adapters.linux.clock import BootClock
from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.scope import EVERYTHING, Scope
from standfast.adapters.vsphere.vcenter import PRIVILEGES, Vcenter
from standfast.core.fencing import Contact, Power
from standfast.errors import StandfastError, TransientError, UserError
from standfast.lab.ca import Authority, Subject
from standfast.lab.paths import VmSpec
from standfast.ports.hypervisor import Inventory, NotProvenError
from tests.integration.vcenter_parts import VM_A, VM_B, VcenterLab, vcenter_lab

pytestmark = pytest.mark.lab

A, B = VM_A.instance_uuid, VM_B.instance_uuid
STRANGER = "5f3c1a52-0000-4000-8000-0000000000ff"


@pytest.fixture
async def lab() -> AsyncIterator[VcenterLab]:
    async with vcenter_lab("vsph") as running:
        yield running


class Watcher:
    """Follows a vCenter's inventory and waits for what it should come to show."""

    def __init__(self, access: Access, scope: Scope = EVERYTHING) -> None:
        self._changed = asyncio.Event()
        self.seen: list[Inventory] = []
        self.vcenter = Vcenter(access, BootClock(), self._on_change, scope)
        self.vcenter.start()

    def _on_change(self, inventory: Inventory) -> None:
        self.seen.append(inventory)
        self._changed.set()

    async def until(self, holds: Callable[[Inventory], bool], within_s: float = 15) -> Inventory:
        async with asyncio.timeout(within_s):
            while not holds(self.vcenter.inventory):
                self._changed.clear()
                await self._changed.wait()
        return self.vcenter.inventory


@pytest.fixture
async def watcher(lab: VcenterLab) -> AsyncIterator[Watcher]:
    watcher = Watcher(lab.access())
    watcher.vcenter.watch(frozenset({A, B}))
    yield watcher
    await watcher.vcenter.close()


def shows(uuid: str, power: Power) -> Callable[[Inventory], bool]:
    return lambda inventory: uuid in inventory.vms and inventory.vms[uuid].power is power


async def test_the_feed_tells_power_host_and_connection_of_each_vm(watcher: Watcher) -> None:
    inventory = await watcher.until(lambda i: len(i.vms) == 2)
    vm = inventory.vms[A]
    assert (vm.name, vm.power, vm.contact) == ("vm-a", Power.ON, Contact.CONNECTED)
    assert (vm.host_name, vm.host_contact) == ("esx-1.lab", Contact.CONNECTED)
    assert vm.boot_time is not None
    assert inventory.problem is None
    age_ms = inventory.age_ms(BootClock().now_ms())
    assert age_ms is not None
    assert age_ms < 2_000
    assert inventory.identity


async def test_a_power_change_arrives_as_an_event_and_remembers_that_the_vm_was_on(
    lab: VcenterLab, watcher: Watcher
) -> None:
    before = (await watcher.until(shows(A, Power.ON))).vms[A]
    await lab.control.set_power("vm-a", "off")
    off = (await watcher.until(shows(A, Power.OFF), within_s=3)).vms[A]
    assert off.on_from_ms == before.power_since_ms
    assert off.power_since_ms > before.power_since_ms
    assert off.reads_off


async def test_a_vm_that_moved_is_reported_on_its_new_host(
    lab: VcenterLab, watcher: Watcher
) -> None:
    await watcher.until(shows(A, Power.ON))
    await lab.control.move("vm-a", "esx-3.lab")
    inventory = await watcher.until(lambda i: i.vms[A].host_name == "esx-3.lab")
    assert inventory.vms[A].host_contact is Contact.CONNECTED


async def test_a_lost_host_makes_off_unproven(lab: VcenterLab, watcher: Watcher) -> None:
    """F82: poweredOff with a host that is not connected is a memory, not a fact."""
    await watcher.until(shows(A, Power.ON))
    await lab.control.set_power("vm-a", "off")
    await watcher.until(shows(A, Power.OFF))
    await lab.control.lose_host("esx-1.lab")
    inventory = await watcher.until(lambda i: i.vms[A].host_contact is Contact.LOST)
    assert not inventory.vms[A].reads_off
    with pytest.raises(NotProvenError, match="notResponding"):
        await watcher.vcenter.verify_off(A)


async def test_power_off_is_proven_by_the_task_and_a_read_afterwards(
    lab: VcenterLab, watcher: Watcher
) -> None:
    tasks: list[str] = []
    before = await watcher.vcenter.clock()
    evidence = await watcher.vcenter.power_off_with_proof(A, 10_000, tasks.append)
    assert lab.hypervisor.orders == [{"vm": "vm-a", "op": "off"}]
    assert evidence.ordered
    assert tasks == [evidence.task]
    assert "vm-a" in evidence.sentence()
    assert "esx-1.lab connected" in evidence.sentence()
    again = await watcher.vcenter.verify_since(A, before)
    assert (again.ordered, again.task) == (True, evidence.task)
    with pytest.raises(NotProvenError, match="no power-off of it has succeeded since"):
        await watcher.vcenter.verify_since(A, await watcher.vcenter.clock())
    await watcher.until(shows(A, Power.OFF))


async def test_a_vm_found_off_is_evidence_that_nobody_ordered(
    lab: VcenterLab, watcher: Watcher
) -> None:
    await lab.control.set_power("vm-a", "off")
    evidence = await watcher.vcenter.power_off_with_proof(A, 5_000)
    assert not evidence.ordered
    assert lab.hypervisor.orders == []


async def test_a_suspended_vm_is_not_off(lab: VcenterLab, watcher: Watcher) -> None:
    """F19: a suspended VM may wake with its old beliefs."""
    await lab.control.set_power("vm-a", "suspended")
    with pytest.raises(NotProvenError):
        await watcher.vcenter.verify_off(A)
    evidence = await watcher.vcenter.power_off_with_proof(A, 10_000)
    assert evidence.ordered
    assert lab.hypervisor.orders == [{"vm": "vm-a", "op": "off"}]


async def test_a_power_off_that_the_host_refuses_proves_nothing(
    lab: VcenterLab, watcher: Watcher
) -> None:
    lab.hypervisor.refusal = "the VM process ignores signals"
    with pytest.raises(TransientError, match="the VM process ignores signals"):
        await watcher.vcenter.power_off_with_proof(A, 3_000)


async def test_a_power_off_that_takes_too_long_proves_nothing(
    lab: VcenterLab, watcher: Watcher
) -> None:
    lab.hypervisor.answers.clear()
    with pytest.raises(NotProvenError, match="still running"):
        await watcher.vcenter.power_off_with_proof(A, 1_000)
    lab.hypervisor.answers.set()


async def test_a_task_in_progress_is_waited_out(lab: VcenterLab, watcher: Watcher) -> None:
    """Somebody else's power-off is under way: ours is refused, the outcome is read."""
    lab.hypervisor.answers.clear()
    first = asyncio.create_task(watcher.vcenter.power_off_with_proof(A, 15_000))
    await asyncio.sleep(0.5)
    second = asyncio.create_task(watcher.vcenter.power_off_with_proof(A, 15_000))
    await asyncio.sleep(0.5)
    lab.hypervisor.answers.set()
    assert (await first).ordered
    await second
    assert len(lab.hypervisor.orders) == 1


async def test_a_host_that_is_not_heard_takes_no_orders(lab: VcenterLab, watcher: Watcher) -> None:
    await lab.control.lose_host("esx-1.lab")
    with pytest.raises(NotProvenError, match="takes no orders"):
        await watcher.vcenter.power_off_with_proof(A, 5_000)
    assert lab.hypervisor.orders == []


async def test_power_on_leaves_a_running_vm_alone(lab: VcenterLab, watcher: Watcher) -> None:
    await watcher.vcenter.power_on(A, 5_000)
    assert lab.hypervisor.orders == []
    await watcher.vcenter.power_off_with_proof(A, 5_000)
    await watcher.vcenter.power_on(A, 5_000)
    assert [order["op"] for order in lab.hypervisor.orders] == ["off", "on"]


async def test_an_unknown_instance_uuid_is_said_with_its_value(watcher: Watcher) -> None:
    watcher.vcenter.watch(frozenset({A, STRANGER}))
    inventory = await watcher.until(lambda i: STRANGER in i.missing)
    assert STRANGER in inventory.missing[STRANGER]
    assert "config.instanceUuid" in inventory.missing[STRANGER]
    assert A in inventory.vms
    with pytest.raises(UserError, match=STRANGER):
        await watcher.vcenter.power_off_with_proof(STRANGER, 2_000)


async def test_two_vms_with_one_uuid_are_both_left_alone() -> None:
    twin = VmSpec("vm-twin", A, "5f3c1a52-1111-4000-8000-0000000000aa", "esx-2.lab")
    async with vcenter_lab("twins", (VM_A, twin)) as lab:
        watcher = Watcher(lab.access())
        watcher.vcenter.watch(frozenset({A}))
        inventory = await watcher.until(lambda i: A in i.missing)
        assert "2 VMs" in inventory.missing[A]
        with pytest.raises(UserError, match="none of them is touched"):
            await watcher.vcenter.power_off_with_proof(A, 2_000)
        assert lab.hypervisor.orders == []
        await watcher.vcenter.close()


async def test_a_vm_outside_the_scope_is_not_seen(lab: VcenterLab) -> None:
    inside = Watcher(lab.access(), Scope(datacenter="lab", folder="/lab/vm"))
    inside.vcenter.watch(frozenset({A}))
    await inside.until(lambda i: A in i.vms)
    await inside.vcenter.close()
    outside = Watcher(lab.access(), Scope(folder="/lab/host"))
    outside.vcenter.watch(frozenset({A}))
    inventory = await outside.until(lambda i: A in i.missing)
    assert "outside /lab/host" in inventory.missing[A]
    await outside.vcenter.close()


async def problem_of(access: Access, scope: Scope = EVERYTHING) -> StandfastError:
    watcher = Watcher(access, scope)
    watcher.vcenter.watch(frozenset({A}))
    inventory = await watcher.until(lambda i: i.problem is not None)
    await watcher.vcenter.close()
    assert inventory.problem is not None
    return inventory.problem


async def test_a_wrong_password_names_user_and_secret(lab: VcenterLab) -> None:
    problem = await problem_of(lab.access(password="wrong"))
    assert isinstance(problem, UserError)
    assert lab.info.username in problem.problem
    assert "lab/vcenter" in problem.remedy


async def test_an_unknown_authority_is_said_with_the_field_that_cures_it(
    lab: VcenterLab, tmp_path: object
) -> None:
    other = Authority(lab.paths.root / "other", "another authority")
    other.issue("any", Subject("any", hosts=("localhost",)))
    problem = await problem_of(lab.access(ca_pem=other.pair.certificate.read_text()))
    assert isinstance(problem, UserError)
    assert "no known authority" in problem.problem
    assert "caBundle" in problem.remedy


async def test_localhost_is_verified_like_any_other_name(lab: VcenterLab) -> None:
    """The library switches verification off for localhost unless it is given a context."""
    port = lab.info.server.rpartition(":")[2]
    problem = await problem_of(lab.access(server=f"localhost:{port}", ca_pem=""))
    assert isinstance(problem, UserError)
    assert "no known authority" in problem.problem


async def test_a_name_that_is_not_in_the_certificate_is_refused(lab: VcenterLab) -> None:
    port = lab.info.server.rpartition(":")[2]
    problem = await problem_of(lab.access(server=f"127.0.0.2:{port}"))
    assert "refuses connections" in problem.problem or "another name" in problem.problem


async def test_a_bundle_that_is_no_certificate_is_said(lab: VcenterLab) -> None:
    bad = "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n"
    problem = await problem_of(lab.access(ca_pem=bad))
    assert isinstance(problem, UserError)
    assert "caBundle" in problem.remedy


async def test_an_unknown_folder_is_said(lab: VcenterLab) -> None:
    problem = await problem_of(lab.access(), Scope(folder="/lab/vm/nowhere"))
    assert isinstance(problem, UserError)
    assert "/lab/vm/nowhere" in problem.problem


async def test_a_stopped_vcenter_turns_every_fact_unknown_and_comes_back(
    lab: VcenterLab, watcher: Watcher
) -> None:
    """F80: silence is told at once, and what was known before is not passed on as true."""
    await watcher.until(shows(A, Power.ON))
    await lab.stop()
    inventory = await watcher.until(lambda i: i.problem is not None)
    now_ms = BootClock().now_ms()
    assert inventory.vm(A, now_ms, 60_000).power is Power.UNKNOWN
    with pytest.raises(TransientError):
        await watcher.vcenter.verify_off(A)
    await lab.start()
    inventory = await watcher.until(lambda i: i.problem is None and A in i.vms, within_s=30)
    assert inventory.vm(A, BootClock().now_ms(), 60_000).power is Power.ON
    assert inventory.vms[A].on_from_ms is None


async def test_a_rotated_password_is_taken_up_without_a_restart(
    lab: VcenterLab,
) -> None:
    """F83: the first login fails, the Secret is corrected, the feed speaks."""
    watcher = Watcher(lab.access(password="old"))
    watcher.vcenter.watch(frozenset({A}))
    await watcher.until(lambda i: isinstance(i.problem, UserError))
    watcher.vcenter.use(lab.access())
    await watcher.until(lambda i: i.problem is None and A in i.vms)
    await watcher.vcenter.close()


async def test_fencing_does_not_wait_for_a_slow_listener(
    lab: VcenterLab, watcher: Watcher
) -> None:
    await watcher.until(shows(A, Power.ON))
    await lab.control.slow(5_000, "WaitForUpdatesEx")
    async with asyncio.timeout(4):
        await watcher.vcenter.power_off_with_proof(A, 4_000)


async def test_rights_are_asked_for_by_name(watcher: Watcher) -> None:
    lacking = await watcher.vcenter.check_rights(frozenset({A, B}))
    assert set(lacking) == set(PRIVILEGES)
    assert all(vms == () for vms in lacking.values())
