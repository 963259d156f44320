"""The lab's vCenter: vcsim, started, adopted and stopped; and the orders the lab gives it.

Called by `standfast-lab up` and `standfast-lab vcenter`, and by tests. It is a real vCenter API as
far as pyvmomi can tell: TLS by the lab's own authority, a user and a password that are checked, an
inventory of hosts and VMs. Power tasks go to the lab's hypervisor over a unix socket, which
answers when the deed is done (the protocol stands in `tests/tools/vcsim/hypervisor.go`).

`up`, `down` and `Control` are asynchronous.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import aiohttp
import msgspec

from standfast.errors import TransientError, UserError
from standfast.lab import program
from standfast.lab.ca import Authority, Subject
from standfast.lab.paths import DISKS, LabPaths, VmSpec
from standfast.lab.ports import free_port
from standfast.lab.program import Process, Program
from standfast.lab.tools import Progress, provide, silent

NAME = "vcsim"
USERNAME = "standfast@vsphere.local"
HOSTNAME = "vcenter.lab"
SERVER = "server"
READY_S = 30
STOP_S = 3

Power = Literal["on", "off", "suspended"]


@dataclass(frozen=True, slots=True)
class VcenterInfo:
    """How to reach the lab's vCenter.

    Args:
        server: `address:port`.
        username: The user that may log in.
        password: That user's.
        ca_file: Authority that signed its certificate, PEM.
    """

    server: str
    username: str
    password: str
    ca_file: Path


class ShownVm(msgspec.Struct, frozen=True):
    """A VM as vCenter shows it.

    Args:
        power: `poweredOn`, `poweredOff` or `suspended`.
        connection: `connected` or `disconnected`.
        reference: Its managed object reference, `vm-27`.
    """

    power: str
    connection: str
    reference: str


class Shown(msgspec.Struct, frozen=True):
    """What vCenter shows: host name -> connection state, VM name -> VM."""

    hosts: dict[str, str]
    vms: dict[str, ShownVm]


async def up(
    paths: LabPaths,
    address: str,
    vms: Sequence[VmSpec],
    hypervisor_socket: Path,
    *,
    spare_hosts: Sequence[str] = (),
    progress: Progress = silent,
) -> VcenterInfo:
    """Starts vCenter, or adopts the one that runs with the same inventory.

    Args:
        paths: The lab.
        address: Where it listens; its port is chosen once and kept.
        vms: The inventory. Every host that a VM names is made.
        spare_hosts: Hosts without VMs.
        hypervisor_socket: Takes power orders; asked at start what runs, if it is there.
        progress: Told about builds.
    """
    tools = await provide(progress)
    text = _inventory(vms, spare_hosts)
    # Named by its content: another inventory is another command line, hence another process.
    inventory = paths.vcenter_dir / f"inventory-{sha256(text.encode()).hexdigest()[:12]}.json"
    info = _prepare(paths, address, inventory, text)
    options = {
        "listen": info.server,
        "cert": paths.vcenter_dir / "pki" / f"{SERVER}.crt",
        "key": paths.vcenter_dir / "pki" / f"{SERVER}.key",
        "user": info.username,
        "password-file": paths.vcenter_dir / "password",
        "inventory": inventory,
        "hypervisor": hypervisor_socket,
        "control": paths.vcenter_control,
    }
    argv = (str(tools.vcsim), *(f"-{name}={value}" for name, value in options.items()))
    wanted = Program(paths, NAME, argv, {})
    process = await program.start(wanted)
    async with Control(paths) as control:
        await program.until(control.answers, wanted, process, READY_S)
    return info


async def down(paths: LabPaths) -> None:
    """Stops vCenter; the next `up` has the same address, password and certificate."""
    await program.stop(paths, NAME, STOP_S)
    paths.vcenter_control.unlink(missing_ok=True)


def running(paths: LabPaths) -> Process | None:
    """Its process, if it runs."""
    return program.running(paths, NAME)


class Control:
    """The lab's orders to its vCenter: `async with Control(paths) as vcenter: ...`.

    Raises:
        TransientError: From every order, when vCenter does not run.
        UserError: From every order, when it names what does not exist.
    """

    def __init__(self, paths: LabPaths) -> None:
        self._session = aiohttp.ClientSession(
            "http://vcsim",
            connector=aiohttp.UnixConnector(str(paths.vcenter_control)),
            timeout=aiohttp.ClientTimeout(total=10),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def state(self) -> Shown:
        """What vCenter shows now."""
        return msgspec.json.decode(await self._call("GET", "/state"), type=Shown)

    async def answers(self) -> bool:
        """Whether it has started."""
        try:
            await self.state()
        except TransientError:
            return False
        return True

    async def lose_host(self, host: str) -> None:
        """The host stops responding to vCenter and its VMs show as disconnected.

        Nothing happens to the VMs themselves, and their power as shown stands still.
        """
        await self._call("POST", "/host", {"name": host, "connection": "notResponding"})

    async def heal_host(self, host: str) -> None:
        """The host responds again; what happened to its VMs meanwhile is shown now."""
        await self._call("POST", "/host", {"name": host, "connection": "connected"})

    async def slow(self, ms: int, method: str = "") -> None:
        """Delays every call by `ms` before it is obeyed, or only those of one method.

        Args:
            ms: 0 ends it.
            method: `PowerOffVM_Task`, `WaitForUpdatesEx`, ...
        """
        await self._call("POST", "/delay", {"method": method, "ms": ms})

    async def set_power(self, vm: str, power: Power) -> None:
        """Shows a power state that came about without vCenter: a crash, a start by hand."""
        await self._call("POST", "/vm", {"name": vm, "power": power})

    async def move(self, vm: str, host: str) -> None:
        """Shows a VM on another host, as after a restart by vSphere HA."""
        await self._call("POST", "/vm", {"name": vm, "host": host})

    async def begin_task(self, vm: str, method: str) -> None:
        """Shows a task that runs on a VM until `end_task`; nothing is done to the VM.

        Args:
            vm: Its name.
            method: `createSnapshot`, `migrate`, ...
        """
        await self._call("POST", "/task", {"name": vm, "method": method})

    async def end_task(self, vm: str) -> None:
        """Lets the task of `begin_task` succeed, if there is one."""
        await self._call("POST", "/task", {"name": vm, "method": ""})

    async def _call(
        self, method: str, path: str, order: Mapping[str, str | int] | None = None
    ) -> bytes:
        try:
            async with self._session.request(method, path, json=order) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(
                f"the lab's vCenter does not answer: {error}", remedy="standfast-lab vcenter start"
            ) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise UserError(body.decode().strip(), remedy="standfast-lab status")
        return body


def _prepare(paths: LabPaths, address: str, inventory: Path, text: str) -> VcenterInfo:
    """Writes certificate, password and inventory; what is there and right is kept."""
    home = paths.vcenter_dir
    authority = Authority(home / "pki", "standfast lab vCenter authority")
    authority.issue(SERVER, Subject(HOSTNAME, hosts=(HOSTNAME, "localhost", address)))
    password = home / "password"
    if not password.exists():
        program.write(password, secrets.token_urlsafe(18))
    program.write(inventory, text, 0o644)
    port = free_port(home / "port", address, preferred=8989)
    return VcenterInfo(
        f"{address}:{port}", USERNAME, password.read_text(), authority.pair.certificate
    )


def _inventory(vms: Sequence[VmSpec], spare: Sequence[str]) -> str:
    plan = {
        "datacenter": "lab",
        "cluster": "lab",
        "hosts": sorted({vm.host for vm in vms} | set(spare)),
        "vms": [
            {
                "name": vm.name,
                "instanceUuid": vm.instance_uuid,
                "biosUuid": vm.bios_uuid,
                "host": vm.host,
            }
            for vm in vms
        ],
        "disks": [{"path": disk.path, "uuid": disk.uuid} for disk in DISKS],
    }
    return msgspec.json.encode(plan).decode()
