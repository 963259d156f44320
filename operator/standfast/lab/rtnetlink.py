"""IPv4 and IPv6 addresses as the kernel reports them, from inside another network namespace.

Called by the hypervisor, which keeps one socket in the namespace of every VM. The socket belongs
to the namespace in which it was made and stays there, whoever reads it: a frozen or dead VM cannot
delay or forge what it says.

Source: rtnetlink(7); `struct nlmsghdr`, `ifaddrmsg` and `rtattr` of linux/rtnetlink.h.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from standfast.lab.inside import in_namespace

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTMGRP_ADDRESSES = 0x10 | 0x100  # IPv4, IPv6
NLM_F_REQUEST_DUMP = 0x301
IFA_ADDRESS, IFA_LOCAL = 1, 2
RECEIVE_BYTES = 1 << 20
HEADER = struct.Struct("=IHHII")
ADDRESS_MESSAGE = struct.Struct("=BBBBI")
ATTRIBUTE = struct.Struct("=HH")
ALIGNED = 4


@dataclass(frozen=True, slots=True)
class AddressEvent:
    """One address came or went.

    Args:
        address: Without its prefix length.
        present: Whether it is there now. A refreshed lifetime is reported as present again.
    """

    address: str
    present: bool


def open_in(namespace: Path) -> socket.socket:
    """A non-blocking socket that hears of every address change in a network namespace.

    It has asked for the addresses that are there already; they arrive as events.

    Raises:
        OSError: The namespace does not exist.
    """
    return in_namespace(namespace, _listen)


def read(sock: socket.socket) -> Iterator[AddressEvent]:
    """What the socket has heard since it was read last; nothing when there is nothing."""
    while True:
        try:
            data = sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        yield from parse(data)


def parse(data: bytes) -> Iterator[AddressEvent]:
    """The address events in what a rtnetlink socket delivered."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        if kind in {RTM_NEWADDR, RTM_DELADDR}:
            address = _address(data[offset + HEADER.size : offset + length])
            if address:
                yield AddressEvent(address, present=kind == RTM_NEWADDR)
        offset += -(-length // ALIGNED) * ALIGNED


def _address(message: bytes) -> str:
    """The local address of an `ifaddrmsg`; on a peer link `IFA_ADDRESS` is the other end's."""
    found: dict[int, bytes] = {}
    offset = ADDRESS_MESSAGE.size
    while offset + ATTRIBUTE.size <= len(message):
        length, kind = ATTRIBUTE.unpack_from(message, offset)
        if length < ATTRIBUTE.size:
            break
        found[kind] = message[offset + ATTRIBUTE.size : offset + length]
        offset += -(-length // ALIGNED) * ALIGNED
    packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    return str(ipaddress.ip_address(packed)) if packed else ""


def _listen() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    sock.bind((0, RTMGRP_ADDRESSES))
    body = ADDRESS_MESSAGE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    head = HEADER.pack(HEADER.size + len(body), RTM_GETADDR, NLM_F_REQUEST_DUMP, 1, 0)
    sock.send(head + body)
    sock.setblocking(False)
    return sock
