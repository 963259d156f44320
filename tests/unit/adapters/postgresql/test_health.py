"""What a person should know of a database."""

from pathlib import Path

import pytest

from standfast.adapters.postgresql.health import (
    Room,
    archive_alert,
    boot_alert,
    clients_alert,
    disk_alerts,
    overridden_alert,
    rooms,
    starts_at_boot,
)

GB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "low", "out"),
    [
        (50 * GB, 100 * GB, False, False),
        (4 * GB, 100 * GB, True, False),
        (63 << 20, 100 * GB, True, True),
        (60 << 20, 1 * GB, True, True),
        (70 << 20, 1 * GB, False, False),
    ],
)
def test_a_disk_is_low_before_it_is_out(free: int, total: int, low: bool, out: bool) -> None:
    room = Room(Path("/srv/pg"), free, total)
    assert (room.is_low, room.is_out) == (low, out)
    assert len(disk_alerts([room, room])) == low


def test_data_and_log_on_one_file_system_are_one_room(tmp_path: Path) -> None:
    (tmp_path / "pg_wal").mkdir()
    assert [room.path for room in rooms(tmp_path)] == [tmp_path]
    assert rooms(tmp_path / "nothing") == []


def test_connections_that_run_out() -> None:
    assert clients_alert(89, 100) is None
    alert = clients_alert(90, 100)
    assert alert is not None
    assert "90 of 100" in alert.message


def test_every_alert_says_what_to_do() -> None:
    alerts = (
        archive_alert("000000010000000000000007"),
        overridden_alert("synchronous_standby_names", "", "*"),
        boot_alert("pg.service", Path("/etc/pg/start.conf")),
    )
    for alert in alerts:
        assert alert.message
        assert alert.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto\n", True), ("manual\n", False), ("# auto\nmanual # or auto\n", False), ("", False)],
)
def test_debian_says_in_a_file_what_starts_at_boot(
    tmp_path: Path, text: str, expected: bool
) -> None:
    path = tmp_path / "start.conf"
    path.write_text(text)
    assert starts_at_boot(path) is expected
    assert not starts_at_boot(tmp_path / "nothing")
