"""Does to a lab what a plan says: each kind of fault is a block, and is over when the block is.

Called by `campaign`, one thread per fault. What a fault needs may be gone because another one took
it, a process of a VM that lost its power for example: then it is moot, which is said and is no
error of anybody. What takes away memory, room or numbers is in `scarcity`, the wall clock in
`clocks`.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from standfast.errors import StandfastError, TransientError
from standfast.lab import databases
from standfast.lab.chaos import clocks, scarcity
from standfast.lab.chaos.plan import Fault, Kind, Role
from standfast.lab.chaos.scene import UNITS, Scene
from standfast.lab.commands import NETNS_DIR
from standfast.lab.rules import EVERYONE, Cut, Shape

ANNOUNCED_S = 2.0
"""A task of vCenter runs for so long before it stuns the VM."""
TASK = "createSnapshot"


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
def _blackout(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    """All VMs lose their power; this one comes back first, the others when the run is mended."""
    for vm in scene.lab.vms():
        vm.off(seen=False)
    yield
    with suppress(StandfastError):  # the operator has switched it on meanwhile
        scene.lab.vm(node).on()


@contextmanager
def _stun(scene: Scene, _: Fault, node: str) -> Iterator[None]:
    vm = scene.lab.vm(node)
    vm.freeze()
    yield
    vm.thaw()


@contextmanager
def _announced_stun(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    """A task of vCenter on the VM, shown while it runs, stuns it."""
    scene.lab.order_vcenter(lambda vcenter: vcenter.begin_task(node, TASK))
    try:
        time.sleep(ANNOUNCED_S)
        with _stun(scene, fault, node):
            yield
    finally:
        with suppress(TransientError):  # vCenter is down: the task has ended with it
            scene.lab.order_vcenter(lambda vcenter: vcenter.end_task(node))


def _deafen(scene: Scene, _: Fault, node: str) -> None:
    ports = scene.lab.net.ports_of(node)
    scene.lab.net.change(lambda now: now.cut(Cut(EVERYONE, port) for port in ports))


def _apart(scene: Scene, _: Fault, __: str) -> None:
    first, second = (vm.name for vm in scene.lab.vms())
    scene.lab.net.cut(first, other=second)


def _kill(scene: Scene, fault: Fault, node: str) -> None:
    for pid in scene.processes(node, fault.part):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def _stop(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    pids = scene.processes(node, fault.part)
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
    files = [scene.group(node, unit) / "cgroup.freeze" for unit in UNITS[fault.part]]
    for file in files:
        file.write_text("1")
    try:
        yield
    finally:
        for file in files:
            with suppress(OSError):  # the VM is off, or the unit has ended
                file.write_text("0")


@contextmanager
def delay(scene: Scene, delay_ms: float, nodes: Iterable[str]) -> Iterator[None]:
    """Every frame of these VMs waits at each card; between two of them it passes two cards.

    Args:
        scene: Where.
        delay_ms: How long; a quarter more or less, drawn for each frame.
        nodes: Whose frames.
    """
    plan = scene.lab.state.addressing
    cards = [card for node in nodes for card in plan.vm_interfaces(node)]
    words = [sys.executable, "-m", "standfast.lab.chaos.delay"]
    words += ["--namespace", str(NETNS_DIR / plan.switch_namespace)]
    words += ["--delay-ms", str(delay_ms), "--jitter-ms", str(delay_ms / 4)]
    words += [f"{card.port}={card.bridge}" for card in cards]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


@contextmanager
def _delayed(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    with delay(scene, fault.size, (node,)):
        yield


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


def _kill_replication(scene: Scene, fault: Fault, node: str) -> None:
    """The server's process for it dies; PostgreSQL then ends all others and recovers."""
    process = "walsender" if fault.role is Role.ACTIVE else "walreceiver"
    databases.signal_server(scene.lab.vm(node), process, "KILL")


ACTS: Mapping[Kind, Act] = {
    Kind.POWER_OFF: _moment(lambda scene, _, node: scene.lab.vm(node).off()),
    Kind.POWER_CUT: _moment(lambda scene, _, node: scene.lab.vm(node).off(seen=False)),
    Kind.RESET: _moment(lambda scene, _, node: scene.lab.vm(node).reset(seen=False)),
    Kind.BLACKOUT: _blackout,
    Kind.STUN: _stun,
    Kind.ANNOUNCED_STUN: _announced_stun,
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
    Kind.REPLICATION_KILL: _moment(_kill_replication),
    Kind.WITNESS_CUT: _witness,
    Kind.OPERATOR_KILL: _moment(lambda scene, _, __: scene.lab.kill_operator()),
    Kind.API_SERVER_DOWN: _api_server,
    Kind.VCENTER_DOWN: _vcenter,
    Kind.CPU_HOG: scarcity.cpu,
    Kind.MEMORY_HOG: scarcity.memory,
    Kind.FORK_BOMB: scarcity.fork_bomb,
    Kind.NO_DESCRIPTORS: scarcity.limited(resource.RLIMIT_NOFILE, scarcity.open_files),
    Kind.NO_DISK: scarcity.limited(resource.RLIMIT_FSIZE, lambda _: 0),
    Kind.NO_PROCESSES: scarcity.no_processes,
    Kind.FULL_DISK: scarcity.full_disk,
    Kind.CLOCK_STEP: clocks.stepped,
    Kind.DELAY: _delayed,
    Kind.SWITCHOVER: _moment(_switch_over),
}
