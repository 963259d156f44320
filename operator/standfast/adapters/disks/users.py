"""Processes that keep a device busy: with a file open, a directory or a program on it.

Files are looked at through /proc, by the numbers of their devices: the kernel knows them, no disk
is asked.
"""

import contextlib
import os
import signal
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from standfast.adapters.disks.mounts import PROC, elsewhere, pids


@dataclass(frozen=True, slots=True)
class User:
    """One process."""

    pid: int
    command: str


def users(numbers: Iterable[str]) -> tuple[User, ...]:
    """Processes that use a device, or have it mounted in a namespace of their own.

    What is only mapped into memory is looked for when nothing else is found: it takes longer.
    """
    wanted = frozenset(numbers)
    spared = {1, os.getpid()}
    others = [pid for pid in pids() if pid not in spared]
    foreign = {pid for number in wanted for pid in elsewhere(number)} - spared
    found = [pid for pid in others if pid in foreign or not wanted.isdisjoint(_numbers(pid))]
    if not found:
        mapped = [_in_maps(number) for number in wanted]
        found = [pid for pid in others if any(number in _maps(pid) for number in mapped)]
    return tuple(User(pid, _command(pid)) for pid in found)


def signal_all(found: Iterable[User], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for user in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(user.pid, number)


def _numbers(pid: int) -> Iterator[str]:
    home = PROC / str(pid)
    links = [home / "cwd", home / "root", home / "exe"]
    with contextlib.suppress(OSError):
        links += (home / "fd").iterdir()
    for link in links:
        with contextlib.suppress(OSError):
            found = link.stat()
            if stat.S_ISBLK(found.st_mode):
                yield f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
            yield f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"


def _maps(pid: int) -> bytes:
    """What of files is mapped into its memory, with the numbers of their devices."""
    try:
        return (PROC / str(pid) / "maps").read_bytes()
    except OSError:
        return b""


def _in_maps(number: str) -> bytes:
    major, _, minor = number.partition(":")
    return f" {int(major):02x}:{int(minor):02x} ".encode()


def _command(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
