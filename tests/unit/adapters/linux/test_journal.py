"""The journal on disk: what survives which kind of damage."""

import os
import stat
import statistics
import time
from pathlib import Path

import pytest

from standfast.adapters.linux import journal as journal_module
from standfast.adapters.linux.journal import SlotJournal
from standfast.errors import TransientError, UserError

SMALL = 600


def reopened(path: Path) -> SlotJournal:
    return SlotJournal.open(path, capacity_bytes=SMALL)


def stored(path: Path, *values: bytes) -> bytes:
    """The bytes of the file after storing these values."""
    journal = reopened(path)
    for value in values:
        journal.store(value)
    journal.close()
    return path.read_bytes()


def test_a_write_torn_at_any_byte_leaves_the_value_before_it(tmp_path: Path) -> None:
    """Each prefix of the second and third write over what was there before."""
    path = tmp_path / "journal"
    for count in (1, 2, 3):
        values = [bytes([65 + at]) * (40 + at) for at in range(count)]
        path.unlink(missing_ok=True)
        before = stored(path, *values[:-1])
        after = stored(path, values[-1])
        changed = [at for at in range(len(after)) if before[at] != after[at]]
        first, last = changed[0], changed[-1]
        for cut in range(first, last + 2):
            path.write_bytes(after[:cut] + before[cut:])
            journal = reopened(path)
            whole = cut == last + 1
            assert journal.load() == (
                values[-1] if whole else (values[-2] if count > 1 else None)
            ), f"write {count} torn at byte {cut}"
            assert journal.generation == (count if whole else count - 1)
            journal.store(b"next")
            journal.close()
            journal = reopened(path)
            assert journal.load() == b"next"
            journal.close()


def test_a_write_whose_pages_arrive_in_reverse_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    before = stored(path, b"a" * 500, b"b" * 500)
    after = stored(path, b"c" * 500)
    changed = [at for at in range(len(after)) if before[at] != after[at]]
    for cut in range(changed[0] + 1, changed[-1] + 1):
        path.write_bytes(before[:cut] + after[cut:])
        journal = reopened(path)
        assert journal.load() == b"b" * 500
        journal.close()


def test_the_generation_counts_every_store(tmp_path: Path) -> None:
    journal = reopened(tmp_path / "journal")
    assert (journal.generation, journal.load()) == (0, None)
    for count in range(1, 6):
        journal.store(b"%d" % count)
        assert journal.generation == count
    journal.close()
    journal = reopened(tmp_path / "journal")
    assert (journal.generation, journal.load()) == (5, b"5")
    journal.close()


def test_a_larger_value_than_expected_moves_to_a_larger_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = reopened(path)
    journal.store(b"small")
    large = os.urandom(100_000)
    journal.store(large)
    journal.store(large + b"!")
    journal.close()
    journal = reopened(path)
    assert (journal.generation, journal.load()) == (3, large + b"!")
    journal.close()


def test_a_move_that_fails_half_way_leaves_nothing_to_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored after it is found after a restart: it went to the file that has the name."""
    path = tmp_path / "journal"
    journal = reopened(path)
    journal.store(b"small")
    large = os.urandom(100_000)
    flush = os.fsync

    def broken(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(TransientError, match="generation 1 stays in force"):
            journal.store(large)
        with pytest.raises(TransientError):  # the name is not on disk yet, so nothing is
            journal.store(b"vote")
    assert journal.load() == b"small"
    journal.store(b"vote")
    journal.close()
    journal = reopened(path)
    assert (journal.generation, journal.load()) == (2, b"vote")
    journal.close()


def test_a_first_value_larger_than_expected_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    before = stored(path)
    after = stored(path, bytes(range(256)) * 100)
    assert len(after) > len(before)
    journal = reopened(path)
    assert journal.load() == bytes(range(256)) * 100
    journal.close()


def test_another_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    raw = bytearray(stored(path, b"one"))
    at = raw.index(journal_module.MAGIC)
    raw[at + 8] = 9
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"was written by version 9 .* reads version 1"):
        reopened(path)
    assert path.read_bytes() == raw


def test_two_damaged_slots_are_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    raw = bytearray(stored(path, b"one", b"two"))
    half = len(raw) // 2
    raw[40] ^= 1
    raw[half + 40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match="must not vote under its old name") as caught:
        reopened(path)
    assert "enrol this node anew" in caught.value.remedy


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    stored(path, b"one")
    path.write_bytes(b"")
    with pytest.raises(UserError, match="less than two slots"):
        reopened(path)


def test_two_processes_cannot_hold_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = reopened(path)
    with pytest.raises(UserError, match="in use by another process"):
        reopened(path)
    first.close()
    reopened(path).close()


def test_a_refusing_disk_keeps_the_value_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    journal = reopened(path)
    journal.store(b"one")

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(TransientError, match="generation 1 stays in force"):
            journal.store(b"two")
    assert (journal.generation, journal.load()) == (1, b"one")
    journal.store(b"three")
    journal.close()
    journal = reopened(path)
    assert (journal.generation, journal.load()) == (2, b"three")
    journal.close()


def test_measured_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = SlotJournal.open(tmp_path / "journal")
    took = []
    for _ in range(50):
        begin = time.perf_counter()
        journal.store(b"x" * 2000)
        took.append((time.perf_counter() - begin) * 1000)
    journal.close()
    with capsys.disabled():
        print(
            f"\n  journal store of 2 kB with flush: median {statistics.median(took):.2f} ms, "
            f"max {max(took):.2f} ms"
        )
