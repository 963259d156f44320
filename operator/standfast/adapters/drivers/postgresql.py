"""PostgreSQL with a copy on every node, as a resource: driver and `Replica` of one cluster.

Its parts are in `adapters.postgresql`. Two things happen at once: calls of the group (start, stop,
kill, looks), and passes that tend the copy. A call ends a pass first; a pass never begins within
a call. What may have been told to promote is marked in memory that a restart of the agent
survives: a standby that was never told survives a kill, everything else does not.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from standfast.adapters.drivers.alarms import Alarms
from standfast.adapters.drivers.boot import settled_at_boot
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.passes import Passes
from standfast.adapters.drivers.unit_findings import concerns, obstacle
from standfast.adapters.postgresql import health
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.adapters.postgresql.following import Following
from standfast.adapters.postgresql.heartbeat import Heartbeat
from standfast.adapters.postgresql.instance import IN_RECOVERY, Instance
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.leading import Leading
from standfast.adapters.postgresql.mark import Mark
from standfast.adapters.postgresql.note import Note, Notebook
from standfast.adapters.postgresql.plan import Running
from standfast.adapters.postgresql.role import PasswordFile
from standfast.adapters.postgresql.server import Postmaster, processes, tell, until_ended
from standfast.adapters.postgresql.session import LostError, StatementError
from standfast.adapters.postgresql.trust import distrust
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.events import Alert
from standfast.ports.replication import Leader, Part, Place, Replication
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)
from standfast.ports.units import AtBoot, UnitFacts

LEADING_S = 0.25
FOLLOWING_S = 0.5
PATIENCE = 3
"""So many passes in a row must fail before a person is told."""
PROMOTED_LOOK_S = 0.002
KILL_AGAIN_S = 0.02
EMPTY_S = 0.2
"""A start of the unit that has no server after this has lost it."""
STRANGER_S = 1.0
RESTART_MS = 20_000
PROBE_S = 0.8
GLANCE_S = 0.5
RECOVERING_MS_MAX = 60_000
LOST_MS_MAX = 2000
NOT_IN_RECOVERY = "55000"
TROUBLE = "ReplicationTrouble"
REFUSED = "CannotFollow"
_RECOVERING = ("starting up", "in recovery mode", "not yet accepting", "shutting down")


class PostgresqlDriver:
    """One database cluster on this node."""

    def __init__(self, config: PostgresqlConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._instance = instance = Instance(config, host.units)
        notes = Notebook(instance.account, instance.places.own)
        passwords = PasswordFile(instance.places, instance.account, notes)
        self._kit = Kit(config.name, instance, notes, passwords, host.clock, host.sink)
        self._leading = Leading(self._kit)
        self._following = Following(self._kit, self._tell)
        self._mark = Mark(config.run / f"{config.name}.promoted")
        self._passes = Passes(self._look)
        self._alarms = Alarms(host.sink, config.name)
        self._trouble = Alarms(host.sink, config.name)
        self._place: Place | None = None
        self._leader: Leader | None = None
        self._required: frozenset[str] = frozenset()
        self._replication = Replication(Part.UNKNOWN, "not looked at yet")
        self._invitation = b""
        self._attempt = 0
        self._wants_active = False
        self._active: Postmaster | None = None
        self._heartbeat: Heartbeat | None = None
        self._lost_ms: int | None = None
        self._noted = ""
        self._moved = asyncio.Event()
        self._news: Callable[[], None] = _nothing

    @property
    def name(self) -> str:
        return self._config.name

    def directories(self) -> tuple[Path, ...]:
        return (self._config.data, self._config.data / "pg_wal")

    # ---------------------------------------------------------------- what the agent tells

    def settle(self, place: Place) -> None:
        self._place = place
        self._passes.wake()

    def follow(self, leader: Leader | None) -> None:
        if leader != self._leader:
            self._leader = leader
            self._passes.wake()

    def require(self, members: frozenset[str]) -> None:
        self._required = members
        self._leading.required = members
        self._passes.wake()

    async def prepare(self) -> None:
        if self._active is not None:
            await self._leading.checkpoint()

    def invitation(self) -> bytes:
        return self._invitation if self._active is not None else b""

    def replication(self) -> Replication:
        return self._replication

    # ---------------------------------------------------------------- looks

    async def probe(self) -> ResourceState:
        try:
            async with asyncio.timeout(PROBE_S):
                running = await self._instance.running()
        except TimeoutError:
            running = Running.UNKNOWN
        match running:
            case Running.PRIMARY:
                return ResourceState(Presence.RUNNING, "the server accepts writes")
            case Running.STANDBY:
                return ResourceState(Presence.STOPPED, f"standby: {self._said}")
            case Running.NO:
                return ResourceState(Presence.STOPPED, f"no server runs: {self._said}")
            case Running.UNKNOWN:
                if await self._is_unpromoted():
                    return ResourceState(Presence.STOPPED, f"standby: {self._said}")
                return ResourceState(Presence.UNKNOWN, "the server does not say what it is")

    @property
    def _said(self) -> str:
        return self._replication.message

    async def check(self) -> Health:
        server = self._instance.postmaster()
        if server is None:
            return Health(Verdict.GONE, f"no server runs in {self._config.data}")
        session = self._instance.session(server)
        try:
            said = await session.first(IN_RECOVERY)
        except LostError as error:
            return self._judge_loss(error.problem)
        except TransientError as error:  # it is there, and mute
            return Health(Verdict.DOWN, error.problem)
        self._lost_ms = None
        if said == "t":
            return Health(Verdict.GONE, "the server is a standby")
        hindered = self._beat(server)
        return Health(Verdict.DOWN, hindered) if hindered else Health(Verdict.UP, self._said)

    def _beat(self, server: Postmaster) -> str:
        """Why it takes no write, where that is to be asked."""
        if not self._config.heartbeat_ms or self._active is None or self._place is None:
            return ""
        if self._heartbeat is None:
            make = partial(self._instance.fresh_session, server)
            node, limit_ms = self._place.me.name, self._config.heartbeat_ms
            self._heartbeat = Heartbeat(self._host.clock, make, node, limit_ms)
        return self._heartbeat.look()

    async def _end_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            await heartbeat.close()

    def _judge_loss(self, problem: str) -> Health:
        """All connections break when one process of the server crashes, and it recovers by itself.

        It says so while it does, and gets time; otherwise a connection must soon be had again.
        """
        now_ms = self._host.clock.now_ms()
        self._lost_ms = now_ms if self._lost_ms is None else self._lost_ms
        is_recovering = any(word in problem for word in _RECOVERING)
        limit_ms = RECOVERING_MS_MAX if is_recovering else LOST_MS_MAX
        verdict = Verdict.UNKNOWN if now_ms - self._lost_ms < limit_ms else Verdict.DOWN
        return Health(verdict, problem)

    async def ready(self) -> list[str]:
        try:
            found = self._distrust()
            facts = await self._host.units.facts(self._config.unit)
            at_boot = await self._at_boot(facts)
        except StandfastError as error:
            return [f"{error.problem} ({error.remedy})" if error.remedy else error.problem]
        blocked = [found, obstacle(self._config.unit, self.name, facts)]
        said = [f"{error.problem} ({error.remedy})" for error in blocked if error is not None]
        full = [room for room in health.rooms(self._config.data) if room.is_out]
        return said + at_boot + [f"the disk of {room.path} is full" for room in full]

    async def _at_boot(self, facts: UnitFacts) -> list[str]:
        """Why a server that starts with the machine keeps this node from standing."""
        start_conf = self._instance.places.settings / "start.conf"
        if not health.starts_at_boot(start_conf):
            return await settled_at_boot(self._host, self._config.unit, facts)
        alert = health.boot_alert(self._config.unit, start_conf)
        is_reported = self._host.at_boot() is AtBoot.REPORT
        return [] if is_reported else [f"{alert.message} ({alert.remedy})"]

    async def concerns(self) -> list[Alert]:
        try:
            facts = await self._host.units.facts(self._config.unit)
        except TransientError:
            return []  # `ready` says so
        found = concerns(self._config.unit, self.name, facts)
        start_conf = self._instance.places.settings / "start.conf"
        if health.starts_at_boot(start_conf):  # what makes the unit enabled, and how to end it
            found = [alert for alert in found if alert.reason != "UnitEnabled"]
            found.append(health.boot_alert(self._config.unit, start_conf))
        return found + health.disk_alerts(health.rooms(self._config.data))

    def _distrust(self) -> UserError | None:
        if self._place is None:
            return UserError(f"{self.name}: the cluster's nodes are not known yet")
        places = self._instance.places
        places.program("postgres")
        note = self._kit.notes.read()
        return distrust(self.name, places, self._instance.system(), note, self._place)

    # ---------------------------------------------------------------- start

    async def start(self, lease_until_ms: int | None) -> None:
        del lease_until_ms  # the kernel does not end a server by itself; the guard does
        with self._call():
            attempt = self._attempt
            self._wants_active = True
            await self._end_heartbeat()
            await self._passes.end()
            self._replication = Replication(Part.UNKNOWN, "becoming active")
            found = self._distrust()
            if found is not None:
                raise found
            running = await self._in_its_unit(await self._until_known())
            self._go_on_only_if(attempt)
            await self._begin_with()
            if self._active is None:
                self._leading = Leading(self._kit)
                self._leading.required = self._required
            if await self._leading.prepare(running):
                self._kit.note("Restarting", "Starting the server anew so that others can follow")
                await self._instance.halt(RESTART_MS)
                running = Running.NO
            self._go_on_only_if(attempt)
            if running is Running.NO:
                await self._instance.launch()
                running = await self._until_known()
                self._go_on_only_if(attempt)
            if running is Running.STANDBY:
                await self._promote(attempt)
            server = self._instance.postmaster()
            if server is None:
                raise TransientError(f"{self.name}: the server ended while it became active")
            self._active = server
            self._moved.set()
        self._passes.wake()

    async def _until_known(self) -> Running:
        """A server that is starting or ending gets the time it needs; the caller's is limited."""
        loop = asyncio.get_running_loop()
        empty_at = loop.time() + EMPTY_S
        while True:
            running = await self._instance.running()
            if running is not Running.UNKNOWN:
                return running
            await self._instance.sweep(is_late=loop.time() >= empty_at)
            await asyncio.sleep(KILL_AGAIN_S)

    async def _in_its_unit(self, running: Running) -> Running:
        """A server that runs beside its unit is started anew: the guard would not find it."""
        server = self._instance.postmaster()
        if server is None:
            return running
        inside = await self._host.units.processes(self._config.unit)
        if any(process.pid == server.pid for process in inside):
            return running
        self._kit.note("Restarting", "Starting the server anew, within its unit")
        await self._instance.halt(RESTART_MS)
        return Running.NO

    async def _begin_with(self) -> None:
        """These are the data of the cluster from now on."""
        assert self._place is not None, "trusted"
        note = Note(cluster=self._place.cluster, system=self._instance.system())
        await self._kit.notes.write(note)

    async def _promote(self, attempt: int) -> None:
        """Marked first; true on return: it accepts writes."""
        server = self._instance.postmaster()
        if server is None:
            raise TransientError(f"{self.name}: the standby ended before it was promoted")
        session = self._instance.session(server)
        self._mark.set(server)
        try:
            await session.do("SELECT pg_promote(false)")
        except StatementError as error:
            if error.sqlstate != NOT_IN_RECOVERY:
                raise
        while True:
            self._go_on_only_if(attempt)
            said = await session.first(IN_RECOVERY)
            if said == "f":
                return
            await asyncio.sleep(PROMOTED_LOOK_S)

    def _go_on_only_if(self, attempt: int) -> None:
        if attempt != self._attempt:
            raise TransientError(f"{self.name}: the start was overtaken by a stop")

    # ---------------------------------------------------------------- stop and kill

    async def stop(self, budget_ms: int) -> None:
        with self._call():
            was_active = self._leave()
            await self._end_heartbeat()
            await self._passes.end()
            if not was_active and await self._is_harmless():
                return
            await self._instance.halt(budget_ms)
            self._mark.clear()

    async def kill(self) -> None:
        with self._call():
            was_active = self._leave()
            await self._end_heartbeat()
            await self._passes.end()
            while was_active or not await self._is_seen_harmless():
                if await self._killed():
                    break
                await asyncio.sleep(KILL_AGAIN_S)
            if self._instance.postmaster() is None:
                self._mark.clear()

    def _leave(self) -> bool:
        """From here on the active role is over; whether it was ours."""
        was_active = self._wants_active
        self._attempt += 1
        self._wants_active = False
        self._active = None
        self._invitation = b""
        self._alarms.say(())
        self._replication = Replication(Part.UNKNOWN, "not active any more")
        self._moved.set()
        return was_active

    async def _killed(self) -> bool:
        """The processes first, wherever they are; then the unit: it must not bring them back."""
        with contextlib.suppress(TransientError):
            for pid in await asyncio.to_thread(processes, self._config.data):
                tell(pid, signal.SIGKILL)
            await self._host.units.ask_stop(self._config.unit)
            await self._host.units.kill(self._config.unit)
            return await self._instance.is_at_rest()
        return False

    async def _is_harmless(self) -> bool:
        """Whether nothing is here that writes, or could begin to by an order already given."""
        match await self._instance.running():
            case Running.NO:
                return True
            case Running.STANDBY:
                return not self._is_marked()
            case Running.PRIMARY:
                return False
            case Running.UNKNOWN:
                return await self._is_unpromoted()

    async def _is_seen_harmless(self) -> bool:
        """The same at a glance: what cannot be seen at once is not harmless."""
        try:
            async with asyncio.timeout(GLANCE_S):
                return await self._is_harmless()
        except TimeoutError:
            return False

    async def _is_unpromoted(self) -> bool:
        """A server that does not answer, but whose files say that it can only follow."""
        places = self._instance.places
        if self._instance.postmaster() is None or self._is_marked():
            return False
        if not places.signal.exists():
            return False
        with contextlib.suppress(StandfastError):
            control = await self._instance.control()
            return control is not None and control.was_standby
        return False

    def _is_marked(self) -> bool:
        """Whether the server that runs was told to promote by this run or an earlier one."""
        return self._mark.is_on(self._instance.postmaster())

    def extend(self, lease_until_ms: int) -> None:
        """Nothing in the kernel ends with the lease; the guard holds the deadline of the unit."""

    # ---------------------------------------------------------------- events

    async def watch(self, report: Report) -> None:
        is_told = False
        while True:
            self._moved.clear()
            server = self._active
            if server is not None:
                await until_ended(server.pid)
                if self._active is server:
                    self._active = None
                    self._replication = Replication(Part.DOWN, "the server ended")
                    report(self._event(Change.DIED, f"the server of {self._config.unit} ended"))
                continue
            is_stranger = await self._is_stranger()
            if is_stranger and not is_told:
                report(self._event(Change.APPEARED, "the server accepts writes, unasked"))
            is_told = is_stranger
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STRANGER_S):
                    await self._moved.wait()

    async def _is_stranger(self) -> bool:
        """Whether a server accepts writes that was not told to."""
        attempt = self._attempt
        if self._wants_active or self._passes.is_held or self._instance.postmaster() is None:
            return False
        running = await self._instance.running()
        return running is Running.PRIMARY and attempt == self._attempt

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())

    # ---------------------------------------------------------------- passes

    async def tend(self, news: Callable[[], None]) -> None:
        self._news = news
        while True:
            before = (self._replication, self._invitation)
            error = await self._passes.one()
            self._say_trouble(error)
            if (self._replication, self._invitation) != before:
                self._tell()
            usual_s = LEADING_S if self._active is not None else FOLLOWING_S
            await self._passes.rest(usual_s)

    async def _look(self) -> None:
        """One pass."""
        place = self._place
        if place is None:
            return
        if self._active is not None:
            try:
                state = await self._leading.look(place)
            except StandfastError as error:  # nobody is judged by what was seen before
                self._replication = Replication(Part.UNKNOWN, error.problem)
                raise
            self._replication, self._invitation = state.replication, state.invitation
            self._alarms.say(state.alerts)
        elif not self._wants_active:
            try:
                await self._following.look(place, self._leader)
            finally:
                self._replication = self._following.replication
            refusal = self._following.refusal
            said = [Alert(REFUSED, refusal.message, refusal.remedy)] if refusal else []
            self._alarms.say(said)

    def _tell(self) -> None:
        if not self._wants_active:
            self._replication = self._following.replication
        self._news()

    def _say_trouble(self, error: StandfastError | None) -> None:
        """What keeps failing while nothing is active here; a call of the group says its own."""
        if error is not None and error.problem != self._noted:
            self._kit.note(
                "TendingFailed", "A step for the copy did not work", error=error.problem
            )
        self._noted = "" if error is None else error.problem
        if self._wants_active or (error is not None and self._passes.failures < PATIENCE):
            return
        alert = [] if error is None else [Alert(TROUBLE, error.problem, error.remedy)]
        self._trouble.say(alert)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """No pass begins meanwhile."""
        self._attempt += 1
        with self._passes.held():
            yield

    async def close(self) -> None:
        await self._end_heartbeat()
        await self._passes.end()
        await self._leading.close()
        await self._instance.close()


def _nothing() -> None:
    """Nobody is told before `tend` begins."""
