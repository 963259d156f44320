"""A systemd unit as a resource: its death is seen by signal, its stop is verified.

Stopped means: systemd calls it inactive or failed, *and* no process is left in its control group
(a unit with `KillMode=process` leaves some). Kill means: a stop job first, so that `Restart=` does
not bring it back, then SIGKILL to all of its processes until that is true; its `ExecStop=` is cut
off with them.

With a `check` the application is asked too, by a check and at the end of a start: it is up once it
answers. How it is asked may be declared anew while it runs.
"""

import asyncio

from standfast.adapters.checks import Checker, checker
from standfast.adapters.checks.config import CheckConfig, check_of
from standfast.adapters.drivers.alarms import Alarms
from standfast.adapters.drivers.boot import settled_at_boot
from standfast.adapters.drivers.config import SystemdConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.tenure import Tenure
from standfast.adapters.drivers.unit_findings import concerns, obstacle
from standfast.errors import StandfastError, TransientError
from standfast.ports.events import Alert
from standfast.ports.resource import (
    Change,
    Health,
    Knobs,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)
from standfast.ports.units import UnitFacts, UnitProcess, UnitState

LOOK_AGAIN_AFTER_S = 0.02
WATCH_AGAIN_AFTER_S = 1.0
ASK_AGAIN_S = 0.25
NOT_ASKED = "CheckNotMade"
_RUNS = frozenset({"active", "reloading", "refreshing"})
_RESTS = frozenset({"inactive", "failed"})


