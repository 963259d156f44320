"""Addresses and interfaces of this machine, by rtnetlink; addresses are added with a lifetime.

The kernel removes an address whose lifetime has passed, whatever the agent does: that is the
outermost layer of the stop (`docs/protocol.md`, section 7). Lifetimes are whole seconds and end
0.0 to 0.6 s late, never early; the packet filter (`lease_filter`) cuts at the millisecond before.
Source: rtnetlink(7), include/uapi/linux/if_addr.h and if_link.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address

from standfast.adapters.linux.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    is_missing,
)
from standfast.adapters.linux.worker import Worker
from standfast.ports.network import Address, AddressWithPrefix, Interface

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_IFA_F_NODAD = 0x02
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_CARRIER = 1, 3, 33
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_IFADDRMSG = struct.Struct("=BBBBI")
_IFINFOMSG = struct.Struct("=BxHiII")


@dataclass(frozen=True, slots=True)
class Held:
    """One address on one interface, as the kernel tells it."""

    address: AddressWithPrefix
    interface_index: int


def parse_address(body: bytes) -> Held | None:
    """Read an RTM_NEWADDR or RTM_DELADDR message; None when it carries no address."""
    family, prefix, _, _, index = _IFADDRMSG.unpack_from(body)
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    found = dict(attributes(body[_IFADDRMSG.size :]))
    raw = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
    if raw is None:
        return None
    address = ip_address(raw)
    with_prefix: AddressWithPrefix = (
        IPv4Interface((address, prefix))
        if isinstance(address, IPv4Address)
        else IPv6Interface((address, prefix))
    )
    return Held(with_prefix, index)


def parse_link(body: bytes) -> Interface:
    """Read an RTM_NEWLINK message."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    found = dict(attributes(body[_IFINFOMSG.size :]))
    return Interface(
        index=index,
        name=found.get(_IFLA_IFNAME, b"?").rstrip(b"\0").decode(),
        mac=found.get(_IFLA_ADDRESS, b""),
        is_up=bool(flags & _IFF_UP),
        has_carrier=found.get(_IFLA_CARRIER, b"\0") == b"\1",
        is_loopback=bool(flags & _IFF_LOOPBACK),
    )


class AddressSocket:
    """Addresses of this network namespace, synchronously; for one thread."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_ROUTE)

    def interfaces(self) -> list[Interface]:
        return [parse_link(body) for body in self._netlink.dump(RTM_GETLINK, _link_request())]

    def held(self) -> list[Held]:
        """Every address of every interface."""
        bodies = self._netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0))
        return [found for found in map(parse_address, bodies) if found is not None]

    def holders(self, address: Address) -> list[Interface]:
        indexes = {found.interface_index for found in self._with(address)}
        return [interface for interface in self.interfaces() if interface.index in indexes]

    def in_subnet(self, address: AddressWithPrefix) -> list[Interface]:
        indexes = {
            found.interface_index
            for found in self.held()
            if found.address.version == address.version
            and found.address.ip != address.ip
            and address.ip in found.address.network
            and found.address.network.prefixlen > 0
        }
        return [interface for interface in self.interfaces() if interface.index in indexes]

    def put(self, address: AddressWithPrefix, interface: Interface, lifetime_s: int) -> None:
        flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
        body = _address_body(address, interface.index, lifetime_s)
        self._netlink.request([Message(RTM_NEWADDR, flags, body)])

    def remove(self, address: Address) -> None:
        for found in self._with(address):
            body = _address_body(found.address, found.interface_index, None)
            try:
                self._netlink.request([Message(RTM_DELADDR, NLM_F_ACK, body)])
            except NetlinkError as error:
                if not is_missing(error):
                    raise
        if self._with(address):
            raise OSError(errno.EBUSY, f"{address} is still there after it was removed")

    def close(self) -> None:
        self._netlink.close()

    def _with(self, address: Address) -> list[Held]:
        return [found for found in self.held() if found.address.ip == address]


def _link_request() -> bytes:
    return _IFINFOMSG.pack(0, 0, 0, 0, 0)


def _address_body(address: AddressWithPrefix, index: int, lifetime_s: int | None) -> bytes:
    """Body of a message about one address.

    An IPv6 address is added without the kernel's own duplicate detection, which would hold it back
    for a second: `neighbours.probe` has asked before. It is marked deprecated from the start, so
    that the machine does not choose it as the source of its own connections, which would break
    with the next switchover; answers to clients are not affected.
    """
    is_v4 = address.version == 4
    family = socket.AF_INET if is_v4 else socket.AF_INET6
    body = _IFADDRMSG.pack(family, address.network.prefixlen, 0, 0, index)
    packed = address.ip.packed
    if is_v4:
        body += attribute(_IFA_ADDRESS, packed)
    body += attribute(_IFA_LOCAL, packed)
    if lifetime_s is None:
        return body
    preferred_s = lifetime_s if is_v4 else 0
    body += attribute(_IFA_CACHEINFO, struct.pack("=IIII", preferred_s, lifetime_s, 0, 0))
    if not is_v4:
        body += attribute(_IFA_FLAGS, struct.pack("=I", _IFA_F_NODAD))
    return body


class KernelAddresses:
    """The `AddressTable` port: an `AddressSocket` in a thread of its own."""

    def __init__(self) -> None:
        self._socket = AddressSocket()
        self._worker = Worker("rtnetlink")

    async def interfaces(self) -> list[Interface]:
        return await self._worker.do(self._socket.interfaces)

    async def holders(self, address: Address) -> list[Interface]:
        return await self._worker.do(self._socket.holders, address)

    async def in_subnet(self, address: AddressWithPrefix) -> list[Interface]:
        return await self._worker.do(self._socket.in_subnet, address)

    async def put(self, address: AddressWithPrefix, interface: Interface, lifetime_s: int) -> None:
        await self._worker.do(self._socket.put, address, interface, lifetime_s)

    async def remove(self, address: Address) -> None:
        await self._worker.do(self._socket.remove, address)

    def close(self) -> None:
        self._worker.post(self._socket.close)
        self._worker.close()
