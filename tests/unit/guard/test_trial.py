"""When a watchdog counts as tested: what the traces of a trial say after a boot."""

import json
from pathlib import Path

import pytest

from standfast.guard.trial import Files, judge

BEGUN = "2026-01-02T03:04:05+00:00"


def traces(directory: Path, beat_ms: int, boot: str = "before") -> Files:
    files = Files(directory)
    note = {"boot": boot, "begun": BEGUN, "timeoutMs": 10_000, "beatMs": beat_ms}
    files.note.write_text(json.dumps(note))
    return files


@pytest.mark.parametrize("beat_ms", [8600, 9900, 10_100, 14_000])
def test_a_reset_about_one_timeout_after_the_feeding_is_the_watchdogs(
    beat_ms: int, tmp_path: Path
) -> None:
    files = traces(tmp_path, beat_ms)
    assert judge(files, "now") == BEGUN
    assert not files.note.exists()
    assert judge(files, "now") == BEGUN
    assert judge(files, "later") == BEGUN


@pytest.mark.parametrize("beat_ms", [0, 3000, 8000, 16_000, 35_000])
def test_any_other_end_is_somebody_elses(beat_ms: int, tmp_path: Path) -> None:
    files = traces(tmp_path, beat_ms)
    assert judge(files, "now") == ""
    assert not files.note.exists()


def test_a_trial_that_goes_on_proves_nothing_yet(tmp_path: Path) -> None:
    files = traces(tmp_path, 9900, boot="now")
    assert judge(files, "now") == ""
    assert files.note.exists()


def test_an_earlier_success_stays_one(tmp_path: Path) -> None:
    assert judge(traces(tmp_path, 9900), "now") == BEGUN
    assert judge(traces(tmp_path, 100), "later") == BEGUN


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot": "x", "timeoutMs": "y"}'])
def test_what_does_not_read_proves_nothing(text: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.note.write_text(text)
    assert judge(files, "now") == ""


def test_without_traces_it_was_never_tested(tmp_path: Path) -> None:
    assert judge(Files(tmp_path / "none"), "now") == ""
