"""The clock and the boot id of this machine."""

import time
from pathlib import Path

from standfast.adapters.linux.clock import BootClock, boot_id


def test_the_clock_is_boot_time_in_milliseconds() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    now_ms = BootClock().now_ms()
    after = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    assert int(before) <= now_ms <= after


def test_the_boot_id_is_one_word(tmp_path: Path) -> None:
    assert len(boot_id()) == 36
    path = tmp_path / "boot_id"
    path.write_text("abc\n")
    assert boot_id(path) == "abc"
