"""Whose processor time it is: the operator's, the API server's, vCenter's, the agents', others'.

Everything of a measurement runs on one machine, so a wait says little without this. Processes are
found by their names within the measurement's own network namespace.
"""

import os
from dataclasses import dataclass
from pathlib import Path

KNOWN = {"kube-apiserver": "apiserver", "etcd": "etcd", "vcsim": "vcenter"}
"""By the program's name, as it begins."""
_TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Processor seconds since the processes began, by whose they are.

    Args:
        by: Name -> seconds. `machine` is what the whole machine was busy, `bench` this process:
            the hollow agents and the measuring itself.
    """

    by: dict[str, float]

    def since(self, before: "Usage") -> dict[str, float]:
        """What was used between two looks; `others` is what ran beside the measurement."""
        found = {
            name: round(max(used - before.by.get(name, 0.0), 0.0), 2)
            for name, used in self.by.items()
        }
        machine = found.pop("machine")
        found["others"] = round(max(machine - sum(found.values()), 0.0), 2)
        return found


def usage(operator_pid: int | None = None) -> Usage:
    """One look; without an operator before it is started."""
    by = {"machine": _machine_s(), "bench": cpu_s(os.getpid()), "operator": 0.0}
    if operator_pid is not None:
        by["operator"] = cpu_s(operator_pid)
    ours = Path("/proc/self/ns/net").readlink()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            name = _known((directory / "comm").read_text().strip())
            if name and (directory / "ns/net").readlink() == ours:
                by[name] = by.get(name, 0.0) + cpu_s(int(directory.name))
        except OSError:
            continue  # it has ended meanwhile
    return Usage(by)


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def _known(program: str) -> str:
    return next((name for begin, name in KNOWN.items() if program.startswith(begin)), "")


def _machine_s() -> float:
    """Busy time of all cores: everything but idle and waiting."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / _TICKS_S
