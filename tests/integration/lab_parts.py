"""What the tests of the lab's control side share: a lab of their own, gone when the test is."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from standfast.lab.paths import LabPaths

T = TypeVar("T")


@contextmanager
def lab_paths(name: str) -> Iterator[LabPaths]:
    """Paths of a lab in a short directory: a unix socket's path has at most 107 characters."""
    base = Path(tempfile.mkdtemp(prefix="lab-"))
    try:
        yield LabPaths.named(name, base)
    finally:
        shutil.rmtree(base)


async def eventually(seen: Callable[[], Awaitable[T]], within_s: float = 15) -> T:
    """What `seen` returns once that is true: for states that nobody announces.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(within_s):
        while not (found := await seen()):  # noqa: ASYNC110 -- there is no event to wait for
            await asyncio.sleep(0.05)
    return found
