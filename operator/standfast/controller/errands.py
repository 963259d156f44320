"""Work that takes time, done beside the passes: each by name, once at a time, with back-off.

A pass says which errands it wants and goes on; an errand that is already under way is left alone,
one that failed a moment ago waits. When an errand ends, its key is looked at again, and the next
pass sees what came of it. Errands are idempotent: an operator that dies starts them anew.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from standfast.controller.logs import logger
from standfast.controller.store import Key
from standfast.controller.workqueue import BACK_OFF_MS_MAX, WorkQueue
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.clock import Clock

RETRY_MS_MIN = 500
USER_ERROR_RETRY_MS = 30_000

Name = tuple[str, ...]
"""What is done and to whom: `("fence", "orders-a", "<boot>")`."""


@dataclass(slots=True)
class _Trouble:
    error: StandfastError
    failures: int
    not_before_ms: int


class Errands:
    """Errands of all keys.

    Args:
        queue: Brings the key back when an errand ends.
        clock: For the back-off.
    """

    def __init__(self, queue: WorkQueue[Key], clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._running: dict[tuple[Key, Name], asyncio.Task[None]] = {}
        self._trouble: dict[tuple[Key, Name], _Trouble] = {}

    def want(
        self,
        key: Key,
        name: Name,
        make: Callable[[], Coroutine[Any, Any, None]],
        retry_ms_max: int = BACK_OFF_MS_MAX,
    ) -> bool:
        """Start it unless it runs or has just failed.

        Args:
            key: For what it is done; looked at again when it ends.
            name: What is done and to whom.
            make: Makes the coroutine.
            retry_ms_max: Longest pause between two tries.

        Returns:
            Whether it was started now.
        """
        errand = (key, name)
        if errand in self._running:
            return False
        trouble = self._trouble.get(errand)
        if trouble is not None:
            left_ms = trouble.not_before_ms - self._clock.now_ms()
            if left_ms > 0:
                self._queue.after(key, left_ms)
                return False
        task = asyncio.create_task(
            self._run(errand, make(), retry_ms_max), name=f"{key} {' '.join(name)}"
        )
        self._running[errand] = task
        return True

    def runs(self, key: Key, name: Name) -> bool:
        return (key, name) in self._running

    def error(self, key: Key, name: Name) -> StandfastError | None:
        """Why it failed the last time; none when it did not."""
        trouble = self._trouble.get((key, name))
        return trouble.error if trouble is not None else None

    def errors(self, key: Key, what: str) -> dict[Name, StandfastError]:
        """Failures of all errands of this key that do `what`."""
        return {
            name: trouble.error
            for (of, name), trouble in self._trouble.items()
            if of == key and name[0] == what
        }

    def forgive(self, key: Key, name: Name) -> None:
        """Forget that it failed: something changed, and it may be tried at once."""
        self._trouble.pop((key, name), None)

    async def drop(self, key: Key) -> None:
        """The object is gone: end what is done for it."""
        tasks = [task for (of, _), task in self._running.items() if of == key]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for errand in [errand for errand in self._trouble if errand[0] == key]:
            del self._trouble[errand]

    async def close(self) -> None:
        for key in {key for key, _ in self._running}:
            await self.drop(key)

    async def _run(
        self, errand: tuple[Key, Name], act: Coroutine[Any, Any, None], retry_ms_max: int
    ) -> None:
        key, _ = errand
        try:
            await act
        except StandfastError as error:
            self._failed(errand, error, retry_ms_max)
        except Exception as error:  # noqa: BLE001 the edge of the process: our bug, one key's
            logger(cluster=f"{key.namespace}/{key.name}").exception("Errand broke")
            self._failed(errand, TransientError(f"internal error: {error!r}"), BACK_OFF_MS_MAX)
        else:
            self._trouble.pop(errand, None)
        finally:
            self._running.pop(errand, None)
            self._queue.add(key)

    def _failed(self, errand: tuple[Key, Name], error: StandfastError, retry_ms_max: int) -> None:
        before = self._trouble.get(errand)
        failures = before.failures + 1 if before is not None else 1
        delay_ms = min(RETRY_MS_MIN << min(failures - 1, 16), retry_ms_max)
        if isinstance(error, TransientError):
            delay_ms = max(delay_ms, error.retry_after_ms)
        if isinstance(error, UserError):
            delay_ms = max(delay_ms, USER_ERROR_RETRY_MS)
        self._trouble[errand] = _Trouble(error, failures, self._clock.now_ms() + delay_ms)
        if before is None or before.error.problem != error.problem:
            logger(cluster=f"{errand[0].namespace}/{errand[0].name}").warning(
                "Errand failed", errand=" ".join(errand[1]), error=error.problem
            )
