"""Changes of addresses as the kernel tells them (rtnetlink), in the event loop.

A change made by anybody is here within a millisecond: an address that an administrator removed,
that a network daemon flushed, or whose lifetime has passed.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from standfast.adapters.linux.addresses import RTM_DELADDR, RTM_NEWADDR, parse_address
from standfast.adapters.linux.netlink import NETLINK_ROUTE, messages
from standfast.ports.network import AddressChange

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_UNKNOWN = AddressChange(None, 0, is_present=False)


class KernelAddressEvents:
    """The `AddressEvents` port. Every call of `follow` has a socket of its own."""

    async def follow(self, report: Callable[[AddressChange], None]) -> None:
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE) as kernel:
            kernel.bind((0, _GROUPS))
            report(_UNKNOWN)
            while True:
                try:
                    datagram = await loop.sock_recv(kernel, 1 << 16)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    report(_UNKNOWN)  # the queue ran over
                    continue
                for change in _changes(datagram):
                    report(change)


def _changes(datagram: bytes) -> list[AddressChange]:
    found = []
    for kind, _, body in messages(datagram):
        if kind not in {RTM_NEWADDR, RTM_DELADDR}:
            continue
        held = parse_address(body)
        if held is not None:
            is_present = kind == RTM_NEWADDR
            found.append(AddressChange(held.address.ip, held.interface_index, is_present))
    return found
