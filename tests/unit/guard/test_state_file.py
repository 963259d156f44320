"""The guard's memory: the newest whole state is found, whatever moment the writer died at."""

from pathlib import Path

import pytest

from standfast.guard.state_file import HALF_BYTES, Report, StateFile


def test_the_last_state_is_found_by_the_next_process(tmp_path: Path) -> None:
    first = StateFile(tmp_path / "state")
    assert first.load() is None
    for number in range(7):
        first.store(b"state %d" % number)
        assert StateFile(tmp_path / "state").load() == b"state %d" % number


def test_the_next_process_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for number in range(5):
        StateFile(path).store(b"%d" % number)
        assert StateFile(path).load() == b"%d" % number


@pytest.mark.parametrize("at", [0, 5, 12, 18, 20, 22])
def test_a_torn_write_costs_that_write_only(at: int, tmp_path: Path) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    file.store(b"one")
    file.store(b"two")  # in the first half
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    again = StateFile(path)
    assert again.load() == b"one"
    again.store(b"three")
    assert StateFile(path).load() == b"three"


def test_writing_needs_no_more_room_than_there_was(tmp_path: Path) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    before = path.stat()
    file.store(b"x" * 200_000)
    assert path.stat().st_blocks == before.st_blocks
    assert path.stat().st_size == before.st_size


def test_a_state_that_does_not_fit_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    file.store(b"one")
    with pytest.raises(ValueError, match="does not fit"):
        file.store(b"x" * HALF_BYTES)
    assert file.load() == b"one"


def test_an_arbitrary_file_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"\xff" * 100)
    assert StateFile(path).load() is None


def test_a_report_reads_as_what_was_published_last(tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    report = Report(path)
    size = path.stat().st_size
    report.publish(b'{"a": "a long one at first"}')
    assert path.read_text().split() == ['{"a":', '"a', "long", "one", "at", 'first"}']
    report.publish(b'{"b": 1}')
    assert path.read_text().strip() == '{"b": 1}'
    report.publish(b"x" * Report.BYTES)
    assert path.read_text().strip() == '{"b": 1}'
    assert path.stat().st_size == size
