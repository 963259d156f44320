"""A resource in memory, with levers for everything that can happen to one."""

import asyncio

from standfast.errors import StandfastError, TransientError
from standfast.ports.clock import Clock
from standfast.ports.events import Alert
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)


class FakeDriver:
    """The `ResourceDriver` port.

    Levers: `start_error` is raised by the next starts; `holds_start` and `holds_stop`, when set,
    keep a start or a graceful stop waiting until they are cleared with `go_on`; `verdict` is what
    `check` says of a running resource; `obstacles` and `alerts` are what `ready` and `concerns`
    say; `die` and `appear` happen to it from outside; `sight` breaks and mends the watch. `calls`
    lists what the agent asked, in order; `lease_until_ms` is the last moment it was given.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._watchers: list[Report] = []
        self._attempt = 0
        self._go = asyncio.Event()
        self._is_ours = False
        self.presence = Presence.STOPPED
        self.verdict = Verdict.UP
        self.start_error: StandfastError | None = None
        self.holds_start = False
        self.holds_stop = False
        self.obstacles: list[str] = []
        self.alerts: list[Alert] = []
        self.lease_until_ms: int | None = None
        self.calls: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    async def probe(self) -> ResourceState:
        return ResourceState(self.presence, f"{self._name} is {self.presence.value}")

    async def start(self, lease_until_ms: int | None) -> None:
        self.calls.append("start")
        self._attempt += 1
        attempt = self._attempt
        self.lease_until_ms = lease_until_ms
        if self.holds_start:
            await self._go.wait()
        if self.start_error is not None:
            raise self.start_error
        if attempt != self._attempt:
            raise TransientError(f"the start of {self._name} was overtaken by a stop")
        self.presence = Presence.RUNNING
        self._is_ours = True

    async def stop(self, budget_ms: int) -> None:
        self.calls.append("stop")
        self._give_up()
        if self.holds_stop and self.presence is not Presence.STOPPED:
            try:
                async with asyncio.timeout(budget_ms / 1000):
                    await self._go.wait()
            except TimeoutError as error:
                raise TransientError(
                    f"{self._name} was not stopped within {budget_ms} ms"
                ) from error
        self.presence = Presence.STOPPED

    async def kill(self) -> None:
        self.calls.append("kill")
        self._give_up()
        self.presence = Presence.STOPPED

    def extend(self, lease_until_ms: int) -> None:
        if self._is_ours:
            self.lease_until_ms = lease_until_ms

    async def watch(self, report: Report) -> None:
        self._watchers.append(report)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._watchers.remove(report)

    async def check(self) -> Health:
        verdict = self.verdict if self.presence is Presence.RUNNING else Verdict.GONE
        return Health(verdict, f"{self._name} is {verdict.value}")

    async def ready(self) -> list[str]:
        return list(self.obstacles)

    async def concerns(self) -> list[Alert]:
        return list(self.alerts)

    async def close(self) -> None:
        self.calls.append("close")

    def go_on(self) -> None:
        """Let a held start or stop finish, and those that follow."""
        self.holds_start = self.holds_stop = False
        self._go.set()

    def die(self, message: str = "it was killed") -> None:
        """It ends from outside."""
        was_ours, self._is_ours = self._is_ours, False
        self.presence = Presence.STOPPED
        if was_ours:
            self._tell(Change.DIED, message)

    def oust(self, message: str = "a later holder took it") -> None:
        """A later holder takes it."""
        self.presence = Presence.STOPPED
        self._tell(Change.OUSTED, message)

    def appear(self, message: str = "somebody started it") -> None:
        """It starts from outside."""
        self.presence = Presence.RUNNING
        if not self._is_ours:
            self._tell(Change.APPEARED, message)

    def sight(self, *, is_there: bool) -> None:
        """Lose or regain the signals."""
        self._tell(Change.WATCHED if is_there else Change.UNWATCHED, "signals")

    def _give_up(self) -> None:
        self._attempt += 1
        self._is_ours = False
        self.lease_until_ms = None

    def _tell(self, change: Change, message: str) -> None:
        for report in list(self._watchers):
            report(ResourceEvent(self._name, change, message, self._clock.now_ms()))
