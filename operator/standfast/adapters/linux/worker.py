"""One thread that does one kind of blocking kernel call, in order.

Netlink works inside `send`: whoever holds the kernel's lock (a driver that resets a network card,
a firewall that loads a hundred thousand rules) makes the caller wait in the kernel, where no
timeout reaches it. The event loop must not: heartbeats would stop with it. Calls given to one
worker are done first come, first served, so a removal given after an addition comes after it.

Every thread of a real-time process must be real-time too. One that is not gets no CPU on a busy
machine: what it was given waits for seconds, and worse, so does the event loop, when that thread
lost the CPU while it had Python's lock. The kernel gives new threads, as it gives children, none
of it (`SCHED_RESET_ON_FORK`).
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def as_urgent() -> None:
    """Makes the thread that calls it as urgent as the first thread of its process."""
    first = os.getpid()
    with contextlib.suppress(PermissionError):  # whoever may not, said so when the process began
        os.sched_setscheduler(0, os.sched_getscheduler(first), os.sched_getparam(first))


class Worker:
    """A thread of its own, there from the beginning: a machine out of threads does not stop it.

    Args:
        name: For people who look at the threads of the process.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix=name, initializer=as_urgent
        )
        self._executor.submit(lambda: None)

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Queue the call before the first `await`, and wait for what it returns or raises.

        Cancelling the wait takes the call back only if it has not begun.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: call(*args, **kwargs))

    def post(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a call that does not raise, and do not wait."""
        self._executor.submit(call, *args, **kwargs)

    def close(self) -> None:
        """Take no more calls. Those queued are still done; waits for none of them."""
        self._executor.shutdown(wait=False)
