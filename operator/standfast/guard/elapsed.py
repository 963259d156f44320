"""Elapsed time of this machine: the larger of the kernel's clock and the hypervisor's.

A hypervisor that stops a VM (stun, suspend, snapshot) may let the guest's clocks stand still; its
own clock, where the guest can read it as a PTP device, does not. Both are compared whenever the
last comparison is some milliseconds old: when the hypervisor's clock has moved on further than
CLOCK_BOOTTIME, the difference is added to elapsed time for good.

Rules. Elapsed time never goes back. A hypervisor's clock that steps back is compared anew from
there, and gives nothing back; one that does so again and again is not believed any more. A step
forward cannot be told from a stop of the VM and counts as one. A reading that was itself
interrupted is not used, and one that fails leaves the kernel's clock alone.

Only what ends a *holder's* time may go by this clock: there an error ends a lease early, which is
safe, and hosts between which VMs move should have synchronised clocks to avoid it. A voter's
promise must not end early, so it is counted by the kernel's clock, which is never ahead.

Used by the guard and, through `adapters.linux.clock`, by the agent: standard library only.
Source: `docs/protocol.md`, section 1.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

LOOK_EVERY_NS = 25_000_000
"""EC2 allows 125 readings a second of its clock; guard and agent both read."""

SANDWICH_NS_MAX = 1_000_000
NOISE_NS = 2_000_000
"""What differs less is the error of the readings."""

STEP_BACK_NS = 20_000_000
STEPS_BACK_MAX = 5
STEADY_NS = 600_000_000_000
"""A clock that was not set back for so long is believed as on the first day."""

ATTEMPTS = 3
FAILURES_MAX = 40
HYPERVISORS = ("KVM virtual PTP", "ptp_vmw", "ena-ptp", "hyperv", "vmclock", "ptp_vmclock")
"""How clock_name begins for clocks that a hypervisor keeps; a network card's own is none."""

_PTP = Path("/sys/class/ptp")
_CLOCK_FD, _FD_SHIFT = 3, 3


@dataclass(frozen=True, slots=True)
class Device:
    """A hypervisor's clock: its name, and how to read it in nanoseconds (raises OSError)."""

    name: str
    read_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Gap:
    """What is known of the two clocks, to be carried from one process of a boot to the next.

    Attributes:
        added_ns: By how much elapsed time is ahead of CLOCK_BOOTTIME.
        apart_ns: Hypervisor's clock minus CLOCK_BOOTTIME at the last comparison that counted;
            none when this device was never compared.
    """

    added_ns: int = 0
    apart_ns: int | None = None


class Elapsed:
    """Elapsed time. Not for several threads.

    Args:
        boot_ns: Reads CLOCK_BOOTTIME.
        device: The hypervisor's clock, if there is one.
        gap: What an earlier process of this boot knew.
    """

    def __init__(
        self,
        boot_ns: Callable[[], int],
        device: Device | None = None,
        gap: Gap = Gap(),
    ) -> None:
        self._boot_ns = boot_ns
        self._device = device
        self._added_ns = gap.added_ns
        self._apart_ns = gap.apart_ns
        self._looked_ns = 0
        self._steps_back = 0
        self._stepped_back_ns = 0
        self._failures = 0
        self.trouble = ""
        """Why the hypervisor's clock is not used at present, as a sentence."""
        if device is not None:
            self.look()

    @property
    def name(self) -> str:
        """Of the hypervisor's clock in use; "" for none."""
        return "" if self._device is None else self._device.name

    @property
    def gap(self) -> Gap:
        """What the next process of this boot must know."""
        return Gap(self._added_ns, self._apart_ns)

    @property
    def added_ns(self) -> int:
        """By how much it is ahead of CLOCK_BOOTTIME."""
        return self._added_ns

    def now_ns(self) -> int:
        """Elapsed time, comparing the clocks if that is due."""
        boot_ns = self._boot_ns()
        if self._device is not None and boot_ns - self._looked_ns >= LOOK_EVERY_NS:
            self.look()
            boot_ns = self._boot_ns()
        return boot_ns + self._added_ns

    def look(self) -> None:
        """Compare the clocks now."""
        device = self._device
        if device is None:
            return
        self._looked_ns = self._boot_ns()
        try:
            apart_ns = self._measure(device)
        except OSError as error:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                why = f"does not answer: {error.strerror}"
                self.trouble = f"the hypervisor's clock {device.name} {why}"
            return
        self._failures, self.trouble = 0, ""
        if apart_ns is not None:
            self._compare(device, apart_ns)

    def _measure(self, device: Device) -> int | None:
        """Hypervisor's clock minus CLOCK_BOOTTIME, rather too little than too much."""
        for _ in range(ATTEMPTS):
            before_ns = self._boot_ns()
            device_ns = device.read_ns()
            after_ns = self._boot_ns()
            if after_ns - before_ns <= SANDWICH_NS_MAX:
                return device_ns - after_ns
        return None

    def _compare(self, device: Device, apart_ns: int) -> None:
        if self._apart_ns is None:
            self._apart_ns = apart_ns
            return
        moved_ns = apart_ns - self._apart_ns
        if abs(moved_ns) <= NOISE_NS:
            return
        self._apart_ns = apart_ns
        if moved_ns > 0:
            self._added_ns += moved_ns
        elif moved_ns < -STEP_BACK_NS:
            self._set_back(device)

    def _set_back(self, device: Device) -> None:
        if self._looked_ns - self._stepped_back_ns > STEADY_NS:
            self._steps_back = 0
        self._stepped_back_ns = self._looked_ns
        self._steps_back += 1
        if self._steps_back > STEPS_BACK_MAX:
            self._device = None
            self.trouble = (
                f"the hypervisor's clock {device.name} was set back {self._steps_back} times and "
                "is not believed any more: time during which this VM is stopped is not seen"
            )


def boot_ns() -> int:
    """CLOCK_BOOTTIME: counts sleep, does not follow the wall clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def find_device(classes: Path = _PTP, devices: Path = Path("/dev")) -> Device | None:
    """The hypervisor's clock of this machine, open and answering; none when there is none.

    The file stays open for the life of the process: the clock's number is made of it.
    """
    for entry in sorted(classes.glob("ptp*/clock_name")):
        try:
            name = entry.read_text(encoding="utf-8", errors="replace").strip()
            if not name.startswith(HYPERVISORS):
                continue
            descriptor = os.open(devices / entry.parent.name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        clock = ~descriptor << _FD_SHIFT | _CLOCK_FD  # FD_TO_CLOCKID of the kernel
        device = Device(name, partial(time.clock_gettime_ns, clock))
        try:
            device.read_ns()
        except OSError:
            os.close(descriptor)
            continue
        return device
    return None
