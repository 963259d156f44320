"""A timer on CLOCK_BOOTTIME as a file: readable when its moment has come, sleep included.

Python 3.11 has no timerfd. The guard's loop waits for it; it looks at the clock every few tens of
milliseconds in any case, so that a kernel without one costs lateness and nothing else.

Source: timerfd_create(2).
"""

import contextlib
import ctypes
import os

_CLOCK_BOOTTIME, _TFD_TIMER_ABSTIME = 7, 1
_NS = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class BootTimer:
    """One timer. `fileno` is -1 when the kernel gives none."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._file: int = self._libc.timerfd_create(_CLOCK_BOOTTIME, flags)
        self._spec = _Itimerspec()
        self._at_ns = 0

    def fileno(self) -> int:
        return self._file

    def set(self, at_ns: int | None) -> None:
        """Become readable at this moment, in the past too; none: never."""
        wanted_ns = 0 if at_ns is None else max(1, at_ns)
        if wanted_ns == self._at_ns or self._file < 0:
            return
        self._at_ns = wanted_ns
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(wanted_ns, _NS)
        self._libc.timerfd_settime(self._file, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def clear(self) -> None:
        """Take note that the moment came."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
            self._at_ns = 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
