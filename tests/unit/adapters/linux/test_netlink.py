"""Netlink messages as bytes."""

import errno

import pytest

from standfast.adapters.linux.addresses import parse_address
from standfast.adapters.linux.netlink import (
    NetlinkError,
    attribute,
    attributes,
    is_missing,
    messages,
    nested,
    text,
)


def test_attributes_are_padded_and_read_back() -> None:
    data = attribute(1, b"abc") + attribute(2, b"") + text(3, "name")
    assert len(data) % 4 == 0
    assert list(attributes(data)) == [(1, b"abc"), (2, b""), (3, b"name\0")]


def test_nested_attributes_are_marked_and_unmarked() -> None:
    ((kind, inner),) = attributes(nested(5, attribute(1, b"a"), attribute(2, b"b")))
    assert kind == 5
    assert list(attributes(inner)) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("data", [b"\x03\x00\x01\x00", b"\xff\x00\x01\x00", b"\x00"])
def test_malformed_attributes_end_the_reading(data: bytes) -> None:
    assert list(attributes(attribute(1, b"abcd") + data)) == [(1, b"abcd")]


@pytest.mark.parametrize("data", [b"", bytes(15), bytes(16), b"\xff" * 20])
def test_malformed_messages_are_none(data: bytes) -> None:
    assert list(messages(data)) == []


def test_an_address_message_of_another_family_is_no_address() -> None:
    assert parse_address(bytes([7, 24, 0, 0, 1, 0, 0, 0])) is None
    assert parse_address(bytes([2, 24, 0, 0, 1, 0, 0, 0])) is None


def test_what_is_gone_is_told_from_what_is_refused() -> None:
    assert is_missing(NetlinkError(errno.EADDRNOTAVAIL, ""))
    assert not is_missing(NetlinkError(errno.EPERM, ""))
