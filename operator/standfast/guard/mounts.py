"""Takes file systems out of sight: detached at once, whoever still uses them.

A hung server can hold up an unmount, so a thread of its own does it; the guard goes on meanwhile.
Whether something is mounted is read from /proc/self/mountinfo, which touches no file system.
Detaching does not stop a process that has a file open there: its control group is killed first.

Source: umount2(2), proc(5).
"""

import ctypes
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue

_MNT_FORCE, _MNT_DETACH, _UMOUNT_NOFOLLOW = 1, 2, 8
_FLAGS = _MNT_FORCE | _MNT_DETACH | _UMOUNT_NOFOLLOW
_MOUNTINFO = Path("/proc/self/mountinfo")
_STACKED_MAX = 32
_THREAD_STACK_BYTES = 128 * 1024
_KEPT = ("/proc", "/sys", "/dev", "/run", "/usr", "/etc", "/tmp", "/var", "/opt", "/boot", "/home")  # noqa: S108 names, not files of ours
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def objection(path: str) -> str:
    """Why this may not be unmounted, as a sentence; empty when it may."""
    if path in {"", "/"} or f"/{path.lstrip('/')}" != os.path.normpath(path):
        return f"{path!r} is not the path of a mount point"
    if path in _KEPT:
        return f"{path} belongs to the system"
    return ""


def mounted(paths: Iterable[str], mountinfo: Path = _MOUNTINFO) -> list[str]:
    """Which of these paths are mount points, each as often as something is mounted there."""
    wanted = {path.encode(): path for path in paths}
    if not wanted:
        return []
    rows = mountinfo.read_bytes().split(b"\n")  # a path may have a carriage return in it
    points = (row.split(b" ", 5)[4] for row in rows if row)
    plain = (_ESCAPED.sub(_unescaped, point) for point in points)
    return [wanted[point] for point in plain if point in wanted]


class Detacher:
    """The thread that unmounts."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._wanted: SimpleQueue[str] = SimpleQueue()
        self._busy: set[str] = set()
        self._problems: dict[str, str] = {}
        before = threading.stack_size(_THREAD_STACK_BYTES)  # all of it is locked in memory
        threading.Thread(target=self._work, name="detacher", daemon=True).start()
        threading.stack_size(before)

    def detach(self, path: str) -> None:
        """Begin to unmount everything that is mounted there; returns at once."""
        if path not in self._busy:
            self._busy.add(path)
            self._wanted.put(path)

    def is_busy(self) -> bool:
        """Whether an unmount is under way."""
        return bool(self._busy)

    def problems(self) -> tuple[str, ...]:
        """What the kernel refused the last time, as sentences."""
        return tuple(self._problems.values())

    def _work(self) -> None:
        while True:
            path = self._wanted.get()
            try:
                self._unmount_all(path)
            except OSError as error:
                self._problems[path] = f"{path} cannot be unmounted: {error}"
            self._busy.discard(path)

    def _unmount_all(self, path: str) -> None:
        self._problems.pop(path, None)
        for _ in range(_STACKED_MAX):
            if not mounted([path]):
                return
            if self._libc.umount2(os.fsencode(path), _FLAGS) != 0:
                why = os.strerror(ctypes.get_errno())
                self._problems[path] = f"{path} cannot be unmounted: {why}"
                return


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])
