"""One builder at a time on a machine: a file lock that is waited for without blocking the loop."""

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def locked(file: Path, progress: Callable[[str, float], None]) -> AsyncIterator[None]:
    """Holds the lock; the kernel gives it back when the process dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with file.open("w") as lock:
        while not _taken(lock.fileno()):
            progress("Waiting for another build on this machine", time.monotonic() - began)
            await asyncio.sleep(1)
        yield


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
