"""Elapsed time and the identity of this boot.

`BootClock` is the kernel's clock, by which a member promises and holds. `MachineClock` is the
larger of that and the hypervisor's clock, where there is one (`guard.elapsed`): by it a holder
learns that its VM was stopped. How far it is ahead is kept in a file under /run, so that it does
not go back when the agent is restarted.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from standfast.guard.elapsed import Device, Elapsed, Gap, boot_ns, find_device

PRODUCT_UUID_PATH = Path("/sys/class/dmi/id/product_uuid")
BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
_NS = 1_000_000


class BootClock:
    """CLOCK_BOOTTIME in milliseconds: counts suspended time, never follows the wall clock.

    A hypervisor that stops the machine may stop this clock too (`docs/protocol.md`, section 1).
    """

    def now_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _NS


class MachineClock:
    """Elapsed time of this machine, stops by its hypervisor included where they can be seen.

    Args:
        path: Where it is kept how far this clock is ahead; in memory, for this boot.
        boot: Id of this boot.
        device: The hypervisor's clock, if there is one.
        read_boot_ns: Reads CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        path: Path,
        boot: str,
        device: Device | None,
        read_boot_ns: Callable[[], int] = boot_ns,
    ) -> None:
        self._path = path
        self._boot = boot
        self._kept = _load(path, boot, "" if device is None else device.name)
        self._elapsed = Elapsed(read_boot_ns, device, self._kept)
        self._keep()

    @property
    def hypervisor_clock(self) -> str:
        """Name of the hypervisor's clock in use; "" for none."""
        return self._elapsed.name

    @property
    def trouble(self) -> str:
        """Why the hypervisor's clock is not used at present, as a sentence; "" when it is."""
        return self._elapsed.trouble

    def now_ms(self) -> int:
        now_ns = self._elapsed.now_ns()
        self._keep()
        return now_ns // _NS

    def added_ms(self) -> int:
        """By how much it is ahead of CLOCK_BOOTTIME at this very moment."""
        self._elapsed.look()
        self._keep()
        return self._elapsed.added_ns // _NS

    def _keep(self) -> None:
        """Before anybody is told the time: the next process must not read an earlier one."""
        gap = self._elapsed.gap
        if gap == self._kept:
            return
        fields = {
            "boot": self._boot,
            "device": self._elapsed.name,
            "addedNs": gap.added_ns,
            "apartNs": gap.apart_ns,
        }
        fresh = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):  # tried again at the next look
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fresh.write_text(json.dumps(fields), encoding="ascii")
            fresh.replace(self._path)
            self._kept = gap


def machine_clock(run: Path, boot: str) -> MachineClock:
    """The clock of this machine; it takes up where an earlier process of this boot was.

    Args:
        run: Directory in memory for what must survive a restart.
        boot: Id of this boot.
    """
    return MachineClock(run / "clock.json", boot, find_device())


def _load(path: Path, boot: str, device: str) -> Gap:
    """What an earlier process of this boot knew.

    Another device is compared anew; what was added to the time of this boot stays added.
    """
    try:
        fields = json.loads(path.read_bytes())
        added_ns, apart_ns = fields["addedNs"], fields["apartNs"]
        is_ours, is_same = fields["boot"] == boot, fields["device"] == device
    except (OSError, ValueError, KeyError, TypeError):
        return Gap()
    if not is_ours or type(added_ns) is not int or added_ns < 0:
        return Gap()
    return Gap(added_ns, apart_ns if is_same and type(apart_ns) is int else None)


def boot_id(path: Path = BOOT_ID_PATH) -> str:
    """The random name the kernel gave this boot; another one after every reboot."""
    return path.read_text(encoding="ascii").strip()


def machine_id(path: Path = PRODUCT_UUID_PATH) -> str:
    """The machine's own UUID as its hypervisor gives it; a clone has another. "" when unknown."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
