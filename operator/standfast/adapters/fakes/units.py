"""A service manager in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from standfast.errors import TransientError
from standfast.ports.units import UnitFacts, UnitProcess, UnitState

_Follower = tuple[str, Callable[[UnitState], None], asyncio.Future[None]]
_NOT_FOUND = UnitFacts(
    state=UnitState("inactive", "dead"),
    load="not-found",
    load_error="",
    file="",
    kind="",
    restart="",
    remains=False,
    triggered_by=(),
    result="success",
    exit_status=0,
)
_PLAIN = replace(_NOT_FOUND, load="loaded", file="disabled", kind="simple", restart="no")


@dataclass(slots=True)
class FakeUnit:
    """One unit and how it behaves.

    Args:
        facts: As `systemctl show` would tell.
        fails_to_start: The start job ends with `failed`.
        ignores_stop: The stop job does not end by itself.
        leaves_behind: Processes that a graceful stop does not take (`KillMode=process`).
    """

    facts: UnitFacts = _PLAIN
    fails_to_start: bool = False
    ignores_stop: bool = False
    leaves_behind: int = 0
    processes: list[UnitProcess] = field(default_factory=list)


class FakeUnits:
    """The `Units` port over a dictionary of units.

    Levers: `units` itself; `die` and `start_by_hand` happen from outside; `is_reachable` and
    `lose_connection` are the service manager's own failures.
    """

    def __init__(self, **units: FakeUnit) -> None:
        self.units = {f"{name}.service": unit for name, unit in units.items()}
        self.is_reachable = True
        self._followers: list[_Follower] = []
        self._next_pid = 100
        self._stopping: dict[str, asyncio.Event] = {}

    async def state(self, unit: str) -> UnitState:
        return (await self.facts(unit)).state

    async def facts(self, unit: str) -> UnitFacts:
        self._reach()
        found = self.units.get(unit)
        return _NOT_FOUND if found is None else found.facts

    async def processes(self, unit: str) -> list[UnitProcess]:
        self._reach()
        found = self.units.get(unit)
        return [] if found is None else list(found.processes)

    async def disable(self, unit: str) -> None:
        self._reach()
        found = self.units[unit]
        found.facts = replace(found.facts, file="disabled")

    async def forget_failures(self, unit: str) -> None:
        del unit
        self._reach()

    async def start(self, unit: str) -> str:
        self._reach()
        found = self.units[unit]
        self._change(unit, "activating", "start")
        await asyncio.sleep(0)
        if found.facts.state.active != "activating":
            return "canceled"
        if found.fails_to_start:
            found.facts = replace(found.facts, result="exit-code", exit_status=1)
            self._change(unit, "failed", "failed")
            return "failed"
        self._run(unit)
        return "done"

    async def stop(self, unit: str) -> str:
        await self.ask_stop(unit)
        if unit in self._stopping:
            await self._stopping[unit].wait()
        return "done"

    async def ask_stop(self, unit: str) -> None:
        self._reach()
        found = self.units.get(unit)
        if found is None or found.facts.state.active in {"inactive", "failed"}:
            return
        self._change(unit, "deactivating", "stop-sigterm")
        if found.ignores_stop:
            self._stopping.setdefault(unit, asyncio.Event())
            return
        del found.processes[found.leaves_behind :]
        self._change(unit, "inactive", "dead")

    async def kill(self, unit: str) -> None:
        self._reach()
        if unit in self.units:
            self._end(unit, "inactive" if unit in self._stopping else "failed")

    async def follow(self, unit: str, report: Callable[[UnitState], None]) -> None:
        report(await self.state(unit))
        loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (unit, report, loss)
        self._followers.append(entry)
        try:
            await loss
        finally:
            self._followers.remove(entry)

    def die(self, unit: str) -> None:
        """Its main process is killed from outside."""
        self._end(unit, "failed")

    def start_by_hand(self, unit: str) -> None:
        self._run(unit)

    def lose_connection(self) -> None:
        for _, _, loss in self._followers:
            loss.set_exception(
                TransientError("systemd does not answer over D-Bus: the connection was closed")
            )

    def _reach(self) -> None:
        if not self.is_reachable:
            raise TransientError("systemd does not answer over D-Bus: connection refused")

    def _run(self, unit: str) -> None:
        found = self.units[unit]
        self._next_pid += 1
        found.processes.append(UnitProcess(self._next_pid, f"/usr/bin/{unit}"))
        self._change(unit, "active", "running")

    def _end(self, unit: str, active: str) -> None:
        found = self.units[unit]
        if found.facts.state.active in {"inactive", "failed"} and not found.processes:
            return
        found.processes.clear()
        self._change(unit, active, "dead" if active == "inactive" else "failed")
        if unit in self._stopping:
            self._stopping.pop(unit).set()

    def _change(self, unit: str, active: str, sub: str) -> None:
        found = self.units[unit]
        state = UnitState(active, sub)
        if state == found.facts.state:
            return
        found.facts = replace(found.facts, state=state)
        for followed, report, _ in list(self._followers):
            if followed == unit:
                report(state)
