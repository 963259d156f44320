"""Control groups of version 2, by which a VM is frozen and killed as a whole.

Both layouts are known: version 2 alone at /sys/fs/cgroup, and the hybrid one beside version 1 at
/sys/fs/cgroup/unified. No controller is needed, only the core files.
"""

import os
import select
import time
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import TransientError, UserError

PLACES = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One control group, which may not exist.

    Args:
        path: Its directory.
    """

    path: Path

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    @property
    def populated(self) -> bool:
        """Whether a process that is not a zombie is in it or below."""
        return self._events().get("populated") == "1"

    @property
    def frozen(self) -> bool:
        return self._events().get("frozen") == "1"

    def create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def pids(self) -> list[int]:
        """The processes in it and below, as this machine numbers them."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.path):
            try:
                found += map(int, (Path(directory) / "cgroup.procs").read_text().split())
            except OSError:
                continue  # that group was removed meanwhile
        return found

    def kill(self, timeout_s: float = 20.0) -> None:
        """Kills everything in it and below, and returns when all of it is dead."""
        if not self.exists:
            return
        (self.path / "cgroup.kill").write_text("1")
        self._wait("populated", "0", timeout_s)

    def freeze(self, timeout_s: float = 5.0) -> None:
        """Stops everything in it and below, and returns when all of it has stopped."""
        (self.path / "cgroup.freeze").write_text("1")
        self._wait("frozen", "1", timeout_s)

    def thaw(self, timeout_s: float = 5.0) -> None:
        (self.path / "cgroup.freeze").write_text("0")
        self._wait("frozen", "0", timeout_s)

    def remove(self) -> None:
        """Removes it and what is below; it holds no process any more."""
        if not self.exists:
            return
        for directory, _, _ in os.walk(self.path, topdown=False):
            Path(directory).rmdir()

    def remove_parent(self) -> None:
        """Removes the group above it, if nothing else is in that."""
        parent = self.path.parent
        if parent.is_dir() and not any(entry.is_dir() for entry in parent.iterdir()):
            parent.rmdir()

    def _events(self) -> dict[str, str]:
        try:
            rows = (self.path / "cgroup.events").read_text().splitlines()
        except OSError:
            return {}  # there is no such group, or it is removed this moment
        return dict(row.split(" ", 1) for row in rows if " " in row)

    def _wait(self, key: str, value: str, timeout_s: float) -> None:
        """Waits for an entry of cgroup.events: the kernel signals each change of the file."""
        until = time.monotonic() + timeout_s
        with (self.path / "cgroup.events").open() as file:
            changes = select.poll()
            changes.register(file, select.POLLPRI)
            while True:
                file.seek(0)
                if f"{key} {value}\n" in file.read():
                    return
                left_ms = round((until - time.monotonic()) * 1000)
                if left_ms <= 0:
                    raise TransientError(
                        f"{self.path} did not report {key} {value} within {timeout_s:g} s"
                    )
                changes.poll(min(left_ms, 100))


def lab_cgroup(lab: str) -> Cgroup:
    """The group that holds all VMs of a lab.

    Raises:
        UserError: This machine has no version 2 hierarchy.
    """
    for place in PLACES:
        if (place / "cgroup.procs").exists() and (place / "cgroup.controllers").exists():
            return Cgroup(place / "standfast-lab" / lab)
    raise UserError(
        "this machine mounts no cgroup2 file system, and the lab freezes and kills VMs with it",
        remedy="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
