"""The lab's disks that move: files behind loop devices, seen by the one VM they are attached to.

Called by the hypervisor. A disk gets a loop device of its own at every attachment and every boot,
so two VMs that had it at once would be two file systems on one disk, as dangerous as in earnest.
The VM sees a device node and the name that udev would give it. Detaching takes both away at once;
what is mounted then fails or lives on until its last user is gone, as when a disk is pulled out.

What is attached where is kept in a file: it outlives the hypervisor and the VMs, as a VM's
settings do.
"""

import os
import stat
import subprocess
from pathlib import Path

import msgspec

from standfast.errors import RefusedError, TransientError, UserError
from standfast.lab.commands import run
from standfast.lab.paths import DISKS, DiskSpec, LabPaths
from standfast.lab.program import write
from standfast.lab.vm import Power, Vm

NODE = "sdb"
"""What the VM calls it: it has no other disk of that kind."""


class Place(msgspec.Struct, frozen=True):
    """Where a disk is.

    Args:
        vm: The VM that it is attached to.
        loop: Its loop device; empty while that VM was not switched on since.
    """

    vm: str
    loop: str = ""


class Shelf:
    """All disks of one lab.

    Args:
        paths: The lab's files.
    """

    def __init__(self, paths: LabPaths) -> None:
        self._home = paths.root / "disks"
        self._note = self._home / "attached.json"

    def attached(self) -> dict[str, Place]:
        """Where each attached disk is, by its UUID."""
        if not self._note.exists():
            return {}
        return msgspec.json.decode(self._note.read_bytes(), type=dict[str, Place])

    def attach(self, vm: Vm, uuid: str) -> None:
        """Gives a disk to a VM; it appears at once when that is on.

        Raises:
            UserError: There is no such disk.
            RefusedError: It is attached to another VM.
        """
        disk, places = _disk(uuid), self.attached()
        place = places.get(uuid)
        if place is not None and place.vm != vm.name:
            raise RefusedError(f"disk {uuid} is attached to {place.vm}")
        loop = "" if vm.power is Power.OFF else self._appear(vm, disk)
        self._keep({**places, uuid: Place(vm.name, loop)})

    def detach(self, vm: Vm, uuid: str) -> None:
        """Takes a disk from a VM.

        Raises:
            RefusedError: It is not attached to that VM.
        """
        disk, places = _disk(uuid), self.attached()
        place = places.pop(uuid, None)
        if place is None or place.vm != vm.name:
            raise RefusedError(f"disk {uuid} is not attached to {vm.name}")
        if vm.power is not Power.OFF:
            for node in _nodes(vm, disk):
                node.unlink(missing_ok=True)
        _release(place.loop)
        self._keep(places)

    def booted(self, vm: Vm) -> None:
        """A VM was switched on: its disks appear in it."""
        places = self.attached()
        for uuid, place in places.items():
            if place.vm == vm.name:
                _release(place.loop)
                places[uuid] = Place(vm.name, self._appear(vm, _disk(uuid)))
        self._keep(places)

    def put_away(self) -> None:
        """No VM runs any more: lets go of all loop devices. The disks stay as they are."""
        for place in self.attached().values():
            _release(place.loop)

    def _appear(self, vm: Vm, disk: DiskSpec) -> str:
        image = self._image(disk)
        done = subprocess.run(
            ["losetup", "--find", "--show", str(image)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise TransientError(f"no loop device for {image}: {done.stderr.strip()}")
        loop = done.stdout.strip()
        run(["blockdev", "--setrw", loop])  # it may remember another disk's setting
        link, node = _nodes(vm, disk)
        link.parent.mkdir(parents=True, exist_ok=True)
        for old in (link, node):
            old.unlink(missing_ok=True)
        os.mknod(node, stat.S_IFBLK | 0o660, Path(loop).stat().st_rdev)
        link.symlink_to(f"../../{NODE}")
        return loop

    def _image(self, disk: DiskSpec) -> Path:
        """The disk's file, made with a file system in it when it is used first."""
        image = self._home / f"{disk.uuid}.img"
        if not image.exists():
            self._home.mkdir(exist_ok=True)
            fresh = image.with_suffix(".new")
            with fresh.open("wb") as file:
                file.truncate(disk.size)
            run(["mkfs.ext4", "-q", "-F", str(fresh)])
            fresh.rename(image)
        return image

    def _keep(self, places: dict[str, Place]) -> None:
        self._home.mkdir(exist_ok=True)
        write(self._note, msgspec.json.encode(places).decode())


def mounted(vm: Vm, loop: str) -> bool:
    """Whether a VM that is on has the file system of that loop device mounted, seen from outside.

    Raises:
        RefusedError: It is off.
    """
    found = Path(loop).stat().st_rdev
    number = f"{os.major(found)}:{os.minor(found)}"
    rows = (vm.root() / "proc/1/mountinfo").read_text().splitlines()
    return any(row.split(" ")[2] == number for row in rows)


def _nodes(vm: Vm, disk: DiskSpec) -> tuple[Path, Path]:
    """The name that stays, and the device node, seen from this machine."""
    dev = vm.root() / "dev"
    return dev / "disk/by-id" / disk.link, dev / NODE


def _disk(uuid: str) -> DiskSpec:
    for disk in DISKS:
        if disk.uuid == uuid:
            return disk
    raise UserError(
        f"the lab has no disk {uuid}: it has {', '.join(disk.uuid for disk in DISKS)}",
        remedy="standfast-lab status",
    )


def _release(loop: str) -> None:
    """Lets go of a loop device; the kernel does when its last user is gone. It may be gone."""
    if loop and Path(loop).exists():
        # The setting outlives the file: whoever gets the device next would find it read-only.
        subprocess.run(["blockdev", "--setrw", loop], capture_output=True, check=False)
        subprocess.run(["losetup", "--detach", loop], capture_output=True, check=False)
