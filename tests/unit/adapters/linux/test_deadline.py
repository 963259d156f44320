"""The lease's deadline in a file: what a restarted agent may believe."""

from pathlib import Path

import pytest

from standfast.adapters.linux.deadline import Deadline, DeadlineFile

DEADLINE = Deadline("boot-1", 7, 123_456)


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "run" / "deadline"
    DeadlineFile(path).write(DEADLINE)
    assert DeadlineFile(path).read() == DEADLINE
    later = Deadline("boot-1", 7, 123_999)
    DeadlineFile(path).write(later)
    assert DeadlineFile(path).read() == later
    assert [entry.name for entry in path.parent.iterdir()] == ["deadline"]


def test_no_file_is_no_deadline(tmp_path: Path) -> None:
    file = DeadlineFile(tmp_path / "deadline")
    assert file.read() is None
    file.write(DEADLINE)
    file.remove()
    file.remove()
    assert file.read() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"boot": "b", "term": 1}',
        '{"boot": 5, "term": 1, "untilMs": 2}',
        '{"boot": "b", "term": 1, "untilMs": "soon"}',
        "\xff",
    ],
)
def test_anything_else_is_no_deadline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deadline"
    path.write_bytes(text.encode("latin-1"))
    assert DeadlineFile(path).read() is None
