"""What survives the guard's own death: one file in memory, written in place, never torn.

The file has two halves that are written in turn, each with a number and a checksum; the newest
sound one counts, so a kill in the middle of a write costs that write and nothing else. It is
mapped and locked in memory from the start: writing needs no free page, no system call and no disk.

The file belongs to one boot of the machine. Standard library only.
"""

import contextlib
import mmap
import os
import struct
import zlib
from pathlib import Path

HALF_BYTES = 256 * 1024
_MAGIC = b"SFG1"
_HEADER = struct.Struct("<4sQII")


class StateFile:
    """One state in one file. Not for several threads.

    Args:
        path: In a file system in memory.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, 2 * HALF_BYTES)
            self._map = mmap.mmap(descriptor, 2 * HALF_BYTES)
        finally:
            os.close(descriptor)
        self._number = max((number for number, _ in self._sound()), default=0)

    def load(self) -> bytes | None:
        """What was stored last; none when nothing sound is there."""
        return max(self._sound(), default=(0, None), key=lambda it: it[0])[1]

    def store(self, body: bytes) -> None:
        """Keep this instead of what was there.

        Raises:
            ValueError: It is too long.
        """
        if len(body) > HALF_BYTES - _HEADER.size:
            raise ValueError(f"a state of {len(body)} bytes does not fit in {HALF_BYTES}")
        self._number += 1
        at = (self._number % 2) * HALF_BYTES
        begin = at + _HEADER.size
        self._map[begin : begin + len(body)] = body
        checksum = _checksum(self._number, body)
        self._map[at:begin] = _HEADER.pack(_MAGIC, self._number, len(body), checksum)

    def close(self) -> None:
        self._map.close()

    def _sound(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        for at in (0, HALF_BYTES):
            magic, number, length, checksum = _HEADER.unpack_from(self._map, at)
            if magic != _MAGIC or length > HALF_BYTES - _HEADER.size:
                continue
            begin = at + _HEADER.size
            body = self._map[begin : begin + length]
            if _checksum(number, body) == checksum:
                found.append((number, body))
        return found


def _checksum(number: int, body: bytes) -> int:
    return zlib.crc32(body, number & 0xFFFFFFFF)


class Report:
    """A text file for people and the agent: preallocated, written in place, ended by spaces.

    A reader may see half of a change and reads again then.

    Args:
        path: In a file system in memory.
    """

    BYTES = 64 * 1024

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o644)
        with contextlib.suppress(OSError):
            os.posix_fallocate(self._file, 0, self.BYTES)
        self._length = self.BYTES

    def publish(self, text: bytes) -> None:
        """Replace the content; a longer one than fits is not published, nor is one refused."""
        if len(text) >= self.BYTES:
            return
        with contextlib.suppress(OSError):
            os.pwrite(self._file, text + b" " * max(0, self._length - len(text) - 1) + b"\n", 0)
        self._length = len(text) + 1
