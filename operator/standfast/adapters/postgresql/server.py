"""The server process of a data directory: found by its own note, watched by the kernel.

`postmaster.pid` says who it is, where it listens and whether it takes connections. A note may be
older than a crash: its process must exist and work in that directory. Every process of a server
has the data directory as its own, which finds those that outlive the first one.

Source: PostgreSQL 15, src/include/utils/pidfile.h.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 0.005
PROGRAM = "postgres"
_READY = "ready"
_REPLAYING = re.compile(r"startup recovering ([0-9A-F]{24})")


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The first process of a running server.

    Args:
        pid: Its number.
        started: When, in seconds of the wall clock: together they name it.
        port: Of its sockets.
        socket: Directory of its local socket.
        is_ready: It takes connections, for reading at least.
    """

    pid: int
    started: int
    port: int
    socket: str
    is_ready: bool

    @property
    def mark(self) -> str:
        """Tells this server from every other one of this boot."""
        return f"{self.pid} {self.started}"


def postmaster(data: Path) -> Postmaster | None:
    """The server of this data directory; None when none runs."""
    try:
        rows = (data / "postmaster.pid").read_text().splitlines()
        pid, started = int(rows[0]), int(rows[2])
    except (OSError, ValueError, IndexError):
        return None
    if not _works_in(pid, data):
        return None
    port = int(rows[3]) if len(rows) > 3 and rows[3].isdigit() else 0
    socket = rows[4].split(",")[0].strip() if len(rows) > 4 else ""
    status = rows[7].strip() if len(rows) > 7 else ""
    return Postmaster(pid, started, port, socket, status == _READY)


def processes(data: Path) -> list[int]:
    """Every process of a server that works in this data directory."""
    return [pid for pid in _all() if _works_in(pid, data)]


def _all() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _works_in(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        name, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
        if name != PROGRAM or rest.split()[0] == "Z":
            return False
        where = str((process / "cwd").readlink())
    except OSError:
        return False
    return where.removesuffix(" (deleted)") in {str(data), os.path.realpath(data)}


def replaying(data: Path) -> str:
    """The file of the log that a standby replays, by the title of its process; "": not known.

    Its first eight digits are the timeline, which no view shows while nothing streams.
    """
    for pid in processes(data):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        found = _REPLAYING.search(title)
        if found is not None:
            return found.group(1)
    return ""


def tell(pid: int, number: signal.Signals) -> None:
    """Send a signal; fine when there is no such process any more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def until_ended(pid: int) -> None:
    """Wait until that process has ended; returns at once when it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def see() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(handle, see)
    try:
        await ended
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def until_ready(data: Path) -> Postmaster:
    """Wait until the server of this directory takes connections."""
    while True:
        found = postmaster(data)
        if found is not None and found.is_ready:
            return found
        await asyncio.sleep(LOOK_S)
