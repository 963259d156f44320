"""A driver under guard: planned before it starts, dropped after it stopped."""

from collections.abc import Sequence

import pytest

from standfast.adapters.drivers.guarded import GuardedDriver
from standfast.adapters.fakes import FakeClock, FakeDriver, FakeGuard
from standfast.errors import TransientError, UserError
from standfast.ports.guard import MountTarget, Target
from standfast.ports.resource import Presence

TARGETS = (MountTarget("/srv/data"),)


class Bed:
    def __init__(self) -> None:
        self.guard = FakeGuard()
        self.inner = FakeDriver("data", FakeClock())
        self.driver = GuardedDriver(self.inner, self.guard.plan, self.targets)

    async def targets(self) -> Sequence[Target]:
        assert "start" not in self.inner.calls, "asked before it starts"
        return TARGETS


@pytest.fixture
def bed() -> Bed:
    found = Bed()
    found.guard.extend(1, 1_000_500)
    return found


async def test_it_is_planned_before_it_starts(bed: Bed) -> None:
    await bed.driver.start(1_000_500)
    assert bed.guard.planned == {"data": TARGETS}
    assert bed.inner.presence is Presence.RUNNING
    assert bed.guard.calls == ["extend 1", "plan data"]


async def test_it_is_dropped_after_it_stopped(bed: Bed) -> None:
    await bed.driver.start(1_000_500)
    await bed.driver.stop(1000)
    assert bed.guard.planned == {}
    await bed.driver.kill()
    assert bed.guard.planned == {}


async def test_without_a_guard_nothing_starts(bed: Bed) -> None:
    bed.guard.die()
    with pytest.raises(TransientError, match="the guard does not answer"):
        await bed.driver.start(1_000_500)
    assert bed.inner.calls == []


async def test_what_the_guard_refuses_does_not_start(bed: Bed) -> None:
    bed.guard.objection = "/srv/data belongs to the system"
    with pytest.raises(UserError, match="belongs to the system"):
        await bed.driver.start(1_000_500)
    assert bed.inner.calls == []


async def test_an_unarmed_guard_guards_nothing() -> None:
    bed = Bed()
    with pytest.raises(TransientError, match="not armed"):
        await bed.driver.start(1_000_500)
    assert bed.inner.calls == []


async def test_what_runs_without_the_lease_is_not_planned() -> None:
    bed = Bed()
    await bed.driver.start(None)
    assert bed.inner.presence is Presence.RUNNING
    assert bed.guard.calls == []


async def test_a_stop_does_not_need_the_guard(bed: Bed) -> None:
    await bed.driver.start(1_000_500)
    bed.guard.die()
    await bed.driver.stop(1000)
    assert bed.inner.presence is Presence.STOPPED


async def test_a_stop_that_fails_leaves_the_plan(bed: Bed) -> None:
    await bed.driver.start(1_000_500)
    bed.inner.holds_stop = True
    with pytest.raises(TransientError, match="was not stopped"):
        await bed.driver.stop(1)
    assert bed.guard.planned == {"data": TARGETS}


async def test_everything_else_is_the_drivers(bed: Bed) -> None:
    await bed.driver.start(1_000_500)
    bed.driver.extend(1_000_900)
    assert bed.inner.lease_until_ms == 1_000_900
    assert (await bed.driver.probe()).presence is Presence.RUNNING
    assert (await bed.driver.check()).message == "data is Up"
    assert await bed.driver.ready() == []
    assert await bed.driver.concerns() == []
    await bed.driver.close()
    assert bed.inner.calls == ["start", "close"]
