"""One live connection to another member: frames in, frames out, and how well it does.

Synchronous throughout: bytes that arrive become calls of `Peer` within the same turn of the event
loop, without a task per message. Sending never waits: when the other side does not take what we
send, the oldest frames are dropped, because a newer heartbeat says all that an older one said.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

from standfast.wire import frames
from standfast.wire.frames import Frame, MalformedError, Splitter

QUEUED_MAX = 32
"""Frames kept while the other side takes nothing."""

BUFFERED_BYTES_MAX = 32 * 1024
"""What may wait in the transport before frames are kept here instead."""

USER_TIMEOUT_MS = 3000
"""The kernel gives a connection up when nothing is acknowledged for so long."""

SILENT_MS_MAX = 3000
"""We give it up when nothing arrives for so long: pings are answered every second."""


class Peer(Protocol):
    """The member at the other end, as its links see it."""

    def link_up(self, link: "Link") -> None:
        """The other side said its run: the link is usable."""
        ...

    def link_down(self, link: "Link") -> None:
        """It is gone. Called once, also for a link that never came up."""
        ...

    def take_message(self, link: "Link", frame: Frame) -> None:
        """A message arrived, perhaps not for the first time."""
        ...

    def take_facts(self, told: frames.Facts) -> None:
        """The other side told something aside."""
        ...


class Link(asyncio.Protocol):
    """Either end of one connection, after TLS."""

    def __init__(
        self, peer: Peer, address: str, run: str, now_ms: Callable[[], int], *, dialled: bool
    ) -> None:
        self._peer = peer
        self._now_ms = now_ms
        self._my_run = run
        self._transport: asyncio.Transport | None = None
        self._splitter = Splitter()
        self._queue: deque[bytes] = deque(maxlen=QUEUED_MAX)
        self._is_blocked = False
        self._loop = asyncio.get_running_loop()
        self._pinged: tuple[int, float] = (0, 0.0)
        self.address = address
        self.local = ""
        self.dialled = dialled
        self.run = ""
        self.rtt_ms: float | None = None
        self.heard_at_ms = now_ms()
        self.problem = ""
        self.closed: asyncio.Future[None] = self._loop.create_future()

    @property
    def end(self) -> tuple[str, str, bool]:
        """Which end of which path this is; a second one with the same end replaces it."""
        return self.address, self.local, self.dialled

    @property
    def is_up(self) -> bool:
        return bool(self.run) and self._transport is not None

    # ---------------------------------------------------------------- asyncio.Protocol

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        self.local = (transport.get_extra_info("sockname") or ("",))[0]
        tune(transport)
        if self.dialled:
            transport.write(frames.PREFACE)
        transport.write(frames.frame(frames.RUN, 0, self._my_run.encode()))

    @override
    def data_received(self, data: bytes) -> None:
        self.heard_at_ms = self._now_ms()
        try:
            for frame in self._splitter.feed(data):
                self._take(frame)
        except MalformedError as error:
            self.close(f"the other side does not speak our protocol: {error}")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.problem = self.problem or (str(exc) if exc else "closed by the other side")
        if not self.closed.done():
            self.closed.set_result(None)
            self._peer.link_down(self)

    @override
    def pause_writing(self) -> None:
        self._is_blocked = True

    @override
    def resume_writing(self) -> None:
        self._is_blocked = False
        while self._queue and not self._is_blocked and self._transport is not None:
            self._transport.write(self._queue.popleft())

    # ---------------------------------------------------------------- ours

    def send(self, data: bytes) -> None:
        """Send a frame, or keep it while the other side takes nothing; never waits."""
        if self._transport is None:
            return
        if self._is_blocked:
            self._queue.append(data)
        else:
            self._transport.write(data)

    def ping(self) -> None:
        """Measure the way there and back; give the link up when nothing comes for too long."""
        silent_ms = self._now_ms() - self.heard_at_ms
        if silent_ms > SILENT_MS_MAX:
            self.close(f"nothing was heard for {silent_ms} ms")
            return
        number = self._pinged[0] + 1
        self._pinged = (number, self._loop.time())
        self.send(frames.ping(number))

    def close(self, problem: str) -> None:
        """End it now, without waiting for what was not sent."""
        self.problem = self.problem or problem
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case frames.MESSAGE if self.run:
                self._peer.take_message(self, frame)
            case frames.PING:
                self.send(frames.frame(frames.PONG, frame.number))
            case frames.PONG:
                number, at = self._pinged
                if frame.number == number:
                    self.rtt_ms = round(1000 * (self._loop.time() - at), 2)
            case frames.FACTS:
                told = frames.read_facts(frame.payload)
                if told is not None:
                    self._peer.take_facts(told)
            case frames.RUN if not self.run:
                self.run = frame.payload.decode(errors="replace")
                self._peer.link_up(self)
            case _:
                pass  # a newer member says something this one does not know


def tune(transport: asyncio.BaseTransport) -> None:
    """Small packets at once, dead connections found soon."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
