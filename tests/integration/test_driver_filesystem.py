"""The filesystem driver on real file systems behind loop devices, ext4 and XFS."""

import asyncio
import contextlib
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standfast.adapters.disks.config import FilesystemConfig, Fsck
from standfast.adapters.drivers.filesystem import FilesystemDriver
from standfast.adapters.fakes import RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.errors import TransientError, UserError
from standfast.guard.mounts import Detacher
from standfast.ports.resource import Presence, Verdict
from tests.integration.disk_parts import STAYS, Disk, attached, disk_host, make_image, process, run
from tests.unit.adapters.contracts import DriverContract, Subject

pytestmark = [pytest.mark.root]

FS_IOC_SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2
"""What a disk that is pulled out does to the file system on it."""


@dataclass
class Place:
    """A disk, a mount point, and drivers for them."""

    disk: Disk
    point: Path
    fs_type: str
    fstab: Path
    sink: RecordingSink

    def driver(self, device: str = "", fsck: Fsck = Fsck.PREEN) -> FilesystemDriver:
        config = FilesystemConfig(
            "data", device or str(self.disk.device), self.point, self.fs_type, ("noatime",), fsck
        )
        return FilesystemDriver(config, disk_host(self.sink), self.fstab)

    def mount(self, at: Path | None = None) -> None:
        run("mount", "-t", self.fs_type, self.disk.device, at or self.point)

    def holder(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """A process with a file open, which does not go when asked."""
        script = f"trap '' TERM; exec 3>{self.point}/held; echo ready; while :; do sleep 0.1; done"
        return process("sh", "-c", script)

    def detach(self) -> None:
        """What the guard does when the lease ends."""
        detacher = Detacher()
        detacher.detach(str(self.point))
        while detacher.is_busy():
            time.sleep(0.01)

    def pull_out(self) -> None:
        """Let the file system fail as if its disk was gone."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        finally:
            os.close(descriptor)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    with contextlib.ExitStack() as stack:

        def make(fs_type: str) -> Place:
            image = make_image(tmp_path / "disk.img", fs_type)
            disk = stack.enter_context(attached(image))
            point = tmp_path / "point"
            point.mkdir()
            fstab = tmp_path / "fstab"
            fstab.write_text("")
            return Place(disk, point, fs_type, fstab, RecordingSink())

        yield make


@pytest.fixture
def place(make: Callable[[str], Place]) -> Place:
    return make("ext4")


class OnAFilesystem(DriverContract):
    FS_TYPE = ""

    @pytest.fixture
    def subject(self, make: Callable[[str], Place]) -> Subject:
        place = make(self.FS_TYPE)

        async def end() -> None:
            await asyncio.to_thread(run, "umount", place.point)

        async def begin() -> None:
            await asyncio.to_thread(place.mount)

        return Subject(place.driver(), BootClock(), end, begin)


class TestExt4(OnAFilesystem):
    FS_TYPE = "ext4"


class TestXfs(OnAFilesystem):
    FS_TYPE = "xfs"


async def test_it_is_mounted_as_declared(place: Place) -> None:
    await place.driver().start(None)
    assert place.disk.mounted_at() == [str(place.point)]
    rows = run("findmnt", "-no", "OPTIONS", place.point)
    assert {"rw", "noatime"} <= set(rows.strip().split(","))


async def test_a_device_is_found_by_its_uuid_and_label(place: Place) -> None:
    uuid = run("blkid", "-o", "value", "-s", "UUID", place.disk.device).strip()
    run("e2label", place.disk.device, "standfast-test")
    for device in (f"UUID={uuid}", "LABEL=standfast-test"):
        driver = place.driver(device)
        await driver.start(None)
        assert place.disk.mounted_at() == [str(place.point)]
        await driver.stop(5000)


async def test_who_keeps_it_busy_is_asked_and_then_killed(place: Place) -> None:
    driver = place.driver()
    await driver.start(None)
    with place.holder() as holder:
        await driver.stop(6000)
        assert holder.wait(10) == -9
    assert place.disk.mounted_at() == []


async def test_a_kill_does_not_ask(place: Place) -> None:
    driver = place.driver()
    await driver.start(None)
    with place.holder() as holder:
        async with asyncio.timeout(6):
            await driver.kill()
        assert holder.wait(10) == -9
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_what_the_guard_detached_is_not_gone_before_its_last_user_is(place: Place) -> None:
    """A detached file system lives on and takes writes: it must not be called stopped."""
    driver = place.driver()
    await driver.start(None)
    with place.holder() as holder:
        await asyncio.to_thread(place.detach)
        assert place.disk.mounted_at() == []
        assert (await driver.probe()).presence is Presence.RUNNING
        with pytest.raises(TransientError, match="is in use on this node"):
            await place.driver().start(None)
        await driver.stop(6000)
        assert holder.wait(10) == -9
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_mount_in_another_namespace_counts(place: Place) -> None:
    """A container that keeps the disk mounted keeps it in use, and is ended with it."""
    driver = place.driver()
    await driver.start(None)
    with process("unshare", "--mount", "--propagation=private", *STAYS) as container:
        run("umount", place.point)
        assert (await driver.probe()).presence is Presence.RUNNING
        await driver.stop(6000)
        assert container.wait(10) != 0
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_disk_that_is_mounted_elsewhere_is_not_mounted_again(
    place: Place, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    place.mount(other)
    driver = place.driver()
    with pytest.raises(TransientError, match="already, and not as this resource") as refused:
        await driver.start(None)
    assert refused.value.remedy == f"umount {other}"
    assert (await driver.probe()).presence is Presence.RUNNING, "a threat to the other node"
    await driver.stop(6000)
    assert place.disk.mounted_at() == []


async def test_what_fstab_mounts_at_boot_is_refused(place: Place) -> None:
    place.fstab.write_text(f"# ours\n{place.disk.device} /mnt ext4 defaults 0 2\n")
    with pytest.raises(UserError, match="mounts it at boot without asking") as refused:
        await place.driver().start(None)
    assert "noauto" in refused.value.remedy
    assert len(await place.driver().ready()) == 1
    place.fstab.write_text(f"{place.disk.device} {place.point} ext4 noauto 0 2\n")
    assert await place.driver().ready() == []
    await place.driver().start(None)


async def test_a_missing_mount_point_and_a_missing_device_are_said(place: Place) -> None:
    with pytest.raises(TransientError, match="there is no device /dev/disk/by-id/none"):
        await place.driver("/dev/disk/by-id/none").start(None)
    place.point.rmdir()
    with pytest.raises(UserError, match="is not a directory") as refused:
        await place.driver().start(None)
    assert refused.value.remedy == f"mkdir -p {place.point}"


async def test_files_under_a_mount_point_are_a_concern(place: Place) -> None:
    assert await place.driver().concerns() == []
    (place.point / "left-behind").write_text("")
    (concern,) = await place.driver().concerns()
    assert "left-behind" in concern.message


async def test_the_disk_of_the_machine_itself_is_left_alone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is declared: nothing is unmounted, nobody is killed."""
    system = tmp_path / "system"
    system.mkdir()
    place.mount(system)
    monkeypatch.setattr("standfast.guard.mounts._KEPT", (str(system),))
    driver = place.driver()
    with pytest.raises(UserError, match="this machine itself lives on"):
        await driver.start(None)
    with process(*STAYS, cwd=system) as user:
        assert (await driver.probe()).presence is Presence.STOPPED
        await driver.stop(6000)
        await driver.kill()
        assert user.poll() is None
    assert place.disk.mounted_at() == [str(system)]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_mount_by_hand_where_the_system_lives_hides_no_use(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_whole: bool
) -> None:
    """`/home` bound onto the disk: it is written there, so nothing of it is stopped."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("standfast.guard.mounts._KEPT", (str(home),))
    monkeypatch.setattr("standfast.adapters.disks.mounts._BOUND_FOR_DATA", {str(home)})
    driver = place.driver()
    await driver.start(None)
    (place.point / "people").mkdir()
    run("mount", "--bind", place.point if is_whole else place.point / "people", home)
    assert (await driver.probe()).presence is Presence.RUNNING
    with process(*STAYS, cwd=home):
        await driver.stop(6000)
        assert place.disk.mounted_at() == []
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_bind_mount_that_the_guard_left_is_in_use(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("standfast.guard.mounts._KEPT", (str(home),))
    monkeypatch.setattr("standfast.adapters.disks.mounts._BOUND_FOR_DATA", {str(home)})
    driver = place.driver()
    await driver.start(None)
    (place.point / "people").mkdir()
    run("mount", "--bind", place.point / "people", home)
    place.detach()
    assert (await driver.probe()).presence is Presence.RUNNING
    await driver.kill()
    assert place.disk.mounted_at() == []


async def test_damage_is_repaired_or_said_before_a_mount(place: Place) -> None:
    run("debugfs", "-w", "-R", "ssv state 2", place.disk.device)  # "has errors": wants a check
    await place.driver().start(None)
    await place.driver().stop(6000)
    broken = place.disk.device
    run("dd", "if=/dev/urandom", f"of={broken}", "bs=4096", "count=1", "seek=0", "conv=fsync")
    with pytest.raises(UserError, match=r"fsck\.ext4 left errors") as refused:
        await place.driver().start(None)
    assert "fsck.ext4 -n" in refused.value.remedy
    with pytest.raises(UserError, match="failed"):
        await place.driver(fsck=Fsck.NEVER).start(None)
    assert place.disk.mounted_at() == []


async def test_nothing_is_mounted_after_a_check_that_was_killed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel does when memory runs out: the repair may be half done."""
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("standfast.adapters.drivers.filesystem.FSCK", {"ext4": (str(killed),)})
    with pytest.raises(TransientError, match="was killed by signal 9"):
        await place.driver().start(None)
    assert place.disk.mounted_at() == []


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_a_disk_that_fails_is_seen_and_cleared(
    make: Callable[[str], Place], fs_type: str
) -> None:
    place = make(fs_type)
    driver = place.driver()
    await driver.start(None)
    assert (await driver.check()).verdict is Verdict.UP
    place.pull_out()
    health = await driver.check()
    assert health.verdict in {Verdict.DOWN, Verdict.GONE}, health.message
    await driver.stop(5000)
    assert (await driver.probe()).presence is Presence.STOPPED
    await driver.start(None)
    assert (await driver.check()).verdict is Verdict.UP, "the journal was replayed"


async def test_a_remount_read_only_is_seen(place: Place) -> None:
    driver = place.driver()
    await driver.start(None)
    run("mount", "-o", "remount,ro", place.point)
    health = await driver.check()
    assert (health.verdict, "read-only" in health.message) == (Verdict.GONE, True)


async def test_a_full_disk_is_not_a_reason_to_fail_over(place: Place) -> None:
    driver = place.driver()
    await driver.start(None)
    argv = ("dd", "if=/dev/zero", f"of={place.point}/big", "bs=1M", "status=none")
    assert "No space left" in run(*argv, status=1)
    assert (await driver.check()).verdict is Verdict.UP


async def test_a_read_only_disk_is_not_called_mounted(place: Place) -> None:
    run("blockdev", "--setro", place.disk.device)
    driver = place.driver(fsck=Fsck.NEVER)
    with pytest.raises(TransientError):
        await driver.start(None)
    await driver.stop(6000)
    assert place.disk.mounted_at() == []
