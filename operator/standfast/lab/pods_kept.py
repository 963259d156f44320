"""What the pod runner keeps on disk about its pods, for whoever comes after it.

Used by a runner that starts, by `pods.down` and by those who want to know a container's process.
One directory per pod, named by its UID; see `pods_process` for what is in a container's.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standfast.lab.paths import LabPaths
from standfast.lab.pods_network import PodNetwork
from standfast.lab.pods_process import Kept
from standfast.lab.program import write


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A pod that a runner has taken.

    Args:
        uid: Its UID.
        label: `namespace/name`.
        number: Its number among the lab's pods.
    """

    uid: str
    label: str
    number: int


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container whose process runs.

    Args:
        namespace: Its pod's namespace.
        pod: Its pod.
        name: Its own name.
        pid: Its first process, as this machine knows it.
    """

    namespace: str
    pod: str
    name: str
    pid: int


def keep(directory: Path, label: str, number: int) -> None:
    """Notes that a pod was taken."""
    kept = KeptPod(directory.name, label, number)
    write(directory / "pod.json", msgspec.json.encode(kept).decode(), 0o644)


def pods(paths: LabPaths) -> list[KeptPod]:
    """All pods that were taken and are not gone."""
    files = sorted(paths.pods_dir.glob("*/pod.json"))
    return [msgspec.json.decode(file.read_bytes(), type=KeptPod) for file in files]


def containers(paths: LabPaths) -> list[RunningContainer]:
    """All containers that run, runner or not."""
    found = []
    for pod in pods(paths):
        namespace, _, name = pod.label.partition("/")
        for directory, kept in _processes(paths, pod):
            pid = directory / "pid"
            if kept.process.alive and pid.exists():
                container = directory.name
                found.append(RunningContainer(namespace, name, container, int(pid.read_text())))
    return found


async def remove(paths: LabPaths, pod: KeptPod, network: PodNetwork) -> None:
    """Ends a pod without asking it, and everything that is left of it."""
    for _, kept in _processes(paths, pod):
        await kept.process.end(0)
    await network.unplug(pod.number, pod.label.partition("/")[2])
    shutil.rmtree(paths.pods_dir / pod.uid)


def _processes(paths: LabPaths, pod: KeptPod) -> Iterator[tuple[Path, Kept]]:
    for file in sorted((paths.pods_dir / pod.uid).glob("containers/*/kept.json")):
        yield file.parent, msgspec.json.decode(file.read_bytes(), type=Kept)
