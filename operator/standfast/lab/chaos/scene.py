"""Where faults happen, and which processes of ours they are about.

Used by `acts`, `scarcity` and `clocks`. Processes are numbered as this machine does, so what was
stopped or limited is let go whatever has become of its VM meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import TransientError
from standfast.lab.chaos.plan import Part
from standfast.lab.cluster import LabCluster
from standfast.lab.lab import Lab

AGENT, GUARD = "standfast-agent.service", "standfast-guard.service"
UNITS: Mapping[Part, tuple[str, ...]] = {
    Part.AGENT: (AGENT,),
    Part.GUARD: (GUARD,),
    Part.BOTH: (AGENT, GUARD),
}


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

    def group(self, node: str, unit: str) -> Path:
        """The control group of a unit of a VM."""
        return self.lab.vm(node).machine.cgroup.path / "system.slice" / unit

    def processes(self, node: str, part: Part) -> list[int]:
        """The main processes of ours, those that have none of ours as a parent.

        Raises:
            TransientError: None of them runs.
        """
        found: list[int] = []
        for unit in UNITS[part]:
            pids = set(map(int, (self.group(node, unit) / "cgroup.procs").read_text().split()))
            found += [pid for pid in sorted(pids) if _parent(pid) not in pids][:1]
        if not found:
            raise TransientError(f"neither {' nor '.join(UNITS[part])} runs in {node}")
        return found


def _parent(pid: int) -> int:
    """The process that made this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
