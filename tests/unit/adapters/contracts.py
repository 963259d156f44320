"""What the ports promise, as test classes that run over the twins and over the real things.

A subclass gives the fixtures; the promises are the same for all.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from standfast.ports.clock import Clock
from standfast.ports.journal import Journal
from standfast.ports.resource import (
    Change,
    Presence,
    ResourceDriver,
    ResourceEvent,
    Verdict,
)

LEASE_MS = 60_000
PATIENCE_S = 10


@dataclass(frozen=True)
class Subject:
    """A driver under test and what can happen to its resource from outside."""

    driver: ResourceDriver
    clock: Clock
    end_from_outside: Callable[[], Awaitable[None]]
    begin_from_outside: Callable[[], Awaitable[None]]

    def lease(self) -> int:
        return self.clock.now_ms() + LEASE_MS


@contextlib.asynccontextmanager
async def watched(driver: ResourceDriver) -> AsyncIterator[asyncio.Queue[ResourceEvent]]:
    """The events of a driver while the block runs."""
    events: asyncio.Queue[ResourceEvent] = asyncio.Queue()
    task = asyncio.create_task(driver.watch(events.put_nowait))
    await asyncio.sleep(0)  # to begin with
    for _ in range(3):
        await driver.probe()  # round trips to where events come from
    yield events
    assert not task.done(), "watch never returns by itself"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def next_event(events: asyncio.Queue[ResourceEvent]) -> ResourceEvent:
    return await asyncio.wait_for(events.get(), PATIENCE_S)


class DriverContract:
    """The obligations of `ResourceDriver`."""

    async def test_what_was_never_started_is_stopped(self, subject: Subject) -> None:
        assert (await subject.driver.probe()).presence is Presence.STOPPED
        assert (await subject.driver.check()).verdict is Verdict.GONE
        assert await subject.driver.ready() == []

    async def test_a_start_returns_when_it_is_up(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        assert (await subject.driver.probe()).presence is Presence.RUNNING
        assert (await subject.driver.check()).verdict is Verdict.UP

    async def test_a_second_start_adopts(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        async with watched(subject.driver) as events:
            await subject.driver.start(subject.lease())
            assert (await subject.driver.check()).verdict is Verdict.UP
            assert events.empty()

    async def test_what_runs_already_is_adopted(self, subject: Subject) -> None:
        await subject.begin_from_outside()
        await subject.driver.start(subject.lease())
        async with watched(subject.driver) as events:
            await subject.end_from_outside()
            assert (await next_event(events)).change is Change.DIED

    async def test_a_stop_is_verified(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        await subject.driver.stop(5000)
        assert (await subject.driver.probe()).presence is Presence.STOPPED
        assert (await subject.driver.check()).verdict is Verdict.GONE

    async def test_a_kill_is_verified(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        await subject.driver.kill()
        assert (await subject.driver.probe()).presence is Presence.STOPPED

    async def test_stopping_what_does_not_run_is_fine(self, subject: Subject) -> None:
        await subject.driver.stop(5000)
        await subject.driver.kill()
        await subject.driver.start(subject.lease())
        await subject.driver.kill()
        await subject.driver.kill()
        await subject.driver.stop(5000)
        assert (await subject.driver.probe()).presence is Presence.STOPPED

    async def test_it_runs_again_after_a_kill(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        await subject.driver.kill()
        await subject.driver.start(subject.lease())
        assert (await subject.driver.check()).verdict is Verdict.UP

    async def test_a_stranger_is_stopped_too(self, subject: Subject) -> None:
        await subject.begin_from_outside()
        assert (await subject.driver.probe()).presence is Presence.RUNNING
        await subject.driver.stop(5000)
        assert (await subject.driver.probe()).presence is Presence.STOPPED

    async def test_a_death_is_reported(self, subject: Subject) -> None:
        async with watched(subject.driver) as events:
            await subject.driver.start(subject.lease())
            await subject.end_from_outside()
            event = await next_event(events)
        assert (event.resource, event.change) == (subject.driver.name, Change.DIED)
        assert event.message
        assert (await subject.driver.check()).verdict is Verdict.GONE

    async def test_our_own_doing_is_not_reported(self, subject: Subject) -> None:
        """The first event after starts, stops and kills of ours is the death from outside."""
        async with watched(subject.driver) as events:
            for _ in range(3):
                await subject.driver.start(subject.lease())
                await subject.driver.stop(5000)
                await subject.driver.start(subject.lease())
                await subject.driver.kill()
            await subject.driver.start(subject.lease())
            subject.driver.extend(subject.lease())
            await subject.end_from_outside()
            assert (await next_event(events)).change is Change.DIED

    async def test_a_stranger_is_reported(self, subject: Subject) -> None:
        async with watched(subject.driver) as events:
            await subject.begin_from_outside()
            assert (await next_event(events)).change is Change.APPEARED

    async def test_extending_what_does_not_run_changes_nothing(self, subject: Subject) -> None:
        subject.driver.extend(subject.lease())
        assert (await subject.driver.probe()).presence is Presence.STOPPED
        await subject.driver.start(subject.lease())
        await subject.driver.stop(5000)
        subject.driver.extend(subject.lease())
        assert (await subject.driver.probe()).presence is Presence.STOPPED

    async def test_a_cancelled_start_can_be_killed(self, subject: Subject) -> None:
        start = asyncio.create_task(subject.driver.start(subject.lease()))
        await asyncio.sleep(0)
        start.cancel()
        await subject.driver.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        assert (await subject.driver.probe()).presence is Presence.STOPPED

    async def test_closing_leaves_the_resource_alone(self, subject: Subject) -> None:
        await subject.driver.start(subject.lease())
        await subject.driver.close()
        await subject.driver.close()
        assert (await subject.driver.probe()).presence is Presence.RUNNING


class JournalContract:
    """The obligations of `Journal`; `reopen` gives the journal as a new process finds it."""

    @pytest.fixture
    def reopen(self) -> Callable[[Journal], Journal]:
        raise NotImplementedError

    def test_an_empty_journal_holds_nothing(self, journal: Journal) -> None:
        assert (journal.load(), journal.generation) == (None, 0)

    def test_the_last_value_is_found_by_the_next_process(
        self, journal: Journal, reopen: Callable[[Journal], Journal]
    ) -> None:
        journal.store(b"one")
        journal.store(b"")
        journal.store(b"three")
        again = reopen(journal)
        assert (again.load(), again.generation) == (b"three", 3)
        again.store(b"four")
        last = reopen(again)
        assert (last.load(), last.generation) == (b"four", 4)
        last.close()
        last.close()
