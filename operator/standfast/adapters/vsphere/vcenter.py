"""One vCenter behind `ports.hypervisor.Hypervisor`: the feed's facts, power with proof.

Everything that blocks runs in threads of this object: one listens, a few switch power. The event
loop only reads the newest inventory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.disks import DiskMover
from standfast.adapters.vsphere.feed import Feed
from standfast.adapters.vsphere.power import PowerSwitch
from standfast.adapters.vsphere.scope import EVERYTHING, Scope
from standfast.adapters.vsphere.session import Session
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import DiskMoved, Evidence, Inventory, PowerTask

T = TypeVar("T")

POWER_THREADS = 4
"""Fences at one time; each waits for vCenter, not for the processor."""
FEED_STOP_S = 2.0
WATCH_SETTLE_S = 0.5
"""Which VMs are followed changes at most this often: at a start many clusters name theirs."""

PRIVILEGES = {
    "System.Read": "seeing the VM",
    "VirtualMachine.Interact.PowerOff": "switching a failed VM off",
    "VirtualMachine.Interact.PowerOn": "switching it on again afterwards",
}
"""What is used, and for what."""


class Vcenter:
    """One vCenter, one session.

    Args:
        access: Where and as whom.
        clock: Stamps facts.
        on_change: Called in the event loop with each new inventory.
        scope: Part of the inventory that may be looked at.
    """

    def __init__(
        self,
        access: Access,
        clock: Clock,
        on_change: Callable[[Inventory], None],
        scope: Scope = EVERYTHING,
    ) -> None:
        self._session = Session(access)
        self._inventory = Inventory(endpoint=access.server)
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._switch = PowerSwitch(self._session, clock)
        self._disks = DiskMover(self._session, self._switch, clock)
        self._feed = Feed(self._session, clock, self._from_feed, scope)
        self._power = ThreadPoolExecutor(POWER_THREADS, thread_name_prefix="power")
        self._movers = ThreadPoolExecutor(POWER_THREADS, thread_name_prefix="disk")
        self._watched: frozenset[str] = frozenset()
        self._followed: frozenset[str] = frozenset()
        self._settling: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to listen."""
        self._feed.start()

    @property
    def inventory(self) -> Inventory:
        return self._inventory

    @property
    def watched(self) -> frozenset[str]:
        return self._watched

    def watch(self, uuids: frozenset[str]) -> None:
        self._watched = uuids
        if self._settling is None:
            self._follow()

    def use(self, access: Access) -> None:
        """Log in differently from now on: a rotated password, another certificate."""
        if access != self._session.access:
            self._power.submit(self._use, access)

    async def power_off_with_proof(
        self, uuid: str, budget_ms: int, on_task: PowerTask | None = None
    ) -> Evidence:
        return await self._call(
            lambda: self._switch.power_off_with_proof(uuid, budget_ms, on_task)
        )

    async def verify_off(self, uuid: str) -> Evidence:
        return await self._call(lambda: self._switch.verify_off(uuid))

    async def clock(self) -> datetime:
        return await self._call(self._switch.time)

    async def verify_since(self, uuid: str, since: datetime) -> Evidence:
        return await self._call(lambda: self._switch.verify_since(uuid, since))

    async def power_on(self, uuid: str, budget_ms: int) -> None:
        await self._call(lambda: self._switch.power_on(uuid, budget_ms))

    async def move_disk(
        self,
        vmdk: str,
        uuid: str,
        to: str,
        others: frozenset[str],
        budget_ms: int,
        *,
        still: Callable[[], Awaitable[None]],
    ) -> DiskMoved:
        async def asked() -> None:
            await still()

        def ask() -> None:
            asyncio.run_coroutine_threadsafe(asked(), self._loop).result(budget_ms / 1000)

        return await self._loop.run_in_executor(
            self._movers, lambda: self._disks.move(vmdk, uuid, to, others, budget_ms, still=ask)
        )

    async def check_rights(self, uuids: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """By privilege, the VMs that it lacks on; an empty tuple means granted everywhere."""
        lacking = await self._call(lambda: self._switch.rights(uuids, tuple(PRIVILEGES)))
        return {
            privilege: tuple(vm for vm, lacks in sorted(lacking.items()) if privilege in lacks)
            for privilege in PRIVILEGES
        }

    async def keep_warm(self) -> None:
        """Prove that the connection for fencing works, and keep the session alive."""
        await self._call(self._switch.keep_warm)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._settling is not None:
            self._settling.cancel()
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._feed.stop(FEED_STOP_S)
        for pool in (self._power, self._movers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._switch.close()
        self._session.close()

    def _follow(self) -> None:
        """Hand over what is watched now, and again in a while if that changes meanwhile."""
        self._settling = None
        if self._followed != self._watched:
            self._followed = self._watched
            self._power.submit(self._feed.watch, self._followed)
            self._settling = self._loop.call_later(WATCH_SETTLE_S, self._follow)

    def _use(self, access: Access) -> None:
        if self._session.use(access):
            self._feed.interrupt()

    async def _call(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._power, call)

    def _from_feed(self, inventory: Inventory) -> None:
        self._inventory = inventory
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_change, inventory)
