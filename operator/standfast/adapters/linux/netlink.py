"""Netlink, spoken directly: messages, attributes, requests that are answered before they return.

The kernel works on a request inside the `send` call, so a request with its answer takes some tens
of microseconds and needs no event loop. Callers: `addresses` (rtnetlink) and `nft` (nf_tables).
Source: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h.
"""

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from standfast.errors import TransientError

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK = 0x001, 0x004
NLM_F_REPLACE, NLM_F_DUMP = 0x100, 0x300
NLM_F_CREATE, NLM_F_APPEND = 0x400, 0x800
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_RECEIVE_BYTES = 1 << 18
_TIMEOUT_S = 2.0


class NetlinkError(OSError):
    """The kernel refused one message; `errno` says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type, its flags (REQUEST is added) and everything behind the header."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """An attribute with a string that ends in a zero byte."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data` as (kind, value), in order; stops at the first malformed one."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4 or length > len(data):
            return
        yield kind & _TYPE_MASK, data[4:length]
        data = data[length + (-length % 4) :]


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages in one datagram as (kind, sequence number, body)."""
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        if length < _HEADER.size or length > len(data):
            return
        yield kind, sequence, data[_HEADER.size : length]
        data = data[length + (-length % 4) :]


class NetlinkSocket:
    """One socket for requests. Not for use from several threads.

    Args:
        family: NETLINK_ROUTE or NETLINK_NETFILTER.
    """

    def __init__(self, family: int) -> None:
        self._numbers = itertools.count(1)
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family
        )
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT_S)

    def close(self) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """All objects the kernel lists for this request, as bodies.

        Raises:
            NetlinkError: The kernel refused the request.
        """
        number = self._send([Message(kind, NLM_F_DUMP, body)])[0]
        found: list[bytes] = []
        while True:
            for answer, sequence, payload in self._receive():
                if sequence != number:
                    continue
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    _raise_refusal(payload)
                else:
                    found.append(payload)

    def request(self, batch: Sequence[Message]) -> None:
        """Send messages in one datagram and wait until the kernel has acknowledged them.

        Messages without NLM_F_ACK (the brackets of a batch) are not waited for.

        Raises:
            NetlinkError: With the errno of the first message refused.
        """
        numbers = self._send(batch)
        waiting = {
            number
            for number, message in zip(numbers, batch, strict=True)
            if message.flags & NLM_F_ACK
        }
        while waiting:
            for answer, sequence, payload in self._receive():
                if answer == _NLMSG_ERROR and sequence in numbers:
                    _raise_refusal(payload)
                    waiting.discard(sequence)

    def _send(self, batch: Sequence[Message]) -> list[int]:
        numbers = [next(self._numbers) & 0xFFFFFFFF for _ in batch]
        datagram = b""
        for number, message in zip(numbers, batch, strict=True):
            length = _HEADER.size + len(message.body)
            flags = message.flags | NLM_F_REQUEST
            datagram += _HEADER.pack(length, message.kind, flags, number, 0)
            datagram += message.body + b"\0" * (-length % 4)
        self._socket.send(datagram)
        return numbers

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            return messages(self._socket.recv(_RECEIVE_BYTES))
        except TimeoutError as error:
            raise TransientError(
                f"the kernel did not answer a netlink request within {_TIMEOUT_S:.0f} s",
                remedy="look for hung kernel tasks (dmesg)",
            ) from error


def _raise_refusal(payload: bytes) -> None:
    """Raise unless the error message is an acknowledgement (number zero)."""
    (number,) = struct.unpack_from("=i", payload)
    if number:
        raise NetlinkError(-number, os.strerror(-number))


def is_missing(error: OSError) -> bool:
    """Whether the kernel said that the thing named is not there."""
    return error.errno in {errno.ENOENT, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ESRCH}
