"""A disk that is attached to one VM at a time, as a resource.

Who attaches it is the operator, through vCenter, and only to the node that holds the lease with
every proof; the hypervisor's lock on the disk keeps everybody else out. A start here waits for
it, and lets the kernel take writes for it; a stop ends all use of it and lets the kernel refuse
them. So a disk that is still attached to a node which is not active cannot be mounted writable
there by mistake, and the kernel remembers what this process may forget.

Source: disks carry their id into the guest when the VM has `disk.EnableUUID = TRUE`.
"""

import asyncio
from pathlib import Path

from standfast.adapters.disks import devices
from standfast.adapters.disks.clearing import Clearing, Use, use_of
from standfast.adapters.disks.config import SharedDiskConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.tenure import Tenure
from standfast.adapters.linux.programs import Programs
from standfast.errors import TransientError, UserError
from standfast.ports.events import Alert
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)

LOOK_S = 0.1
ATTACHED_S = 20.0
"""A start that has waited so long says that the disk did not come; it may be tried again."""


class SharedDiskDriver:
    """The `ResourceDriver` of one disk."""

    def __init__(self, config: SharedDiskConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._programs = Programs()
        self._clearing = Clearing(self._programs)
        self._tenure = Tenure(config.name)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def is_up(self) -> bool:
        """Started or adopted here, and not seen gone since."""
        return self._tenure.is_up

    def device(self) -> Path | None:
        """Where it is in this machine now."""
        found = (path for path in self._config.paths if devices.number(path) is not None)
        return next(found, None)

    def give_up(self, report: Report, change: Change, message: str) -> None:
        """It is of no use any more, and not by our doing."""
        self._tenure.is_up = False
        report(self._event(change, message))

    async def probe(self) -> ResourceState:
        disk = self.device()
        if disk is None:
            return ResourceState(Presence.STOPPED, f"{self._config.uuid} is not attached")
        try:
            is_open, use = await asyncio.to_thread(self._look, disk)
        except (TransientError, OSError) as error:
            return ResourceState(Presence.UNKNOWN, str(error))
        if use.systems:
            return ResourceState(Presence.STOPPED, f"this machine itself lives on {disk}")
        if is_open or use.concerns_us:
            how = "takes writes" if is_open else "takes no writes"
            return ResourceState(Presence.RUNNING, f"{use.sentence(str(disk))}, and {how}")
        return ResourceState(Presence.STOPPED, f"{disk} is attached, and takes no writes")

    async def start(self, lease_until_ms: int | None) -> None:
        del lease_until_ms
        attempt = self._tenure.begin()
        disk = await self._attached()
        self._tenure.go_on_only_if(attempt)
        _, use = await asyncio.to_thread(self._look, disk)
        self._tenure.go_on_only_if(attempt)
        if use.systems:
            raise UserError(
                f"{self.name}: this machine itself lives on {disk} ({use.systems})",
                remedy=f"correct spec.sharedDisk.uuid of HAResource {self.name}",
            )
        self._tenure.is_ours = True
        _set_all(disk, read_only=False)
        self._tenure.is_up = True

    async def stop(self, budget_ms: int) -> None:
        with self._tenure.ending():
            disk = self.device()
            if disk is None or await self._is_systems(disk):
                return
            await self._clearing.gently(nodes_of(disk), None, budget_ms / 1000)
            await asyncio.to_thread(_close, disk)

    async def kill(self) -> None:
        with self._tenure.ending():
            while (disk := self.device()) is not None and not await self._is_systems(disk):
                await self._clearing.hard(nodes_of(disk), None)
                if await asyncio.to_thread(_closed, disk):
                    return
                await asyncio.sleep(LOOK_S)

    def extend(self, lease_until_ms: int) -> None:
        """Nothing ends with the lease by itself: who writes to the disk is under the guard."""

    async def watch(self, report: Report) -> None:
        """Looks: no signal tells a process that a disk came or went, without udev."""
        was_there = self.device() is not None
        was_open = was_there and self._is_open()
        while True:
            await asyncio.sleep(LOOK_S)
            is_there = self.device() is not None
            is_open = is_there and self._is_open()
            if self._tenure.is_up and not is_open:
                what = "was set read-only" if is_there else "was detached"
                self.give_up(report, Change.DIED, f"{self._config.uuid} {what}, and not by us")
            elif is_open and not was_open and self._tenure.would_be_strange:
                message = f"{self._config.uuid} is here and takes writes, and not by us"
                report(self._event(Change.APPEARED, message))
            was_open = is_open

    async def check(self) -> Health:
        disk = self.device()
        if disk is None:
            return Health(Verdict.GONE, f"{self._config.uuid} is not attached to this VM")
        if not self._is_open():
            return Health(Verdict.GONE, f"{disk} takes no writes")
        if self._programs.running and not await self._programs.end():
            return Health(Verdict.DOWN, f"a read of {disk} hangs: the disk does not answer")
        done = await self._programs.run(
            "dd", f"if={disk}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct", "status=none"
        )
        if done.status != 0:
            return Health(Verdict.DOWN, f"a read of {disk} failed: {done.said}")
        return Health(Verdict.UP, f"{disk} is attached and answers")

    async def ready(self) -> list[str]:
        return []  # that it is not attached here now is as it should be

    async def concerns(self) -> list[Alert]:
        return []

    async def close(self) -> None:
        await self._programs.end()

    async def _attached(self) -> Path:
        try:
            async with asyncio.timeout(ATTACHED_S):
                return await self._appeared()
        except TimeoutError as error:
            raise TransientError(
                f"{self.name}: disk {self._config.uuid} is not attached to this VM, and was not "
                f"within {ATTACHED_S:.0f} s. The operator attaches it, through vCenter",
                remedy=f"see what keeps it: kubectl describe har {self.name}. When the disk is "
                f"attached but not at {self._config.paths[0]}: set disk.EnableUUID = TRUE in the "
                "VM's settings",
            ) from error

    async def _appeared(self) -> Path:
        while True:
            disk = self.device()
            if disk is not None:
                return disk
            await asyncio.sleep(LOOK_S)

    async def _is_systems(self, disk: Path) -> bool:
        _, use = await asyncio.to_thread(self._look, disk)
        return bool(use.systems)

    def _look(self, disk: Path) -> tuple[bool, Use]:
        """Whether it takes writes, and who uses it. Blocks."""
        nodes = nodes_of(disk)
        is_open = any(not devices.is_read_only(node) for node in nodes)
        return is_open, use_of(nodes)

    def _is_open(self) -> bool:
        disk = self.device()
        try:
            return disk is not None and not devices.is_read_only(disk)
        except OSError:
            return False  # it went this moment

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())


def nodes_of(disk: Path) -> tuple[Path, ...]:
    """The device nodes of a disk and its partitions."""
    return (disk, *devices.partitions(disk))


def _set_all(disk: Path, *, read_only: bool) -> None:
    try:
        for node in nodes_of(disk):
            devices.set_read_only(node, read_only=read_only)
    except OSError as error:
        raise TransientError(f"{disk} went while it was taken: {error}") from error


def _close(disk: Path) -> None:
    """Let the kernel refuse writes from now on; a disk that was detached meanwhile takes none."""
    if devices.number(disk) is not None:
        _set_all(disk, read_only=True)


def _closed(disk: Path) -> bool:
    try:
        _close(disk)
    except TransientError:
        return False
    return True
