"""What happens inside a full VM that shares a disk: the agent's driver, and who writes beside it.

Run as its first process; does what it is told by files in the directory that outlives its boots,
one after the other, and says what came of it.
"""

import asyncio
import mmap
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from standfast.adapters.disks.config import ReservedDiskConfig
from standfast.adapters.drivers.reserved_disk import ReservedDiskDriver
from standfast.adapters.fakes import RecordingSink
from standfast.errors import StandfastError
from standfast.ports.resource import Claim, ResourceEvent
from tests.integration.disk_parts import disk_host

ORDERS = Path("/mnt/orders")
BY_ID = Path("/run/by-id")
BLOCK = 4096
SLOTS = 64
"""Blocks per node; a write goes to the block of its number modulo this."""
RECENT = 32
"""So many acknowledged writes are told; none of them was written over since."""


def say(word: str) -> None:
    print(f"STORY {word}", flush=True)


def find_disk() -> Path:
    """The disk under the name that udev would give it."""
    BY_ID.mkdir(exist_ok=True)
    while True:
        for wwid in Path("/sys/block").glob("sd*/device/wwid"):
            name = wwid.read_text().strip()
            if name.startswith("naa."):
                link = BY_ID / f"wwn-0x{name.removeprefix('naa.')}"
                link.unlink(missing_ok=True)
                link.symlink_to(f"/dev/{wwid.parent.parent.name}")
                # Storage that reboots takes a while here; an I/O error meanwhile is no news.
                (wwid.parent / "timeout").write_text("600")
                return link
        time.sleep(0.1)


def uuid_of(link: Path) -> str:
    plain = link.name.removeprefix("wwn-0x")
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


@dataclass
class Writer:
    """Writes without asking anybody, several at a time, past every cache, and counts."""

    disk: Path
    node: int
    first: int
    acknowledged: list[int] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self._next = self.first
        self._threads = [threading.Thread(target=self._write) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        page = mmap.mmap(-1, BLOCK)
        descriptor = os.open(self.disk, os.O_WRONLY | os.O_DIRECT)
        while not self._over.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            page[:] = f"{self.node} {number}\n".encode().ljust(BLOCK, b".")
            place = (self.node * SLOTS + number % SLOTS) * BLOCK
            try:
                os.pwritev(descriptor, [page], place)
            except OSError as error:
                with self._lock:
                    name = error.strerror or str(error)
                    self.refused[name] = self.refused.get(name, 0) + 1
                time.sleep(0.02)
            else:
                with self._lock:
                    self.acknowledged.append(number)
        os.close(descriptor)


def found(disk: Path, node: int) -> list[int]:
    """The numbers of a node that are on the disk."""
    page = mmap.mmap(-1, BLOCK * SLOTS)
    descriptor = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    try:
        os.preadv(descriptor, [page], node * SLOTS * BLOCK)
    finally:
        os.close(descriptor)
    blocks = (bytes(page[at : at + BLOCK]) for at in range(0, BLOCK * SLOTS, BLOCK))
    return [int(block.split()[1]) for block in blocks if block.startswith(f"{node} ".encode())]


def row(numbers: list[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "none"


class Story:
    """One node."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = "ab".index(name)
        self.disk = find_disk()
        config = ReservedDiskConfig("disk", uuid_of(self.disk), BY_ID)
        self.driver = ReservedDiskDriver(config, disk_host(RecordingSink()))
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.writer: Writer | None = None

    def _told(self, event: ResourceEvent) -> None:
        say(f"event {event.change.value} {event.message}")

    async def obey(self) -> None:
        watch = asyncio.create_task(self.driver.watch(self._told))
        say(f"ready {self.disk.name}")
        done = 0
        while True:
            order = ORDERS / str(done + 1)
            while not order.exists():
                await asyncio.sleep(0.05)
                assert not watch.done()
            done += 1
            words = order.read_text().split()
            try:
                said = await self._do(words)
            except StandfastError as error:
                said = f"{type(error).__name__} {error.problem}"
            say(f"did {done} {said}")

    async def _do(self, words: list[str]) -> str:
        match words:
            case ["claim", term]:
                claim = Claim("cluster", 1, self.name, self.boot, int(term), suspected=True)
                self.driver.claim(claim)
                return term
            case ["exclude"]:
                began = time.monotonic()
                stays = await self.driver.exclude()
                return f"{stays} {(time.monotonic() - began) * 1000:.0f}"
            case ["start"]:
                await self.driver.start(None)
                return (await self.driver.check()).verdict.value
            case ["kill"]:
                await self.driver.kill()
                return "killed"
            case ["ready"]:
                return str(await self.driver.ready())
            case ["write", first]:
                self.writer = Writer(self.disk.resolve(), self.number, int(first))
                self.writer.begin()
                return "writes"
            case ["rest"]:
                assert self.writer is not None
                await asyncio.to_thread(self.writer.end)
                return self._wrote(self.writer)
            case ["wrote"]:
                assert self.writer is not None
                return self._wrote(self.writer)
            case ["found", node]:
                disk = self.disk.resolve()
                return row(await asyncio.to_thread(found, disk, "ab".index(node)))
            case _:
                raise AssertionError(words)

    @staticmethod
    def _wrote(writer: Writer) -> str:
        refused = " ".join(f"{why.replace(' ', '_')}:{n}" for why, n in writer.refused.items())
        return f"{row(writer.acknowledged[-RECENT:])} {len(writer.acknowledged)} {refused}"


asyncio.run(Story(sys.argv[1]).obey())
