"""A real guard process in namespaces of its own, and what it guards there."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from standfast.adapters.linux.guard_client import GuardClient
from standfast.guard.elapsed import boot_ns
from standfast.guard.protocol import SOCKET

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
ADDRESS, ADDRESS_6 = "10.9.9.100", "fd99::100"
PREPARE = """
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth0 up
mount -t tmpfs guarded "$1/data"
shift
exec "$@"
"""


def now_ms() -> int:
    return boot_ns() // 1_000_000


def until(seen: Callable[[], bool], within_s: float = 10) -> None:
    """Return once it is so."""
    end = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < end, "it did not come to be so in time"
        time.sleep(0.001)


class Bed:
    """One machine with a guard: network and mounts of its own, control groups of this one.

    Args:
        directory: Short, because a socket's path is.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.data = directory / "data"
        self.config = directory / "agent.toml"
        self.guard: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        for path in (self.run, self.data):
            path.mkdir()

    def open(self) -> None:
        """Make the namespaces: a sleeping process keeps them between guards."""
        words = ["sh", "-eu", "-c", PREPARE, "keeper", str(self.directory), "sleep", "infinity"]
        self._keeper = subprocess.Popen(["unshare", "-n", "-m", "--propagation=private", *words])
        until(lambda: f" {self.data} " in self.mounts())

    def enter(self, *words: str) -> list[str]:
        assert self._keeper is not None
        return ["nsenter", "--net", "--mount", f"--target={self._keeper.pid}", "--", *words]

    def inside(self, *words: str) -> str:
        return subprocess.run(
            self.enter(*words), check=True, capture_output=True, text=True
        ).stdout

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "standfast.guard"),
            *("--directory", str(self.run), "--config", str(self.config)),
        ]
        environment = {"PYTHONPATH": str(OPERATOR), "PATH": os.environ["PATH"]}
        self.guard = subprocess.Popen(self.enter(*command), env=environment)
        until(self._answers)

    def _answers(self) -> bool:
        assert self.guard is not None
        assert self.guard.poll() is None, "the guard ended"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as attempt:
            return attempt.connect_ex(self.socket) == 0

    @property
    def socket(self) -> str:
        return str(self.run / Path(SOCKET).name)

    @property
    def pid(self) -> int:
        assert self.guard is not None
        return self.guard.pid

    def client(self, lease: str = "lease") -> GuardClient:
        return GuardClient(lease, path=self.socket)

    def end(self, number: int = signal.SIGKILL, within_s: float = 10) -> int:
        assert self.guard is not None
        self.guard.send_signal(number)
        return self.guard.wait(within_s)

    def mounts(self) -> str:
        assert self._keeper is not None
        return Path(f"/proc/{self._keeper.pid}/mountinfo").read_text()

    def is_mounted(self) -> bool:
        return f" {self.data} " in self.mounts()

    def addresses(self) -> str:
        return self.inside("ip", "-o", "address")

    def close(self) -> None:
        for process in (self.guard, self._keeper):
            if process is not None:
                process.kill()
                process.wait()


@contextlib.contextmanager
def process_in(group: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps in a control group of this machine."""
    group.mkdir(parents=True)
    script = f"echo $$ > {group}/cgroup.procs; sleep 600 & wait"
    process = subprocess.Popen(["sh", "-c", script])
    until(lambda: len((group / "cgroup.procs").read_text().split()) == 2)
    try:
        yield process
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        process.wait()
        until(lambda: not (group / "cgroup.procs").read_text().split())
        group.rmdir()
        group.parent.rmdir()
