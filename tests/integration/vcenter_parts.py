"""A vCenter for tests of the operator: the lab's, with a hypervisor that says yes unless told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from standfast.adapters.vsphere.access import Access
from standfast.lab import vcenter
from standfast.lab.paths import LabPaths, VmSpec
from standfast.lab.vcenter import VcenterInfo
from tests.integration.lab_parts import lab_paths

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
class Switchboard:
    """The far side of vCenter's power orders.

    Attributes:
        orders: What vCenter asked for, in order.
        disks: What it asked to do with disks, in order: `("attach", "vm-a")`.
        attached: Which VM has which disk, by the disk's UUID.
        refusal: Said to every order while set.
        answers: Orders wait for it.
    """

    power: dict[str, str] = field(default_factory=lambda: {"vm-a": "on", "vm-b": "on"})
    orders: list[dict[str, str]] = field(default_factory=list)
    disks: list[tuple[str, str]] = field(default_factory=list)
    attached: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.orders.append(order)
        await self.answers.wait()
        if self.refusal:
            return web.Response(status=503, text=self.refusal)
        return web.Response(status=204)

    async def disk(self, request: web.Request) -> web.Response:
        order = await request.json()
        if self.refusal:
            return web.Response(status=503, text=self.refusal)
        self.disks.append((order["op"], order["vm"]))
        if order["op"] == "attach":
            self.attached[order["disk"]] = order["vm"]
        else:
            del self.attached[order["disk"]]
        return web.Response(status=204)

    async def where(self, request: web.Request) -> web.Response:
        return web.json_response(self.attached)

    async def running(self, request: web.Request) -> web.Response:
        return web.json_response(self.power)


@dataclass
class VcenterLab:
    """A running vCenter.

    Attributes:
        info: How to reach it.
        control: The lab's orders to it.
    """

    paths: LabPaths
    info: VcenterInfo
    hypervisor: Switchboard
    control: vcenter.Control
    vms: tuple[VmSpec, ...]

    def access(self, **changed: str) -> Access:
        values = {
            "server": self.info.server,
            "username": self.info.username,
            "password": self.info.password,
            "ca_pem": self.info.ca_file.read_text(),
            "secret": "lab/vcenter",
        }
        return Access(**{**values, **changed})

    async def stop(self) -> None:
        await vcenter.down(self.paths)

    async def start(self) -> None:
        self.info = await vcenter.up(
            self.paths,
            "127.0.0.1",
            self.vms,
            self.paths.hypervisor_socket,
            spare_hosts=["esx-3.lab"],
        )


@asynccontextmanager
async def vcenter_lab(
    name: str,
    vms: tuple[VmSpec, ...] = (VM_A, VM_B),
    board: Switchboard | None = None,
) -> AsyncIterator[VcenterLab]:
    """Run a vCenter with these VMs, all on, and a spare host esx-3.lab."""
    board = board or Switchboard()
    board.answers.set()
    app = web.Application()
    app.add_routes([web.post("/power", board.order), web.get("/power", board.running)])
    app.add_routes([web.post("/disk", board.disk), web.get("/disk", board.where)])
    runner = web.AppRunner(app)
    await runner.setup()
    with lab_paths(name) as paths:
        paths.root.mkdir()
        await web.UnixSite(runner, str(paths.hypervisor_socket)).start()
        info = await vcenter.up(
            paths, "127.0.0.1", vms, paths.hypervisor_socket, spare_hosts=["esx-3.lab"]
        )
        async with vcenter.Control(paths) as control:
            try:
                yield VcenterLab(paths, info, board, control, vms)
            finally:
                await vcenter.down(paths)
                await runner.cleanup()
