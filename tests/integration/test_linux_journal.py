"""The journal on real file systems: full, read-only, and how long a flush takes."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.adapters.linux.journal import SlotJournal
from standfast.errors import TransientError, UserError
from tests.integration.linux_parts import needs_root, shell

MB = 1024 * 1024


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """An ext4 file system of 16 MB in a file."""
    image, mount = place / "disk.img", place / "mnt"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * MB)
    shell(f"mkfs.ext4 -q -F -m 0 {image} && mount -o loop {image} {mount}")
    try:
        yield mount
    finally:
        shell(f"umount --lazy {mount}")


def fill(directory: Path) -> None:
    """Leave nothing free, for root neither; what is left is the file system's own reserve."""
    with (directory / "ballast").open("wb", buffering=0) as file:
        for piece in (65536, 1024, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(piece))
    assert os.statvfs(directory).f_bavail == 0


class TestExt4:
    pytestmark = needs_root

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        with mounted(tmp_path) as found:
            yield found

    def test_a_full_disk_does_not_stop_it(self, disk: Path) -> None:
        """F54, F94."""
        journal = SlotJournal.open(disk / "journal")
        fill(disk)
        for count in range(20):
            journal.store(b"%d" % count * 1000)
        journal.close()
        journal = SlotJournal.open(disk / "journal")
        assert (journal.generation, journal.load()) == (20, b"19" * 1000)
        journal.close()

    def test_a_full_disk_refuses_a_new_journal_with_a_sentence(self, disk: Path) -> None:
        fill(disk)
        with pytest.raises(UserError, match=r"cannot be .*: No space left on device"):
            SlotJournal.open(disk / "sub" / "journal")

    def test_a_value_that_does_not_fit_any_more_leaves_the_old_one(self, disk: Path) -> None:
        journal = SlotJournal.open(disk / "journal", capacity_bytes=1000)
        journal.store(b"one")
        fill(disk)
        with pytest.raises(TransientError, match="No space left on device"):
            journal.store(bytes(100_000))
        journal.store(b"two")
        assert (journal.generation, journal.load()) == (2, b"two")
        journal.close()

    def test_a_disk_gone_read_only_keeps_the_value(self, disk: Path) -> None:
        """F56, F94: the state in memory stays, and the next process reads it."""
        journal = SlotJournal.open(disk / "journal")
        journal.store(b"one")
        journal.close()
        shell(f"mount -o remount,ro {disk}")
        try:
            with pytest.raises(UserError, match="Read-only file system"):
                SlotJournal.open(disk / "journal")
        finally:
            shell(f"mount -o remount,rw {disk}")
        journal = SlotJournal.open(disk / "journal")
        assert journal.load() == b"one"
        journal.close()


WRITER = """
import sys
from pathlib import Path
from standfast.adapters.linux.journal import SlotJournal
journal = SlotJournal.open(Path(sys.argv[1]))
count = journal.generation
while True:
    count += 1
    journal.store(b"%d " % count * 200)
    print(count, flush=True)
"""


def test_a_process_killed_while_storing_loses_nothing_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    told = 0
    for _ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path("operator").resolve())},
        )
        assert writer.stdout is not None
        with writer.stdout:
            for _ in range(5):
                told = int(writer.stdout.readline())
            writer.kill()
            writer.wait()
            told = max([told, *map(int, writer.stdout.read().split())])
        journal = SlotJournal.open(path)
        value = journal.load()
        assert value is not None
        assert value == b"%d " % journal.generation * 200
        assert told <= journal.generation <= told + 1
        journal.close()


def test_measured_store(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        journal = SlotJournal.open(Path(place) / "journal")
        took = []
        for _ in range(200):
            begin = time.perf_counter()
            journal.store(b"x" * 2000)
            took.append((time.perf_counter() - begin) * 1000)
        journal.close()
    with capsys.disabled():
        print(
            f"\n  journal in /var/tmp, 2 kB with flush: median {statistics.median(took):.2f} ms, "
            f"99th of a hundred {sorted(took)[-2]:.2f} ms, max {max(took):.2f} ms",
            end="",
        )
