"""The lab's vCenter as pyvmomi sees it; its hypervisor obeys, refuses or takes its time."""

import asyncio
import gc
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

from standfast.errors import TransientError, UserError
from standfast.lab import vcenter
from standfast.lab.paths import LabPaths, VmSpec
from standfast.lab.vcenter import VcenterInfo
from tests.integration.lab_parts import lab_paths

pytestmark = pytest.mark.lab

VM_A = VmSpec(
    "vm-a",
    "5f3c1a52-0000-4000-8000-00000000000a",
    "5f3c1a52-1111-4000-8000-00000000000a",
    "esx-1.lab",
)
VM_B = VmSpec(
    "vm-b",
    "5f3c1a52-0000-4000-8000-00000000000b",
    "5f3c1a52-1111-4000-8000-00000000000b",
    "esx-2.lab",
)


@dataclass
class Hypervisor:
    """The far side of vCenter's power orders: says yes unless told otherwise."""

    power: dict[str, str] = field(default_factory=lambda: {"vm-a": "on", "vm-b": "on"})
    orders: list[dict[str, str]] = field(default_factory=list)
    refusal: str = ""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.orders.append(order)
        await self.answers.wait()
        if self.refusal:
            return web.Response(status=503, text=self.refusal)
        return web.Response(status=204)

    async def running(self, request: web.Request) -> web.Response:
        return web.json_response(self.power)


@dataclass
class Lab:
    paths: LabPaths
    info: VcenterInfo
    hypervisor: Hypervisor

    async def connect(self, password: str | None = None) -> vim.ServiceInstance:
        host, _, port = self.info.server.partition(":")
        context = ssl.create_default_context(cafile=str(self.info.ca_file))
        return await asyncio.to_thread(
            SmartConnect,
            host=host,
            port=int(port),
            user=self.info.username,
            pwd=password or self.info.password,
            sslContext=context,
        )


