"""nf_tables messages: tables, sets, chains, rules and set elements, as bytes.

Just what `lease_filter` and `port_filter` need, and pure. Written out here rather than taken from
libnftables: the library reads the rule set of the whole machine before each change, is not on
every host, and its grammar cannot compare the target of a neighbour advertisement with a set (nft
1.0.6).
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
_CHECKSUM_INET, _TCP_CHECKSUM_AT = 1, 16
_ADDRESS_TYPE = 3
_BY_RESET, _BY_ICMP, _NOBODY_LISTENS = 1, 2, 1


class TableFamily(IntEnum):
    """What a table sees."""

    INET = 1
    ARP = 3


class KeyType(IntEnum):
    """Data types by the numbers that `nft list` knows them under."""

    IPV4 = 7
    IPV6 = 8
    PORT = 13


_LENGTHS = {KeyType.IPV4: 4, KeyType.IPV6: 16, KeyType.PORT: 2}


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
    """A named set; `set_id` is unique within the batch."""
    length = _LENGTHS[key]
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


def empty_set(family: TableFamily, table: str, name: str) -> Message:
    """Take everything out of a set."""
    return _message(_DELSETELEM, 0, family, text(1, table) + text(2, name))


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


def store_payload(offset: int, length: int) -> bytes:
    """Write the register into the header of TCP, and bring its checksum up to date."""
    return _expression(
        "payload",
        attribute(5, _be32(_REGISTER)),
        attribute(2, _be32(Base.TRANSPORT)),
        attribute(3, _be32(offset)),
        attribute(4, _be32(length)),
        attribute(6, _be32(_CHECKSUM_INET)),
        attribute(7, _be32(_TCP_CHECKSUM_AT)),
    )


def _load_meta(key: int) -> bytes:
    return _expression("meta", attribute(1, _be32(_REGISTER)), attribute(2, _be32(key)))


def load_network_protocol() -> bytes:
    return _load_meta(15)


def load_transport_protocol() -> bytes:
    return _load_meta(16)


def load_kind_of_interface(*, leaving: bool) -> bytes:
    """What it came in by or goes out by: see `LOOPBACK`."""
    return _load_meta(9 if leaving else 8)


def load_kind_of_address(*, source: bool) -> bytes:
    """Whose the address of sender or receiver is, by the routing tables: see `LOCAL`."""
    flag = 1 if source else 2
    return _expression(
        "fib",
        attribute(1, _be32(_REGISTER)),
        attribute(2, _be32(_ADDRESS_TYPE)),
        attribute(3, _be32(flag)),
    )


def keep_bits(mask: bytes, turned: bytes | None = None) -> bytes:
    """Clear the bits of the register that are not in `mask`, then turn over those of `turned`."""
    turned = bytes(len(mask)) if turned is None else turned
    return _expression(
        "bitwise",
        attribute(1, _be32(_REGISTER)),
        attribute(2, _be32(_REGISTER)),
        attribute(3, _be32(len(mask))),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, turned)),
    )


def must_equal(value: bytes) -> bytes:
    """Go on only if the register holds exactly `value`."""
    return _compare(0, value)


def must_differ(value: bytes) -> bytes:
    """Go on only if the register holds anything else."""
    return _compare(1, value)


def _compare(how: int, value: bytes) -> bytes:
    data = nested(3, attribute(1, value))
    return _expression("cmp", attribute(1, _be32(_REGISTER)), attribute(2, _be32(how)), data)


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
    return _verdict(0)


def accept() -> bytes:
    """Nothing more is asked here; the chains of others still are."""
    return _verdict(1)


def _verdict(code: int) -> bytes:
    verdict = nested(2, nested(2, attribute(1, _be32(code))))
    return _expression("immediate", attribute(1, _be32(_VERDICT_REGISTER)), verdict)


def reset() -> bytes:
    """Drop a packet of TCP and tell its sender that the connection is over."""
    return _expression("reject", attribute(1, _be32(_BY_RESET)))


def refuse() -> bytes:
    """Drop a packet and tell its sender that nobody listens there (ICMP, port unreachable)."""
    code = attribute(2, bytes([_NOBODY_LISTENS]))
    return _expression("reject", attribute(1, _be32(_BY_ICMP)), code)


IPV4_PROTOCOL = bytes([socket.AF_INET])
IPV6_PROTOCOL = bytes([socket.AF_INET6])
TCP_PROTOCOL = bytes([socket.IPPROTO_TCP])
UDP_PROTOCOL = bytes([socket.IPPROTO_UDP])
LOOPBACK = struct.pack("=H", 772)
OF_OTHERS, LOCAL = struct.pack("=I", 1), struct.pack("=I", 2)
"""An address of another machine; one of this machine. Multicast and broadcast are neither."""
