"""One database cluster on this machine: its files, its server, its unit.

Starts and stops happen through the unit, so that systemd knows the processes and the guard can
take them away; they are *seen* by the server's own note and by its process, because a unit of
Debian's reports a start a second late.
"""

import asyncio
import contextlib
import signal
import struct
from pathlib import Path

from standfast.adapters.postgresql.account import Account
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.adapters.postgresql.control import Control, read_control
from standfast.adapters.postgresql.places import INCLUDE, Places, places_of
from standfast.adapters.postgresql.plan import Running
from standfast.adapters.postgresql.server import (
    Postmaster,
    postmaster,
    processes,
    tell,
    until_ended,
    until_ready,
)
from standfast.adapters.postgresql.session import Session
from standfast.adapters.postgresql.settings import Wanted, with_block
from standfast.adapters.postgresql.wal import History, read_history
from standfast.errors import StandfastError, TransientError
from standfast.ports.units import Units

IN_RECOVERY = "SELECT pg_is_in_recovery()"
FAST_SHARE = 0.75
"""Of a stop's budget: for the fast shutdown; the rest is for the immediate one."""
LOOK_AGAIN_S = 0.02
_NUMBER = struct.Struct("=Q")
_AT_REST = frozenset({"inactive", "failed"})


class Instance:
    """What can be seen of it and done with it; decides nothing."""

    def __init__(self, config: PostgresqlConfig, units: Units) -> None:
        self.places: Places = places_of(config.unit, config.data, config.settings)
        self.account = Account(config.user)
        self._config = config
        self._units = units
        self._session: Session | None = None
        self._session_of = ""

    # ---------------------------------------------------------------- what is there

    def postmaster(self) -> Postmaster | None:
        return postmaster(self.places.data)

    async def running(self) -> Running:
        """What the server is; never raises."""
        server = self.postmaster()
        if server is None:
            return await self._without_server()
        if not server.is_ready:
            return Running.UNKNOWN
        try:
            said = await self.session(server).first(IN_RECOVERY)
        except StandfastError:
            return Running.UNKNOWN
        return Running.STANDBY if said == "t" else Running.PRIMARY

    async def _without_server(self) -> Running:
        """No server is not yet nothing: one may be on its way, or its children may be left."""
        try:
            state = await self._units.state(self.places.unit)
        except TransientError:
            return Running.UNKNOWN
        left = await asyncio.to_thread(processes, self.places.data)
        return Running.UNKNOWN if left or state.active not in _AT_REST else Running.NO

    def session(self, server: Postmaster | None = None) -> Session:
        """The connection to the server that runs now.

        Raises:
            TransientError: None runs.
        """
        server = server or self.postmaster()
        if server is None:
            raise TransientError(f"no server runs in {self.places.data}")
        if self._session is None or self._session_of != server.mark:
            self._session = self.fresh_session(server)
            self._session_of = server.mark
        return self._session

    def fresh_session(self, server: Postmaster) -> Session:
        """A connection that nobody else uses; to be closed."""
        psql = self.places.program("psql")
        return Session(self.account, psql, server.socket, server.port)

    async def control(self) -> Control | None:
        """Its control file; None when there are no data.

        Raises:
            TransientError: There are, and they do not read.
        """
        if not (self.places.data / "global" / "pg_control").exists():
            return None
        program = self.places.program("pg_controldata")
        done = await self.account.run([str(program), "-D", str(self.places.data)])
        if done.status != 0:
            raise TransientError(f"pg_controldata cannot read {self.places.data}: {done.said}")
        return read_control(done.out)

    def system(self) -> str:
        """Identity of the data: the first number of its control file; "" when there are none."""
        try:
            with (self.places.data / "global" / "pg_control").open("rb") as file:
                number = file.read(_NUMBER.size)
        except FileNotFoundError:
            return ""
        return str(_NUMBER.unpack(number)[0]) if len(number) == _NUMBER.size else ""

    def history(self, timeline: int) -> History:
        """The history of a timeline that this copy is on.

        Raises:
            TransientError: Its file is not there, or does not read.
        """
        if timeline == 1:
            return History(1)
        path = self.places.data / "pg_wal" / f"{timeline:08X}.history"
        try:
            return read_history(timeline, path.read_text())
        except (OSError, ValueError) as error:
            raise TransientError(
                f"the history of timeline {timeline} is not to be had: {error}"
            ) from error

    # ---------------------------------------------------------------- settings

    async def write_settings(self, wanted: Wanted) -> bool:
        """Bring our file of settings to this text; whether it changed."""
        text = wanted.text()
        changed = _read(self.places.included) != text
        if changed:
            await self.account.write(self.places.included, text)
        if self.places.included.parent == self.places.settings:
            conf = self.places.conf.read_text()
            if INCLUDE not in conf:
                added = f"{conf}\n# Added by the Standfast agent\n{INCLUDE}\n"
                await self.account.write(self.places.conf, added)
                changed = True
        return changed

    async def write_hba(self, block: str) -> bool:
        """Put our block into pg_hba.conf; whether that changed it."""
        path = self.places.settings / "pg_hba.conf"
        before = _read(path)
        if before is None:
            raise TransientError(f"there is no {path}", remedy="correct the HAResource")
        after = with_block(before, block)
        if after != before:
            await self.account.write(path, after, 0o640)
        return after != before

    async def reload(self) -> None:
        """Let a running server read its settings again."""
        server = self.postmaster()
        if server is not None:
            tell(server.pid, signal.SIGHUP)

    # ---------------------------------------------------------------- start and stop

    async def launch(self) -> Postmaster:
        """Start the server; true on return: it takes connections, for reading at least.

        Raises:
            TransientError: It ended, or its unit did not start it.
        """
        unit = self.places.unit
        state = await self._units.state(unit)
        if state.active not in _AT_REST:  # of an earlier run of which nothing is left
            await self._units.stop(unit)
        await self._units.forget_failures(unit)
        job = asyncio.create_task(self._units.start(unit))
        ready = asyncio.create_task(until_ready(self.places.data))
        try:
            await asyncio.wait({job, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await self._started(job.result())
                await self._ready_or_gone(ready)
            return ready.result()
        finally:
            for task in (job, ready):
                task.cancel()  # a job goes on in the service manager
            await asyncio.wait({job, ready})

    async def _started(self, result: str) -> None:
        if result != "done":
            facts = await self._units.facts(self.places.unit)
            raise TransientError(
                f"{self.places.unit} did not start: the job ended with {result!r}, the unit is "
                f"{facts.state.active} ({facts.state.sub}), its result {facts.result!r}",
                remedy=f"journalctl -u {self.places.unit} -n 50",
            )

    async def _ready_or_gone(self, ready: "asyncio.Task[Postmaster]") -> None:
        """The unit runs; the server may take long to recover, or end."""
        while not ready.done():
            if self.postmaster() is None:
                raise TransientError(
                    f"the server of {self.places.unit} ended before it took connections",
                    remedy=f"journalctl -u {self.places.unit} -n 50, and the server's own log",
                )
            await asyncio.wait({ready}, timeout=LOOK_AGAIN_S)

    async def sweep(self, *, is_late: bool) -> None:
        """End what the unit still does for a server that is gone, and that keeps a new one out.

        Debian's runs its stop once more after a crash, and waits for seconds for a server that
        was killed while it started.

        Args:
            is_late: A server that was on its way would be here by now.
        """
        unit = self.places.unit
        if self.postmaster() is not None:
            return
        state = await self._units.state(unit)
        if state.active == "deactivating":
            await self._units.kill(unit)
        elif is_late and state.active == "activating":
            left = await asyncio.to_thread(processes, self.places.data)
            if not left:
                await self._units.stop(unit)

    async def halt(self, budget_ms: int) -> None:
        """Stop the server: fast, then immediately; true on return: nothing of it is left.

        Raises:
            TransientError: Something is left when the budget is over.
        """
        deadline = asyncio.get_running_loop().time() + budget_ms / 1000
        await self.close()
        server = self.postmaster()
        if server is not None:
            for number, share in ((signal.SIGINT, FAST_SHARE), (signal.SIGQUIT, 1.0)):
                tell(server.pid, number)
                limit_s = deadline - (1 - share) * budget_ms / 1000
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(limit_s):
                        await until_ended(server.pid)
                        break
        try:
            async with asyncio.timeout_at(deadline):
                await self._until_at_rest()
        except TimeoutError as late:
            left = await asyncio.to_thread(processes, self.places.data)
            raise TransientError(
                f"{self.places.unit} was not stopped within {budget_ms} ms: processes "
                f"{', '.join(map(str, left[:5])) or 'of its unit'} are left",
                remedy=f"systemctl status {self.places.unit}",
            ) from late

    async def _until_at_rest(self) -> None:
        unit = self.places.unit
        state = await self._units.state(unit)
        if state.active not in _AT_REST and state.active != "deactivating":
            await self._units.stop(unit)
        while True:
            if await self.is_at_rest():
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def is_at_rest(self) -> bool:
        """Whether the unit is down and no process of the server is left anywhere."""
        state = await self._units.state(self.places.unit)
        if state.active not in _AT_REST or await self._units.processes(self.places.unit):
            return False
        return not await asyncio.to_thread(processes, self.places.data)

    async def close(self) -> None:
        """Let go of the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
