"""A guard in memory, with levers for everything that can happen to one."""

import asyncio
import os
from collections.abc import Callable, Sequence

from standfast.errors import TransientError, UserError
from standfast.guard.protocol import Stage, Target
from standfast.guard.status import GuardStatus, LeaseStatus, WatchdogStatus
from standfast.ports.guard import GuardChange, GuardEvent


class FakeGuard:
    """The `Guard` port.

    Levers: `die` and `come_back` end and mend the connection; `fire` is the deadline; `left` is
    what it still sees when it is disarmed; `objection`, when set, is why it takes no plan;
    `watchdog` is its device; `weakness` is why it could act late.
    `planned`, `until_ms` and `stage` are what it knows; `calls` lists what the agent asked.
    """

    def __init__(self) -> None:
        self._watchers: list[Callable[[GuardEvent], None]] = []
        self.is_there = True
        self.planned: dict[str, tuple[Target, ...]] = {}
        self.stage = Stage.IDLE
        self.term = 0
        self.until_ms = 0
        self.left = ""
        self.objection = ""
        self.weakness = ""
        self.watchdog: WatchdogStatus | None = None
        self.calls: list[str] = []

    def extend(self, term: int, until_ms: int) -> None:
        self.calls.append(f"extend {term}")
        if not self.is_there:
            return
        if self.stage is Stage.FIRED or term < self.term:
            self._tell(GuardChange.REFUSED, f"term {term} has ended")
            return
        self.stage, self.term, self.until_ms = Stage.ARMED, term, until_ms

    async def plan(self, resource: str, targets: Sequence[Target]) -> None:
        self.calls.append(f"plan {resource}")
        if targets:
            self._must_be_there()
        if targets and self.stage is not Stage.ARMED:
            raise TransientError(f"the guard is not armed, so {resource} may not start")
        if targets and self.objection:
            raise UserError(f"the guard does not take {resource}: {self.objection}")
        if targets:
            self.planned[resource] = tuple(targets)
        else:
            self.planned.pop(resource, None)

    def strike(self, term: int) -> None:
        self.calls.append(f"strike {term}")
        if term >= self.term and self.is_there and self.stage is Stage.ARMED:
            self.fire()

    async def disarm(self, term: int) -> None:
        self.calls.append(f"disarm {term}")
        self._must_be_there()
        if term < self.term:
            return
        if self.left:
            raise TransientError(f"the guard does not disarm: {self.left}")
        self.stage, self.term = Stage.IDLE, max(self.term, term)
        self.planned.clear()

    async def status(self) -> GuardStatus:
        self._must_be_there()
        lease = LeaseStatus("fake", self.term, 0, self.stage, self.until_ms)
        return GuardStatus(
            pid=os.getpid(),
            boot="",
            protocol=1,
            started_ms=0,
            locked=not self.weakness,
            realtime=True,
            spared=True,
            watchdog=self.watchdog,
            troubles=(self.weakness,) if self.weakness else (),
            leases=(lease,),
        )

    async def watch(self, report: Callable[[GuardEvent], None]) -> None:
        self._watchers.append(report)
        try:
            if self.is_there:
                report(GuardEvent(GuardChange.BACK, "the guard answers"))
            await asyncio.get_running_loop().create_future()
        finally:
            self._watchers.remove(report)

    def die(self, *, for_good: bool = False) -> None:
        """It is gone; for good, nobody restarts it."""
        self.is_there = False
        self._tell(GuardChange.GONE, "the guard is gone")
        if for_good:
            self._tell(GuardChange.LOST, "no guard for more than 1 s")

    def come_back(self) -> None:
        """It was restarted, with all it knew."""
        self.is_there = True
        self._tell(GuardChange.BACK, "the guard answers")

    def fire(self) -> None:
        """The deadline came."""
        self.stage = Stage.FIRED
        self._tell(GuardChange.FIRED, f"the lease of term {self.term} ended")

    def leave(self) -> None:
        """It was told to stop."""
        self._tell(GuardChange.LEAVING, "the guard was told to stop")

    def _must_be_there(self) -> None:
        if not self.is_there:
            raise TransientError("the guard does not answer")

    def _tell(self, change: GuardChange, message: str) -> None:
        for report in list(self._watchers):
            report(GuardEvent(change, message))
