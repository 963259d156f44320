"""Ethernet frames of ARP and IPv6 neighbour discovery, built and read; pure.

Announcements tell every machine on the wire where an address is; questions ask who has it without
changing anybody's tables. Source: RFC 826, RFC 5227 (IPv4 conflict detection), RFC 4861 sections
4.3 to 4.4 and 7.2.6, RFC 4862 section 5.4 (IPv6 duplicate detection).
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from standfast.ports.network import Address

ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0806, 0x86DD
NEXT_HEADER_ICMPV6 = 58
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
ETHERNET_BYTES, IPV6_BYTES = 14, 40
_BROADCAST = b"\xff" * 6
_NOBODY = bytes(6)
_REQUEST, _REPLY = 1, 2
_ARP = struct.Struct(">HHBBH6s4s6s4s")
_ALL_NODES = IPv6Address("ff02::1")
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_OVERRIDE = 0x20000000
_TARGET_LINK_ADDRESS = 2


def announcements(address: Address, mac: bytes) -> list[bytes]:
    """Frames that make every neighbour correct its entry for `address` to `mac`.

    For IPv4 a request and a reply, because some machines heed only the one and some the other.
    """
    if isinstance(address, IPv6Address):
        return [_advertisement(address, mac)]
    return [
        _arp(mac, _REQUEST, address, _NOBODY, address),
        _arp(mac, _REPLY, address, _BROADCAST, address),
    ]


def question(address: Address, mac: bytes) -> bytes:
    """A frame that its owner answers, and that nobody learns anything from."""
    if isinstance(address, IPv6Address):
        return _solicitation(address, mac)
    return _arp(mac, _REQUEST, IPv4Address(0), _NOBODY, address)


def claimant(frame: bytes, address: Address) -> bytes | None:
    """The MAC of the machine that claims `address` in this frame; None when it does not."""
    if isinstance(address, IPv6Address):
        return _advertiser(frame, address)
    if len(frame) < ETHERNET_BYTES + _ARP.size or _ethertype(frame) != ETHERTYPE_ARP:
        return None
    fields = _ARP.unpack_from(frame, ETHERNET_BYTES)
    sender_mac, sender_address = fields[5], fields[6]
    is_ethernet = fields[:4] == (1, 0x0800, 6, 4)
    return sender_mac if is_ethernet and sender_address == address.packed else None


def readable(mac: bytes) -> str:
    """A MAC as people write it."""
    return mac.hex(":")


def _ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def _arp(
    mac: bytes,
    operation: int,
    sender: IPv4Address,
    target_mac: bytes,
    target: IPv4Address,
) -> bytes:
    header = _BROADCAST + mac + ETHERTYPE_ARP.to_bytes(2, "big")
    return header + _ARP.pack(
        1, 0x0800, 6, 4, operation, mac, sender.packed, target_mac, target.packed
    )


def _advertisement(address: IPv6Address, mac: bytes) -> bytes:
    option = bytes([_TARGET_LINK_ADDRESS, 1]) + mac
    body = struct.pack(">I", _OVERRIDE) + address.packed + option
    return _icmpv6(mac, address, _ALL_NODES, NEIGHBOUR_ADVERTISEMENT, body)


def _solicitation(address: IPv6Address, mac: bytes) -> bytes:
    group = IPv6Address(_SOLICITED_NODE + address.packed[13:])
    body = bytes(4) + address.packed
    return _icmpv6(mac, IPv6Address(0), group, NEIGHBOUR_SOLICITATION, body)


def _icmpv6(mac: bytes, source: IPv6Address, group: IPv6Address, kind: int, body: bytes) -> bytes:
    length = 4 + len(body)
    pseudo = source.packed + group.packed + struct.pack(">II", length, NEXT_HEADER_ICMPV6)
    total = _checksum(pseudo + bytes([kind, 0, 0, 0]) + body)
    header = struct.pack(">IHBB", 6 << 28, length, NEXT_HEADER_ICMPV6, 255)
    to = b"\x33\x33" + group.packed[12:]
    ethernet = to + mac + ETHERTYPE_IPV6.to_bytes(2, "big")
    icmp = bytes([kind, 0]) + total.to_bytes(2, "big") + body
    return ethernet + header + source.packed + group.packed + icmp


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _advertiser(frame: bytes, address: IPv6Address) -> bytes | None:
    body = frame[ETHERNET_BYTES + IPV6_BYTES :]
    if len(body) < 24 or _ethertype(frame) != ETHERTYPE_IPV6:
        return None
    next_header, hop_limit = frame[ETHERNET_BYTES + 6], frame[ETHERNET_BYTES + 7]
    if next_header != NEXT_HEADER_ICMPV6 or hop_limit != 255:
        return None
    if body[0] != NEIGHBOUR_ADVERTISEMENT or body[8:24] != address.packed:
        return None
    if len(body) >= 32 and body[24] == _TARGET_LINK_ADDRESS and body[25] == 1:
        return body[26:32]
    return frame[6:12]
