"""The watchdog's part of the host's file: what reads, and what is a sentence."""

from pathlib import Path

import pytest

from standfast.guard.settings import watchdog_of


def test_no_file_and_no_section_mean_no_watchdog(tmp_path: Path) -> None:
    assert watchdog_of(tmp_path / "none") == (None, ())
    file = tmp_path / "agent.toml"
    file.write_text('units = ["web.service"]\n')
    assert watchdog_of(file) == (None, ())
    file.write_text("# no watchdog here\n")
    assert watchdog_of(file) == (None, ())


def test_a_device_with_its_last_test(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[watchdog]\ndevice = "/dev/watchdog0"\ntimeout_s = 6\n')
    found, troubles = watchdog_of(file, "2026-01-02T03:04:05Z")
    assert troubles == ()
    assert found is not None
    assert (found.status.device, found.status.armed) == ("/dev/watchdog0", False)
    assert found.status.tested == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "text",
    [
        "[watchdog",
        "watchdog = 3",
        "[watchdog]",
        "[watchdog]\ndevice = 3",
        '[watchdog]\ndevice = "/dev/watchdog"\ntimeout_s = 1',
        '[watchdog]\ndevice = "/dev/watchdog"\ntimeout_s = true',
        '[watchdog]\ndevice = "/dev/watchdog"\ntimeout = 10',
        "\xff watchdog",
    ],
)
def test_anything_else_is_a_sentence_and_no_watchdog(text: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(text.encode("latin-1"))
    found, troubles = watchdog_of(file)
    assert found is None
    assert len(troubles) == 1
    assert str(file) in troubles[0]
    assert "no watchdog is used" in troubles[0]
