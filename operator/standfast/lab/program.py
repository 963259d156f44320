"""A program of the lab outlives the command that starts it: started, adopted, stopped by pid.

Called by `kube`, `vcenter` and `pods`. A process is known by its pid *and* the moment it started,
so a pid that the kernel has given to a stranger is never mistaken for ours, let alone killed. What
is known is kept in one JSON file per program; a second `start` adopts what already runs with the
same arguments and replaces what runs with others.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from standfast.errors import TransientError
from standfast.lab.paths import LabPaths

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from any other that had or will have its pid.

    Args:
        pid: Its number.
        started: When it started, in kernel ticks since boot.
        boot: The boot of the machine in which it runs.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now; None when it is dead or a zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[0] in "ZX":
            _reap(pid)
            return None
        return cls(pid, int(fields[19]), _boot_id())

    @property
    def alive(self) -> bool:
        return type(self).of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens when the process is gone."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:  # asked after the pidfd is open: from here it means this process
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return
        finally:
            os.close(fd)

    async def gone(self) -> None:
        """Returns when the process has ended."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        try:
            if not self.alive:
                return
            loop.add_reader(fd, _settle, ended)
            await ended
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            _reap(self.pid)

    async def end(self, grace_s: float) -> None:
        """Asks it to end, and kills it after `grace_s`; returns when it is gone."""
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.gone(), grace_s)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.gone()


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Args:
        paths: The lab it belongs to.
        name: Names its log and its record.
        argv: The executable and its arguments.
        env: Its whole environment.
    """

    paths: LabPaths
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.paths.log_dir / f"{self.name}.log"


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept about a program that was started."""

    process: Process
    argv: tuple[str, ...]


def spawn(argv: tuple[str, ...], env: Mapping[str, str], log: Path) -> Process:
    """Runs a program in a session of its own, with what it prints appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        argv[0],
        argv,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT],
    )
    process = Process.of(pid)
    if process is None:
        raise TransientError(f"{argv[0]} ended as soon as it was started: {tail(log)}")
    return process


def running(paths: LabPaths, name: str) -> Process | None:
    """The program's process, if it runs."""
    record = _record(paths, name)
    return record.process if record is not None and record.process.alive else None


async def start(program: Program) -> Process:
    """Adopts the program when it runs as wanted, else starts it. Returns before it is ready."""
    record = _record(program.paths, program.name)
    if record is not None and record.process.alive:
        if record.argv == program.argv:
            return record.process
        await stop(program.paths, program.name)
    process = spawn(program.argv, program.env, program.log)
    record = Record(process, program.argv)
    write(_record_file(program.paths, program.name), msgspec.json.encode(record).decode())
    return process


async def stop(paths: LabPaths, name: str, grace_s: float = 10) -> None:
    """Stops the program; one that does not run is left alone. Returns when it is gone."""
    process = running(paths, name)
    if process is not None:
        await process.end(grace_s)
    _record_file(paths, name).unlink(missing_ok=True)


async def until(
    ready: Callable[[], Awaitable[bool]], program: Program, process: Process, budget_s: float
) -> None:
    """Returns when a program that has been started is ready.

    Raises:
        TransientError: It ended, or is not ready within `budget_s`; with what it printed last.
    """
    deadline = time.monotonic() + budget_s
    while not await ready():
        if not process.alive:
            raise TransientError(
                f"{program.name} ended before it was ready: {tail(program.log)}",
                remedy=f"read {program.log}",
            )
        if time.monotonic() > deadline:
            raise TransientError(
                f"{program.name} is not ready after {budget_s:g} s: {tail(program.log)}",
                remedy=f"read {program.log}",
            )
        await asyncio.sleep(POLL_S)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces a file in one step, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=mode)
    fresh.chmod(mode)
    fresh.write_text(text)
    fresh.replace(path)


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "it printed nothing"
    return "\n".join(text.splitlines()[-lines:]) or "it printed nothing"


def _record_file(paths: LabPaths, name: str) -> Path:
    return paths.run_dir / f"{name}.json"


def _record(paths: LabPaths, name: str) -> Record | None:
    file = _record_file(paths, name)
    return msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else's child, or already reaped
