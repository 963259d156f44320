"""The lab's disks that move: who sees them, and that each attachment is a device of its own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from standfast.errors import RefusedError, UserError
from standfast.lab.addressing import Addressing
from standfast.lab.cgroups import Cgroup
from standfast.lab.disks import Shelf
from standfast.lab.network import Switch
from standfast.lab.paths import DISKS, LabPaths, VmSpec
from standfast.lab.vm import Power, Vm
from tests.integration.disk_parts import run

pytestmark = [pytest.mark.root]

(DISK,) = DISKS


@dataclass(frozen=True, slots=True)
class Directory(Vm):
    """A VM of which only its root directory is there."""

    is_on: bool = True

    @property
    @override
    def power(self) -> Power:
        return Power.ON if self.is_on else Power.OFF

    @override
    def root(self) -> Path:
        return self.directory

    @property
    def link(self) -> Path:
        return self.directory / "dev/disk/by-id" / DISK.link


def machine(base: Path, name: str, *, is_on: bool = True) -> Directory:
    addressing = Addressing("disks", 0, 1, ("vm-a", "vm-b"))
    directory = base / name
    (directory / "dev").mkdir(parents=True, exist_ok=True)
    spec = VmSpec(name, "", "", "esx-1.lab")
    return Directory(
        spec, directory, Cgroup(base / "cgroup"), Switch(addressing, base / "rules"), is_on=is_on
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    root = tmp_path / "lab"
    root.mkdir()
    found = Shelf(LabPaths("disks", root))
    yield found
    found.put_away()


def test_a_disk_appears_in_the_vm_that_has_it(shelf: Shelf, tmp_path: Path) -> None:
    a, b = machine(tmp_path, "vm-a"), machine(tmp_path, "vm-b")
    shelf.attach(a, DISK.uuid)
    assert a.link.resolve() == a.directory / "dev/sdb"
    assert run("blkid", "-o", "value", "-s", "TYPE", a.link).strip() == "ext4"
    with pytest.raises(RefusedError, match="attached to vm-a"):
        shelf.attach(b, DISK.uuid)
    with pytest.raises(RefusedError, match="not attached to vm-b"):
        shelf.detach(b, DISK.uuid)
    shelf.detach(a, DISK.uuid)
    assert not os.path.lexists(a.link)
    shelf.attach(b, DISK.uuid)
    assert shelf.attached()[DISK.uuid].vm == "vm-b"
    assert b.link.exists()


def test_a_boot_brings_it_back_on_another_device(shelf: Shelf, tmp_path: Path) -> None:
    a = machine(tmp_path, "vm-a")
    shelf.attach(machine(tmp_path, "vm-a", is_on=False), DISK.uuid)
    assert not os.path.lexists(a.link)
    shelf.booted(machine(tmp_path, "vm-b"))
    assert shelf.attached()[DISK.uuid].loop == ""
    shelf.booted(a)
    place = shelf.attached()[DISK.uuid]
    assert a.link.stat().st_rdev == Path(place.loop).stat().st_rdev
    shelf.booted(a)
    assert a.link.exists()


def test_a_disk_that_the_lab_does_not_have_is_said(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the lab has no disk 1234"):
        shelf.attach(machine(tmp_path, "vm-a"), "1234")
