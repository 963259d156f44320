"""One pass after the other, each to be broken off at any moment; pauses grow with failures."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from standfast.errors import StandfastError

AGAIN_S_MAX = 10.0


class Passes:
    """The passes that tend one copy.

    Args:
        look: One pass.
    """

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._task: asyncio.Task[None] | None = None
        self._holds = 0
        self._wake = asyncio.Event()
        self.failures = 0

    async def one(self) -> StandfastError | None:
        """Run one pass, unless they are held.

        Returns:
            What it failed with; None when it did not, or was broken off.
        """
        self._wake.clear()
        if self._holds:
            return None
        task = self._task = asyncio.create_task(self._run())
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            return None
        error = task.exception()
        if error is None:
            self.failures = 0
            return None
        if not isinstance(error, StandfastError):
            raise error
        self.failures += 1
        return error

    async def _run(self) -> None:
        await self._look()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No pass begins meanwhile; afterwards one does at once."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self.wake()

    def wake(self) -> None:
        """Something has changed: the next pass begins now."""
        self._wake.set()

    @property
    def is_held(self) -> bool:
        return self._holds > 0

    async def end(self) -> None:
        """Break off the one that is under way; true on return: it has unwound."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def rest(self, usual_s: float) -> None:
        """Wait until the next one is due; longer the more in a row have failed."""
        pause_s = min(usual_s * 2.0 ** min(self.failures, 8), AGAIN_S_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
