"""One question to an application, with a verdict in any case: nothing waits beyond its limit."""

import asyncio
import os
from collections.abc import Awaitable
from typing import Protocol

from standfast.ports.resource import Health, Verdict


class Ask(Protocol):
    """A way to ask."""

    @property
    def what(self) -> str:
        """What is asked, for sentences."""
        ...

    def put(self, limit_s: float) -> Awaitable[Health]:
        """Ask; cancelled at the limit, and leaves nothing behind then either.

        Raises:
            OSError: Nobody could be asked.
        """
        ...

    async def obstacle(self) -> str:
        """Why it cannot be asked on this machine; "" when it can."""
        ...


class Checker:
    """Asks within a limit.

    Args:
        ask: How.
        limit_ms: Silence for so long is a failed check.
    """

    def __init__(self, ask: Ask, limit_ms: int) -> None:
        self._ask = ask
        self._limit_s = limit_ms / 1000

    @property
    def what(self) -> str:
        return self._ask.what

    async def look(self) -> Health:
        """Whether it answers as it should; never raises."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._ask.put(self._limit_s)
        except TimeoutError:
            said = f"no answer within {self._limit_s:g} s"
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else str(error)
        return Health(Verdict.DOWN, f"{self._ask.what}: {said}")

    async def obstacle(self) -> str:
        return await self._ask.obstacle()
