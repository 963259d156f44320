"""A VM under the hypervisor's hand: its orders one after the other, its death, its addresses.

Called by the hypervisor's server, in its one event loop; what blocks runs in a thread. Whatever
happens to the VM goes into the record that `observe` reads.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from standfast.errors import RefusedError, StandfastError
from standfast.lab import observe, rtnetlink
from standfast.lab.commands import NETNS_DIR
from standfast.lab.observe import Event, Observation
from standfast.lab.vm import Power, Vm

if TYPE_CHECKING:
    import socket

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a machine needs from outside.

    Args:
        layer: The layer that it boots with; asked at every boot.
        record: The file of observations.
        tell: Tells vCenter a VM's power state.
    """

    layer: Callable[[], Path]
    record: Path
    tell: Callable[[str, Power], Awaitable[None]]
    booted: Callable[[Vm], None]


class Machine:
    """One VM.

    Args:
        vm: The VM.
        surroundings: What it needs from outside.
    """

    def __init__(self, vm: Vm, surroundings: Surroundings) -> None:
        self.vm = vm
        self.since_ns = 0
        self._around = surroundings
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clearing: asyncio.Task[None] | None = None
        self._pidfd: int | None = None
        self._netlink: socket.socket | None = None
        self._held: set[str] = set()

    async def adopt(self) -> None:
        """Takes over a VM that runs already; clears what a dead one has left."""
        async with self._turn:
            if self.vm.power is Power.OFF:
                await asyncio.to_thread(self.vm.clear)
            else:
                self._attach()

    async def on(self) -> None:
        """Switches it on, or lets it go on when it is suspended.

        Raises:
            RefusedError: It is on.
        """
        async with self._turn:
            if self.vm.power is Power.SUSPENDED:
                await self._resume()
            else:
                await self._boot()

    async def off(self) -> None:
        """Pulls its plug.

        Raises:
            RefusedError: It is off.
        """
        async with self._turn:
            self._require_alive("off")
            await self._cut_power()

    async def reset(self) -> None:
        """Pulls its plug and puts it back.

        Raises:
            RefusedError: It is off.
        """
        async with self._turn:
            self._require_alive("off")
            await self._cut_power()
            await self._boot()

    async def suspend(self) -> None:
        """Freezes it, and shows it as suspended.

        Raises:
            RefusedError: It is off or suspended.
        """
        async with self._turn:
            self._require_alive("off")
            if self.vm.power is Power.SUSPENDED:
                raise RefusedError(f"{self.vm.name} is suspended already")
            await asyncio.to_thread(self.vm.suspend)
            self._note(Event.STUNNED)

    async def stun(self, ms: int | None) -> None:
        """Freezes it; for `ms` milliseconds, unless it dies meanwhile, or until it is thawed.

        Raises:
            RefusedError: It is off.
        """
        async with self._turn:
            self._require_alive("off")
            await asyncio.to_thread(self.vm.freeze)
            self._note(Event.STUNNED)
            boot_ns = self.since_ns
        if ms is None:
            return
        await asyncio.sleep(ms / 1000)
        async with self._turn:
            if self.vm.stunned and self.since_ns == boot_ns:
                await self._resume()

    async def thaw(self) -> None:
        """Lets it go on.

        Raises:
            RefusedError: It is off.
        """
        async with self._turn:
            self._require_alive("off")
            await self._resume()

    def leave(self) -> None:
        """Lets go of it without touching it."""
        self._detach()

    def _require_alive(self, otherwise: str) -> None:
        if self.vm.power is Power.OFF:
            raise RefusedError(f"{self.vm.name} is {otherwise} already")

    async def _boot(self) -> None:
        if self._clearing is not None:
            await self._clearing
        began_ns = _now_ns()
        await asyncio.to_thread(self.vm.boot, self._around.layer())
        await asyncio.to_thread(self._around.booted, self.vm)
        self.since_ns = _now_ns()
        self._attach()
        took_ms = (self.since_ns - began_ns) // 1_000_000
        log.info("VM switched on", extra={"vm": self.vm.name, "took_ms": took_ms})

    async def _cut_power(self) -> None:
        self._detach()
        began_ns = _now_ns()
        silent_ns = await asyncio.to_thread(self.vm.cut_power)
        self._note(Event.SILENT, at_ns=silent_ns)
        self.since_ns = 0
        self._clearing = self._start(asyncio.to_thread(self.vm.clear))
        took_ms = (_now_ns() - began_ns) // 1_000_000
        log.info("VM switched off", extra={"vm": self.vm.name, "took_ms": took_ms})

    async def _resume(self) -> None:
        self._note(Event.THAWED)
        await asyncio.to_thread(self.vm.thaw)

    def _attach(self) -> None:
        """Watches its first process and its addresses. It is alive, or has died this moment."""
        self.since_ns = self.since_ns or _now_ns()
        self._note(Event.ON, at_ns=self.since_ns)
        loop = asyncio.get_running_loop()
        self._netlink = rtnetlink.open_in(NETNS_DIR / self.vm.namespace)
        loop.add_reader(self._netlink, self._read_addresses)
        self._read_addresses()
        pid = self.vm.pid1
        if pid is None:
            self._start(self._bury())
            return
        self._pidfd = os.pidfd_open(pid)
        loop.add_reader(self._pidfd, self._dead)

    def _detach(self) -> None:
        loop = asyncio.get_running_loop()
        if self._pidfd is not None:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._netlink is not None:
            loop.remove_reader(self._netlink)
            self._netlink.close()
            self._netlink = None
        self._held.clear()

    def _read_addresses(self) -> None:
        if self._netlink is None:
            return
        for event in rtnetlink.read(self._netlink):
            if event.present and event.address not in self._held:
                self._held.add(event.address)
                self._note(Event.ADDED, event.address)
            elif not event.present and event.address in self._held:
                self._held.remove(event.address)
                self._note(Event.REMOVED, event.address)

    def _dead(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            self._start(self._bury())

    async def _bury(self) -> None:
        """Its first process has ended unordered: by a crash, a shutdown or a reboot inside."""
        async with self._turn:
            if self.since_ns == 0 or self.vm.pid1 is not None:
                return
            await self._cut_power()
            reboots = self.vm.wants_reboot
            log.info("VM ended by itself", extra={"vm": self.vm.name, "reboots": reboots})
            if reboots:
                await self._boot()
        await self._around.tell(self.vm.name, Power.ON if reboots else Power.OFF)

    def _note(self, event: Event, address: str = "", *, at_ns: int = 0) -> None:
        seen = Observation(at_ns or _now_ns(), self.vm.name, event, address)
        observe.append(self._around.record, seen)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), StandfastError):
            log.error("VM not cleared", extra={"vm": self.vm.name, "error": error.problem})


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
