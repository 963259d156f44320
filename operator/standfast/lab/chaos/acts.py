"""Does to a lab what a plan says: each kind of fault is a block, and is over when the block is.

Called by `campaign`, one thread per fault. What a fault needs may be gone because another one took
it, a process of a VM that lost its power for example: then it is moot, which is said and is no
error of anybody.

Rules. What is stopped is known by its process id on this machine, so it is let go on whatever has
become of it meanwhile. Memory is limited by a control group of version 1 beside the VM's own,
which holds the hog and our two processes, because a VM of the lab shares this machine's memory.
"""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from standfast.errors import StandfastError, TransientError
from standfast.lab.chaos.plan import Fault, Kind, Part
from standfast.lab.cluster import LabCluster
from standfast.lab.lab import Lab, LabVm
from standfast.lab.rules import EVERYONE, Cut, Shape

AGENT, GUARD = "standfast-agent.service", "standfast-guard.service"
_UNITS: Mapping[Part, tuple[str, ...]] = {
    Part.AGENT: (AGENT,),
    Part.GUARD: (GUARD,),
    Part.BOTH: (AGENT, GUARD),
}
MEMORY = Path("/sys/fs/cgroup/memory")
HOG_BYTES = 32 << 20
"""What a hog may take beyond what our processes use; it takes all, again and again."""
SPIN = "while :; do :; done"
EAT = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 60"
HOG_UNIT = "chaos-hog.service"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where faults happen.

    Args:
        cluster: The pair.
        app_unit: The unit of the application.
    """

    cluster: LabCluster
    app_unit: str

    @property
    def lab(self) -> Lab:
        return self.cluster.lab


def perform(scene: Scene, fault: Fault, node: str) -> str:
    """Does one fault, from its beginning to its end.

    Args:
        scene: Where.
        fault: What.
        node: To which VM; empty for what is beside them.

    Returns:
        Why it was moot; empty when it was not.
    """
    try:
        with ACTS[fault.kind](scene, fault, node):
            time.sleep(fault.lasts_s)
    except (StandfastError, ProcessLookupError, FileNotFoundError) as error:
        return f"{fault.kind.value}: {error}"
    return ""


Act = Callable[[Scene, Fault, str], AbstractContextManager[None]]
Do = Callable[[Scene, Fault, str], object]


def _moment(do: Do) -> Act:
    """An act that is over at once."""

    @contextmanager
    def act(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
        do(scene, fault, node)
        yield

    return act


def _network(break_: Do) -> Act:
    """An act upon the switch: in the end its own cuts and losses are taken away again."""

    @contextmanager
    def act(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
        net = scene.lab.net
        before = net.rules()
        break_(scene, fault, node)
        made = net.rules()
        yield
        cuts, ports = made.cuts - before.cuts, dict(made.shapes).keys() - dict(before.shapes)
        net.change(
            lambda now: replace(
                now,
                cuts=now.cuts - cuts,
                shapes=tuple(row for row in now.shapes if row[0] not in ports),
            )
        )

    return act


@contextmanager
def _stun(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    vm = scene.lab.vm(node)
    vm.freeze()
    yield
    vm.thaw()


def _deafen(scene: Scene, _: Fault, node: str) -> None:
    ports = scene.lab.net.ports_of(node)
    scene.lab.net.change(lambda now: now.cut(Cut(EVERYONE, port) for port in ports))


def _apart(scene: Scene, _: Fault, __: str) -> None:
    first, second = (vm.name for vm in scene.lab.vms())
    scene.lab.net.cut(first, other=second)


def _processes(scene: Scene, fault: Fault, node: str) -> list[int]:
    """The processes of ours that a fault is about, as this machine numbers them."""
    group = scene.lab.vm(node).machine.cgroup.path / "system.slice"
    found: list[int] = []
    for unit in _UNITS[fault.part]:
        pids = set(map(int, (group / unit / "cgroup.procs").read_text().split()))
        found += [pid for pid in sorted(pids) if _parent(pid) not in pids][:1]
    if not found:
        raise TransientError(f"neither {' nor '.join(_UNITS[fault.part])} runs in {node}")
    return found


def _parent(pid: int) -> int:
    """The process that made this one: those of ours that have none of ours are the main ones."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _kill(scene: Scene, fault: Fault, node: str) -> None:
    for pid in _processes(scene, fault, node):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def _stop(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    pids = _processes(scene, fault, node)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def _freeze(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    group = scene.lab.vm(node).machine.cgroup.path / "system.slice"
    files = [group / unit / "cgroup.freeze" for unit in _UNITS[fault.part]]
    for file in files:
        file.write_text("1")
    try:
        yield
    finally:
        for file in files:
            with suppress(OSError):  # the VM is off, or the unit has ended
                file.write_text("0")


@contextmanager
def hog(scene: Scene, node: str, script: str, copies: int) -> Iterator[LabVm]:
    """A unit in the VM that is greedy; killed as a whole."""
    vm = scene.lab.vm(node)
    many = f"for i in $(seq {copies}); do ( {script} ) & done; wait"
    vm.exec(["systemd-run", "--quiet", f"--unit={HOG_UNIT}", "--collect", "sh", "-c", many])
    try:
        yield vm
    finally:
        with suppress(StandfastError):  # the VM is off
            vm.exec(["systemctl", "kill", "--signal=SIGKILL", HOG_UNIT], check=False)


@contextmanager
def _cpu(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    with hog(scene, node, SPIN, round(fault.size)):
        yield


@contextmanager
def _memory(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    ours = _processes(scene, Fault(fault.kind, fault.role, 0, part=Part.BOTH), node)
    group = MEMORY / f"standfast-chaos-{node}"
    group.mkdir(exist_ok=True)
    parent = (MEMORY / "cgroup.procs").open("w")
    try:
        with hog(scene, node, EAT, 2) as vm:
            greedy = vm.machine.cgroup.path / "system.slice" / HOG_UNIT / "cgroup.procs"
            (group / "memory.limit_in_bytes").write_text(str(HOG_BYTES))
            for pid in [*ours, *map(int, greedy.read_text().split())]:
                with suppress(ProcessLookupError):
                    (group / "cgroup.procs").write_text(str(pid))
            yield
    finally:
        for pid in map(int, (group / "cgroup.procs").read_text().split()):
            with suppress(OSError):
                parent.write(f"{pid}\n")
                parent.flush()
        parent.close()
        with suppress(OSError):  # a process that dies this moment is still in it
            group.rmdir()


def _limited(kind: int, limit: Callable[[int], int]) -> Act:
    """An act that takes a resource from the agent for a time."""

    @contextmanager
    def act(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
        (pid,) = _processes(scene, Fault(fault.kind, fault.role, 0, part=Part.AGENT), node)
        before = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (limit(pid), before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, kind, before)

    return act


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextmanager
def _witness(scene: Scene, _: Fault, __: str) -> Iterator[None]:
    scene.lab.cut_witness("third")
    yield
    for pod in scene.lab.pods("third"):
        scene.lab.net.heal(pod)


@contextmanager
def _api_server(scene: Scene, _: Fault, __: str) -> Iterator[None]:
    scene.lab.stop_kubernetes()
    try:
        yield
    finally:
        scene.lab.start_kubernetes()


@contextmanager
def _vcenter(scene: Scene, _: Fault, __: str) -> Iterator[None]:
    scene.lab.stop_vcenter()
    try:
        yield
    finally:
        scene.lab.start_vcenter()


def _switch_over(scene: Scene, _: Fault, __: str) -> None:
    words = ("switchover", scene.cluster.name, "--reason", "chaos", "--deadline", "5s")
    scene.cluster.kubectl.standfast(*words)


def _kill_app(scene: Scene, _: Fault, node: str) -> None:
    scene.lab.vm(node).exec(["systemctl", "kill", "--signal=SIGKILL", scene.app_unit], check=False)


ACTS: Mapping[Kind, Act] = {
    Kind.POWER_OFF: _moment(lambda scene, _, node: scene.lab.vm(node).off()),
    Kind.POWER_CUT: _moment(lambda scene, _, node: scene.lab.vm(node).off(seen=False)),
    Kind.RESET: _moment(lambda scene, _, node: scene.lab.vm(node).reset(seen=False)),
    Kind.STUN: _stun,
    Kind.KILL: _moment(_kill),
    Kind.STOP: _stop,
    Kind.FREEZE: _freeze,
    Kind.ISOLATION: _network(lambda scene, _, node: scene.lab.net.cut(node)),
    Kind.MUTE: _network(lambda scene, _, node: scene.lab.net.cut(node, one_way=True)),
    Kind.DEAF: _network(_deafen),
    Kind.PEERS_APART: _network(_apart),
    Kind.ONE_NETWORK: _network(
        lambda scene, fault, node: scene.lab.net.cut(node, network=round(fault.size))
    ),
    Kind.LOSS: _network(
        lambda scene, fault, node: scene.lab.net.shape(node, Shape(loss=fault.size))
    ),
    Kind.APP_KILL: _moment(_kill_app),
    Kind.WITNESS_CUT: _witness,
    Kind.OPERATOR_KILL: _moment(lambda scene, _, __: scene.lab.kill_operator()),
    Kind.API_SERVER_DOWN: _api_server,
    Kind.VCENTER_DOWN: _vcenter,
    Kind.CPU_HOG: _cpu,
    Kind.MEMORY_HOG: _memory,
    Kind.NO_DESCRIPTORS: _limited(resource.RLIMIT_NOFILE, _open_files),
    Kind.NO_DISK: _limited(resource.RLIMIT_FSIZE, lambda _: 0),
    Kind.SWITCHOVER: _moment(_switch_over),
}
