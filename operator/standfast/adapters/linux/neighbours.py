"""Talk to the machines on the same wire: announce an address, ask who has it.

Frames go out by packet sockets, past routing and past the packet filter: whoever announces makes
sure first that the lease runs.

Closing a packet socket waits in the kernel until every processor has forgotten it, some 20 ms in
which the event loop would stand still. So the socket for sending lives as long as the process, and
those of questions are closed in a thread.
"""

import asyncio
import ctypes
import socket
import struct

from standfast.adapters.linux import frames
from standfast.ports.network import Address, AddressTable, Interface

_SO_ATTACH_FILTER = 26
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
        self._sender = _packet_socket()
        self._sender.setblocking(False)

    def announce(self, address: Address, interface: Interface) -> None:
        if len(interface.mac) != 6:  # no Ethernet (tun, WireGuard): nobody keeps a table
            return
        ethertype = _ethertype(address)
        for frame in frames.announcements(address, interface.mac):
            self._sender.sendto(frame, (interface.name, ethertype))

    async def probe(self, address: Address, interface: Interface, window_ms: int) -> bytes | None:
        if len(interface.mac) != 6 or window_ms <= 0:
            return None
        own = {found.mac for found in await self._addresses.interfaces()}
        wire = _packet_socket()
        try:
            if address.version == 6:
                _listen_for_advertisements(wire)
            wire.bind((interface.name, _ethertype(address)))
            wire.setblocking(False)
            for _ in range(_QUESTIONS):
                wire.send(frames.question(address, interface.mac))
                try:
                    async with asyncio.timeout(window_ms / _QUESTIONS / 1000):
                        return await _stranger(wire, address, own)
                except TimeoutError:
                    continue
            return None
        finally:
            asyncio.get_running_loop().run_in_executor(None, wire.close)

    def close(self) -> None:
        self._sender.close()


async def _stranger(wire: socket.socket, address: Address, own: set[bytes]) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        frame = await loop.sock_recv(wire, 2048)
        mac = frames.claimant(frame, address)
        if mac is not None and mac not in own and frame[6:12] not in own:
            return mac


def _ethertype(address: Address) -> int:
    return frames.ETHERTYPE_ARP if address.version == 4 else frames.ETHERTYPE_IPV6


def _packet_socket() -> socket.socket:
    """A raw socket that receives nothing until it is bound."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)


def _listen_for_advertisements(wire: socket.socket) -> None:
    """Hear neighbour advertisements and nothing of the other IPv6 traffic.

    Comes before `bind`: until then nothing is received at all. The kernel is in the group of all
    nodes, to which they are sent, on every interface that has IPv6.
    """
    program = b"".join(struct.pack("=HBBI", *step) for step in _ADVERTISEMENTS_ONLY)
    memory = ctypes.create_string_buffer(program)
    argument = struct.pack("@HP", len(_ADVERTISEMENTS_ONLY), ctypes.addressof(memory))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
