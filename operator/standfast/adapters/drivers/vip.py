"""A virtual address (VIP), IPv4 or IPv6: here while the lease runs, announced, gone when it ends.

Two layers in the kernel end it without us: the packet filter at the millisecond, the address's own
lifetime within the second after. `extend` moves both; nothing else does. The lifetime is in whole
seconds and is rounded up to the next one, because the kernel must not take the address while the
lease runs; the filter is what makes the end exact. On a host without nf_tables the address may
outlive the lease by up to 1.6 s if the agent dies, and an alert says so.

Before the address is taken, and while it is held, the wire is asked whether a stranger has it
(F47).

Rules. The filter is armed before the address comes, and cut before it goes. What was asked of the
kernel first takes effect first, so after `kill` nothing of an earlier `start` or `extend` follows.

Safety: S2, no address is answered by two nodes (`docs/protocol.md`, sections 6 to 8).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from standfast.adapters.drivers.config import VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.vip_announcer import Announcer
from standfast.adapters.drivers.vip_place import interface_for, link_trouble
from standfast.adapters.drivers.vip_rival import Rival
from standfast.adapters.linux.frames import readable
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.events import Alert
from standfast.ports.network import AddressChange, Interface
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)

WATCH_AGAIN_AFTER_S = 1.0
TRY_AGAIN_AFTER_S = 0.05
SEEN_MS = 1000
"""For so long it counts that nobody had the address; a stranger that comes later is seen as one
that comes while it is held."""
NO_FILTER = "NoPacketFilter"


class VipDriver:
    """The `ResourceDriver` of one VIP."""

    def __init__(self, config: VipConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._ip = config.address.ip
        self._announcer = Announcer(config, host, lambda: self._lease_until_ms)
        self._rival = Rival(config, host)
        self._attempt = 0  # raised by whatever ends an earlier start
        self._endings = 0  # stops and kills under way
        self._lease_until_ms = 0
        self._kernel_until_ms = 0
        self._held_on: Interface | None = None
        self._extension: asyncio.Task[None] | None = None
        self._asked: tuple[int, asyncio.Task[bool]] | None = None

    @property
    def name(self) -> str:
        return self._config.name

    async def probe(self) -> ResourceState:
        try:
            holders = await self._host.addresses.holders(self._ip)
        except (OSError, TransientError) as error:
            return ResourceState(Presence.UNKNOWN, f"the kernel does not list addresses: {error}")
        if not holders:
            return ResourceState(Presence.STOPPED, f"{self._ip} is on no interface of this node")
        where = ", ".join(holder.name for holder in holders)
        return ResourceState(Presence.RUNNING, f"{self._ip} is on {where}")

    def foresee(self) -> None:
        """Ask the wire beside the start of what the address waits for, not after it."""
        if self._held_on is None:
            self._forget_asked()
            task = asyncio.create_task(self._nobody_answers())
            self._asked = (self._host.clock.now_ms(), task)

    async def start(self, lease_until_ms: int | None) -> None:
        assert lease_until_ms is not None, "an address lives under a lease, never without one"
        self._attempt += 1
        attempt = self._attempt
        self._announcer.end()
        self._lease_until_ms = lease_until_ms
        interface = await self._usable_interface()
        try:
            await self._make_room(interface)
            self._go_on_only_if(attempt)
            await self._host.lease_filter.allow(self._ip, self._lease_until_ms)
            self._go_on_only_if(attempt)
            self._kernel_until_ms, self._held_on = 0, interface
            await self._bring_up_to_date(attempt)
            self._go_on_only_if(attempt)
            self._announcer.begin(interface)
            self._rival.begin(interface)
        except OSError as error:
            self._held_on = None
            raise TransientError(
                f"{self.name}: {interface.name} does not take {self._config.address}: {error}",
                remedy=f"ip address show {interface.name}; for IPv6 see "
                f"/proc/sys/net/ipv6/conf/{interface.name}/disable_ipv6",
            ) from error

    async def stop(self, budget_ms: int) -> None:
        try:
            async with asyncio.timeout(budget_ms / 1000):
                await self._let_go()
        except OSError as error:  # a timeout is one
            why = str(error) or f"the kernel did not answer within {budget_ms} ms"
            raise TransientError(
                f"{self.name}: {self._ip} could not be removed: {why}",
                remedy=f"ip address show to {self._ip}",
                retry_after_ms=100,
            ) from error

    async def kill(self) -> None:
        while True:
            try:
                await self._let_go()
            except (OSError, TransientError) as error:
                self._note("AddressStuck", "Address could not be removed", error=str(error))
                await asyncio.sleep(TRY_AGAIN_AFTER_S)
            else:
                return

    def extend(self, lease_until_ms: int) -> None:
        if self._host.clock.now_ms() >= self._lease_until_ms:
            return  # what expired stays expired
        self._lease_until_ms = lease_until_ms
        if self._held_on is None:
            return  # a start in progress reads the new moment itself
        if self._extension is None or self._extension.done():
            self._extension = asyncio.create_task(self._extend_in_kernel(self._attempt))

    async def watch(self, report: Report) -> None:
        is_watched, is_first = True, True
        changed = asyncio.Event()

        def look(change: AddressChange) -> None:
            nonlocal is_watched, is_first
            if not is_watched:
                is_watched = True
                report(self._event(Change.WATCHED, "address events come again"))
            is_refreshed = change.is_present and self._held_on is not None  # by an extension
            if not is_first and not is_refreshed and change.address in {None, self._ip}:
                changed.set()
            is_first = False  # what is here already is for `probe` to say

        async with asyncio.TaskGroup() as group:
            group.create_task(self._judge(changed, report))
            while True:
                try:
                    await self._host.address_events.follow(look)
                except OSError as error:
                    if is_watched:
                        report(self._event(Change.UNWATCHED, f"no address events: {error}"))
                    is_watched = is_first = False
                await asyncio.sleep(WATCH_AGAIN_AFTER_S)

    async def check(self) -> Health:
        try:
            holders = await self._host.addresses.holders(self._ip)
        except (OSError, TransientError) as error:
            return Health(Verdict.UNKNOWN, f"the kernel does not list addresses: {error}")
        if not holders:
            return Health(Verdict.GONE, f"{self._ip} is on no interface of this node")
        holder = holders[0]
        trouble = link_trouble(holder)
        if trouble:
            return Health(Verdict.DOWN, f"{self._ip} is on {holder.name}, but {trouble}")
        return Health(Verdict.UP, f"{self._ip} is on {holder.name}")

    async def ready(self) -> list[str]:
        try:
            interface = await interface_for(self._config, self._host.addresses)
        except UserError as error:
            return [f"{error.problem} ({error.remedy})"]
        except (OSError, TransientError) as error:
            return [f"the kernel does not list interfaces: {error}"]
        trouble = link_trouble(interface)
        return [f"{self._ip} would go to {interface.name}, but {trouble}"] if trouble else []

    async def concerns(self) -> list[Alert]:
        alert = self._filter_alert()
        return [] if alert is None else [alert]

    async def close(self) -> None:
        self._announcer.end()
        self._rival.end()
        self._forget_asked()
        if self._extension is not None:
            self._extension.cancel()

    async def _usable_interface(self) -> Interface:
        try:
            interface = await interface_for(self._config, self._host.addresses)
        except OSError as error:
            raise TransientError(
                f"{self.name}: the kernel does not list interfaces: {error}", remedy="ip link"
            ) from error
        trouble = link_trouble(interface)
        if trouble:
            raise TransientError(
                f"{self.name}: {self._ip} belongs on {interface.name}, but {trouble}",
                remedy=f"ip link set {interface.name} up, and look at the virtual network card",
            )
        return interface

    async def _make_room(self, interface: Interface) -> None:
        """Nobody has the address, except this interface already (then it is adopted)."""
        holders = await self._host.addresses.holders(self._ip)
        if [holder.index for holder in holders] == [interface.index]:
            return
        if holders:
            await self._host.addresses.remove(self._ip)
        if await self._was_seen_free():
            return
        mac = await self._host.neighbours.probe(self._ip, interface, self._config.probe_ms)
        if mac is not None:
            raise TransientError(
                f"{self.name}: {self._ip} is in use on {interface.name} by the machine with MAC "
                f"{readable(mac)}, and two machines must not answer for one address",
                remedy=f"find that machine and take {self._ip} from it, or choose another address "
                f"for HAResource {self.name}",
            )

    async def _nobody_answers(self) -> bool:
        """Whether the wire was asked and nobody had the address; whatever is in the way is no."""
        try:
            interface = await self._usable_interface()
            asked = self._host.neighbours.probe(self._ip, interface, self._config.probe_ms)
            return await asked is None
        except (OSError, StandfastError):
            return False

    async def _was_seen_free(self) -> bool:
        """Whether nobody had it a moment ago; a look is used once."""
        asked, self._asked = self._asked, None
        if asked is None:
            return False
        if self._host.clock.now_ms() - asked[0] > SEEN_MS:
            asked[1].cancel()
            return False
        return await asked[1]

    def _forget_asked(self) -> None:
        if self._asked is not None:
            self._asked[1].cancel()
            self._asked = None

    def _go_on_only_if(self, attempt: int) -> None:
        if attempt != self._attempt:
            raise TransientError(f"{self.name}: the start of {self._ip} was overtaken by a stop")
        if self._host.clock.now_ms() >= self._lease_until_ms:
            raise TransientError(f"{self.name}: the lease ended before {self._ip} was taken")

    async def _extend_in_kernel(self, attempt: int) -> None:
        try:
            await self._bring_up_to_date(attempt)
        except (OSError, TransientError) as error:
            self._note("AddressNotExtended", "Lifetime was not extended", error=str(error))

    async def _bring_up_to_date(self, attempt: int) -> None:
        """Bring both layers of the kernel to the lease, and to what it has become meanwhile.

        The address is touched only when its time is short: each change of it wakes every listener
        of the machine.
        """
        while attempt == self._attempt:
            until_ms = self._lease_until_ms
            await self._host.lease_filter.allow(self._ip, until_ms)
            now_ms = self._host.clock.now_ms()
            if attempt != self._attempt or self._held_on is None or now_ms >= until_ms:
                return
            if self._kernel_until_ms < until_ms:
                lifetime_s = (until_ms - now_ms) // 1000 + 1
                await self._host.addresses.put(self._config.address, self._held_on, lifetime_s)
                self._kernel_until_ms = now_ms + lifetime_s * 1000
            self._tell_filter()
            if self._lease_until_ms == until_ms:
                return

    async def _let_go(self) -> None:
        """Cut the traffic and take the address away, each as soon as the kernel lets us."""
        self._attempt += 1
        self._held_on = None
        self._lease_until_ms = 0
        self._announcer.end()
        self._rival.end()
        with self._ending():
            cut, removed = await asyncio.gather(
                self._host.lease_filter.cut(self._ip),
                self._host.addresses.remove(self._ip),
                return_exceptions=True,
            )
            for outcome in (cut, removed):
                if outcome is not None:
                    raise outcome
            await self._host.lease_filter.forget(self._ip)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """An address that is still here meanwhile is no stranger's."""
        self._endings += 1
        try:
            yield
        finally:
            self._endings -= 1

    async def _judge(self, changed: asyncio.Event, report: Report) -> None:
        """Compare what is there with what should be; an event itself may be an old one."""
        while True:
            await changed.wait()
            changed.clear()
            before = (self._attempt, self._held_on)
            try:
                is_here = bool(await self._host.addresses.holders(self._ip))
            except (OSError, TransientError):
                continue  # `check` will say UNKNOWN
            if before != (self._attempt, self._held_on):
                continue  # our own doing
            if self._held_on is not None and not is_here:
                report(self._event(Change.DIED, self._how_it_died(self._held_on)))
                self._held_on = None
                self._announcer.end()
                self._rival.end()
            elif self._held_on is None and is_here and not self._endings:
                message = f"{self._ip} is here, and we did not take it"
                report(self._event(Change.APPEARED, message))

    def _how_it_died(self, interface: Interface) -> str:
        ended = self._host.clock.now_ms() >= self._lease_until_ms
        why = "its lease ended" if ended else "somebody removed it"
        return f"{self._ip} is gone from {interface.name}: {why}"

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())

    def _note(self, kind: str, message: str, **fields: str | int) -> None:
        self._host.sink.note(kind, message, {"resource": self.name, **fields})

    def _filter_alert(self) -> Alert | None:
        trouble = self._host.lease_filter.trouble
        if not trouble:
            return None
        return Alert(
            NO_FILTER,
            f"{trouble}; if the agent died, {self._ip} could outlive the lease by up to 1.6 s",
            "run a kernel with nf_tables (modprobe nf_tables) and give the agent CAP_NET_ADMIN",
        )

    def _tell_filter(self) -> None:
        alert = self._filter_alert()
        if alert is None:
            self._host.sink.clear_alert(self.name, NO_FILTER)
        else:
            self._host.sink.raise_alert(self.name, alert)
