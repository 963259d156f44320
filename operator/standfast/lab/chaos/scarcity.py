"""Takes from a VM, or from our processes in it, what programs need: time, memory, room, numbers.

Called by `acts` and `curve`. Each is a block, and gives everything back when the block ends,
whatever has become of the VM meanwhile.

Rules. A VM of the lab shares this machine's kernel, so nothing here may starve the machine itself:
memory and processes are limited by control groups of version 1 beside the VM's own, a fork bomb is
a user's who may have so many processes and no more, and the disk that is filled is a file system
of the VM's own (`bed`).

Source: Documentation/admin-guide/cgroup-v1/memory.rst and pids.rst; setrlimit(2).
"""

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from standfast.errors import StandfastError, TransientError
from standfast.lab.chaos.plan import Fault, Part
from standfast.lab.chaos.scene import AGENT, Scene
from standfast.lab.lab import LabVm

MEMORY, PIDS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/pids")
HOG_BYTES = 256 << 20
"""What a hog may take beyond what our processes use; it takes all, again and again.

Whom the kernel kills is reckoned in thousandths of the limit: in a group of 32 MiB the agent's
-900 weighs 29 MiB, less than the agent itself, and it was killed as it never would be in a
machine.
"""
HOG_UNIT = "chaos-hog.service"
SPIN = "while :; do :; done"
EAT = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 60"
BOMB = """exec python3 -c '
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
'"""
BOMB_PROCESSES = 300
BOMB_OPTIONS = ("--uid=65534", f"--property=LimitNPROC={BOMB_PROCESSES}")
FILL = Path("/var/tmp/chaos-fill")
DISK_BYTES_MAX = 2 << 30
"""A file system that is larger is this machine's own, and is not filled."""

Act = Callable[[Scene, Fault, str], AbstractContextManager[None]]


@contextmanager
def hog(
    scene: Scene, node: str, script: str, copies: int, options: Sequence[str] = ()
) -> Iterator[LabVm]:
    """A unit in the VM that is greedy; killed as a whole, which nothing escapes by forking."""
    vm = scene.lab.vm(node)
    many = f"for i in $(seq {copies}); do ( {script} ) & done; wait"
    unit = ("systemd-run", "--quiet", f"--unit={HOG_UNIT}", "--collect", *options)
    vm.exec([*unit, "sh", "-c", many])
    try:
        yield vm
    finally:
        with suppress(OSError):  # the VM is off
            (scene.group(node, HOG_UNIT) / "cgroup.kill").write_text("1")


@contextmanager
def cpu(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    with hog(scene, node, SPIN, round(fault.size)):
        yield


@contextmanager
def fork_bomb(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    with hog(scene, node, BOMB, 1, BOMB_OPTIONS):
        yield


@contextmanager
def memory(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    ours = scene.processes(node, Part.BOTH)
    with (
        _group(MEMORY, node, "memory.limit_in_bytes", HOG_BYTES) as take,
        hog(scene, node, EAT, 2),
    ):
        greedy = (scene.group(node, HOG_UNIT) / "cgroup.procs").read_text().split()
        take([*ours, *map(int, greedy)])
        yield


@contextmanager
def no_processes(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    """The agent can start neither a process nor a thread."""
    pids = (scene.group(node, AGENT) / "cgroup.procs").read_text().split()
    if not pids:
        raise TransientError(f"{AGENT} does not run in {node}")
    with _group(PIDS, node, "pids.max", 0) as take:
        take(list(map(int, pids)))
        yield


@contextmanager
def _group(
    tree: Path, node: str, limit: str, value: int
) -> Iterator[Callable[[Sequence[int]], None]]:
    """A limited control group of version 1; in the end who is in it goes back where it was."""
    if not tree.is_dir():
        raise TransientError(f"there is no {tree} here: it needs control groups of version 1")
    group = tree / f"standfast-chaos-{node}"
    group.mkdir(exist_ok=True)
    (group / limit).write_text(str(value))

    def take(pids: Sequence[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(pid))

    try:
        yield take
    finally:
        with (tree / "cgroup.procs").open("w") as parent:
            for pid in map(int, (group / "cgroup.procs").read_text().split()):
                with suppress(OSError):
                    parent.write(f"{pid}\n")
                    parent.flush()
        with suppress(OSError):  # a process that dies this moment is still in it
            group.rmdir()


def limited(kind: int, limit: Callable[[int], int]) -> Act:
    """An act that takes a resource from the agent for a time.

    Args:
        kind: `resource.RLIMIT_...`.
        limit: Told the process, answers how much it may have.
    """

    @contextmanager
    def act(scene: Scene, _: Fault, node: str) -> Iterator[None]:
        (pid,) = scene.processes(node, Part.AGENT)
        before = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (limit(pid), before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, kind, before)

    return act


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextmanager
def full_disk(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    """Not a byte is left on the VM's disk."""
    vm = scene.lab.vm(node)
    disk = os.statvfs(vm.machine.directory)
    if disk.f_blocks * disk.f_frsize > DISK_BYTES_MAX:
        raise TransientError(f"the disk of {node} is this machine's")
    vm.exec(["sh", "-c", f"cat /dev/zero > {FILL} 2>/dev/null; true"])
    try:
        yield
    finally:
        try:
            vm.exec(["rm", "-f", str(FILL)])
        except StandfastError:  # it is off: its disk is a directory here
            (vm.machine.directory / "upper" / FILL.relative_to("/")).unlink(missing_ok=True)
