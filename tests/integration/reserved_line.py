"""A node's line to the storage: what it sends can be kept under way, as a network in trouble does.

Whoever connects anew over it is the same initiator port as before (ISID), as with the initiators
of hypervisors (RFC 7143, 4.4.3.1): a reservation is a port's. qemu's is a new one each time.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

Pump = Callable[[socket.socket, socket.socket], None]
HEADER = 48
LOGIN, ISID = 0x03, slice(8, 14)


class Line:
    """Listens on `port`, and goes on to the storage.

    Attributes:
        waiting: Bytes that were sent and are kept under way.
    """

    def __init__(self, storage: int, number: int) -> None:
        self._storage = storage
        self._isid = _isid(number)
        self._ends: list[socket.socket] = []
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.waiting = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def hold(self) -> None:
        """From now on nothing arrives; answers still do."""
        self.waiting = 0
        self._open.clear()

    def release(self) -> None:
        """All that was sent meanwhile arrives."""
        self._open.set()

    def connect_anew(self, number: int) -> None:
        """What is connected is cut; from now on it is another port."""
        self._isid = _isid(number)
        for end in self._ends:
            with contextlib.suppress(OSError):  # it was closed before
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def close(self) -> None:
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                node, _ = self._listener.accept()
                try:
                    storage = socket.create_connection(("127.0.0.1", self._storage))
                except OSError:  # it is off; the initiator tries again
                    node.close()
                    continue
                self._ends += (node, storage)
                threading.Thread(target=self._carry, args=(node, storage), daemon=True).start()

    def _carry(self, node: socket.socket, storage: socket.socket) -> None:
        back = threading.Thread(target=_until_cut, args=(_answer, storage, node), daemon=True)
        with node, storage:
            back.start()
            _until_cut(self._send, node, storage)
            back.join()

    def _send(self, node: socket.socket, storage: socket.socket) -> None:
        while header := bytearray(_exactly(node, HEADER)):
            login = header[0] & 0x3F == LOGIN
            if login:
                header[ISID] = self._isid
            storage.sendall(header)
            if not login:
                break
            length = int.from_bytes(header[5:8], "big")
            storage.sendall(_exactly(node, 4 * header[4] + (length + 3) // 4 * 4))
        while data := node.recv(1 << 16):
            if not self._open.is_set():
                self.waiting += len(data)
                self._open.wait()
            storage.sendall(data)


def _isid(number: int) -> bytes:
    return bytes([0x80, 0, 0, number, 0, 0])


def _answer(storage: socket.socket, node: socket.socket) -> None:
    while data := storage.recv(1 << 16):
        node.sendall(data)


def _until_cut(pump: Pump, source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        pump(source, sink)
    for end in (source, sink):
        with contextlib.suppress(OSError):  # the other direction was quicker
            end.shutdown(socket.SHUT_RDWR)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
