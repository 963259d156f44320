"""A call that hangs in the kernel stops neither the event loop nor the order of those after it."""

import asyncio
import subprocess
import sys
import threading

import pytest

from standfast.adapters.linux.worker import Worker


async def test_a_hanging_call_does_not_stop_the_loop_and_later_calls_wait_their_turn() -> None:
    worker = Worker("test")
    go_on = threading.Event()
    done: list[str] = []

    def hang() -> None:
        go_on.wait(10)
        done.append("first")

    first = asyncio.create_task(worker.do(hang))
    second = asyncio.create_task(worker.do(done.append, "second"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert done == []
    go_on.set()
    await asyncio.gather(first, second)
    assert done == ["first", "second"]
    worker.close()


async def test_a_cancelled_wait_takes_back_what_has_not_begun() -> None:
    worker = Worker("test")
    go_on, done = threading.Event(), []
    first = asyncio.create_task(worker.do(go_on.wait, 10))
    second = asyncio.create_task(worker.do(done.append, "second"))
    await asyncio.sleep(0)
    second.cancel()
    for _ in range(5):  # until the word has come through
        await asyncio.sleep(0)
    go_on.set()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await worker.do(done.append, "third")
    assert done == ["third"]
    worker.close()


async def test_what_a_call_raises_comes_back() -> None:
    worker = Worker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.do(divmod, 1, 0)
    worker.close()


URGENT = """
import os
from standfast.adapters.linux.worker import Worker
from standfast.member.process import make_punctual
early = Worker("early")
make_punctual(real_time=True)
late = Worker("late")
for worker in (early, late):
    print(worker._executor.submit(os.sched_getscheduler, 0).result() == os.sched_getscheduler(0))
print(os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
"""


@pytest.mark.root
def test_f10_a_thread_is_as_urgent_as_the_loop_it_works_for() -> None:
    """One that is not starves on a busy machine, and with it, by Python's lock, the loop."""
    done = subprocess.run(
        [sys.executable, "-c", URGENT], capture_output=True, text=True, check=True
    )
    if done.stdout.split()[-1] == "False":
        pytest.skip("this machine lends no real-time priority")
    assert done.stdout.split() == ["True", "True", "True"]
