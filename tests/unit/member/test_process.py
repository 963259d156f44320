"""The process: told to systemd, refused under -O."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from standfast.member.process import notify, refuse_optimised


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_to_tell_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


def test_without_optimisation_it_may_run() -> None:
    refuse_optimised()


def test_python_o_is_refused_with_a_sentence() -> None:
    code = (
        "import sys; sys.path.insert(0, 'operator')\n"
        "from standfast.member.process import refuse_optimised\n"
        "from standfast.errors import UserError\n"
        "try: refuse_optimised()\n"
        "except UserError as error: print(error); sys.exit(error.exit_code)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "python -O" in done.stdout
    assert "fix: start it without -O" in done.stdout
