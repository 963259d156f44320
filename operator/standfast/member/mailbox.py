"""The one mailbox of a process: what happened, in order, one thing at a time.

An act is one event together with whom it goes to. While it runs nothing else does: no act contains
an `await`, so that between reading a state and having stored and performed the result nobody else
can change it. What takes time becomes a task whose outcome comes back as an act.
"""

import asyncio
from collections.abc import Callable, Coroutine

Act = Callable[[], None]


class Mailbox:
    """Acts wait here; `daemon.Daemon.run` takes them out."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Act] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, act: Act) -> None:
        """Let it happen after everything that waits already."""
        self._queue.put_nowait(act)

    def fail(self, error: Exception) -> None:
        """Let the loop end with this error, after everything that waits already."""

        def end() -> None:
            raise error

        self.put(end)

    async def get(self) -> Act:
        return await self._queue.get()

    def start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Begin something that takes time; a fault of ours in it ends the process.

        It is put in the mailbox, so that the loop raises it: systemd and the lease take over.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel everything that was started and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.put(lambda: _raise(task))


def _raise(task: "asyncio.Task[None]") -> None:
    task.result()
