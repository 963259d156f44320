"""The hardware watchdog: resets the machine when the guard no longer feeds it.

It is opened when the guard starts and fed only while every lease holds, or nothing of an ended one
is left. The magic close, which disarms it, is used only when nothing of any lease can run; every
other end of the process leaves it running, and the next guard feeds it again or the machine is
reset. A device that is absent or in use is a sentence in the status, not an error.

Source: Documentation/watchdog/watchdog-api.rst, include/uapi/linux/watchdog.h.
"""

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from standfast.guard.status import WatchdogStatus

_GETSUPPORT, _SETTIMEOUT, _GETTIMEOUT = 0x80285700, 0xC0045706, 0x80045707
_INFO = struct.Struct("=II32s")
_INT = struct.Struct("=i")
_OPTION_SETTIMEOUT, _OPTION_MAGICCLOSE = 0x0080, 0x0100
_FEED, _MAGIC = b"\0", b"V"
TRY_AGAIN_NS = 10_000_000_000
FEEDS_PER_TIMEOUT = 5


class Watchdog:
    """One device.

    Args:
        device: `/dev/watchdog`.
        timeout_s: After which the machine is to be reset.
        tested: Moment of the last test that did reset this machine, RFC 3339; "" for never.
    """

    def __init__(self, device: Path, timeout_s: int, tested: str = "") -> None:
        self._device = device
        self._timeout_s = timeout_s
        self._tested = tested
        self._file = -1
        self._identity = ""
        self._timeout_ms = 0
        self._try_at_ns = 0
        self._feed_at_ns = 0
        self.trouble = ""
        """Why it does not protect this machine, as a sentence."""

    @property
    def status(self) -> WatchdogStatus:
        return WatchdogStatus(
            device=str(self._device),
            identity=self._identity,
            timeout_ms=self._timeout_ms,
            armed=self._file >= 0,
            tested=self._tested,
        )

    @property
    def next_ns(self) -> int:
        """When `tend` is due."""
        return self._try_at_ns if self._file < 0 else self._feed_at_ns

    def tend(self, now_ns: int, *, may_feed: bool) -> None:
        """Open it, or feed it, if that is due and allowed."""
        if now_ns < self.next_ns:
            return
        if self._file < 0:
            self._try_at_ns = now_ns + TRY_AGAIN_NS
            if not may_feed or not self._open():
                return
        self._feed_at_ns = now_ns + self._timeout_ms * 1_000_000 // FEEDS_PER_TIMEOUT
        if may_feed:
            with contextlib.suppress(OSError):
                os.write(self._file, _FEED)

    def close(self, *, disarm: bool) -> None:
        """Let go of it; without `disarm` the kernel feeds it once more, and lets it run.

        Args:
            disarm: Nothing of any lease can run on this machine any more.
        """
        if self._file >= 0:
            if disarm:
                with contextlib.suppress(OSError):
                    os.write(self._file, _MAGIC)
            os.close(self._file)
            self._file = -1

    def _open(self) -> bool:
        try:
            self._file = os.open(self._device, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self.trouble = f"the watchdog {self._device} cannot be opened: {_why(error)}"
            return False
        self.trouble = ""
        self._timeout_ms = self._timeout_s * 1000
        with contextlib.suppress(OSError):
            options, _, identity = _INFO.unpack(self._control(_GETSUPPORT, bytes(_INFO.size)))
            self._identity = identity.split(b"\0")[0].decode(errors="replace")
            if options & _OPTION_SETTIMEOUT:
                self._control(_SETTIMEOUT, _INT.pack(self._timeout_s))
            if not options & _OPTION_MAGICCLOSE:
                self.trouble = f"the watchdog {self._identity} cannot be disarmed once it is armed"
        with contextlib.suppress(OSError):
            (seconds,) = _INT.unpack(self._control(_GETTIMEOUT, bytes(_INT.size)))
            self._timeout_ms = seconds * 1000
        if self._timeout_ms > self._timeout_s * 1000:
            self.trouble = (
                f"the watchdog {self._identity} resets after {self._timeout_ms} ms, and not after "
                f"{self._timeout_s * 1000} ms as configured"
            )
        return True

    def _control(self, request: int, data: bytes) -> bytes:
        return fcntl.ioctl(self._file, request, data)


def _why(error: OSError) -> str:
    if error.errno == 2:
        return "there is no such device (modprobe softdog, or give the VM a virtual watchdog)"
    if error.errno == 16:
        return (
            "another process has it (RuntimeWatchdogSec= in /etc/systemd/system.conf, watchdogd)"
        )
    return str(error.strerror)
