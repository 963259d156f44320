"""Feeding and closing, over a file that keeps what was written to it."""

from pathlib import Path

import pytest

from standfast.guard.watchdog import FEEDS_PER_TIMEOUT, TRY_AGAIN_NS, Watchdog

S = 1_000_000_000
STEP = 10 * S // FEEDS_PER_TIMEOUT


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog"
    path.touch()
    return path


def test_it_is_fed_in_time_and_not_more_often(device: Path) -> None:
    watchdog = Watchdog(device, 10)
    for now in range(0, 20 * S, S // 10):
        watchdog.tend(now, may_feed=True)
    assert watchdog.status.armed
    assert device.read_bytes() == b"\0" * (2 * FEEDS_PER_TIMEOUT)


def test_it_is_not_fed_when_that_is_not_allowed(device: Path) -> None:
    watchdog = Watchdog(device, 10)
    watchdog.tend(0, may_feed=True)
    watchdog.tend(STEP, may_feed=False)
    watchdog.tend(2 * STEP, may_feed=False)
    assert device.read_bytes() == b"\0"
    watchdog.tend(3 * STEP, may_feed=True)
    assert device.read_bytes() == b"\0\0"


def test_the_magic_close_comes_only_when_nothing_can_run(device: Path) -> None:
    watchdog = Watchdog(device, 10)
    watchdog.tend(0, may_feed=True)
    watchdog.close(disarm=True)
    assert device.read_bytes() == b"\0V"
    assert not watchdog.status.armed
    watchdog = Watchdog(device, 10)
    watchdog.tend(0, may_feed=True)
    written = device.read_bytes()
    watchdog.close(disarm=False)
    assert device.read_bytes() == written


def test_it_is_not_armed_while_something_is_left(device: Path) -> None:
    watchdog = Watchdog(device, 10)
    watchdog.tend(0, may_feed=False)
    assert not watchdog.status.armed
    assert device.read_bytes() == b""


def test_absent_hardware_is_a_sentence_and_is_looked_for_again(tmp_path: Path) -> None:
    """F28."""
    device = tmp_path / "watchdog"
    watchdog = Watchdog(device, 10)
    watchdog.tend(0, may_feed=True)
    assert "there is no such device" in watchdog.trouble
    device.touch()
    watchdog.tend(TRY_AGAIN_NS - 1, may_feed=True)
    assert not watchdog.status.armed
    watchdog.tend(TRY_AGAIN_NS, may_feed=True)
    assert watchdog.status.armed
    assert watchdog.trouble == ""
