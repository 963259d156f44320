"""The disk under the journal hangs: a real file system that is frozen, and a node that says so."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.adapters.fakes import RecordingSink
from standfast.agent.disk import HANGS, DiskProbe, DiskWatch

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    image, place = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def probe(disk: Path) -> Iterator[DiskProbe]:
    made = DiskProbe.fork(disk, every_s=0.1)
    yield made
    os.kill(made.pid, signal.SIGKILL)
    os.waitpid(made.pid, 0)
    os.close(made.pipe)


async def frozen(disk: Path, *, is_frozen: bool) -> None:
    word = "--freeze" if is_frozen else "--unfreeze"
    await asyncio.to_thread(subprocess.run, ["fsfreeze", word, str(disk)], check=True)


async def test_f57_a_frozen_file_system_is_noticed_and_so_is_its_thaw(
    disk: Path, probe: DiskProbe
) -> None:
    sink, changed = RecordingSink(), asyncio.Event()
    watch = DiskWatch(probe, sink, changed.set, hung_s=1.0, look_s=0.05)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(1.5)
    assert watch.hindrance == ""
    await frozen(disk, is_frozen=True)
    try:
        began = asyncio.get_running_loop().time()
        await asyncio.wait_for(changed.wait(), 5)
        print(f"\nnoticed after {asyncio.get_running_loop().time() - began:.1f} s")
        assert "has not come back" in watch.hindrance
        assert ("disk", HANGS) in sink.alerts
        changed.clear()
    finally:
        await frozen(disk, is_frozen=False)
    await asyncio.wait_for(changed.wait(), 5)
    assert watch.hindrance == ""
    running.cancel()
