"""The driver of a disk that moves, on loop devices that come and go under the guest's names."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standfast.adapters.disks.config import SharedDiskConfig
from standfast.adapters.drivers import shared_disk
from standfast.adapters.drivers.shared_disk import SharedDiskDriver
from standfast.adapters.fakes import RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.errors import TransientError, UserError
from standfast.ports.resource import Change, Presence, Verdict
from tests.integration.disk_parts import STAYS, Disk, attached, disk_host, make_image, process, run
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched

pytestmark = [pytest.mark.root]

UUID = "6000C298-595b-f457-5739-e9105b2c0c2d"
WWN = "wwn-0x6000c298595bf4575739e9105b2c0c2d"


@dataclass
class Slot:
    """Where the hypervisor puts the disk of this VM, and takes it away."""

    by_id: Path
    image: Path
    disk: Disk
    sink: RecordingSink = field(default_factory=RecordingSink)

    @property
    def link(self) -> Path:
        return self.by_id / WWN

    def attach(self) -> None:
        self.link.symlink_to(self.disk.device)

    def detach(self) -> None:
        self.link.unlink()

    def set_rw(self) -> None:
        run("blockdev", "--setrw", self.disk.device)

    def set_ro(self) -> None:
        run("blockdev", "--setro", self.disk.device)

    def is_open(self) -> bool:
        return run("blockdev", "--getro", self.disk.device).strip() == "0"

    def driver(self) -> SharedDiskDriver:
        return SharedDiskDriver(SharedDiskConfig("disk", UUID, self.by_id), disk_host(self.sink))


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    image = make_image(tmp_path / "disk.img")
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    with ExitStack() as stack:
        disk = stack.enter_context(attached(image))
        found = Slot(by_id, image, disk)
        found.set_ro()
        found.attach()
        yield found
        found.set_rw()


class TestSharedDisk(DriverContract):
    @pytest.fixture
    def subject(self, slot: Slot) -> Subject:
        async def end() -> None:
            await asyncio.to_thread(slot.set_ro)

        async def begin() -> None:
            await asyncio.to_thread(slot.set_rw)

        return Subject(slot.driver(), BootClock(), end, begin)


async def test_it_waits_for_the_disk(slot: Slot) -> None:
    slot.detach()
    driver = slot.driver()
    assert (await driver.probe()).presence is Presence.STOPPED
    start = asyncio.create_task(driver.start(None))
    done, _ = await asyncio.wait({start}, timeout=0.3)
    assert not done
    slot.attach()
    await start
    assert slot.is_open()
    assert (await driver.check()).verdict is Verdict.UP


async def test_a_disk_that_does_not_come_is_said(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_disk, "ATTACHED_S", 0.2)
    slot.detach()
    with pytest.raises(TransientError, match="is not attached to this VM") as late:
        await slot.driver().start(None)
    assert "disk.EnableUUID" in late.value.remedy
    assert "kubectl describe har disk" in late.value.remedy


async def test_on_a_node_that_is_not_active_it_cannot_be_mounted_writable(
    slot: Slot, tmp_path: Path
) -> None:
    driver = slot.driver()
    await driver.start(None)
    await driver.stop(6000)
    point = tmp_path / "point"
    point.mkdir()
    run("mount", "--rw", slot.disk.device, point, status=32)
    assert slot.disk.mounted_at() == []


async def test_what_is_mounted_from_it_goes_with_it(slot: Slot, tmp_path: Path) -> None:
    driver = slot.driver()
    await driver.start(None)
    point = tmp_path / "point"
    point.mkdir()
    run("mount", slot.disk.device, point)
    with process(*STAYS, cwd=point) as user:
        await driver.kill()
        assert user.wait(10) == -9
    assert slot.disk.mounted_at() == []
    assert not slot.is_open()


async def test_a_detach_by_somebody_else_is_a_death(slot: Slot) -> None:
    driver = slot.driver()
    async with watched(driver) as events:
        await driver.start(None)
        slot.detach()
        event = await next_event(events)
    assert (event.change, "was detached" in event.message) == (Change.DIED, True)
    assert (await driver.check()).verdict is Verdict.GONE


async def test_partitions_follow_the_disk(tmp_path: Path) -> None:
    image = tmp_path / "parts.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    with attached(image) as disk:
        run("addpart", disk.device, "1", "2048", "16384")
        part = Path(f"{disk.device}p1")
        (by_id / WWN).symlink_to(disk.device)
        driver = SharedDiskDriver(
            SharedDiskConfig("disk", UUID, by_id), disk_host(RecordingSink())
        )
        await driver.start(None)
        await driver.stop(6000)
        assert run("blockdev", "--getro", part).strip() == "1"
        await driver.start(None)
        assert run("blockdev", "--getro", part).strip() == "0"
        run("delpart", disk.device, "1")


async def test_the_disk_of_the_machine_itself_is_refused(
    slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system"
    system.mkdir()
    run("mount", "-o", "ro", slot.disk.device, system)
    monkeypatch.setattr("standfast.guard.mounts._KEPT", (str(system),))
    driver = slot.driver()
    with pytest.raises(UserError, match="this machine itself lives on"):
        await driver.start(None)
    await driver.stop(6000)
    await driver.kill()
    assert slot.disk.mounted_at() == [str(system)]