def collect_sockets_of_pyvmomi() -> None:
    """pyvmomi leaves its pooled connections to the garbage collector, which warns about each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    hypervisor = Hypervisor()
    hypervisor.answers.set()
    app = web.Application()
    app.add_routes([web.post("/power", hypervisor.order), web.get("/power", hypervisor.running)])
    runner = web.AppRunner(app)
    await runner.setup()
    with lab_paths("vctest") as paths:
        paths.root.mkdir()
        await web.UnixSite(runner, str(paths.hypervisor_socket)).start()
        info = await vcenter.up(
            paths,
            "127.0.0.1",
            [VM_A, VM_B],
            paths.hypervisor_socket,
            spare_hosts=["esx-3.lab"],
        )
        try:
            yield Lab(paths, info, hypervisor)
        finally:
            await vcenter.down(paths)
            await runner.cleanup()
            collect_sockets_of_pyvmomi()


@pytest.fixture
async def service(lab: Lab) -> AsyncIterator[vim.ServiceInstance]:
    instance = await lab.connect()
    yield instance
    with suppress(OSError, vmodl.MethodFault):
        await asyncio.to_thread(Disconnect, instance)


def find(service: vim.ServiceInstance, spec: VmSpec) -> vim.VirtualMachine:
    return service.content.searchIndex.FindByUuid(None, spec.instance_uuid, True, True)


async def ended(task: vim.Task) -> vim.TaskInfo:
    pending = {"queued", "running"}
    async with asyncio.timeout(10):
        while (info := await asyncio.to_thread(lambda: task.info)).state in pending:  # noqa: ASYNC110 -- pyvmomi polls
            await asyncio.sleep(0.01)
    return info


async def test_the_inventory_is_what_was_asked_for(lab: Lab, service: vim.ServiceInstance) -> None:
    vm = find(service, VM_B)
    assert vm.name == "vm-b"
    assert vm.config.instanceUuid == VM_B.instance_uuid
    assert vm.config.uuid == VM_B.bios_uuid
    assert vm.runtime.host.name == "esx-2.lab"
    async with vcenter.Control(lab.paths) as control:
        assert set((await control.state()).hosts) == {"esx-1.lab", "esx-2.lab", "esx-3.lab"}


async def test_a_vcenter_that_starts_finds_vms_running(service: vim.ServiceInstance) -> None:
    vm = find(service, VM_A)
    assert vm.runtime.powerState == "poweredOn"
    assert vm.runtime.connectionState == "connected"
    assert vm.runtime.bootTime is not None


async def test_a_wrong_password_is_refused(lab: Lab) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        await lab.connect(password="wrong")


async def test_a_power_off_succeeds_when_the_hypervisor_has_done_it(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    vm = find(service, VM_A)
    info = await ended(vm.PowerOff())
    assert info.state == "success"
    assert lab.hypervisor.orders == [{"vm": "vm-a", "op": "off"}]
    assert vm.runtime.powerState == "poweredOff"
    assert (await ended(vm.PowerOff())).error.__class__ is vim.fault.InvalidPowerState
    assert (await ended(vm.PowerOn())).state == "success"
    assert vm.runtime.powerState == "poweredOn"


async def test_a_refusing_hypervisor_fails_the_task_and_the_vm_stays_on(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    lab.hypervisor.refusal = "the switch does not answer"
    vm = find(service, VM_A)
    info = await ended(vm.PowerOff())
    assert info.state == "error"
    assert "the switch does not answer" in info.error.reason
    assert vm.runtime.powerState == "poweredOn"


async def test_a_slow_hypervisor_delays_the_task_and_nothing_else(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    lab.hypervisor.answers.clear()
    vm = find(service, VM_A)
    task = vm.PowerOff()
    assert await asyncio.to_thread(lambda: vm.runtime.powerState) == "poweredOn"
    assert task.info.state in {"queued", "running"}
    with pytest.raises(vim.fault.TaskInProgress):
        vm.PowerOff()
    lab.hypervisor.answers.set()
    assert (await ended(task)).state == "success"
    assert vm.runtime.powerState == "poweredOff"


async def test_a_reset_is_one_order_and_ends_powered_on(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    vm = find(service, VM_A)
    before = vm.runtime.bootTime
    assert (await ended(vm.Reset())).state == "success"
    assert lab.hypervisor.orders == [{"vm": "vm-a", "op": "reset"}]
    assert vm.runtime.powerState == "poweredOn"
    assert vm.runtime.bootTime > before


async def test_a_lost_host_takes_no_orders_and_hides_what_happens_on_it(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    vm = find(service, VM_A)
    async with vcenter.Control(lab.paths) as control:
        await control.lose_host("esx-1.lab")
        assert vm.runtime.connectionState == "disconnected"
        assert vm.runtime.host.runtime.connectionState == "notResponding"
        assert vm.runtime.host.runtime.powerState == "unknown"
        assert find(service, VM_B).runtime.connectionState == "connected"
        assert (await ended(vm.PowerOff())).error.__class__ is vmodl.fault.HostNotConnected
        await control.set_power("vm-a", "off")
        assert vm.runtime.powerState == "poweredOn"
        await control.heal_host("esx-1.lab")
    assert vm.runtime.connectionState == "connected"
    assert vm.runtime.powerState == "poweredOff"
    assert lab.hypervisor.orders == []


async def test_a_change_from_outside_arrives_on_the_update_feed(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    collector = service.content.propertyCollector.CreatePropertyCollector()
    query = vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=find(service, VM_A))],
        propSet=[query.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState"])],
    )
    collector.CreateFilter(spec, partialUpdates=True)
    version = collector.WaitForUpdatesEx("").version
    wait = asyncio.to_thread(
        collector.WaitForUpdatesEx, version, query.WaitOptions(maxWaitSeconds=10)
    )
    waiting = asyncio.create_task(wait)
    async with vcenter.Control(lab.paths) as control:
        await control.set_power("vm-a", "off")
        await control.move("vm-a", "esx-3.lab")
    update = await waiting
    changes = update.filterSet[0].objectSet[0].changeSet
    assert [(change.name, change.val) for change in changes] == [
        ("runtime.powerState", "poweredOff")
    ]
    assert find(service, VM_A).runtime.host.name == "esx-3.lab"


async def test_slow_calls_are_slow_until_told_otherwise(
    lab: Lab, service: vim.ServiceInstance
) -> None:
    async with vcenter.Control(lab.paths) as control:
        await control.slow(300, "CurrentTime")
        began = time.monotonic()
        service.CurrentTime()
        assert time.monotonic() - began >= 0.3
        await control.slow(0, "CurrentTime")
    began = time.monotonic()
    service.CurrentTime()
    assert time.monotonic() - began < 0.3


async def test_orders_that_name_nothing_are_refused_with_what_there_is(lab: Lab) -> None:
    async with vcenter.Control(lab.paths) as control:
        with pytest.raises(UserError, match=r"no host .*esx-1.lab esx-2.lab"):
            await control.lose_host("esx-9.lab")


async def test_up_twice_is_one_process_and_another_inventory_another(lab: Lab) -> None:
    async def again(vms: list[VmSpec]) -> VcenterInfo:
        return await vcenter.up(
            lab.paths, "127.0.0.1", vms, lab.paths.hypervisor_socket, spare_hosts=["esx-3.lab"]
        )

    first = vcenter.running(lab.paths)
    assert await again([VM_A, VM_B]) == lab.info
    assert vcenter.running(lab.paths) == first
    assert await again([VM_A]) == lab.info
    assert vcenter.running(lab.paths) != first
    async with vcenter.Control(lab.paths) as control:
        assert list((await control.state()).vms) == ["vm-a"]


async def test_a_vcenter_that_is_down_says_so(lab: Lab) -> None:
    await vcenter.down(lab.paths)
    await vcenter.down(lab.paths)
    assert vcenter.running(lab.paths) is None
    async with vcenter.Control(lab.paths) as control:
        with pytest.raises(TransientError, match="does not answer"):
            await control.state()
