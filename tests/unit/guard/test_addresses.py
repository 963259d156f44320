"""Addresses as the kernel writes them; the deed itself is tried on a real kernel elsewhere."""

import socket
import struct

import pytest

from standfast.guard.addresses import _address, packed


def attribute(kind: int, value: bytes) -> bytes:
    head = struct.pack("=HH", 4 + len(value), kind)
    return head + value + b"\0" * (-len(value) % 4)


MINE, OTHER = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")


def test_both_families_are_packed() -> None:
    assert packed("10.0.0.1") == MINE
    assert packed("fd00::1") == socket.inet_pton(socket.AF_INET6, "fd00::1")
    with pytest.raises(OSError, match="illegal IP address"):
        packed("10.0.0.1/24")


def test_the_own_end_of_a_link_counts() -> None:
    assert _address(attribute(1, OTHER) + attribute(2, MINE)) == MINE
    assert _address(attribute(3, b"eth0\0") + attribute(1, MINE)) == MINE
    assert _address(attribute(3, b"eth0\0")) == b""
    assert _address(b"\0\0\0\0") == b""
