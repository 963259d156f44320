"""The process of a container: what it is to be, how it is started, found again, and how it ended.

Called by `pods_container`. `pods_enter` does the work on the other side of the fork. A process
survives the pod runner; what is kept on disk is enough for the next one to go on.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standfast.lab import program
from standfast.lab.kube_client import Json
from standfast.lab.pods_probes import Target
from standfast.lab.pods_spec import Rights
from standfast.lab.pods_status import Ended, now
from standfast.lab.program import Process

ENTER = Path(__file__).with_name("pods_enter.py")
KILLED = 137


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and where.

    Args:
        argv: The words.
        env: Its whole environment.
        cwd: Its directory.
        hostname: The pod's.
        rights: Whom it runs as.
        mounts: Path inside, file or directory outside, whether it is read-only.
        hide: Directories of this machine that it must not see.
        expose: Directories of this machine that it must see, whatever is hidden.
        ports: Port name -> number.
        address: The pod's.
        namespace: File of its network namespace; None for this machine's own.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    hostname: str
    rights: Rights
    mounts: tuple[tuple[str, Path, bool], ...]
    hide: tuple[str, ...]
    expose: tuple[str, ...]
    ports: dict[str, int]
    address: str
    namespace: Path | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept about a container that was started.

    Args:
        process: Its supervisor.
        since: When it was started.
        restarts: How often it had been before.
    """

    process: Process
    since: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container's process ended, as its supervisor wrote it."""

    code: int
    error: str


class Files:
    """The files of one container.

    Args:
        directory: Where they are.
        log: What it prints; the log of the run before is kept beside it.
    """

    def __init__(self, directory: Path, log: Path) -> None:
        self._directory = directory
        self._log = log
        self._exit = directory / "exit.json"
        self._pid = directory / "pid"
        self._kept = directory / "kept.json"

    def kept(self) -> Kept | None:
        """The last start, if there was one; its process may be gone."""
        if not self._kept.exists():
            return None
        return msgspec.json.decode(self._kept.read_bytes(), type=Kept)

    def spawn(self, order: Order, restarts: int) -> Kept:
        """Starts the process and keeps what is needed to find it again."""
        scratch = self._directory / "root"
        scratch.mkdir(parents=True, exist_ok=True)
        self._exit.unlink(missing_ok=True)
        self._pid.unlink(missing_ok=True)
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".previous.log"))
        spec = self._directory / "spec.json"
        program.write(spec, msgspec.json.encode(self._spec(order, scratch)).decode())
        argv = (sys.executable, "-I", "-S", str(ENTER), str(spec))
        kept = Kept(program.spawn(argv, {}, self._log), now(), restarts)
        program.write(self._kept, msgspec.json.encode(kept).decode())
        return kept

    async def first_pid(self, process: Process) -> int | None:
        """The container's PID 1 as this machine knows it; None when it ended before it had one."""
        while not self._has_pid():
            if not process.alive:
                return None
            await asyncio.sleep(0.005)
        return int(self._pid.read_text())

    def ending(self, kept: Kept) -> Ended:
        """How a process that is gone has ended."""
        if self._exit.exists():
            found = msgspec.json.decode(self._exit.read_bytes(), type=Exit)
        else:
            found = Exit(KILLED, "")  # its supervisor was killed with it
        reason = "StartError" if found.error else "Error" if found.code else "Completed"
        return Ended(found.code, reason, found.error, kept.since, now())

    def _has_pid(self) -> bool:
        return self._pid.exists()

    def _spec(self, order: Order, scratch: Path) -> Json:
        rights = order.rights
        return {
            "netns": None if order.namespace is None else str(order.namespace),
            "hostname": order.hostname,
            "scratch": str(scratch),
            "hide": order.hide,
            "expose": order.expose,
            "mounts": [
                {"target": target, "source": str(source), "readOnly": read_only}
                for target, source, read_only in order.mounts
            ],
            "readOnlyRoot": rights.root_read_only,
            "uid": rights.uid,
            "gid": rights.gid,
            "groups": rights.groups,
            "capabilities": sorted(rights.capabilities),
            "noNewPrivileges": not rights.gains_privileges,
            "argv": order.argv,
            "env": order.env,
            "cwd": order.cwd,
            "exit": str(self._exit),
            "pid": str(self._pid),
        }


def target_of(order: Order, pid: int) -> Target:
    """What probes are aimed at."""
    return Target(order.address, order.namespace, order.ports, pid, order.env, order.rights)
