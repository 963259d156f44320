"""The clock and the boot id of this machine."""

import time
from pathlib import Path

from standfast.adapters.linux.clock import BootClock, MachineClock, boot_id, machine_clock
from standfast.guard.elapsed import Device

S = 1_000_000_000


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


class Hypervisor:
    """Two clocks of a VM that can be stopped."""

    def __init__(self) -> None:
        self.boot_ns = 100 * S
        self.host_ns = 5_000_000 * S
        self.device = Device("ptp_vmw", lambda: self.host_ns)

    def run(self, ns: int) -> None:
        self.boot_ns += ns
        self.host_ns += ns

    def clock(self, run: Path, boot: str = "boot-1", device: str = "ptp_vmw") -> MachineClock:
        known = Device(device, lambda: self.host_ns)
        return MachineClock(run / "clock.json", boot, known, lambda: self.boot_ns)


def test_a_stop_by_the_hypervisor_counts(tmp_path: Path) -> None:
    vm = Hypervisor()
    clock = vm.clock(tmp_path)
    assert (clock.now_ms(), clock.added_ms()) == (100_000, 0)
    vm.host_ns += 20 * S
    assert clock.added_ms() == 20_000
    assert clock.now_ms() == 120_000
    assert (clock.hypervisor_clock, clock.trouble) == ("ptp_vmw", "")


def test_a_restarted_agent_reads_no_earlier_time(tmp_path: Path) -> None:
    """F22: what is in a deadline file is a moment on this clock."""
    vm = Hypervisor()
    first = vm.clock(tmp_path)
    vm.host_ns += 20 * S
    vm.run(S)
    before_ms = first.now_ms()
    vm.host_ns += 3 * S  # stopped while no agent ran
    assert vm.clock(tmp_path).now_ms() == before_ms + 3000


def test_another_device_is_compared_anew_and_nothing_is_given_back(tmp_path: Path) -> None:
    vm = Hypervisor()
    first = vm.clock(tmp_path)
    vm.host_ns += 20 * S
    before_ms = first.added_ms()
    vm.host_ns += 1000 * S
    second = vm.clock(tmp_path, device="KVM virtual PTP")
    assert second.added_ms() == before_ms
    none = MachineClock(tmp_path / "clock.json", "boot-1", None, lambda: vm.boot_ns)
    assert none.added_ms() == before_ms


def test_another_boot_begins_at_nothing(tmp_path: Path) -> None:
    vm = Hypervisor()
    first = vm.clock(tmp_path)
    vm.host_ns += 20 * S
    assert first.added_ms() == 20_000
    assert vm.clock(tmp_path, boot="boot-2").added_ms() == 0


def test_a_file_that_does_not_read_is_no_file(tmp_path: Path) -> None:
    for text in ("", "[]", '{"boot": "boot-1"}', '{"boot": "boot-1", "device": 3, "addedNs": -5}'):
        (tmp_path / "clock.json").write_text(text)
        assert Hypervisor().clock(tmp_path).added_ms() == 0


def test_a_full_run_directory_does_not_stop_the_clock(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a directory")
    vm = Hypervisor()
    clock = vm.clock(tmp_path / "run")
    vm.host_ns += 20 * S
    assert clock.added_ms() == 20_000


def test_this_machine_has_a_clock(tmp_path: Path) -> None:
    clock = machine_clock(tmp_path, boot_id())
    assert abs(clock.now_ms() - clock.added_ms() - BootClock().now_ms()) < 1000
