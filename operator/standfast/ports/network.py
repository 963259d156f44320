"""What leases need of the network: expiring addresses, filters that end with them, neighbours.

The VIP driver uses all but `PortFilter`: three ports because three layers enforce or announce
independently: the address itself, the filter that cuts it at the millisecond, and the word to the
neighbours. `PortFilter` is the node's own, for ports that are reached without a VIP.
What asks the kernel is a coroutine even if it takes microseconds: the kernel may keep its caller
waiting, and the event loop must not wait with it. Calls to one port take effect in the order in
which they were made.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Protocol

Address = IPv4Address | IPv6Address
AddressWithPrefix = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface of this machine, at the moment of asking."""

    index: int
    name: str
    mac: bytes
    is_up: bool
    has_carrier: bool
    is_loopback: bool


class AddressTable(Protocol):
    """The addresses of this machine. Raises OSError when the kernel refuses."""

    async def interfaces(self) -> list[Interface]:
        """All interfaces, now."""
        ...

    async def holders(self, address: Address) -> list[Interface]:
        """The interfaces that have `address` now; empty when it is not here."""
        ...

    async def in_subnet(self, address: AddressWithPrefix) -> list[Interface]:
        """The interfaces with *another* address whose subnet contains `address`."""
        ...

    async def put(self, address: AddressWithPrefix, interface: Interface, lifetime_s: int) -> None:
        """Add the address, or set its lifetime anew.

        The kernel removes it by itself after `lifetime_s`, at the earliest then and up to 0.6 s
        later. It is usable on return, without duplicate address detection.
        """
        ...

    async def remove(self, address: Address) -> None:
        """Remove it from every interface, with whatever prefix; true on return: it is not here.

        Fine when it was not. Raises OSError when it is still there.
        """
        ...


@dataclass(frozen=True, slots=True)
class AddressChange:
    """An address came to or went from an interface, or (address None) events may be missing."""

    address: Address | None
    interface_index: int
    is_present: bool


class AddressEvents(Protocol):
    """Tells of changes of addresses as they happen, whoever makes them."""

    async def follow(self, report: Callable[[AddressChange], None]) -> None:
        """Report every change until cancelled; never returns.

        The first report, with address None, says that from here on nothing is missed.

        Raises:
            OSError: Events cannot be had (any more).
        """
        ...


class LeaseFilter(Protocol):
    """Lets traffic of an address pass only while its lease runs, enforced by the kernel.

    Outside its lease nothing arrives for the address, nothing leaves from it, and neither ARP nor
    neighbour discovery answers for it. Established connections are cut like all others.
    """

    @property
    def trouble(self) -> str:
        """Why the kernel does not enforce it, as a sentence; empty while it does."""
        ...

    async def allow(self, address: Address, until_ms: int) -> None:
        """Let it pass until that moment, then cut at the millisecond. Never raises.

        True on return, unless there is `trouble`. A moment that has passed is a cut.
        """
        ...

    async def cut(self, address: Address) -> None:
        """Let nothing of it pass from now on. Never raises."""
        ...

    async def forget(self, address: Address) -> None:
        """The address is gone from this machine: drop what we know of it. Never raises."""
        ...


class Transport(StrEnum):
    """What carries a port."""

    TCP = "TCP"
    UDP = "UDP"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of this machine, on all of its addresses."""

    number: int
    transport: Transport

    @property
    def name(self) -> str:
        """As `443/tcp`."""
        return f"{self.number}/{self.transport.lower()}"


class PortFilter(Protocol):
    """Lets others reach ports of this machine only while its lease runs, enforced by the kernel.

    Outside the lease what arrives for them is refused, and no answer leaves from them; established
    connections are cut like all others. The machine itself reaches them always. One lease for all.
    Calls take effect in the order in which they were made.
    """

    @property
    def trouble(self) -> str:
        """Why the kernel does not enforce it, as a sentence; empty while it does."""
        ...

    def keep(self, ports: Iterable[Port]) -> None:
        """These are under the lease from now on, and no others. Returns at once, never raises.

        A lease that runs in the kernel, from an earlier run of this program, goes on. Safe to call
        again at any time: it repairs what others have removed.
        """
        ...

    def allow(self, until_ms: int) -> None:
        """Let them be reached until that moment, then cut at the millisecond.

        Returns at once, never raises. A moment that has passed is a cut.
        """
        ...

    async def cut(self) -> None:
        """Let none of them be reached any more; true on return, unless there is `trouble`.

        Never raises.
        """
        ...

    def ephemeral(self, ports: Iterable[Port]) -> frozenset[Port]:
        """Those that the machine may give to connections that it opens itself; never raises."""
        ...

    def close(self) -> None:
        """Let go of the kernel; what it enforces goes on."""
        ...


class Neighbours(Protocol):
    """The machines on the same wire."""

    def announce(self, address: Address, interface: Interface) -> None:
        """Tell all of them that `address` is at this interface now: one frame of each kind.

        Does not block.

        Raises:
            OSError: The interface does not take it.
        """
        ...

    async def probe(self, address: Address, interface: Interface, window_ms: int) -> bytes | None:
        """Ask for up to `window_ms` whether a machine other than this one has `address`.

        Returns:
            Its MAC as soon as it answers; None when nobody did. This machine's own interfaces
            never count, and nobody's tables are changed by the question.

        Raises:
            OSError: The interface does not take it.
        """
        ...
