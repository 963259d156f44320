"""Takes addresses away by rtnetlink: messages made with `struct`, one socket kept open.

The kernel works on a request inside the `send` call. Deleting an address that is not there is
fine. Source: rtnetlink(7), include/uapi/linux/{netlink,if_addr}.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from standfast.guard.protocol import AddressTarget

_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x001, 0x004, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 16
_TIMEOUT_S = 0.2
_GONE = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT, errno.ESRCH})


def packed(address: str) -> bytes:
    """An address as the kernel has it; raises OSError when it does not read."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address)


class Addresses:
    """The addresses of this machine."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT_S)
        self._number = 0
        self._buffer = bytearray(_RECEIVE_BYTES)

    def take(self, targets: Sequence[AddressTarget]) -> tuple[str, ...]:
        """Remove them from every interface.

        Returns:
            What the kernel refused, as sentences.
        """
        for target in targets:
            if target.interface:  # the quick way: no list needed
                self._delete(packed(target.address), target.prefix, target.interface)
        return tuple(
            f"the kernel does not remove {target.address} from interface {interface}: "
            f"{os.strerror(number)}"
            for target, prefix, interface in self.held(targets)
            if (number := self._delete(packed(target.address), prefix, interface))
        )

    def held(self, targets: Sequence[AddressTarget]) -> list[tuple[AddressTarget, int, int]]:
        """Which of them are here, each with its prefix length and interface."""
        if not targets:
            return []
        wanted = {packed(target.address): target for target in targets}
        found: list[tuple[AddressTarget, int, int]] = []
        number = self._send(_RTM_GETADDR, _NLM_F_DUMP, _IFADDRMSG.pack(0, 0, 0, 0, 0))
        while True:
            for kind, sequence, body in self._receive():
                if sequence != number:
                    continue
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    code = -_error(body)
                    raise OSError(code, os.strerror(code))
                if kind == _RTM_NEWADDR:
                    _, prefix, _, _, interface = _IFADDRMSG.unpack_from(body)
                    target = wanted.get(_address(body[_IFADDRMSG.size :]))
                    if target is not None:
                        found.append((target, prefix, interface))

    def close(self) -> None:
        self._socket.close()

    def _delete(self, address: bytes, prefix: int, interface: int) -> int:
        """Returns the kernel's error number; 0 when it is gone."""
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        body = _IFADDRMSG.pack(family, prefix, 0, 0, interface)
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _IFA_LOCAL) + address
        number = self._send(_RTM_DELADDR, _NLM_F_ACK, body)
        while True:
            for kind, sequence, answer in self._receive():
                if sequence == number and kind == _NLMSG_ERROR:
                    code = -_error(answer)
                    return 0 if code in _GONE else code

    def _send(self, kind: int, flags: int, body: bytes) -> int:
        self._number = (self._number + 1) & 0x7FFFFFFF
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, kind, flags | _NLM_F_REQUEST, self._number, 0)
        self._socket.send(header + body)
        return self._number

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        end = self._socket.recv_into(self._buffer)
        at = 0
        while at + _HEADER.size <= end:
            length, kind, _, sequence, _ = _HEADER.unpack_from(self._buffer, at)
            if length < _HEADER.size or at + length > end:
                return
            yield kind, sequence, bytes(self._buffer[at + _HEADER.size : at + length])
            at += (length + 3) & ~3


def _error(body: bytes) -> int:
    (number,) = struct.unpack_from("=i", body)
    return int(number)


def _address(attributes: bytes) -> bytes:
    """The machine's own end: IFA_LOCAL where there is one, else IFA_ADDRESS."""
    found = b""
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if length < _ATTRIBUTE.size:
            break
        value = attributes[at + _ATTRIBUTE.size : at + length]
        if kind == _IFA_LOCAL:
            return value
        if kind == _IFA_ADDRESS:
            found = value
        at += (length + 3) & ~3
    return found
