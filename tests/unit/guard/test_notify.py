"""The word to systemd, and silence without one."""

import socket
from pathlib import Path

from standfast.guard.notify import Notify


def test_it_speaks_to_the_socket_that_systemd_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notify = Notify({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"})
        notify.say("READY=1")
        assert manager.recv(100) == b"READY=1"
        assert notify.alive_every_ns == 500_000_000
        notify.close()


def test_without_systemd_it_says_nothing() -> None:
    notify = Notify({})
    notify.say("READY=1")
    assert notify.alive_every_ns is None
    notify.close()


def test_a_socket_that_is_gone_is_nobodys_problem(tmp_path: Path) -> None:
    notify = Notify({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notify.say("WATCHDOG=1")
    notify.close()
