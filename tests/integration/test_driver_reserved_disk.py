"""The driver of a reserved disk: real disks, and a twin of the storage that keeps them apart.

What real storage does is shown in full VMs (`test_reserved_disk_machines.py`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from standfast.adapters.disks.config import FilesystemConfig, ReservedDiskConfig
from standfast.adapters.disks.keys import key_of
from standfast.adapters.drivers import reserved_disk
from standfast.adapters.drivers.filesystem import FilesystemDriver
from standfast.adapters.drivers.reserved_disk import ReservedDiskDriver
from standfast.adapters.fakes import RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.linux.programs import Done
from standfast.errors import TransientError, UserError
from standfast.ports.resource import Change, Claim, Presence, Verdict
from tests.integration.disk_parts import Disk, attached, disk_host, make_image, run
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched
from tests.unit.adapters.disks.storage import Storage, StorageProgram

pytestmark = [pytest.mark.root]

UUID = "6000C298-595b-f457-5739-e9105b2c0c2d"
WWN = "wwn-0x6000c298595bf4575739e9105b2c0c2d"
CLAIM = Claim("cluster", 1, "node-a", "boot-1", 5, suspected=False)
LATER = replace(CLAIM, member="node-b", boot="boot-2", term=6, suspected=True)


@dataclass
class Node:
    """A VM that has the disk."""

    name: str
    by_id: Path
    disk: Disk
    storage: Storage
    sink: RecordingSink = field(default_factory=RecordingSink)

    def driver(self, claim: Claim | None = CLAIM) -> ReservedDiskDriver:
        config = ReservedDiskConfig("disk", UUID, self.by_id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                reserved_disk, "Programs", lambda: StorageProgram(self.storage, self.name)
            )
            driver = ReservedDiskDriver(config, disk_host(self.sink))
        if claim is not None:
            driver.claim(claim)
        return driver

    def is_open(self) -> bool:
        return run("blockdev", "--getro", self.disk.device).strip() == "0"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    image = make_image(tmp_path / "disk.img")
    storage = Storage()
    nodes: list[Node] = []
    with ExitStack() as stack:
        for name in "ab":
            by_id = tmp_path / name
            by_id.mkdir()
            disk = stack.enter_context(attached(image))
            run("blockdev", "--setro", disk.device)
            (by_id / WWN).symlink_to(disk.device)
            nodes.append(Node(name, by_id, disk, storage))
        yield nodes[0], nodes[1]
        for node in nodes:
            run("blockdev", "--setrw", node.disk.device)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserved_disk, "LOOK_S", 0.02)


class TestReservedDisk(DriverContract):
    @pytest.fixture
    def subject(self, pair: tuple[Node, Node]) -> Subject:
        node, _ = pair

        async def end() -> None:
            await asyncio.to_thread(run, "blockdev", "--setro", node.disk.device)

        async def begin() -> None:
            await asyncio.to_thread(run, "blockdev", "--setrw", node.disk.device)

        return Subject(node.driver(), BootClock(), end, begin)


async def test_without_a_lease_nothing_is_taken(pair: tuple[Node, Node]) -> None:
    node, _ = pair
    with pytest.raises(TransientError, match="there is no lease"):
        await node.driver(None).start(None)
    assert (node.storage.registered, node.is_open()) == ({}, False)


async def test_it_is_reserved_before_it_takes_writes_and_given_back_after(
    pair: tuple[Node, Node],
) -> None:
    node, _ = pair
    driver = node.driver()
    await driver.start(None)
    assert (node.storage.holder, node.is_open()) == ("a", True)
    assert [note.kind for note in node.sink.notes] == ["DiskReserved"]
    await driver.stop(5000)
    assert (node.storage.registered, node.is_open()) == ({}, False)


async def test_while_somebody_is_suspected_it_is_not_given_back(pair: tuple[Node, Node]) -> None:
    """He is shut out by the reservation alone, also while the resource is restarted here."""
    node, other = pair
    await node.driver().exclude()
    after = other.driver(LATER)
    assert await after.exclude() is True
    await after.start(None)
    await after.stop(5000)
    assert other.storage.holder == "b"
    assert not other.storage.may_write("a")
    await after.start(None)
    assert other.is_open()


async def test_a_node_that_was_thrown_out_says_that_its_lease_is_over(
    pair: tuple[Node, Node],
) -> None:
    node, other = pair
    driver = node.driver()
    async with watched(driver) as events:
        await driver.start(None)
        assert await other.driver(LATER).exclude() is True
        event = await next_event(events)
    assert event.change is Change.OUSTED
    assert "was taken in term 6 by another node" in event.message
    assert (await driver.check()).verdict is Verdict.GONE
    with pytest.raises(TransientError, match="was taken in term 6"):
        await driver.start(None)
    assert node.storage.holder == "b"


async def test_a_reservation_that_is_gone_is_a_death(pair: tuple[Node, Node]) -> None:
    node, _ = pair
    driver = node.driver()
    async with watched(driver) as events:
        await driver.start(None)
        node.storage.registered.clear()
        node.storage.holder = None
        event = await next_event(events)
    assert event.change is Change.DIED
    assert "not reserved any more" in event.message
    assert (await driver.check()).verdict is Verdict.GONE
    await driver.start(None)
    assert node.storage.holder == "a"


async def test_an_initiator_under_a_new_name_is_a_death(pair: tuple[Node, Node]) -> None:
    """The key is that of this node and the reservation its key's, but the storage refuses it."""
    node, _ = pair
    driver = node.driver()
    async with watched(driver) as events:
        await driver.start(None)
        assert (await driver.check()).verdict is Verdict.UP
        node.storage.connects_anew("a")
        event = await next_event(events)
    assert event.change is Change.DIED
    assert "its storage refuses this node" in event.message
    assert (await driver.check()).verdict is Verdict.GONE
    with pytest.raises(UserError, match="under another name") as refused:
        await driver.start(None)
    assert "restart standfast-agent" in refused.value.remedy
    driver.claim(replace(CLAIM, term=6))
    await driver.start(None)
    assert node.storage.may_write("a")
    assert list(node.storage.registered) == ["a"]


