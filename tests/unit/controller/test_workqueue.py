"""Each key once, never by two at a time, and later when it failed."""

import asyncio

import pytest

from standfast.adapters.fakes.clock import FakeClock
from standfast.controller.workqueue import BACK_OFF_MS_MAX, BACK_OFF_MS_MIN, WorkQueue, work
from standfast.errors import TransientError, UserError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def test_a_key_that_is_added_twice_comes_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_that_is_being_worked_on_comes_again_afterwards(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_of_several_moments_the_earliest_counts(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.after("a", 1_000)
    queue.after("a", 5_000)
    queue.after("b", 3_000)
    queue.after("b", 2_000)
    clock.advance(2_000)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    queue.done("a")
    queue.done("b")
    clock.advance(10_000)
    queue.add("c")
    assert await queue.get() == "c"


async def test_adding_a_key_takes_its_delay_away(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.after("a", 1_000)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    clock.advance(2_000)
    queue.add("b")
    assert await queue.get() == "b"


async def test_failures_in_a_row_wait_longer_and_a_success_forgets_them(
    queue: WorkQueue[str],
) -> None:
    waits = [queue.failed("a") for _ in range(14)]
    assert waits[:3] == [BACK_OFF_MS_MIN, 2 * BACK_OFF_MS_MIN, 4 * BACK_OFF_MS_MIN]
    assert waits[-1] == BACK_OFF_MS_MAX
    queue.succeeded("a")
    assert queue.failed("a") == BACK_OFF_MS_MIN
    assert queue.failed("b", 9_000) == 9_000


async def test_a_forgotten_key_leaves_nothing(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.failed("a")
    queue.forget("a")
    clock.advance(60_000)
    queue.add("b")
    assert await queue.get() == "b"
    assert queue.failed("a") == BACK_OFF_MS_MIN


@pytest.mark.parametrize(
    "error",
    [TransientError("busy", retry_after_ms=10), UserError("forbidden"), ValueError("our bug")],
)
async def test_a_pass_that_fails_ends_no_worker(queue: WorkQueue[str], error: Exception) -> None:
    seen: list[str] = []
    done = asyncio.Event()

    async def once(key: str) -> int | None:
        seen.append(key)
        if key == "bad":
            raise error
        done.set()
        return 60_000

    worker = asyncio.create_task(work(queue, once))
    queue.add("bad")
    queue.add("good")
    await asyncio.wait_for(done.wait(), 5)
    worker.cancel()
    assert seen == ["bad", "good"]
