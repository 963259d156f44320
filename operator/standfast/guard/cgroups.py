"""Kills everything in control groups, on every layout that systemd uses.

Version 2 alone at /sys/fs/cgroup; version 2 beside version 1 at /sys/fs/cgroup/unified; version 1
alone, where only systemd's own tree at /sys/fs/cgroup/systemd tells what belongs to a unit. With
`cgroup.kill` (Linux 5.14) the kernel kills a tree at once and nothing escapes by forking. Without
it the tree is frozen, where that is possible, and its processes are killed one by one.

Source: Documentation/admin-guide/cgroup-v2.rst.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))
ROUNDS = 20
_OWN = Path("/proc/self/cgroup")


class Cgroups:
    """The control groups of this machine.

    Args:
        roots: Where a tree with all of systemd's groups may be mounted, best first.
        own: Where the kernel lists the control groups of this process.
    """

    def __init__(self, roots: tuple[Path, ...] = ROOTS, own: Path = _OWN) -> None:
        self.root = next((root for root in roots if _is_tree(root)), roots[0])
        self._own = _own_path(own)

    def objection(self, path: str) -> str:
        """Why this path may not be killed, as a sentence; empty when it may."""
        if path.count("/") < 2 or f"/{path.lstrip('/')}" != os.path.normpath(path):
            return f"{path!r} is not the path of a control group of two levels or more"
        if f"{self._own}/".startswith(f"{path}/"):
            return f"{path} contains the guard itself"
        return ""

    def kill(self, path: str) -> str:
        """Send SIGKILL to every process in it and below; fine when there is no such group.

        Returns:
            What was refused, as a sentence; empty when nothing was. The processes may still be
            dying: see `is_populated`.
        """
        group = self._directory(path)
        try:
            _write(group / "cgroup.kill", b"1")
        except FileNotFoundError:
            return self._kill_one_by_one(group) if group.is_dir() else ""
        except OSError as error:
            if error.errno == errno.ENODEV:
                return ""  # it was removed this moment
            problem = self._kill_one_by_one(group)
            return problem or f"{group}/cgroup.kill is refused: {error.strerror}"
        return ""

    def is_populated(self, path: str) -> bool:
        """Whether a process that is not a zombie is in it or below."""
        group = self._directory(path)
        try:
            events = _read(group / "cgroup.events")
        except FileNotFoundError:  # version 1, or no such group
            return any(_pids(group))
        except OSError as error:
            return error.errno != errno.ENODEV
        return b"populated 1" in events

    def _directory(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _kill_one_by_one(self, group: Path) -> str:
        with _frozen(group):
            for _ in range(ROUNDS):
                living = list(_pids(group))
                if not living:
                    return ""
                for pid in living:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        return ""


def _is_tree(root: Path) -> bool:
    """Whether it is a version 2 tree, or systemd's tree of version 1."""
    has_processes = (root / "cgroup.procs").exists()
    return has_processes and ((root / "cgroup.controllers").exists() or root.name == "systemd")


def _own_path(own: Path) -> str:
    """This process's group in the tree that systemd keeps."""
    try:
        rows = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "/"
    paths = [
        row.split(":", 2)[2] for row in rows if row.startswith("0::") or ":name=systemd:" in row
    ]
    return max(paths, key=len, default="/")


@contextlib.contextmanager
def _frozen(group: Path) -> Iterator[None]:
    """Let nothing in it fork meanwhile, where version 2 can do that."""
    is_frozen = False
    with contextlib.suppress(OSError):
        _write(group / "cgroup.freeze", b"1")
        is_frozen = True
    try:
        yield
    finally:
        if is_frozen:
            with contextlib.suppress(OSError):
                _write(group / "cgroup.freeze", b"0")


def _pids(group: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(group):
        try:
            yield from map(int, _read(Path(directory) / "cgroup.procs").split())
        except OSError:
            continue  # it was removed this moment


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while chunk := os.read(descriptor, 65536):
            found += chunk
        return found
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
