"""The wall clock of a VM, stepped although all VMs share this machine's clock.

Called by `bed`, which prepares each VM, and by `acts`. Agent and guard run under libfaketime,
which shifts CLOCK_REALTIME alone by what stands in a file; whoever starts programs under it shifts
those too. Nothing of the product knows of it. Where libfaketime is not installed no clock steps.

Source: libfaketime's README, "Configuring libfaketime".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standfast.errors import StandfastError, TransientError
from standfast.lab.chaos.plan import Fault
from standfast.lab.chaos.scene import AGENT, GUARD, Scene
from standfast.lab.lab import LabVm

LIBRARIES = Path("/usr/lib")
LIBRARY = "*/faketime/libfaketimeMT.so.1"
WALL_CLOCK = "/etc/chaos-wall-clock"
CACHE_S = 1
"""The library looks into the file so often."""
DROP_IN = """\
[Service]
Environment=LD_PRELOAD={library}
Environment=FAKETIME_TIMESTAMP_FILE={file} FAKETIME_CACHE_DURATION={cache_s}
Environment=DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1
"""
RIGHT = "+0"


def prepare(vm: LabVm) -> None:
    """Puts agent and guard under a wall clock that can be stepped, and lets both begin anew."""
    library = next(LIBRARIES.glob(LIBRARY), None)
    if library is None:
        return
    text = DROP_IN.format(library=library, file=WALL_CLOCK, cache_s=CACHE_S)
    _step(vm, RIGHT)
    for unit in (GUARD, AGENT):
        place = f"/etc/systemd/system/{unit}.d"
        vm.exec(["sh", "-c", f"mkdir -p {place} && echo '{text}' > {place}/wall-clock.conf"])
    vm.exec(["systemctl", "daemon-reload"])
    vm.exec(["systemctl", "restart", "--no-block", GUARD, AGENT])


@contextmanager
def stepped(scene: Scene, fault: Fault, node: str) -> Iterator[None]:
    """The wall clock is so many seconds ahead, or behind; then it is stepped back again."""
    vm = scene.lab.vm(node)
    if not _file(vm).exists():
        raise TransientError("this VM was not prepared for it", remedy="apt install libfaketime")
    _step(vm, f"{round(fault.size):+d}")
    try:
        yield
    finally:
        set_right(vm)


def set_right(vm: LabVm) -> None:
    """The wall clock is right again, now or when the VM is switched on."""
    if not _file(vm).exists():
        return
    try:
        _step(vm, RIGHT)
    except StandfastError:  # it is off
        _file(vm).write_text(f"{RIGHT}\n")


def _file(vm: LabVm) -> Path:
    """On its disk, which is a directory of this machine's."""
    return vm.machine.directory / "upper" / WALL_CLOCK.lstrip("/")


def _step(vm: LabVm, by: str) -> None:
    vm.exec(["sh", "-c", f"echo '{by}' > {WALL_CLOCK}"])
