"""Machines on one wire, in memory: addresses that expire, a filter that cuts, neighbours.

A `FakeWire` knows who claims what; each `FakeMachine` on it has the network ports of one machine.
Expiry follows the clock, with the kernel's lateness left out.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from standfast.adapters.fakes.clock import FakeClock
from standfast.ports.clock import Clock
from standfast.ports.network import Address, AddressChange, AddressWithPrefix, Interface, Port


@dataclass(slots=True)
class FakeWire:
    """One wire.

    Args:
        strangers: Addresses of foreign machines, and their MACs.
        machines: Ours, in the order they were made.
        heard: Announcements as (address, MAC), in order.
    """

    strangers: dict[Address, bytes] = field(default_factory=dict)
    machines: list["FakeMachine"] = field(default_factory=list)
    heard: list[tuple[Address, bytes]] = field(default_factory=list)

    def owners(self, address: Address) -> list[bytes]:
        """The MACs that would answer for `address` now."""
        own = [machine.interface.mac for machine in self.machines if machine.answers(address)]
        stranger = self.strangers.get(address)
        return own if stranger is None else [*own, stranger]


class FakeMachine:
    """The ports `AddressTable`, `AddressEvents`, `LeaseFilter` and `Neighbours` of one machine.

    Levers: `add_by_hand` and `remove_by_hand` are an administrator at work; `refusal` is raised by
    the kernel at the next changes; `filter_trouble` is a kernel without packet filter;
    `lose_events` ends the event source.
    """

    def __init__(self, clock: FakeClock, wire: FakeWire, own: AddressWithPrefix) -> None:
        number = len(wire.machines) + 1
        self._clock = clock
        self._wire = wire
        self._followers: list[Callable[[AddressChange], None]] = []
        self._event_source: asyncio.Future[None] | None = None
        self._until_ms: dict[AddressWithPrefix, int | None] = {own: None}
        self._allowed_until_ms: dict[Address, int] = {}
        self.interface = Interface(2, "eth0", bytes([2, 0, 0, 0, 0, number]), True, True, False)
        self.refusal: OSError | None = None
        self.filter_trouble = ""
        self.puts: list[int] = []
        wire.machines.append(self)
        clock.on_advance(self._expire)

    def answers(self, address: Address) -> bool:
        """Whether a packet for `address` would be answered by this machine now."""
        if not self.has(address):
            return False
        if self.filter_trouble or address not in self._allowed_until_ms:
            return True
        return self._clock.now_ms() < self._allowed_until_ms[address]

    def has(self, address: Address) -> bool:
        return any(held.ip == address for held in self._until_ms)

    async def interfaces(self) -> list[Interface]:
        return [self.interface]

    async def holders(self, address: Address) -> list[Interface]:
        return [self.interface] if self.has(address) else []

    async def in_subnet(self, address: AddressWithPrefix) -> list[Interface]:
        found = any(
            held.version == address.version
            and held.ip != address.ip
            and address.ip in held.network
            for held in self._until_ms
        )
        return [self.interface] if found else []

    async def put(self, address: AddressWithPrefix, interface: Interface, lifetime_s: int) -> None:
        del interface
        if self.refusal is not None:
            raise self.refusal
        is_new = address not in self._until_ms
        self._until_ms[address] = self._clock.now_ms() + lifetime_s * 1000
        self.puts.append(lifetime_s)
        if is_new:
            self._tell(address.ip, is_present=True)

    async def remove(self, address: Address) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._drop([held for held in self._until_ms if held.ip == address])

    async def follow(self, report: Callable[[AddressChange], None]) -> None:
        source = self._event_source = asyncio.get_running_loop().create_future()
        self._followers.append(report)
        try:
            report(AddressChange(None, 0, is_present=False))
            await source
        finally:
            self._followers.remove(report)

    @property
    def trouble(self) -> str:
        return self.filter_trouble

    async def allow(self, address: Address, until_ms: int) -> None:
        self._allowed_until_ms[address] = until_ms

    async def cut(self, address: Address) -> None:
        self._allowed_until_ms[address] = 0

    async def forget(self, address: Address) -> None:
        self._allowed_until_ms.pop(address, None)

    def announce(self, address: Address, interface: Interface) -> None:
        self._wire.heard.append((address, interface.mac))

    async def probe(self, address: Address, interface: Interface, window_ms: int) -> bytes | None:
        await asyncio.sleep(0)
        if window_ms <= 0:
            return None
        others = [mac for mac in self._wire.owners(address) if mac != interface.mac]
        return others[0] if others else None

    def add_by_hand(self, address: IPv4Interface | IPv6Interface) -> None:
        self._until_ms[address] = None
        self._tell(address.ip, is_present=True)

    def remove_by_hand(self, address: Address) -> None:
        self._drop([held for held in self._until_ms if held.ip == address])

    def lose_events(self) -> None:
        if self._event_source is not None and not self._event_source.done():
            self._event_source.set_exception(OSError(105, "No buffer space available"))

    def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        self._drop(
            [
                held
                for held, until in self._until_ms.items()
                if until is not None and until <= now_ms
            ]
        )

    def _drop(self, gone: list[AddressWithPrefix]) -> None:
        for held in gone:
            del self._until_ms[held]
            self._tell(held.ip, is_present=False)

    def _tell(self, address: Address, *, is_present: bool) -> None:
        for report in list(self._followers):
            report(AddressChange(address, self.interface.index, is_present=is_present))


class FakePorts:
    """The `PortFilter` of one machine.

    Levers: `trouble` is a kernel without packet filter; `given_away` are ephemeral ports; with
    `holds_cut` a cut waits for `go_on`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: frozenset[Port] = frozenset()
        self.until_ms = 0
        self.trouble = ""
        self.given_away: frozenset[Port] = frozenset()
        self.holds_cut = False
        self._go_on = asyncio.Event()

    def reaches(self, port: Port) -> bool:
        """Whether another machine would reach this port now."""
        return port not in self.kept or self._clock.now_ms() < self.until_ms

    def keep(self, ports: Iterable[Port]) -> None:
        self.kept = frozenset(ports)

    def allow(self, until_ms: int) -> None:
        self.until_ms = until_ms

    async def cut(self) -> None:
        self.until_ms = 0
        if self.holds_cut:
            await self._go_on.wait()

    def go_on(self) -> None:
        """Let a cut that was held be done."""
        self._go_on.set()

    def ephemeral(self, ports: Iterable[Port]) -> frozenset[Port]:
        return self.given_away.intersection(ports)

    def close(self) -> None:
        """Nothing is open."""
