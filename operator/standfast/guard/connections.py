"""The guard's socket: who may speak, one answer per message, news for everybody.

Only root is heard. Nothing here waits: an answer that does not fit into the other side's queue is
dropped. A newcomer always gets in, for a restarted agent must not stand behind a dead one.
"""

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from standfast.guard.protocol import BYTES_MAX

MESSAGES_PER_TURN = 32
CONNECTIONS_MAX = 8
_CREDENTIALS = struct.Struct("=iII")


def listen(path: str) -> socket.socket:
    """The socket at `path`, instead of whatever is there."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    listener = socket.socket(socket.AF_UNIX, kind)
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(CONNECTIONS_MAX)
    return listener


class Connections:
    """All connections.

    Args:
        listener: Listening, not blocking.
        poll: Where descriptors are waited for.
        answer: Makes the answer to one message.
        allowed_uid: Whose processes are heard.
    """

    def __init__(
        self,
        listener: socket.socket,
        poll: select.epoll,
        answer: Callable[[bytes], bytes],
        allowed_uid: int = 0,
    ) -> None:
        self._listener = listener
        self._poll = poll
        self._answer = answer
        self._allowed_uid = allowed_uid
        self._open: dict[int, socket.socket] = {}
        self._buffer = bytearray(BYTES_MAX)
        poll.register(listener, select.EPOLLIN)

    def take(self, descriptor: int) -> None:
        """Something is to be read at this descriptor."""
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor in self._open:
            self._hear(self._open[descriptor])

    def tell(self, data: bytes) -> None:
        """Send it to everybody."""
        for connection in tuple(self._open.values()):
            _send(connection, data)

    def close(self) -> None:
        """Hang up everywhere, and do not listen any more."""
        for connection in tuple(self._open.values()):
            self._hang_up(connection)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(said)
            if uid != self._allowed_uid:
                connection.close()
                return
            if len(self._open) >= CONNECTIONS_MAX:
                self._hang_up(next(iter(self._open.values())))
            self._open[connection.fileno()] = connection
            self._poll.register(connection, select.EPOLLIN)

    def _hear(self, connection: socket.socket) -> None:
        for _ in range(MESSAGES_PER_TURN):
            try:
                length = connection.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                length = 0
            if not length:
                self._hang_up(connection)
                return
            _send(connection, self._answer(bytes(self._buffer[:length])))

    def _hang_up(self, connection: socket.socket) -> None:
        del self._open[connection.fileno()]
        self._poll.unregister(connection)
        connection.close()


def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.send(data)
