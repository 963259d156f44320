"""Tells systemd to stop units, so that `Restart=` does not bring back what was killed.

One D-Bus message without an answer, over systemd's private socket for root, so that no bus daemon
is needed. A connection that is open beforehand lets systemd know of the stop before it learns of
the deaths. It is not kept for long: systemd sends news over it that nobody reads here. Nothing
waits for systemd: what it does not do, the next look of the guard undoes.

Source: D-Bus specification ("Message Format", "Authentication Protocol");
org.freedesktop.systemd1(5), `StopUnit`.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable

PRIVATE_SOCKET = "/run/systemd/private"
_HELLO = b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
"""As user 0, whose number is sent as the hexadecimal form of its digits."""

_SYSTEMD = "org.freedesktop.systemd1"
_METHOD_CALL, _NO_ANSWER, _PROTOCOL = 1, 1, 1
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8


class ServiceManager:
    """The systemd of this machine.

    Args:
        path: Its private socket.
    """

    def __init__(self, path: str = PRIVATE_SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._serial = 0

    def prepare(self) -> None:
        """Connect, if that is not so yet: a stop may have to be asked for at any moment."""
        with contextlib.suppress(OSError):
            self._connected()

    def ask_stop(self, units: Iterable[str]) -> str:
        """Ask for a stop of each, and do not wait.

        Returns:
            Why it could not be asked, as a sentence; empty when it was.
        """
        messages = b"".join(self._next(unit) for unit in units)
        if not messages:
            return ""
        problem = ""
        for _ in range(2):  # the connection may be one that systemd has closed since
            try:
                self._connected().sendall(messages)
            except OSError as error:
                self.close()
                problem = f"systemd does not take a stop over {self._path}: {error}"
            else:
                return ""
        return problem

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            connection = socket.socket(socket.AF_UNIX, kind)
            try:
                connection.connect(self._path)
                connection.sendall(_HELLO)
            except OSError:
                connection.close()
                raise
            self._socket = connection
        return self._socket

    def _next(self, unit: str) -> bytes:
        self._serial = (self._serial + 1) & 0x7FFFFFFF or 1
        return stop_message(unit, self._serial)


def stop_message(unit: str, serial: int) -> bytes:
    """`StopUnit(unit, "replace")`, for which no answer is wanted."""
    body = _aligned(_string(unit), 4) + _string("replace")
    fields = b""
    for code, kind, value in (
        (_PATH, "o", "/org/freedesktop/systemd1"),
        (_INTERFACE, "s", f"{_SYSTEMD}.Manager"),
        (_MEMBER, "s", "StopUnit"),
        (_DESTINATION, "s", _SYSTEMD),
        (_SIGNATURE, "g", "ss"),
    ):
        written = _signature(value) if kind == "g" else _string(value)
        fields = _aligned(fields, 8) + bytes([code]) + _signature(kind) + written
    start = struct.pack(
        "<cBBBIII", b"l", _METHOD_CALL, _NO_ANSWER, _PROTOCOL, len(body), serial, len(fields)
    )
    return _aligned(start + fields, 8) + body


def _string(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<I", len(encoded)) + encoded + b"\0"


def _signature(value: str) -> bytes:
    return bytes([len(value)]) + value.encode() + b"\0"


def _aligned(data: bytes, to: int) -> bytes:
    return data + b"\0" * (-len(data) % to)
