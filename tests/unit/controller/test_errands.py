"""Errands: by name, once at a time, with back-off, and the key is looked at when one ends."""

import asyncio

import pytest

from standfast.adapters.fakes.clock import FakeClock
from standfast.controller.errands import RETRY_MS_MIN, USER_ERROR_RETRY_MS, Errands
from standfast.controller.store import Key
from standfast.controller.workqueue import WorkQueue
from standfast.errors import StandfastError, TransientError, UserError

KEY = Key("HACluster", "ns", "orders")
NAME = ("enrol", "orders-a")


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock)
        self.errands = Errands(self.queue, self.clock)
        self.runs = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def act(self) -> None:
        self.runs += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    def want(self) -> bool:
        return self.errands.want(KEY, NAME, self.act)

    async def end(self) -> None:
        """Let it end, and take the key that it brought back."""
        self.gate.set()
        while self.errands.runs(KEY, NAME):  # noqa: ASYNC110 turns of the loop, no time
            await asyncio.sleep(0)
        assert await self.queue.get() == KEY
        self.queue.done(KEY)
        self.gate.clear()


async def test_an_errand_runs_once_however_often_it_is_wanted() -> None:
    bench = Bench()
    assert bench.want()
    assert not bench.want()
    await asyncio.sleep(0)
    assert (bench.runs, bench.errands.runs(KEY, NAME)) == (1, True)
    await bench.end()
    assert not bench.errands.runs(KEY, NAME)
    assert bench.errands.error(KEY, NAME) is None
    assert bench.want()
    await bench.end()


@pytest.mark.parametrize(
    ("error", "wait_ms"),
    [
        (TransientError("later", retry_after_ms=1), RETRY_MS_MIN),
        (TransientError("later", retry_after_ms=7_000), 7_000),
        (UserError("wrong"), USER_ERROR_RETRY_MS),
    ],
)
async def test_one_that_failed_waits_and_its_error_can_be_read(
    error: StandfastError, wait_ms: int
) -> None:
    bench = Bench()
    bench.error = error
    bench.want()
    await bench.end()
    assert bench.errands.error(KEY, NAME) is error
    assert bench.errands.errors(KEY, "enrol") == {NAME: error}
    assert not bench.want()
    bench.clock.advance(wait_ms)
    bench.error = None
    assert bench.want()
    await bench.end()
    assert bench.errands.error(KEY, NAME) is None


async def test_our_own_bug_fails_the_errand_and_nothing_else() -> None:
    bench = Bench()
    bench.error = ValueError("bug")
    bench.want()
    await bench.end()
    assert "internal error" in str(bench.errands.error(KEY, NAME))


async def test_what_was_forgiven_may_be_tried_at_once() -> None:
    bench = Bench()
    bench.error = TransientError("later", retry_after_ms=60_000)
    bench.want()
    await bench.end()
    bench.errands.forgive(KEY, NAME)
    bench.error = None
    assert bench.want()
    await bench.end()


async def test_the_errands_of_a_key_that_is_gone_end() -> None:
    bench = Bench()
    bench.want()
    await asyncio.sleep(0)
    await bench.errands.drop(KEY)
    assert not bench.errands.runs(KEY, NAME)
    await bench.errands.close()
