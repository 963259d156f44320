"""Lets so many through at once, and waits for nobody for long, unless there is too much to do.

For what costs much while it works and nothing while it waits: TLS handshakes with members. Whoever
is slow or absent goes on outside the gate, and the next one is let in. But once something came too
late although the other side is there, everybody inside is waited for: of too many at once none is
in time, all begin anew, and that never ends.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Gate:
    """One gate.

    Args:
        at_once: How many are inside.
        held_s: For how long one counts as inside.
        late: Raised by what came too late.
    """

    def __init__(self, at_once: int, held_s: float, late: type[Exception]) -> None:
        self._at_once = at_once
        self._inside = asyncio.Semaphore(at_once)
        self._held_s = held_s
        self._late = late
        self._strict_for = 0

    @property
    def is_strict(self) -> bool:
        """Whether everybody is waited for: until as many in a row as fit in were in time."""
        return self._strict_for > 0

    async def through(self, act: Coroutine[Any, Any, T]) -> T:
        """Do it when there is room; what it answers or raises."""
        try:
            await self._inside.acquire()
        except BaseException:
            act.close()
            raise
        task = asyncio.create_task(act)
        try:
            try:
                await asyncio.wait((task,), timeout=None if self.is_strict else self._held_s)
            finally:
                self._inside.release()
            answer = await task
        except self._late:
            self._strict_for = 2 * self._at_once
            raise
        else:
            self._strict_for = max(self._strict_for - 1, 0)
            return answer
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