async def test_a_node_that_is_thrown_out_between_two_questions_is_ousted(
    pair: tuple[Node, Node],
) -> None:
    """It looked before the other one came, and asks for itself after."""
    node, other = pair
    driver = node.driver()
    async with watched(driver) as events:
        await driver.start(None)
        taking: list[asyncio.Task[bool]] = []

        class Slow(StorageProgram):
            async def run(self, *argv: str, budget_s: float | None = None) -> Done:
                if "--reserve" in argv and not taking:
                    taking.append(asyncio.create_task(other.driver(LATER).exclude()))
                    assert await taking[0]
                return await super().run(*argv, budget_s=budget_s)

        driver._reservation._programs = Slow(node.storage, "a")
        event = await next_event(events)
    assert event.change is Change.OUSTED
    assert node.storage.holder == "b"


async def test_a_new_term_goes_on_without_a_stop(pair: tuple[Node, Node]) -> None:
    node, _ = pair
    driver = node.driver()
    async with watched(driver) as events:
        await driver.start(None)
        later = replace(CLAIM, term=9)
        driver.claim(later)
        await driver.check()  # between the new claim and its reservation
        assert await driver.exclude() is True
        assert (await driver.check()).verdict is Verdict.UP
        assert events.empty()
    assert node.storage.registered == {"a": key_of(later).value}


async def test_an_agent_that_restarted_takes_over_what_its_predecessor_reserved(
    pair: tuple[Node, Node],
) -> None:
    node, _ = pair
    await node.driver().start(None)
    again = node.driver(replace(CLAIM, term=6))
    assert (await again.probe()).presence is Presence.RUNNING
    assert await again.exclude() is True
    await again.start(None)
    assert (await again.check()).verdict is Verdict.UP


async def test_storage_that_cannot_do_it_is_in_the_way_before_anything_happens(
    pair: tuple[Node, Node],
) -> None:
    node, _ = pair
    node.storage.exclusive = 0
    driver = node.driver()
    (said,) = await driver.ready()
    assert "cannot be reserved" in said
    assert "mode: Moving" in said
    with pytest.raises(UserError, match="cannot be reserved"):
        await driver.start(None)
    assert not node.is_open()


async def test_storage_that_forgets_proves_nothing_and_says_so(pair: tuple[Node, Node]) -> None:
    node, _ = pair
    driver = node.driver()
    assert await driver.concerns() == []
    node.storage.capable = 0
    assert await driver.ready() == []
    (alert,) = await driver.concerns()
    assert alert.reason == "ReservationVolatile"
    assert await driver.exclude() is False
    await driver.start(None)
    assert node.is_open()


async def test_a_disk_that_is_not_there_is_in_the_way(pair: tuple[Node, Node]) -> None:
    node, _ = pair
    (node.by_id / WWN).unlink()
    driver = node.driver()
    (said,) = await driver.ready()
    assert "is not attached to this VM" in said
    assert await driver.concerns() == []
    with pytest.raises(TransientError, match="is not attached to this VM"):
        await driver.start(None)


async def test_several_paths_are_refused(pair: tuple[Node, Node], tmp_path: Path) -> None:
    node, _ = pair
    link = node.by_id / WWN
    real = tmp_path / "dm-3"
    run("mknod", real, "b", *node.disk.number.split(":"))
    link.unlink()
    link.symlink_to(real)
    (said,) = await node.driver().ready()
    assert "several paths" in said


async def test_what_cannot_be_given_back_stays_and_is_told(pair: tuple[Node, Node]) -> None:
    node, other = pair
    driver = node.driver()
    await driver.start(None)
    (node.by_id / "kept").symlink_to((node.by_id / WWN).readlink())
    node.storage.attention = {"a"}
    await other.driver(LATER).exclude()
    await driver.stop(5000)
    assert other.storage.holder == "b"


async def test_a_file_system_starts_on_the_disk_that_is_reserved_and_on_no_other(
    pair: tuple[Node, Node], tmp_path: Path
) -> None:
    node, other = pair
    await node.driver().start(None)
    point = tmp_path / "point"
    point.mkdir()
    disk = ReservedDiskConfig("disk", UUID, node.by_id).disk
    config = FilesystemConfig("fs", str(node.by_id / WWN), point, "ext4", on_disks=(disk,))
    host = disk_host(node.sink)
    driver = FilesystemDriver(config, host, tmp_path / "fstab")
    await driver.start(None)
    await driver.stop(5000)
    wrong = replace(config, device=str(other.disk.device))
    run("blockdev", "--setrw", other.disk.device)
    with pytest.raises(UserError, match="is not on the reserved disk"):
        await FilesystemDriver(wrong, host, tmp_path / "fstab").start(None)