class SystemdDriver:
    """The `ResourceDriver` of one unit."""

    def __init__(self, config: SystemdConfig, host: DriverHost) -> None:
        self._unit = config.unit
        self._name = config.name
        self._host = host
        self._tenure = Tenure(config.unit)
        self._checker = self._checker_of(config.check)
        self._alarms = Alarms(host.sink, config.name)

    @property
    def name(self) -> str:
        return self._name

    async def probe(self) -> ResourceState:
        try:
            state = await self._host.units.state(self._unit)
            processes = await self._host.units.processes(self._unit)
        except TransientError as error:
            return ResourceState(Presence.UNKNOWN, error.problem)
        if state.active in _RESTS and not processes:
            return ResourceState(Presence.STOPPED, f"{self._unit} is {state.active}")
        message = f"{self._unit} is {state.active} ({state.sub}) with {_count(processes)}"
        return ResourceState(Presence.RUNNING, message)

    async def start(self, lease_until_ms: int | None) -> None:
        del lease_until_ms  # the kernel does not end a unit by itself; the guard does
        attempt = self._tenure.begin()
        facts = await self._host.units.facts(self._unit)
        in_the_way = obstacle(self._unit, self.name, facts)
        if in_the_way is not None:
            raise in_the_way
        await self._host.units.forget_failures(self._unit)
        self._tenure.go_on_only_if(attempt)
        self._tenure.is_ours = True
        result = "done"
        if facts.state.active not in _RUNS:
            result = await self._host.units.start(self._unit)
            self._tenure.go_on_only_if(attempt)
        # A death from here on is a signal, one before is seen by this look.
        self._tenure.is_up = True
        facts = await self._host.units.facts(self._unit)
        self._tenure.go_on_only_if(attempt)
        if result != "done" or facts.state.active not in _RUNS:
            self._tenure.is_up = False
            raise self._not_started(result, facts)
        await self._until_it_answers(attempt, result)

    async def stop(self, budget_ms: int) -> None:
        with self._tenure.ending():
            try:
                async with asyncio.timeout(budget_ms / 1000):
                    if not await self._is_stopped():
                        await self._host.units.stop(self._unit)
                    await self._until_stopped()
            except TimeoutError as error:
                raise await self._not_stopped(budget_ms) from error

    async def kill(self) -> None:
        with self._tenure.ending():
            is_noted = False
            while not await self._killed(is_noted=is_noted):
                is_noted = True
                await asyncio.sleep(LOOK_AGAIN_AFTER_S)

    def extend(self, lease_until_ms: int) -> None:
        """Nothing in the kernel ends with the lease; the guard holds the deadline of the unit."""

    async def watch(self, report: Report) -> None:
        is_watched, is_first = True, True

        def look(state: UnitState) -> None:
            nonlocal is_watched, is_first
            if not is_watched:
                is_watched = True
                report(self._event(Change.WATCHED, f"{self._unit} is followed again"))
            if not is_first:  # what is here already is for `probe` to say
                self._judge(state, report)
            is_first = False

        while True:
            try:
                await self._host.units.follow(self._unit, look)
            except TransientError as error:
                if is_watched:
                    report(self._event(Change.UNWATCHED, error.problem))
                is_watched = is_first = False
            await asyncio.sleep(WATCH_AGAIN_AFTER_S)

    async def check(self) -> Health:
        try:
            state = await self._host.units.state(self._unit)
        except TransientError as error:
            return Health(Verdict.UNKNOWN, error.problem)
        verdict = _verdict(state)
        if verdict is Verdict.UP and self._checker is not None:
            return await self._ask(self._checker)
        return Health(verdict, f"{self._unit} is {state.active} ({state.sub})")

    def tune(self, knobs: Knobs) -> None:
        self._checker = self._checker_of(check_of(knobs))

    async def ready(self) -> list[str]:
        try:
            facts = await self._host.units.facts(self._unit)
            in_the_way = obstacle(self._unit, self.name, facts)
            if in_the_way is not None:
                return [f"{in_the_way.problem} ({in_the_way.remedy})"]
            unasked = "" if self._checker is None else await self._checker.obstacle()
            if unasked:
                return [unasked]
            return await settled_at_boot(self._host, self._unit, facts)
        except StandfastError as error:
            return [error.problem]

    async def concerns(self) -> list[Alert]:
        try:
            facts = await self._host.units.facts(self._unit)
        except TransientError:
            return []  # `ready` says so
        return concerns(self._unit, self.name, facts)

    async def close(self) -> None:
        """The connection to systemd is shared and not ours to close."""

    def _checker_of(self, check: CheckConfig | None) -> Checker | None:
        if check is None:
            return None
        return checker(self._name, check, self._host.units, self._host.program_of)

    async def _ask(self, asking: Checker) -> Health:
        """Ask the application; that it could not be asked is told, because nobody watches it."""
        health = await asking.look()
        alert = Alert(
            NOT_ASKED,
            f"whether {self._unit} answers is not known: {health.message}",
            "correct [checks] in /etc/standfast/agent.toml on this node, or spec.systemd.check of "
            f"HAResource {self.name}",
        )
        self._alarms.say([alert] if health.verdict is Verdict.UNKNOWN else [])
        return health

    async def _until_it_answers(self, attempt: int, result: str) -> None:
        """It has started when the application says so; the caller limits the time."""
        is_noted = False
        while self._checker is not None:
            health = await self._ask(self._checker)
            self._tenure.go_on_only_if(attempt)
            if health.verdict is not Verdict.DOWN:
                return
            if not is_noted:
                is_noted = True
                fields = {"resource": self.name, "error": health.message}
                self._host.sink.note("NotAnswering", "Started, and does not answer yet", fields)
            await asyncio.sleep(ASK_AGAIN_S)
            facts = await self._host.units.facts(self._unit)
            self._tenure.go_on_only_if(attempt)
            if facts.state.active not in _RUNS:
                self._tenure.is_up = False
                raise self._not_started(result, facts)

    async def _killed(self, *, is_noted: bool) -> bool:
        try:
            await self._host.units.ask_stop(self._unit)
            await self._host.units.kill(self._unit)
            return await self._is_stopped()
        except TransientError as error:
            if not is_noted:
                fields = {"resource": self.name, "error": error.problem}
                self._host.sink.note("UnitStuck", "Unit could not be killed", fields)
            return False

    async def _until_stopped(self) -> None:
        """Processes that outlive their unit end without a signal: look, and look again."""
        while True:
            if await self._is_stopped():
                return
            await asyncio.sleep(LOOK_AGAIN_AFTER_S)

    async def _is_stopped(self) -> bool:
        state = await self._host.units.state(self._unit)
        return state.active in _RESTS and not await self._host.units.processes(self._unit)

    def _not_started(self, result: str, facts: UnitFacts) -> TransientError:
        state = facts.state
        status = f", exit status {facts.exit_status}" if facts.exit_status else ""
        return TransientError(
            f"{self.name}: {self._unit} did not start: the job ended with {result!r}, the unit is "
            f"{state.active} ({state.sub}), its result {facts.result!r}{status}",
            remedy=f"journalctl -u {self._unit} -n 50",
        )

    async def _not_stopped(self, budget_ms: int) -> TransientError:
        try:
            state = await self._host.units.state(self._unit)
            left = await self._host.units.processes(self._unit)
        except TransientError as error:
            return error
        names = ", ".join(f"{process.pid} {process.command[:60]}" for process in left[:5])
        return TransientError(
            f"{self.name}: {self._unit} was not stopped within {budget_ms} ms: it is "
            f"{state.active} ({state.sub}) with {_count(left)}{': ' if names else ''}{names}",
            remedy=f"systemctl status {self._unit}",
        )

    def _judge(self, state: UnitState, report: Report) -> None:
        """Tell a change that came by itself from the echo of our own doing.

        Signals are judged in the moment they arrive, and systemd tells of a unit's change before
        it tells of the end of the job that made it: so an echo always comes while `start`, `stop`
        or `kill` still waits.
        """
        message = f"{self._unit} became {state.active} ({state.sub})"
        if self._tenure.is_up and _verdict(state) is Verdict.GONE:
            self._tenure.is_up = False
            report(self._event(Change.DIED, message))
        elif state.active in _RUNS and self._tenure.would_be_strange:
            report(self._event(Change.APPEARED, f"{message}, and we did not start it"))

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())


def _verdict(state: UnitState) -> Verdict:
    if state.active in _RUNS:
        return Verdict.UP
    if state.active in _RESTS or state.active == "deactivating" or state.sub == "auto-restart":
        return Verdict.GONE
    return Verdict.UNKNOWN


def _count(processes: list[UnitProcess]) -> str:
    return f"{len(processes)} process{'' if len(processes) == 1 else 'es'}"
