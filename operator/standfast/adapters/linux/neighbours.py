"""Talk to the machines on the same wire: announce an address, ask who has it.

Frames go out by packet sockets, past routing and past the packet filter: whoever announces makes
sure first that the lease runs.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct

from standfast.adapters.linux import frames
from standfast.ports.network import Address, AddressTable, Interface

_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_MULTICAST = 263, 1, 0
_ALL_NODES_MAC = b"\x33\x33\x00\x00\x00\x01"
_LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x15, 0x06
_ADVERTISEMENTS_ONLY = (
    (_LOAD_BYTE, 0, 0, frames.ETHERNET_BYTES + 6),
    (_JUMP_IF_EQUAL, 0, 3, frames.NEXT_HEADER_ICMPV6),
    (_LOAD_BYTE, 0, 0, frames.ETHERNET_BYTES + frames.IPV6_BYTES),
    (_JUMP_IF_EQUAL, 0, 1, frames.NEIGHBOUR_ADVERTISEMENT),
    (_RETURN, 0, 0, 0x40000),
    (_RETURN, 0, 0, 0),
)
_QUESTIONS = 2


class WireNeighbours:
    """The `Neighbours` port by packet sockets.

    Args:
        addresses: To know which MACs are this machine's own.
    """

    def __init__(self, addresses: AddressTable) -> None:
        self._addresses = addresses

    def announce(self, address: Address, interface: Interface) -> None:
        if len(interface.mac) != 6:  # no Ethernet (tun, WireGuard): nobody keeps a table
            return
        with _packet_socket(interface, 0) as wire:
            for frame in frames.announcements(address, interface.mac):
                wire.send(frame)

    async def probe(self, address: Address, interface: Interface, window_ms: int) -> bytes | None:
        if len(interface.mac) != 6 or window_ms <= 0:
            return None
        own = {found.mac for found in self._addresses.interfaces()}
        ethertype = frames.ETHERTYPE_ARP if address.version == 4 else frames.ETHERTYPE_IPV6
        with _packet_socket(interface, ethertype) as wire:
            if address.version == 6:
                _listen_for_advertisements(wire, interface)
            wire.setblocking(False)
            for _ in range(_QUESTIONS):
                wire.send(frames.question(address, interface.mac))
                try:
                    async with asyncio.timeout(window_ms / _QUESTIONS / 1000):
                        return await _stranger(wire, address, own)
                except TimeoutError:
                    continue
        return None


async def _stranger(wire: socket.socket, address: Address, own: set[bytes]) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        frame = await loop.sock_recv(wire, 2048)
        mac = frames.claimant(frame, address)
        if mac is not None and mac not in own and frame[6:12] not in own:
            return mac


def _packet_socket(interface: Interface, ethertype: int) -> socket.socket:
    """A raw socket on one interface; ethertype 0 receives nothing."""
    wire = socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ethertype)
    )
    try:
        wire.bind((interface.name, ethertype))
    except OSError:
        wire.close()
        raise
    return wire


def _listen_for_advertisements(wire: socket.socket, interface: Interface) -> None:
    """Hear neighbour advertisements to all nodes, and nothing of the other IPv6 traffic."""
    membership = struct.pack("=iHH8s", interface.index, _PACKET_MR_MULTICAST, 6, _ALL_NODES_MAC)
    wire.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
    program = b"".join(struct.pack("=HBBI", *step) for step in _ADVERTISEMENTS_ONLY)
    memory = ctypes.create_string_buffer(program)
    argument = struct.pack("@HP", len(_ADVERTISEMENTS_ONLY), ctypes.addressof(memory))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
    with contextlib.suppress(BlockingIOError):  # what arrived before the filter was in place
        while True:
            wire.recv(2048, socket.MSG_DONTWAIT)
