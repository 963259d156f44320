"""The log survives a restart and a torn line, stays bounded, and never uses a number twice."""

from pathlib import Path

from standfast.member.chronicle import GAP, Chronicle
from standfast.ports.events import Alert
from standfast.wire.api import LOG_ENTRIES_MAX

ALERT = Alert("DiskFull", "the disk is full", "df")


def nothing() -> None:
    pass


def chronicle(path: Path) -> Chronicle:
    return Chronicle(path / "log.jsonl", nothing, "c1")


def test_entries_are_kept_for_the_next_run_with_a_gap(tmp_path: Path) -> None:
    first = chronicle(tmp_path)
    first.note("LeaseWon", "Won the lease", {"term": 3})
    first.note("Released", "Gave the lease back")
    first.close()
    second = chronicle(tmp_path)
    second.note("LeaseWon", "Won the lease", {"term": 4})
    entries = second.after(0)
    assert [entry.seq for entry in entries] == [1, 2, 2 + GAP + 1]
    assert entries[0].fields == {"term": 3}
    assert [entry.kind for entry in second.after(2)] == ["LeaseWon"]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    first = chronicle(tmp_path)
    first.note("A", "One")
    first.close()
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"seq": 2, "at": "20')
    assert [entry.kind for entry in chronicle(tmp_path).after(0)] == ["A"]


def test_the_log_is_bounded_in_memory_and_on_disk(tmp_path: Path) -> None:
    kept = chronicle(tmp_path)
    for _ in range(3 * LOG_ENTRIES_MAX):
        kept.note("Kind", "Message")
    assert len(kept.after(0)) == LOG_ENTRIES_MAX
    assert kept.after(0)[-1].seq == 3 * LOG_ENTRIES_MAX == kept.seq
    lines = (tmp_path / "log.jsonl").read_bytes().splitlines()
    assert LOG_ENTRIES_MAX <= len(lines) <= 2 * LOG_ENTRIES_MAX


def test_an_alert_is_true_until_it_is_cleared(tmp_path: Path) -> None:
    kept = chronicle(tmp_path)
    kept.raise_alert("web", ALERT)
    kept.raise_alert("web", ALERT)
    assert [(found.source, found.reason) for found in kept.alerts()] == [("web", "DiskFull")]
    kept.raise_alert("web", Alert("DiskFull", "the disk is fuller", "df"))
    assert kept.alerts()[0].message == "the disk is fuller"
    kept.clear_alert("web", "DiskFull")
    kept.clear_alert("web", "DiskFull")
    assert kept.alerts() == ()
    assert [entry.kind for entry in kept.after(0)] == ["AlertRaised", "AlertCleared"]


def test_every_change_is_told(tmp_path: Path) -> None:
    told = []
    kept = Chronicle(tmp_path / "log.jsonl", lambda: told.append(1))
    kept.note("A", "One")
    kept.raise_alert("web", ALERT)
    assert len(told) >= 2


def test_a_disk_that_refuses_is_an_alert_and_costs_no_entry(tmp_path: Path) -> None:
    kept = Chronicle(Path("/proc/self/nowhere/log.jsonl"), nothing)
    kept.note("A", "One")
    assert [entry.kind for entry in kept.after(0)] == ["A"]
    assert kept.alerts()[0].reason == "LogNotWritten"
