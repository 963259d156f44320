"""A virtual address (VIP), IPv4 or IPv6: here while the lease runs, announced, gone when it ends.

Two layers in the kernel end it without us: the packet filter at the millisecond, the address's own
lifetime within the second after. `extend` moves both; nothing else does. The lifetime is in whole
seconds and is rounded up to the next one, because the kernel must not take the address while the
lease runs; the filter is what makes the end exact. On a host without nf_tables the address may
outlive the lease by up to 1.6 s if the agent dies, and an alert says so.

Before the address is taken, the wire is asked whether a stranger has it (F47). After it is taken,
it is announced at 0, 0.1, 0.5, 1, 2 and 5 s and then once a minute (F46), never past the lease.

Safety: S2, no address is answered by two nodes (`docs/protocol.md`, sections 6 to 8).
"""

import asyncio
from collections.abc import Iterator

from standfast.adapters.drivers.config import VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.linux.frames import readable
from standfast.errors import TransientError, UserError
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

ANNOUNCED_AT_MS = (0, 100, 500, 1000, 2000, 5000)
WATCH_AGAIN_AFTER_S = 1.0
NO_FILTER = "NoPacketFilter"


class VipDriver:
    """The `ResourceDriver` of one VIP."""

    def __init__(self, config: VipConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._ip = config.address.ip
        self._lease_until_ms = 0
        self._kernel_until_ms = 0
        self._held_on: Interface | None = None
        self._attempt = 0  # raised by whatever ends an earlier start
        self._announcer: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._config.name

    async def probe(self) -> ResourceState:
        try:
            holders = self._host.addresses.holders(self._ip)
        except (OSError, TransientError) as error:
            return ResourceState(Presence.UNKNOWN, f"the kernel does not list addresses: {error}")
        if not holders:
            return ResourceState(Presence.STOPPED, f"{self._ip} is on no interface of this node")
        where = ", ".join(holder.name for holder in holders)
        return ResourceState(Presence.RUNNING, f"{self._ip} is on {where}")

    async def start(self, lease_until_ms: int | None) -> None:
        assert lease_until_ms is not None, "an address lives under a lease, never without one"
        attempt = self._new_attempt()
        self._stop_announcing()
        self._lease_until_ms = lease_until_ms
        interface = self._interface()
        holders = self._host.addresses.holders(self._ip)
        if [holder.index for holder in holders] != [interface.index]:
            self._host.addresses.remove(self._ip)  # from where it does not belong, if anywhere
            await self._refuse_if_taken(interface)
        if attempt != self._attempt:
            raise TransientError(f"the start of {self._ip} was overtaken by a stop")
        left_ms = self._lease_until_ms - self._host.clock.now_ms()
        if left_ms <= 0:
            raise TransientError(f"the lease ended before {self._ip} could be taken")
        self._hold(interface)
        self._announcer = asyncio.create_task(self._announce(interface))

    async def stop(self, budget_ms: int) -> None:
        del budget_ms  # it takes about a millisecond
        try:
            self._let_go()
        except OSError as error:
            raise TransientError(
                f"{self._ip} could not be removed: {error}",
                remedy=f"ip address show to {self._ip}",
                retry_after_ms=100,
            ) from error

    async def kill(self) -> None:
        while True:
            try:
                self._let_go()
            except (OSError, TransientError) as error:
                self._note("AddressStuck", "Address could not be removed", error=str(error))
                await asyncio.sleep(0.05)
            else:
                return

    def extend(self, lease_until_ms: int) -> None:
        if self._host.clock.now_ms() >= self._lease_until_ms:
            return  # what expired stays expired
        self._lease_until_ms = lease_until_ms
        if self._held_on is None:
            return  # a start in progress reads the new moment itself
        try:
            self._refresh(self._held_on)
        except (OSError, TransientError) as error:
            self._note("AddressNotExtended", "Lifetime was not extended", error=str(error))

    async def watch(self, report: Report) -> None:
        is_watched, is_first = True, True

        def look(change: AddressChange) -> None:
            nonlocal is_watched, is_first
            if not is_watched:
                is_watched = True
                report(self._event(Change.WATCHED, "address events come again"))
            if is_first:  # what is here already is for `probe` to say
                is_first = False
            elif change.address in {None, self._ip}:
                self._look(report)

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
            holders = self._host.addresses.holders(self._ip)
        except (OSError, TransientError) as error:
            return Health(Verdict.UNKNOWN, f"the kernel does not list addresses: {error}")
        if not holders:
            return Health(Verdict.DOWN, f"{self._ip} is on no interface of this node")
        holder = holders[0]
        trouble = _link_trouble(holder)
        if trouble:
            return Health(Verdict.DOWN, f"{self._ip} is on {holder.name}, but {trouble}")
        return Health(Verdict.UP, f"{self._ip} is on {holder.name}")

    async def ready(self) -> list[str]:
        try:
            interface = self._choose_interface()
        except UserError as error:
            return [f"{error.problem} ({error.remedy})"]
        except (OSError, TransientError) as error:
            return [f"the kernel does not list interfaces: {error}"]
        trouble = _link_trouble(interface)
        return [f"{self._ip} would go to {interface.name}, but {trouble}"] if trouble else []

    async def concerns(self) -> list[Alert]:
        alert = self._filter_alert()
        return [] if alert is None else [alert]

    async def close(self) -> None:
        self._stop_announcing()

    def _new_attempt(self) -> int:
        self._attempt += 1
        return self._attempt

    def _choose_interface(self) -> Interface:
        wanted = self._config.interface
        if wanted is not None:
            everything = self._host.addresses.interfaces()
            named = [interface for interface in everything if interface.name == wanted]
            if not named:
                names = ", ".join(sorted(found.name for found in everything))
                raise UserError(
                    f"{self.name}: there is no interface {wanted} on this node; it has {names}",
                    remedy=f"correct spec.vip.interface of HAResource {self.name}",
                )
            return named[0]
        candidates = self._host.addresses.in_subnet(self._config.address)
        if not candidates:
            raise UserError(
                f"{self.name}: no interface of this node has another address whose subnet "
                f"contains {self._ip}",
                remedy=f"give this node an address in that subnet, or set spec.vip.interface of "
                f"HAResource {self.name}",
            )
        return min(candidates, key=lambda found: (bool(_link_trouble(found)), found.index))

    def _interface(self) -> Interface:
        """The interface to use, if it can carry traffic now."""
        interface = self._choose_interface()
        trouble = _link_trouble(interface)
        if trouble:
            raise TransientError(
                f"{self.name}: {self._ip} belongs on {interface.name}, but {trouble}",
                remedy=f"ip link set {interface.name} up, and look at the virtual network card",
            )
        return interface

    async def _refuse_if_taken(self, interface: Interface) -> None:
        try:
            mac = await self._host.neighbours.probe(self._ip, interface, self._config.probe_ms)
        except OSError as error:
            raise TransientError(
                f"{self.name}: {interface.name} does not take the question who has {self._ip}: "
                f"{error}",
                remedy=f"ip link show {interface.name}",
            ) from error
        if mac is not None:
            raise TransientError(
                f"{self.name}: {self._ip} is in use on {interface.name} by the machine with MAC "
                f"{readable(mac)}, and two machines must not answer for one address",
                remedy=f"find that machine and take {self._ip} from it, or choose another address "
                f"for HAResource {self.name}",
            )

    def _hold(self, interface: Interface) -> None:
        """Let traffic pass, take the address, announce it: no `await` between."""
        self._kernel_until_ms = 0
        self._held_on = interface
        try:
            self._refresh(interface)
            self._host.neighbours.announce(self._ip, interface)
        except OSError as error:
            self._held_on = None
            raise TransientError(
                f"{self.name}: {interface.name} does not take {self._config.address}: {error}",
                remedy=f"ip address show {interface.name}; for IPv6 see "
                f"/proc/sys/net/ipv6/conf/{interface.name}/disable_ipv6",
            ) from error

    def _refresh(self, interface: Interface) -> None:
        """Bring both layers of the kernel to the lease; the address only when its time is short.

        Each change of the address wakes every listener of the machine, so one that lives long
        enough already is left alone.
        """
        now_ms = self._host.clock.now_ms()
        self._host.lease_filter.allow(self._ip, self._lease_until_ms - now_ms)
        if self._kernel_until_ms < self._lease_until_ms:
            lifetime_s = (self._lease_until_ms - now_ms) // 1000 + 1
            self._host.addresses.put(self._config.address, interface, lifetime_s)
            self._kernel_until_ms = now_ms + lifetime_s * 1000
        self._tell_filter()

    def _let_go(self) -> None:
        """Cut the traffic, then take the address away, then forget it: no `await` between."""
        self._new_attempt()
        self._held_on = None
        self._lease_until_ms = 0
        self._stop_announcing()
        self._host.lease_filter.cut(self._ip)
        self._host.addresses.remove(self._ip)
        self._host.lease_filter.forget(self._ip)

    def _stop_announcing(self) -> None:
        if self._announcer is not None:
            self._announcer.cancel()
            self._announcer = None

    async def _announce(self, interface: Interface) -> None:
        begin_ms = self._host.clock.now_ms()
        for at_ms in self._announcement_times():
            await asyncio.sleep(max(0, begin_ms + at_ms - self._host.clock.now_ms()) / 1000)
            if self._host.clock.now_ms() >= self._lease_until_ms:
                return
            try:
                self._host.neighbours.announce(self._ip, interface)
            except OSError as error:
                self._note("NotAnnounced", "Address could not be announced", error=str(error))

    def _announcement_times(self) -> Iterator[int]:
        yield from ANNOUNCED_AT_MS[1:]  # the first went out with the start
        at_ms = ANNOUNCED_AT_MS[-1]
        while True:
            at_ms += self._config.announce_every_ms
            yield at_ms

    def _look(self, report: Report) -> None:
        """Compare what is there with what should be; the event itself may be an old one."""
        try:
            is_here = bool(self._host.addresses.holders(self._ip))
        except (OSError, TransientError):
            return  # `check` will say UNKNOWN
        if self._held_on is not None and not is_here:
            where, self._held_on = self._held_on.name, None
            self._stop_announcing()
            ended = self._host.clock.now_ms() >= self._lease_until_ms
            why = "its lease ended" if ended else "somebody removed it"
            report(self._event(Change.DIED, f"{self._ip} is gone from {where}: {why}"))
        elif self._held_on is None and is_here:
            report(self._event(Change.APPEARED, f"{self._ip} is here, and we did not take it"))

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


def _link_trouble(interface: Interface) -> str:
    """Why this interface carries nothing, for the end of a sentence; empty when it does."""
    if not interface.is_up:
        return "that interface is down"
    return "" if interface.has_carrier or interface.is_loopback else "it has no carrier"
