"""Who claims an IPv4 address on a network: asks by ARP, again and again, and hears every answer.

Called by the probe in the client namespace. A client talks to one holder only, the one that its
ARP table names; this hears all of them. It asks from an address and a link-layer address of its
own, so that the answers never reach the client's ARP table and the measurement changes nothing.

Source: RFC 826; packet(7).
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ETH_P_ARP = 0x0806
ARP_REQUEST = 1
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1
SOL_PACKET = 263
FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
BROADCAST = b"\xff" * 6
NOBODY = b"\0" * 6
LOCAL_BIT = 0x02


@dataclass(frozen=True, slots=True)
class Asker:
    """An ARP listener on one interface that asks for one address.

    Args:
        sock: The packet socket.
        frame: The question, ready to send.
        address: The address it asks for.
    """

    sock: socket.socket
    frame: bytes
    address: bytes

    @classmethod
    def on(cls, interface: str, address: str) -> "Asker":
        """An asker for `address`, which is in the network of `interface`.

        Raises:
            OSError: There is no such interface, or no right to listen on it.
        """
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        sock.bind((interface, ETH_P_ARP))
        membership = struct.pack(
            "=iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b""
        )
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        sock.setblocking(False)
        wanted = ipaddress.IPv4Address(address).packed
        own = sock.getsockname()[4]  # /sys shows the interfaces of whoever mounted it
        return cls(sock, question(own, wanted), wanted)

    def ask(self) -> None:
        """Sends the question once."""
        self.sock.send(self.frame)

    def heard(self) -> Iterator[str]:
        """The link-layer addresses that have claimed the address since the last call."""
        while True:
            try:
                frame = self.sock.recv(2048)
            except BlockingIOError:
                return
            if who := claimant(frame, self.address):
                yield who


def question(own: bytes, wanted: bytes) -> bytes:
    """The frame that asks who has an address, from nobody else's address.

    Args:
        own: Link-layer address of the interface; the question comes from a variation of it.
        wanted: The IPv4 address, packed. The question comes from the last but one of its /24.
    """
    asker = bytes([own[0] | LOCAL_BIT, *own[1:3], 0xA5, *own[4:]])
    sender = wanted[:3] + bytes([253])
    return FRAME.pack(
        BROADCAST, asker, ETH_P_ARP, 1, 0x0800, 6, 4, ARP_REQUEST, asker, sender, NOBODY, wanted
    )


def claimant(frame: bytes, wanted: bytes) -> str:
    """Who says in this frame that an address is his; empty when nobody does."""
    if len(frame) < FRAME.size:
        return ""
    fields = FRAME.unpack_from(frame)
    sender_mac, sender_ip = fields[8], fields[9]
    return sender_mac.hex(":") if sender_ip == wanted else ""
