"""A GET to an application, judged by the status alone.

The client library is loaded by the first check, in a thread, because an agent that starts has
nothing to spare: it has a lease to win back. A redirect is an answer and is not followed; the body
is not read.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING, cast

from standfast.adapters.checks.config import HttpCheck
from standfast.ports.resource import Health, Verdict

if TYPE_CHECKING:
    from standfast.adapters.checks import web_client


class HttpAsk:
    """The `Ask` of a URL."""

    def __init__(self, check: HttpCheck) -> None:
        self._check = check

    @property
    def what(self) -> str:
        return f"GET {self._check.url}"

    async def obstacle(self) -> str:
        return ""

    async def put(self, limit_s: float) -> Health:
        del limit_s
        loaded = await asyncio.to_thread(
            importlib.import_module, "standfast.adapters.checks.web_client"
        )
        check = self._check
        status = await cast("web_client.Get", loaded.get)(check)
        if check.status_min <= status <= check.status_max:
            return Health(Verdict.UP, f"{self.what}: {status}")
        expected = f"{check.status_min}-{check.status_max}"
        if check.status_min == check.status_max:
            expected = str(check.status_min)
        return Health(Verdict.DOWN, f"{self.what}: {status}, expected {expected}")
