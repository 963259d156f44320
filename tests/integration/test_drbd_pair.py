"""DRBD of a stock kernel between two full VMs, under real agents, a real quorum and a witness.

What is on the device is a file system with a writer: numbers, each acknowledged when fsync said
so. After every fault all acknowledged numbers are there. The device is that of
`examples/04-drbd-mariadb`, which has both copies compared as soon as they are whole. One story,
because machines that are emulated take a while to boot; each step of it is asserted.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration import qemu_parts
from tests.integration.drbd_bed import PATIENCE_S, DrbdBed

pytestmark = [
    pytest.mark.root,
    pytest.mark.load,
    pytest.mark.timeout(1800),
    pytest.mark.asyncio,
    pytest.mark.skipif(bool(qemu_parts.missing()), reason=qemu_parts.missing()),
]
POINT = "/srv/data"
NUMBERS = f"{POINT}/numbers"
MOUNT = f"mount /dev/drbd0 {POINT}"


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[DrbdBed]:
    made = DrbdBed(tmp_path)
    try:
        await made.up()
        yield made
    finally:
        await made.close()


class Observer:
    """Asks both kernels all the time, and remembers when both were primary and none was held."""

    def __init__(self, bed: DrbdBed) -> None:
        self._bed = bed
        self.both: list[str] = []

    async def run(self) -> None:
        while True:
            seen = [await asyncio.to_thread(self._bed.proc, name) for name in self._bed.vms]
            if all("ro:Primary/" in text for text in seen):
                self.both.append("\n".join(seen))
            await asyncio.sleep(0.3)


@contextlib.asynccontextmanager
async def observed(bed: DrbdBed) -> AsyncIterator[Observer]:
    observer = Observer(bed)
    task = asyncio.create_task(observer.run())
    try:
        yield observer
    finally:
        task.cancel()
        await asyncio.wait({task})


def missing(bed: DrbdBed, name: str) -> list[int]:
    """Acknowledged numbers of both writers that are not in the file on this node."""
    have = {int(row) for row in bed.vms[name].run("cat", NUMBERS).split()}
    told = {number for vm in bed.vms for number, _ in bed.acknowledged(vm)}
    return sorted(told - have)


async def shown(bed: DrbdBed, name: str, state: str) -> None:
    """Until DRBD says so: its handler is slow to begin on a busy machine."""
    async with asyncio.timeout(PATIENCE_S):
        while state not in await asyncio.to_thread(bed.proc, name):  # noqa: ASYNC110 in a VM
            await asyncio.sleep(0.3)


async def grown(bed: DrbdBed, name: str) -> float:
    """Seconds until another number is acknowledged."""
    began_s, before = time.monotonic(), len(bed.acknowledged(name))
    async with asyncio.timeout(PATIENCE_S):
        while len(bed.acknowledged(name)) <= before:  # noqa: ASYNC110 a file of another machine
            await asyncio.sleep(0.05)
    return time.monotonic() - began_s


async def test_acknowledged_writes_survive(pair: DrbdBed) -> None:
    bed = pair
    async with observed(bed) as observer:
        # The first copy.
        began_s = time.monotonic()
        first = await bed.active()
        assert first == "a", "the cluster begins with the data of the node that is listed first"
        await bed.until_in_sync(first, 2)
        print(f"\nfirst copy of {bed.vms[first].disk_mib} MiB: {time.monotonic() - began_s:.1f} s")
        compared_s = time.monotonic()
        await bed.until_compared(first)
        print(f"compared after {time.monotonic() - compared_s:.1f} s more")
        bed.vms[first].sh(f"mkfs.ext4 -q /dev/drbd0 && {MOUNT}", timeout_s=120)
        bed.vms[first].ask("write", NUMBERS)
        await grown(bed, first)

        # The link is cut: writes are held, the record shrinks first, then they go on.
        bed.net.cut(bed.vms[first], "rep")
        cut_s = time.monotonic()
        await bed.until_in_sync(first, 1)
        shrunk_s = time.monotonic()
        await grown(bed, first)
        longest_ms = max(took_ms for _, took_ms in bed.acknowledged(first))
        print(f"link cut: record shrunk after {shrunk_s - cut_s:.1f} s")
        print(f"longest write: {longest_ms} ms")
        await shown(bed, first, "ro:Primary/Unknown ds:UpToDate/Outdated")

        # It is whole again: only what differs is copied, and the record grows.
        bed.net.heal(bed.vms[first])
        healed_s = time.monotonic()
        await bed.until_in_sync(first, 2)
        print(f"link back: in sync again after {time.monotonic() - healed_s:.1f} s")

        # The active node loses its power.
        await grown(bed, first)
        cut_s = time.monotonic()
        await asyncio.to_thread(bed.power_cut, first)
        second = await bed.active(besides=first)
        print(f"power cut: {second} serves after {time.monotonic() - cut_s:.1f} s")
        bed.vms[second].sh(MOUNT)
        assert missing(bed, second) == []
        print(f"{len(bed.acknowledged(first))} acknowledged writes, none missing")
        bed.vms[second].ask("write", NUMBERS)
        await grown(bed, second)

        # The old one comes back and follows by itself.
        await bed.boot(first)
        await bed.until_in_sync(second, 2)
        last = await bed.active()
        bed.vms[last].sh(f"mountpoint -q {POINT} || {MOUNT}")  # it is no resource: a stop ends it
        assert missing(bed, last) == []
    assert observer.both == []
