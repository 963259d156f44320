"""Tells systemd that the guard is ready and alive; silent when systemd did not start it.

Source: sd_notify(3).
"""

import contextlib
import os
import socket


class Notify:
    """The connection to the service manager.

    Args:
        environment: With NOTIFY_SOCKET and WATCHDOG_USEC, where systemd set them.
    """

    def __init__(self, environment: "os._Environ[str] | dict[str, str]") -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        limit_us = environment.get("WATCHDOG_USEC", "")
        self.alive_every_ns = int(limit_us) * 1000 // 4 if limit_us.isdigit() else None
        """How often to say that the guard is alive; none when nobody asks."""
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)

    def say(self, words: str) -> None:
        """Send lines like READY=1."""
        if self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto(words.encode(), self._address)

    def close(self) -> None:
        self._socket.close()
