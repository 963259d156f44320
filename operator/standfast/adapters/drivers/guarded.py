"""A driver under the guard's care: what it starts is planned first, and dropped once stopped.

Wraps the driver of any type; the agent sees one driver. A resource whose targets the guard has not
taken does not start. A resource that runs without the lease (a standby role) is not planned.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from standfast.ports.events import Alert
from standfast.ports.guard import Target
from standfast.ports.replication import Replica
from standfast.ports.resource import (
    Excluding,
    Foreseeing,
    Health,
    Knobs,
    Report,
    ResourceDriver,
    ResourceState,
    Storing,
    Tunable,
)

Plan = Callable[[str, Sequence[Target]], Awaitable[None]]
"""`Guard.plan`."""

Targets = Callable[[], Awaitable[Sequence[Target]]]
"""What of the resource may not outlive the lease; asked at every start."""


class GuardedDriver:
    """The `ResourceDriver` of one resource, guarded."""

    def __init__(self, driver: ResourceDriver, plan: Plan, targets: Targets) -> None:
        self._driver = driver
        self.replica = replica_of(driver)
        self.excluder = excluder_of(driver)
        self._plan = plan
        self._targets = targets

    @property
    def name(self) -> str:
        return self._driver.name

    async def probe(self) -> ResourceState:
        return await self._driver.probe()

    async def start(self, lease_until_ms: int | None) -> None:
        if lease_until_ms is not None:
            await self._plan(self.name, await self._targets())
        await self._driver.start(lease_until_ms)

    def foresee(self) -> None:
        if isinstance(self._driver, Foreseeing):
            self._driver.foresee()

    def directories(self) -> tuple[Path, ...]:
        return self._driver.directories() if isinstance(self._driver, Storing) else ()

    def tune(self, knobs: Knobs) -> None:
        if isinstance(self._driver, Tunable):
            self._driver.tune(knobs)

    async def stop(self, budget_ms: int) -> None:
        await self._driver.stop(budget_ms)
        await self._plan(self.name, ())

    async def kill(self) -> None:
        await self._driver.kill()
        await self._plan(self.name, ())

    def extend(self, lease_until_ms: int) -> None:
        self._driver.extend(lease_until_ms)

    async def watch(self, report: Report) -> None:
        await self._driver.watch(report)

    async def check(self) -> Health:
        return await self._driver.check()

    async def ready(self) -> list[str]:
        return await self._driver.ready()

    async def concerns(self) -> list[Alert]:
        return await self._driver.concerns()

    async def close(self) -> None:
        await self._driver.close()


def excluder_of(driver: ResourceDriver) -> Excluding | None:
    """The part of this driver that keeps others out of a disk; none when it has none."""
    if isinstance(driver, GuardedDriver):
        return driver.excluder
    return driver if isinstance(driver, Excluding) else None


def replica_of(driver: ResourceDriver) -> Replica | None:
    """The copy that this driver keeps; None when its resource has none."""
    if isinstance(driver, GuardedDriver):
        return driver.replica
    return driver if isinstance(driver, Replica) else None
