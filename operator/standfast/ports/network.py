"""What a VIP needs of the network: expiring addresses, a lease in the filter, neighbours.

Used by the VIP driver only. Three ports because three layers enforce or announce independently:
the address itself, the filter that cuts it at the millisecond, and the word to the neighbours.
What asks the kernel is a coroutine even if it takes microseconds: the kernel may keep its caller
waiting, and the event loop must not wait with it. Calls to one port take effect in the order in
which they were made.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
