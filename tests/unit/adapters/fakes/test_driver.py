"""The driver in memory keeps the promises of the port, and its levers do what they say."""

import asyncio

import pytest

from standfast.adapters.fakes import FakeClock, FakeDriver
from standfast.errors import TransientError
from standfast.ports.resource import Change
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched


@pytest.fixture
async def driver() -> FakeDriver:
    return FakeDriver("app", FakeClock())


class TestFakeDriver(DriverContract):
    @pytest.fixture
    async def subject(self, driver: FakeDriver) -> Subject:
        async def end() -> None:
            driver.die()

        async def begin() -> None:
            driver.appear()

        return Subject(driver, FakeClock(), end, begin)


async def test_a_held_stop_runs_out_of_time(driver: FakeDriver) -> None:
    await driver.start(None)
    driver.holds_stop = True
    with pytest.raises(TransientError, match="was not stopped within 1 ms"):
        await driver.stop(1)
    await driver.kill()


async def test_a_held_start_is_overtaken_by_a_kill(driver: FakeDriver) -> None:
    driver.holds_start = True
    start = asyncio.create_task(driver.start(None))
    await asyncio.sleep(0)
    await driver.kill()
    driver.go_on()
    with pytest.raises(TransientError, match="overtaken"):
        await start
    assert driver.calls == ["start", "kill"]


async def test_lost_sight_is_told(driver: FakeDriver) -> None:
    async with watched(driver) as events:
        driver.sight(is_there=False)
        assert (await next_event(events)).change is Change.UNWATCHED
