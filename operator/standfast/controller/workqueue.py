"""Keys to be looked at: each at most once in the queue, and never by two workers at a time.

A key that is added while it is being worked on comes again afterwards. `after` brings a key back
later; of several moments the earliest counts. A pass that fails backs off by key, from 50 ms,
doubled up to a minute; a pass that succeeds forgets that.
"""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from standfast.controller.logs import logger
from standfast.errors import StandfastError, TransientError
from standfast.ports.clock import Clock

K = TypeVar("K")

BACK_OFF_MS_MIN, BACK_OFF_MS_MAX = 50, 60_000
REFUSED_RETRY_MS = 30_000
"""After the API server forbade what a pass wanted to write."""


class WorkQueue(Generic[K]):
    """A de-duplicating queue with delays.

    Args:
        clock: For delays.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: OrderedDict[K, None] = OrderedDict()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._due_at_ms: dict[K, int] = {}
        self._later: list[tuple[int, int, K]] = []
        self._order = 0
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Look at it as soon as somebody is free."""
        if key in self._working:
            self._again.add(key)
            return
        self._ready[key] = None
        self._due_at_ms.pop(key, None)
        self._changed.set()

    def after(self, key: K, delay_ms: int) -> None:
        """Look at it again after this long, unless it is looked at sooner."""
        due_at_ms = self._clock.now_ms() + max(delay_ms, 0)
        before = self._due_at_ms.get(key)
        if before is not None and before <= due_at_ms:
            return
        self._due_at_ms[key] = due_at_ms
        self._order += 1
        heapq.heappush(self._later, (due_at_ms, self._order, key))
        self._changed.set()

    def failed(self, key: K, retry_after_ms: int = 0) -> int:
        """Look at it again after a while that grows with every failure in a row.

        Returns:
            The delay in milliseconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_ms = min(BACK_OFF_MS_MIN << min(failures, 20), BACK_OFF_MS_MAX)
        delay_ms = max(delay_ms, retry_after_ms)
        self.after(key, delay_ms)
        return delay_ms

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """The thing is gone: no delays, no failures, nothing kept."""
        self._failures.pop(key, None)
        self._due_at_ms.pop(key, None)

    async def get(self) -> K:
        """The next key; `done` must follow."""
        while True:
            self._promote()
            if self._ready:
                key, _ = self._ready.popitem(last=False)
                self._working.add(key)
                return key
            self._changed.clear()
            wait_s = self._until_next_s()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """The key is free again; it comes back at once when it was added meanwhile."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif self._later:
            self._changed.set()

    def _promote(self) -> None:
        now_ms = self._clock.now_ms()
        while self._later and self._later[0][0] <= now_ms:
            due_at_ms, _, key = heapq.heappop(self._later)
            if self._due_at_ms.get(key) != due_at_ms:
                continue
            del self._due_at_ms[key]
            if key in self._working:
                self._again.add(key)
            else:
                self._ready[key] = None

    def _until_next_s(self) -> float | None:
        if not self._later:
            return None
        return max(self._later[0][0] - self._clock.now_ms(), 1) / 1000


async def work(queue: WorkQueue[K], once: Callable[[K], Awaitable[int | None]]) -> None:
    """Take keys for ever and make one pass over each.

    Args:
        queue: Where they come from.
        once: One pass; returns after how many milliseconds to look again, or none. It raises
            `TransientError` for what goes away by itself.
    """
    while True:
        key = await queue.get()
        try:
            again_ms = await once(key)
        except TransientError as error:
            queue.failed(key, error.retry_after_ms)
        except StandfastError as error:
            logger(key=str(key)).error("Pass refused", error=error.problem, remedy=error.remedy)
            queue.failed(key, REFUSED_RETRY_MS)
        except Exception:  # noqa: BLE001 the edge of the process: our bug backs off, by key
            logger(key=str(key)).exception("Pass broke")
            queue.failed(key)
        else:
            queue.succeeded(key)
            if again_ms is not None:
                queue.after(key, again_ms)
        finally:
            queue.done(key)
