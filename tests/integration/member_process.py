"""An agent whose resources are files: everything real but what it protects.

Started as a process of its own by `member_bed`. A resource is running while its file says so and
the moment in it has not passed, as an address that the kernel takes away; each change is a line in
one history, with the clock that all processes of a machine share.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from standfast.adapters.drivers.guarded import Plan
from standfast.adapters.fakes import FakeGuard, FakePorts
from standfast.agent.agent import Settings
from standfast.agent.allowed import DEFAULT_TEXT, parse
from standfast.agent.machine import Machine, MakeDriver
from standfast.agent.service import serve
from standfast.core.group_spec import Spec
from standfast.errors import TransientError
from standfast.ports.clock import Clock
from standfast.ports.events import Alert, EventSink
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)

LOOK_S = 0.05


class FileDriver:
    """A resource that is a file."""

    def __init__(self, name: str, clock: Clock, directory: Path) -> None:
        self._name = name
        self._clock = clock
        self._file = directory / f"{name}.json"
        self._history = directory / "history.jsonl"
        self._until_ms = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        return self._name

    def _runs(self) -> bool:
        try:
            return json.loads(self._file.read_text())["until_ms"] > self._clock.now_ms()
        except (FileNotFoundError, ValueError):
            return False

    def _write(self, what: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"until_ms": self._until_ms}))
        fresh.replace(self._file)
        self._note(what)

    def _note(self, what: str) -> None:
        line = {
            "at_ms": self._clock.now_ms(),
            "pid": os.getpid(),
            "resource": self._name,
            "what": what,
            "until_ms": self._until_ms,
        }
        with self._history.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def probe(self) -> ResourceState:
        presence = Presence.RUNNING if self._runs() else Presence.STOPPED
        return ResourceState(presence, f"{self._name} is {presence.value}")

    async def start(self, lease_until_ms: int | None) -> None:
        assert lease_until_ms is not None
        if (self._file.parent / f"{self._name}.broken").exists():
            raise TransientError(f"{self._name} is broken on this node")
        adopted = self._runs()
        self._until_ms = lease_until_ms
        self._write("adopted" if adopted else "started")

    async def stop(self, budget_ms: int) -> None:
        self._end("stopped")

    async def kill(self) -> None:
        self._end("killed")

    def _end(self, what: str) -> None:
        was = self._runs()
        self._until_ms = 0
        self._file.unlink(missing_ok=True)
        if was:
            self._note(what)

    def extend(self, lease_until_ms: int) -> None:
        if self._until_ms and self._runs():  # what is gone stays gone
            self._until_ms = lease_until_ms
            self._write("extended")

    async def watch(self, report: Report) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._until_ms and not self._runs():
                self._until_ms = 0
                now_ms = self._clock.now_ms()
                report(ResourceEvent(self._name, Change.DIED, "the file is gone", now_ms))

    async def check(self) -> Health:
        return Health(Verdict.UP if self._runs() else Verdict.DOWN, self._name)

    async def ready(self) -> list[str]:
        return []

    async def concerns(self) -> list[Alert]:
        return []

    async def close(self) -> None:
        pass


def main() -> None:
    settings = Settings.from_environment()

    def drivers(clock: Clock, sink: EventSink, plan: Plan) -> MakeDriver:
        del plan  # files end by themselves

        def make(spec: Spec) -> FileDriver:
            return FileDriver(spec.name, clock, settings.state.parent / "things")

        return make

    guard = FakeGuard()
    allowed = parse(DEFAULT_TEXT)
    serve(settings, Machine(drivers, lambda member: guard, FakePorts, lambda: allowed))


if __name__ == "__main__":
    sys.exit(main())
