"""Disks for the tests: files of this machine behind loop devices, each attached anew like a disk.

Two loop devices on one file are two disks to the kernel, with two file systems in memory: as
dangerous as two machines on one disk. Needs root.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

from standfast.adapters.drivers import DriverHost
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeUnits, FakeWire, RecordingSink
from standfast.adapters.linux.clock import BootClock

MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
SIZES = {"ext4": 16 << 20, "xfs": 310 << 20}
"""XFS takes no less than 300 MiB."""


def run(*argv: str | Path, status: int = 0) -> str:
    """Runs a program that must end with this status; what it said."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{argv}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Disk:
    """A file, and the loop device that it is behind."""

    image: Path
    device: Path

    @property
    def number(self) -> str:
        found = self.device.stat().st_rdev
        return f"{os.major(found)}:{os.minor(found)}"

    def mounted_at(self) -> list[str]:
        """Where, as the kernel says it."""
        rows = Path("/proc/self/mountinfo").read_text().splitlines()
        return [row.split(" ")[4] for row in rows if row.split(" ")[2] == self.number]


def make_image(path: Path, fs_type: str = "ext4") -> Path:
    """A file with a file system in it."""
    with path.open("wb") as file:
        file.truncate(SIZES[fs_type])
    run(*MAKE[fs_type], path)
    return path


@contextlib.contextmanager
def attached(image: Path) -> Iterator[Disk]:
    """The file behind a loop device of its own; at the end nothing of it is mounted or looped."""
    device = Path(run("losetup", "--find", "--show", image).strip())
    run("blockdev", "--setrw", device)  # the device remembers what it was told for another file
    disk = Disk(image, device)
    try:
        yield disk
    finally:
        for point in reversed(disk.mounted_at()):
            run("umount", "--lazy", point)
        # Nor is whoever gets the device next told of ours, in another lane perhaps.
        run("blockdev", "--setrw", device)
        run("losetup", "--detach", device)


@contextlib.contextmanager
def process(*argv: str | Path, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said `ready`; it is ended with the block."""
    with subprocess.Popen([*map(str, argv)], cwd=cwd, stdout=subprocess.PIPE) as found:
        assert found.stdout is not None
        assert found.stdout.readline() == b"ready\n"
        yield found
        found.kill()


STAYS = ("sh", "-c", "echo ready; exec sleep infinity")


def disk_host(sink: RecordingSink) -> DriverHost:
    """A machine whose disks are real."""
    machine = FakeMachine(FakeClock(), FakeWire(), ip_interface("10.0.0.1/24"))
    return DriverHost(BootClock(), sink, machine, machine, machine, machine, FakeUnits())
