"""nf_tables messages: tables, sets, chains, rules and set elements, as bytes.

Just what `lease_filter` needs, and pure. Written out here rather than taken from libnftables: the
library reads the rule set of the whole machine before each change, is not on every host, and its
grammar cannot compare the target of a neighbour advertisement with a set (nft 1.0.6).
Numbers are big-endian. Source: include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
"""

import socket
import struct
from collections.abc import Sequence
from enum import IntEnum

from standfast.adapters.linux.netlink import (
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    attribute,
    nested,
    text,
)

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN = 0, 2, 3
_NEWRULE, _DELRULE, _NEWSET = 6, 8, 9
_NEWSETELEM, _DELSETELEM = 12, 14
_SET_HAS_TIMEOUTS = 0x10
_REGISTER, _VERDICT_REGISTER = 1, 0
_NOT_IN = 1


class TableFamily(IntEnum):
    """What a table sees."""

    INET = 1
    ARP = 3


class KeyType(IntEnum):
    """Data types by the numbers that `nft list` knows them under."""

    IPV4 = 7
    IPV6 = 8


class Base(IntEnum):
    """Where an offset into a packet counts from."""

    NETWORK = 1
    TRANSPORT = 2


def _be32(value: int) -> bytes:
    return struct.pack(">I", value & 0xFFFFFFFF)


def _message(kind: int, flags: int, family: TableFamily, body: bytes) -> Message:
    header = struct.pack(">BBH", family, 0, 0)
    return Message(_SUBSYSTEM << 8 | kind, NLM_F_ACK | flags, header + body)


def batch(inner: Sequence[Message]) -> list[Message]:
    """Messages as one transaction: all of them take effect at one instant, or none."""
    bracket = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    return [Message(_BATCH_BEGIN, 0, bracket), *inner, Message(_BATCH_END, 0, bracket)]


def add_table(family: TableFamily, table: str) -> Message:
    return _message(_NEWTABLE, NLM_F_CREATE, family, text(1, table))


def delete_table(family: TableFamily, table: str) -> Message:
    return _message(_DELTABLE, 0, family, text(1, table))


def add_set(
    family: TableFamily, table: str, name: str, key: KeyType, set_id: int, *, has_timeouts: bool
) -> Message:
    """A named set of addresses; `set_id` is unique within the batch."""
    length = 4 if key is KeyType.IPV4 else 16
    body = text(1, table) + text(2, name)
    if has_timeouts:
        body += attribute(3, _be32(_SET_HAS_TIMEOUTS))
    body += attribute(4, _be32(key)) + attribute(5, _be32(length)) + attribute(10, _be32(set_id))
    return _message(_NEWSET, NLM_F_CREATE, family, body)


def add_chain(family: TableFamily, table: str, name: str, hook: int, priority: int) -> Message:
    """A base chain of type filter whose policy is to accept."""
    where = nested(4, attribute(1, _be32(hook)), attribute(2, _be32(priority)))
    body = text(1, table) + text(3, name) + where + attribute(5, _be32(1)) + text(7, "filter")
    return _message(_NEWCHAIN, NLM_F_CREATE, family, body)


def delete_rules(family: TableFamily, table: str, chain: str) -> Message:
    return _message(_DELRULE, 0, family, text(1, table) + text(2, chain))


def add_rule(family: TableFamily, table: str, chain: str, expressions: Sequence[bytes]) -> Message:
    body = text(1, table) + text(2, chain) + nested(4, *expressions)
    return _message(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family, body)


def add_element(
    family: TableFamily, table: str, name: str, key: bytes, timeout_ms: int | None = None
) -> Message:
    """Put `key` in the set; with a timeout it leaves by itself.

    Adding what is there changes nothing, its timeout included: delete it first.
    """
    limit = b"" if timeout_ms is None else attribute(4, struct.pack(">Q", timeout_ms))
    element = _element(table, name, nested(1, attribute(1, key)) + limit)
    return _message(_NEWSETELEM, NLM_F_CREATE, family, element)


def delete_element(family: TableFamily, table: str, name: str, key: bytes) -> Message:
    """Take `key` out of the set; refused with ENOENT when it is not there."""
    return _message(_DELSETELEM, 0, family, _element(table, name, nested(1, attribute(1, key))))


def _element(table: str, name: str, content: bytes) -> bytes:
    return text(1, table) + text(2, name) + nested(3, nested(1, content))


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *data))


def load_payload(base: Base, offset: int, length: int) -> bytes:
    """Read bytes of the packet into the register; packets without them do not match."""
    return _expression(
        "payload",
        attribute(1, _be32(_REGISTER)),
        attribute(2, _be32(base)),
        attribute(3, _be32(offset)),
        attribute(4, _be32(length)),
    )


def load_network_protocol() -> bytes:
    return _expression("meta", attribute(1, _be32(_REGISTER)), attribute(2, _be32(15)))


def load_transport_protocol() -> bytes:
    return _expression("meta", attribute(1, _be32(_REGISTER)), attribute(2, _be32(16)))


def must_equal(value: bytes) -> bytes:
    """Go on only if the register holds exactly `value`."""
    data = nested(3, attribute(1, value))
    return _expression("cmp", attribute(1, _be32(_REGISTER)), attribute(2, _be32(0)), data)


def must_be_in(name: str) -> bytes:
    return _expression("lookup", text(1, name), attribute(2, _be32(_REGISTER)))


def must_not_be_in(name: str) -> bytes:
    inverted = attribute(5, _be32(_NOT_IN))
    return _expression("lookup", text(1, name), attribute(2, _be32(_REGISTER)), inverted)


def count() -> bytes:
    """Count the packets that came this far (`nft list table inet standfast`)."""
    zero = struct.pack(">Q", 0)
    return _expression("counter", attribute(1, zero), attribute(2, zero))


def drop() -> bytes:
    verdict = nested(2, nested(2, attribute(1, _be32(0))))
    return _expression("immediate", attribute(1, _be32(_VERDICT_REGISTER)), verdict)


IPV4_PROTOCOL = bytes([socket.AF_INET])
IPV6_PROTOCOL = bytes([socket.AF_INET6])
