"""A call that hangs in the kernel stops neither the event loop nor the order of those after it."""

import asyncio
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
