"""Processes of a server, found by the directory that they work in."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.adapters.postgresql.server import postmaster, processes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found = tmp_path / "data"
    found.mkdir()
    return found


@pytest.fixture
def server(tmp_path: Path, data: Path) -> Iterator[int]:
    program = tmp_path / "postgres"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "infinity"], cwd=data) as process:
        note = [str(process.pid), str(data), "1700000000", "5432", "/run", "*", "x", "ready"]
        (data / "postmaster.pid").write_text("\n".join(note))
        yield process.pid
        process.kill()


def test_a_server_is_found_behind_a_symbolic_link(tmp_path: Path, data: Path, server: int) -> None:
    """A data directory on a disk of its own: the kernel names the directory, not the link."""
    link = tmp_path / "main"
    link.symlink_to(data)
    for path in (data, link):
        assert processes(path) == [server]
        found = postmaster(path)
        assert found is not None
        assert (found.pid, found.is_ready) == (server, True)


def test_a_server_of_another_directory_is_not_meant(tmp_path: Path, server: int) -> None:
    del server
    other = tmp_path / "other"
    other.mkdir()
    assert processes(other) == []
