"""Real PostgreSQL clusters on this machine for the driver's tests, each a node of its own.

Every node is a data directory with a port on the loopback; what systemd does for a unit is done
here by `pg_ctl`, so that the driver itself is the same as in a VM.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

import psycopg

from standfast.adapters.drivers import DriverHost
from standfast.adapters.drivers.postgresql import PostgresqlDriver
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeWire, RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.adapters.postgresql.server import postmaster, processes
from standfast.ports.replication import Leader, Neighbour, Part, Place, Replication
from standfast.ports.units import UnitFacts, UnitProcess, UnitState

VERSION = int(os.environ.get("STANDFAST_POSTGRESQL", "15"))
"""Major version to test with; its programs where Debian has them."""
BIN = Path(f"/usr/lib/postgresql/{VERSION}/bin")
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env")
CLUSTER = "5d1d7b1e-0000-4000-8000-000000000001"
PATIENCE_S = 30.0
HBA = "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n"
WATCH_S = 0.01
NO_DISKS: Mapping[str, int] = {}


def as_postgres(*argv: str | Path) -> None:
    """Runs a program as the database's user."""
    command = [*AS_POSTGRES, "--", *map(str, argv)]
    subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60)


class PgCtlUnits:
    """The `Units` port for one data directory.

    `waits`: the job of a start goes on without a server, as Debian's does, until it is stopped.
    """

    def __init__(self, data: Path, options: str) -> None:
        self.waits = False
        self._data = data
        self._options = options

    async def state(self, unit: str) -> UnitState:
        if postmaster(self._data) is None and self.waits:
            return UnitState("activating", "start")
        if postmaster(self._data) is None:
            return UnitState("inactive", "dead")
        return UnitState("active", "running")

    async def facts(self, unit: str) -> UnitFacts:
        return UnitFacts(
            state=await self.state(unit), load="loaded", load_error="", file="disabled",
            kind="forking", restart="no", remains=False, triggered_by=(), result="success",
            exit_status=0,
        )  # fmt: skip

    async def processes(self, unit: str) -> list[UnitProcess]:
        return [UnitProcess(pid, "postgres") for pid in processes(self._data)]

    async def forget_failures(self, unit: str) -> None:
        """There is no limit."""

    async def start(self, unit: str) -> str:
        log = self._data.parent / "log"
        command = [
            *(*AS_POSTGRES, "--", BIN / "pg_ctl", "-W", "-D", self._data, "-l", log),
            *("-o", self._options, "start"),
        ]
        await self._until_reaped()
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=asyncio.subprocess.DEVNULL, cwd="/"
        )
        status = await process.wait()
        deadline = time.monotonic() + 5
        while status == 0 and time.monotonic() < deadline:
            if postmaster(self._data) is not None:  # as systemd waits for the unit's PIDFile
                return "done"
            await asyncio.sleep(WATCH_S)
        return "failed"

    async def _until_reaped(self) -> None:
        """A dead server counts as running until its parent has heard of it; systemd is quick."""
        note = self._data / "postmaster.pid"
        while note.exists():
            pid = int(note.read_text().partition("\n")[0])
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            if postmaster(self._data) is not None:
                return
            await asyncio.sleep(WATCH_S)

    async def stop(self, unit: str) -> str:
        self.waits = False
        server = postmaster(self._data)
        if server is not None:
            os.kill(server.pid, signal.SIGINT)
        while processes(self._data):  # noqa: ASYNC110 -- a process' end has no event here
            await asyncio.sleep(WATCH_S)
        return "done"

    async def ask_stop(self, unit: str) -> None:
        """`kill` follows."""

    async def kill(self, unit: str) -> None:
        for pid in processes(self._data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def follow(self, unit: str, report: Callable[[UnitState], None]) -> None:
        raise NotImplementedError


@dataclass
class PgNode:
    """One node: its data directory, its driver, and the passes that tend it."""

    name: str
    root: Path
    port: int
    sink: RecordingSink = field(default_factory=RecordingSink)
    driver: PostgresqlDriver = field(init=False)
    tending: asyncio.Task[None] | None = None
    others: tuple["PgNode", ...] = ()
    followers: tuple["PgNode", ...] = ()
    begins: bool = False
    all_in_one: bool = False
    heartbeat_ms: int = 0

    def __post_init__(self) -> None:
        self.make_driver()

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def settings(self) -> Path:
        return self.data if self.all_in_one else self.root / "settings"

    @property
    def options(self) -> str:
        """What its unit gives to the server."""
        own = f"-p {self.port} -k {self.root}" if self.all_in_one else ""
        return f"-c config_file={self.settings}/postgresql.conf {own}"

    @property
    def neighbour(self) -> Neighbour:
        return Neighbour(f"uid-{self.name}", self.name, ("127.0.0.1",))

    def make_driver(self) -> None:
        """What a restarted agent does."""
        clock = FakeClock()
        machine = FakeMachine(clock, FakeWire(), ip_interface("127.0.0.1/8"))
        host = DriverHost(
            BootClock(),
            self.sink,
            machine,
            machine,
            machine,
            machine,
            PgCtlUnits(self.data, self.options),
        )
        config = PostgresqlConfig(
            "pg",
            f"postgresql@{VERSION}-main.service",
            self.data,
            self.settings,
            run=self.root / "run",
            heartbeat_ms=self.heartbeat_ms,
        )
        self.driver = PostgresqlDriver(config, host)

    def init(self) -> None:
        """A database cluster as initdb makes it, where there is none."""
        as_postgres(
            BIN / "initdb", "-D", self.data, "--auth-local=peer", "--auth-host=scram-sha-256",
            "--no-sync", "-E", "UTF8", "--no-locale",
        )  # fmt: skip

    def configure(self) -> None:
        """What the owner has in his own settings, in Debian's layout."""
        (self.settings / "conf.d").mkdir(parents=True)
        (self.settings / "postgresql.conf").write_text(
            f"data_directory = '{self.data}'\nhba_file = '{self.settings}/pg_hba.conf'\n"
            f"ident_file = '{self.settings}/pg_ident.conf'\n"
            f"port = {self.port}\nunix_socket_directories = '{self.root}'\n"
            "password_encryption = scram-sha-256\nshared_buffers = 16MB\nmax_wal_size = 256MB\n"
            "include_dir = 'conf.d'\n"
        )
        (self.settings / "pg_hba.conf").write_text(HBA)
        (self.settings / "pg_ident.conf").touch()
        for path in (self.settings, *self.settings.rglob("*")):
            shutil.chown(path, "postgres", "postgres")

    def tend(self) -> None:
        """Let the driver look after the copy, as the agent does."""
        others = tuple(node.neighbour for node in self.others)
        self.driver.settle(Place(CLUSTER, self.neighbour, others, self.begins))
        self.tending = asyncio.create_task(self.driver.tend(self._tell))

    async def forget(self) -> None:
        """The agent dies; the server goes on."""
        if self.tending is not None:
            self.tending.cancel()
            await asyncio.wait({self.tending})
        await self.driver.close()

    async def restart_agent(self) -> None:
        await self.forget()
        self.make_driver()
        self.tend()

    async def start(self, required: frozenset[str] = frozenset()) -> None:
        self.driver.follow(None)
        self.driver.require(required)
        await asyncio.wait_for(self.driver.start(None), PATIENCE_S)

    async def until(self, what: Callable[[Replication], bool]) -> Replication:
        """Waits until the driver shows something."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not what(self.driver.replication()):
                    assert self.tending is None or not self.tending.done(), self.tending
                    await asyncio.sleep(WATCH_S)
        except TimeoutError:
            notes = "\n".join(map(str, self.sink.notes[-10:]))
            raise AssertionError(
                f"{self.name}: {self.driver.replication()}\n{notes}\n{self.sink.alerts}\n"
                f"{self.log[-3000:]}"
            ) from None
        return self.driver.replication()

    async def until_invites(self) -> None:
        await self.until(lambda _: bool(self.driver.invitation()))

    async def until_follows(self) -> Replication:
        return await self.until(
            lambda r: r.part is Part.STANDBY and r.lag_bytes is not None and r.lag_bytes == 0
        )

    def lead(self, *followers: "PgNode") -> None:
        """Tells the others what this one says to those that follow it, from now on."""
        self.followers = followers
        for node in followers:
            node.followers = ()
        self._tell()

    def _tell(self) -> None:
        leader = Leader(self.neighbour, self.driver.invitation())
        for node in self.followers:
            node.driver.follow(leader)

    @property
    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname=postgres user=app password=app"

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement as the superuser, outside of the driver."""
        argv = ["psql", "-XAtq", "-h", self.root, "-p", str(self.port), "-c", statement]
        done = subprocess.run(
            [*AS_POSTGRES, "--", *map(str, argv)], check=True, capture_output=True, cwd="/",
            text=True, timeout=30,
        )  # fmt: skip
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def value(self, statement: str) -> str:
        (row,) = self.sql(statement)
        return str(row[0])

    @contextlib.contextmanager
    def stunned(self) -> Iterator[None]:
        """Holds the whole server up, as a hypervisor does that takes an image.

        The postmaster is first, so nothing new begins; what was about to end may end meanwhile.
        """
        server = postmaster(self.data)
        assert server is not None, f"no server works in {self.data}, so none can be held up"
        os.kill(server.pid, signal.SIGSTOP)
        held = processes(self.data)
        try:
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def power_off(self) -> None:
        """Kills everything of the server at once."""
        while left := processes(self.data):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(WATCH_S)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _mount(root: Path, size_bytes: int) -> None:
    options = f"size={size_bytes},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "disk", root], check=True)


def _unmount(root: Path) -> None:
    subprocess.run(["umount", root], check=True)


@contextlib.asynccontextmanager
async def nodes(
    *names: str, all_in_one: bool = False, disks: Mapping[str, int] = NO_DISKS
) -> AsyncIterator[list[PgNode]]:
    """Nodes without data, tended; the first one is the one to begin with.

    Args:
        names: Of the nodes.
        all_in_one: Settings among the data.
        disks: Nodes that have a disk of their own, of so many bytes.
    """
    base = Path(tempfile.mkdtemp(prefix="standfast-pg-", dir="/dev/shm"))
    os.chmod(base, 0o755)  # noqa: PTH101 -- once, before anything runs
    made: list[PgNode] = []
    try:
        for name in names:
            root = base / name
            root.mkdir(mode=0o755)
            if name in disks:
                _mount(root, disks[name])
            shutil.chown(root, "postgres", "postgres")
            begins = not made
            made.append(PgNode(name, root, free_port(), begins=begins, all_in_one=all_in_one))
            if not all_in_one:
                made[-1].configure()
        for node in made:
            node.others = tuple(other for other in made if other is not node)
        yield made
    finally:
        for node in made:
            await node.forget()
            node.power_off()
            if node.name in disks:
                _unmount(node.root)
        shutil.rmtree(base)


APP = """
CREATE ROLE app LOGIN SUPERUSER PASSWORD 'app';
CREATE TABLE written (number bigint PRIMARY KEY)"""


@dataclass
class Writer:
    """Writes one number after the other and remembers which were acknowledged."""

    dsn: str
    acknowledged: list[int] = field(default_factory=list)
    tried: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> "Writer":
        self._tasks = [asyncio.create_task(self._write()) for _ in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def until_writes(self, count: int) -> None:
        """Waits for so many more."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110
                await asyncio.sleep(WATCH_S)

    async def _write(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(
                    self.dsn, autocommit=True, connect_timeout=2
                ) as connection:
                    while True:
                        self.tried += 1
                        number = self.tried
                        await connection.execute("INSERT INTO written VALUES (%s)", (number,))
                        self.acknowledged.append(number)
            await asyncio.sleep(WATCH_S)
