"""The lab's hypervisor: one process that switches VMs on and off, and notices when one dies.

Run as `python -m standfast.lab.power --lab NAME`. vCenter (vcsim) and the lab's commands give it
orders over a unix socket; nobody else starts or stops a VM. Its own end leaves the VMs running:
the next one adopts them.

    POST /power {"vm", "op": "on|off|reset|suspend", "report": false}   200 when it is so
    GET  /power -> {"vm-a": "on|off|suspended"}
    POST /disk  {"vm", "disk", "op": "attach|detach"}   GET /disk -> {UUID: "vm-a"}
    POST /stun  {"vm", "ms": null}   POST /thaw {"vm"}   GET /vms

409 when the VM is in another state than the order needs, 400 when there is no such VM or order,
500 with the reason when it did not work. With `report` vCenter is told afterwards, as it always is
of a VM that ended by itself; without it vCenter does not see what an order of the lab's did.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web

from standfast.errors import RefusedError, StandfastError, UserError
from standfast.lab import layer, logs, state
from standfast.lab.cgroups import lab_cgroup
from standfast.lab.disks import Shelf
from standfast.lab.machine import Machine, Surroundings
from standfast.lab.network import Switch
from standfast.lab.orders import ShownVm
from standfast.lab.paths import LabPaths
from standfast.lab.vcenter import Control
from standfast.lab.vm import Power, Vm

log = logging.getLogger(__name__)

STATUS_OF = {RefusedError: HTTPStatus.CONFLICT, UserError: HTTPStatus.BAD_REQUEST}


class PowerOrder(msgspec.Struct, frozen=True):
    """Switch a VM; and tell vCenter, if asked to."""

    vm: str
    op: Literal["on", "off", "reset", "suspend"]
    report: bool = False


class DiskOrder(msgspec.Struct, frozen=True):
    """Give a VM a disk, or take it away."""

    vm: str
    disk: str
    op: Literal["attach", "detach"]


class StunOrder(msgspec.Struct, frozen=True):
    """Freeze a VM, for good or for a time; or thaw it, then without `ms`."""

    vm: str
    ms: int | None = None


class Hypervisor:
    """All machines of one lab.

    Args:
        paths: The lab's files.
        lab: What it consists of.
    """

    def __init__(self, paths: LabPaths, lab: state.LabState) -> None:
        self._paths = paths
        self._shelf = Shelf(paths)
        around = Surroundings(
            lambda: layer.current(paths), observations(paths), self._tell, self._shelf.booted
        )
        self._machines = {vm.name: Machine(vm, around) for vm in virtual_machines(paths, lab)}

    async def adopt(self) -> None:
        """Takes over what runs."""
        await asyncio.gather(*(machine.adopt() for machine in self._machines.values()))

    def leave(self) -> None:
        """Lets go of all machines without touching them."""
        for machine in self._machines.values():
            machine.leave()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/power", self._show_power),
            web.get("/vms", self._show),
            web.post("/power", self._power),
            web.get("/disk", self._show_disks),
            web.post("/disk", self._disk),
            web.post("/stun", self._stun),
            web.post("/thaw", self._thaw),
        ]

    async def _show_power(self, _: web.Request) -> web.Response:
        return _json({name: machine.vm.power.value for name, machine in self._machines.items()})

    async def _show(self, _: web.Request) -> web.Response:
        return _json({name: shown(machine) for name, machine in self._machines.items()})

    async def _power(self, request: web.Request) -> web.Response:
        order = msgspec.json.decode(await request.read(), type=PowerOrder)
        machine = self._machine(order.vm)
        operations: dict[str, Callable[[], Awaitable[None]]] = {
            "on": machine.on,
            "off": machine.off,
            "reset": machine.reset,
            "suspend": machine.suspend,
        }
        await operations[order.op]()
        if order.report:
            await self._tell(order.vm, machine.vm.power)
        return _json({})

    async def _show_disks(self, _: web.Request) -> web.Response:
        return _json({uuid: place.vm for uuid, place in self._shelf.attached().items()})

    async def _disk(self, request: web.Request) -> web.Response:
        order = msgspec.json.decode(await request.read(), type=DiskOrder)
        obey = self._shelf.attach if order.op == "attach" else self._shelf.detach
        await asyncio.to_thread(obey, self._machine(order.vm).vm, order.disk)
        return _json({})

    async def _stun(self, request: web.Request) -> web.Response:
        order = msgspec.json.decode(await request.read(), type=StunOrder)
        await self._machine(order.vm).stun(order.ms)
        return _json({})

    async def _thaw(self, request: web.Request) -> web.Response:
        order = msgspec.json.decode(await request.read(), type=StunOrder)
        await self._machine(order.vm).thaw()
        return _json({})

    def _machine(self, vm: str) -> Machine:
        try:
            return self._machines[vm]
        except KeyError as error:
            raise UserError(
                f"this hypervisor has no VM {vm!r}: it has {', '.join(self._machines)}",
                remedy="standfast-lab status",
            ) from error

    async def _tell(self, vm: str, power: Power) -> None:
        if not self._paths.vcenter_control.exists():
            return
        try:
            async with Control(self._paths) as vcenter:
                await vcenter.set_power(vm, power.value)
        except StandfastError as error:
            log.warning("vCenter not told", extra={"vm": vm, "error": error.problem})


def shown(machine: Machine) -> ShownVm:
    """What a machine is doing."""
    vm = machine.vm
    power = vm.power
    try:
        boot = "" if power is Power.OFF else vm.boot_id()
    except (RefusedError, OSError):
        boot = ""  # it died between the two looks
    return ShownVm(power.value, vm.stunned, boot, machine.since_ns)


def virtual_machines(paths: LabPaths, lab: state.LabState) -> list[Vm]:
    """The VMs of a lab, whether on or off."""
    group = lab_cgroup(lab.name)
    switch = Switch(lab.addressing, rules_file(paths))
    return [
        Vm(vm.spec, paths.vms_dir / vm.name, type(group)(group.path / vm.name), switch)
        for vm in lab.vms
    ]


def rules_file(paths: LabPaths) -> Path:
    """What the switch drops."""
    return paths.root / "network.json"


def observations(paths: LabPaths) -> Path:
    """What happened to the VMs and their addresses."""
    return paths.root / "observed.jsonl"


@web.middleware
async def explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns what is raised into a status and a sentence."""
    try:
        return await handler(request)
    except StandfastError as error:
        status = STATUS_OF.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        return web.Response(status=status, text=error.problem)
    except msgspec.MsgspecError as error:
        return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"not an order: {error}")


async def serve(paths: LabPaths) -> None:
    """Runs until SIGTERM."""
    hypervisor = Hypervisor(paths, state.existing(paths))
    await hypervisor.adopt()
    app = web.Application(middlewares=[explain])
    app.add_routes(hypervisor.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    paths.hypervisor_socket.unlink(missing_ok=True)
    await web.UnixSite(runner, str(paths.hypervisor_socket)).start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    log.info("Hypervisor ready", extra={"lab": paths.name})
    await ended.wait()
    await runner.cleanup()
    hypervisor.leave()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standfast.lab.power", description=__doc__)
    parser.add_argument("--lab", required=True, help="the lab's name")
    parser.add_argument("--base", type=Path, help="the directory of all labs")
    options = parser.parse_args()
    logs.configure()
    try:
        asyncio.run(serve(LabPaths.named(options.lab, options.base)))
    except StandfastError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _json(shown_now: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(shown_now), content_type="application/json")


if __name__ == "__main__":
    sys.exit(main())
