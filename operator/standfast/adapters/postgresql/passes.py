"""One pass after the other, each to be broken off at any moment; pauses grow with failures."""

import asyncio
from collections.abc import Awaitable, Callable

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
        self.failures = 0

    async def one(self) -> StandfastError | None:
        """Run one pass, unless they are held.

        Returns:
            What it failed with; None when it did not, or was broken off.
        """
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

    def hold(self) -> None:
        """No pass begins until `go_on` was called as often."""
        self._holds += 1

    def go_on(self) -> None:
        self._holds -= 1

    @property
    def is_held(self) -> bool:
        return self._holds > 0

    async def end(self) -> None:
        """Break off the one that is under way; true on return: it has unwound."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    def pause_s(self, usual_s: float) -> float:
        """How long until the next one."""
        return min(usual_s * 2.0 ** min(self.failures, 8), AGAIN_S_MAX)
