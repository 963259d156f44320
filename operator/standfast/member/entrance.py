"""The one port of a member: links of other members and the HTTPS API, told apart at once.

A connection that begins with `frames.PREFACE` becomes a link; everything else is for the HTTP
server. Who is at the other end is known from the TLS handshake before a byte of either is read.
The HTTP server may come later than the links: a restarted agent must win its lease back first, and
loading a web framework takes as long as that. Until it is there its connections wait.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from typing_extensions import override

from standfast.adapters import pki
from standfast.core.ids import MemberUid
from standfast.errors import RefusedError, StandfastError, UserError
from standfast.member.link import Link
from standfast.wire.frames import PREFACE

FIRST_WORD_S = 10.0
HANDSHAKE_S = 5.0
WAITING_MAX = 64
IP_FREEBIND = 15
log = logging.getLogger("standfast")

HttpServer = Callable[[], asyncio.Protocol]


class Door(Protocol):
    """Who decides whether a member's link is let in."""

    def accept_link(self, scope: str, uid: MemberUid, host: str) -> Link | None:
        """The link for a connection by `uid` of cluster `scope`, or none for a stranger."""
        ...


class Entrance:
    """Listens, and sends each connection where it belongs."""

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        self.door = door
        self.http: HttpServer | None = None
        self.waiting: list[Visitor] = []
        self._context = context
        self._servers: dict[str, asyncio.Server] = {}

    async def listen(self, addresses: Sequence[str]) -> None:
        """Listen on exactly these `host:port`; an address may appear on the machine later.

        Raises:
            UserError: One of them is in use or does not read.
        """
        for address in set(self._servers) - set(addresses):
            self._servers.pop(address).close()
        for address in addresses:
            if address not in self._servers:
                listener = _listener(address)
                self._servers[address] = await asyncio.get_running_loop().create_server(
                    lambda: Visitor(self),
                    sock=listener,
                    ssl=self._context,
                    ssl_handshake_timeout=HANDSHAKE_S,
                    backlog=128,
                )

    def open_http(self, server: HttpServer) -> None:
        """The HTTP server is ready: let in who waits, and everybody from now on."""
        self.http = server
        waiting, self.waiting = self.waiting, []
        for visitor in waiting:
            visitor.enter_http()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()


class Visitor(asyncio.Protocol):
    """A connection that has not said yet what it wants."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._transport: asyncio.Transport | None = None
        self._said = bytearray()
        self._patience: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(FIRST_WORD_S, transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._patience is not None:
            self._patience.cancel()
        if self in self._entrance.waiting:
            self._entrance.waiting.remove(self)

    @override
    def data_received(self, data: bytes) -> None:
        self._said += data
        if self._said.startswith(PREFACE):
            self._enter_link(bytes(self._said[len(PREFACE) :]))
        elif not PREFACE.startswith(self._said):
            self.enter_http()

    def enter_http(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._entrance.http is None:
            transport.pause_reading()
            if len(self._entrance.waiting) >= WAITING_MAX:
                transport.abort()
            elif self not in self._entrance.waiting:
                self._entrance.waiting.append(self)
            return
        transport.resume_reading()
        self._become(self._entrance.http(), bytes(self._said))

    def _enter_link(self, rest: bytes) -> None:
        transport = self._transport
        assert transport is not None
        host = transport.get_extra_info("peername")[0]
        try:
            role = pki.peer_role(transport.get_extra_info("ssl_object"))
            link = None
            if isinstance(role, pki.Member):
                uid = MemberUid(role.uid)
                link = self._entrance.door.accept_link(role.scope, uid, host)
            if link is None:
                raise RefusedError(
                    f"{pki.dns_name(role)} is no member that may link with this one"
                )
        except StandfastError as error:
            log.debug("LinkRefused", extra={"fields": {"peer": host, "error": error.problem}})
            transport.abort()
            return
        self._become(link, rest)

    def _become(self, protocol: asyncio.Protocol, said: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self._patience is not None:
            self._patience.cancel()
        self._transport = None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if said:
            protocol.data_received(said)


def _listener(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise UserError(
            f"cannot listen on {address!r}: {error}",
            remedy="name an IP address with a port, as 10.10.1.11:7380 or [fd00::11]:7380",
        ) from error
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ip.version == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        listener.bind((str(ip), number))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {address}: {error.strerror}",
            remedy=f"find out who has that port (ss -ltnp sport = :{number})",
        ) from error
    return listener
