"""The timer on CLOCK_BOOTTIME."""

import select
import time

from standfast.guard.elapsed import boot_ns
from standfast.guard.timer import BootTimer


def readable(timer: BootTimer, within_s: float) -> bool:
    return bool(select.select([timer], [], [], within_s)[0])


def test_it_wakes_at_its_moment_and_not_before() -> None:
    timer = BootTimer()
    at_ns = boot_ns() + 20_000_000
    timer.set(at_ns)
    assert not readable(timer, 0)
    assert readable(timer, 1)
    assert boot_ns() >= at_ns
    timer.clear()
    assert not readable(timer, 0)
    timer.close()


def test_a_moment_in_the_past_wakes_at_once() -> None:
    timer = BootTimer()
    timer.set(1)
    assert readable(timer, 1)
    timer.clear()
    timer.set(1)
    assert readable(timer, 1)
    timer.set(None)
    assert not readable(timer, 0)
    timer.close()
    assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) > 1
