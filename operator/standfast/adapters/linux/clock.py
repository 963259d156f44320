"""Elapsed time and the identity of this boot, from the kernel."""

import time
from pathlib import Path

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


class BootClock:
    """CLOCK_BOOTTIME in milliseconds: counts suspended time, never follows the wall clock.

    A hypervisor that stops the machine may stop this clock too (`docs/protocol.md`, section 1).
    """

    def now_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id(path: Path = BOOT_ID_PATH) -> str:
    """The random name the kernel gave this boot; another one after every reboot."""
    return path.read_text(encoding="ascii").strip()
