"""Lets so many through at once, and waits for nobody for long.

For what costs much while it works and nothing while it waits: TLS handshakes with members. Whoever
is slow or absent goes on outside the gate, and the next one is let in.
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
    """

    def __init__(self, at_once: int, held_s: float) -> None:
        self._inside = asyncio.Semaphore(at_once)
        self._held_s = held_s

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
                await asyncio.wait((task,), timeout=self._held_s)
            finally:
                self._inside.release()
            return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
