"""An observer for as long as a run lasts: started, stopped, and what it saw.

Called by `campaign`. The observer itself is `observer`, a process on this machine, outside of all
VMs.
"""

import json
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from typing_extensions import override

from standfast.errors import TransientError
from standfast.lab.chaos.verdict import Seen
from standfast.lab.commands import NETNS_DIR
from standfast.lab.lab import Lab
from standfast.lab.observe import Interval

STOP_S = 10.0
MODULE = (sys.executable, "-m", "standfast.lab.chaos.observer")


def command(lab: Lab, address: str, unit_group: str) -> list[str]:
    """The command line of an observer.

    Args:
        lab: Whose VMs.
        address: The protected one; it is in network 1.
        unit_group: Control group of the unit, below the VM's own.
    """
    words = [*MODULE, "--namespace", str(NETNS_DIR / lab.state.addressing.switch_namespace)]
    words += ["--address", address]
    for vm in lab.vms():
        card = lab.state.addressing.vm_interfaces(vm.name)[0]
        words += ["--cable", vm.name, card.port, str(vm.machine.cgroup.path / unit_group)]
    return words


class Sight(AbstractContextManager["Sight"]):
    """What was seen while the block lasted; complete when it has ended.

    Args:
        argv: The observer's command line.
    """

    def __init__(self, argv: list[str]) -> None:
        self.seen = Seen()
        self.lines: list[str] = []
        self._argv = argv

    @override
    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if "ready" not in self._process.stdout.readline():
            self._process.wait()
            raise TransientError("the observer ended before it was ready")
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            said, _ = self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        self.lines = said.splitlines()
        for line in self.lines:
            self._take(json.loads(line))

    def _take(self, row: dict[str, int | str]) -> None:
        if "asks" in row:
            self.seen.asks, self.seen.late = int(row["asks"]), int(row["late"])
            self.seen.worst_gap_ns = int(row["worst_gap_ns"])
            return
        found = self.seen.spoke if row["what"] == "spoke" else self.seen.ran
        stretch = Interval(int(row["begin_ns"]), int(row["end_ns"]))
        found.setdefault(str(row["vm"]), []).append(stretch)
