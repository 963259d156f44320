"""The watchdog resets a real machine when guard and agent stand still, and never otherwise."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.qemu_parts import Machine, missing

pytestmark = [
    pytest.mark.load,
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=f"no full VM here: {missing()}"),
]

STORIES = Path(__file__).with_name("guard_stories.py")
ESB = ("-device", "i6300esb", "-watchdog-action", "reset")
TIMEOUT_S = 4.0
ARMED = {
    "i6300esb": "armed i6300ESB timer 4000",
    "softdog": "armed Software Watchdog 4000",
}


def machine(tmp_path: Path, *modules: str) -> Machine:
    devices = ESB if "i6300esb" in modules else ()
    return Machine(tmp_path, STORIES, (*modules, "ext4", "crc32c_generic", "loop"), devices)


def told(vm: Machine, story: str) -> list[tuple[float, str]]:
    """The words of a story with their times; the last one is its end."""
    for _ in vm.tell(f"{story}@/dev/watchdog"):
        pass
    words = [(at, row.partition("STORY ")[2]) for at, row in vm.said if "STORY " in row]
    return [*words, (vm.said[-1][0], vm.said[-1][1])]


@pytest.mark.parametrize("module", ["i6300esb", "softdog"])
def test_a_machine_whose_guard_stands_still_is_reset(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F28: fed by the lease, over a restart of the guard too; then not any more."""
    vm = machine(tmp_path, module)
    words = told(vm, "stopped")
    said = [word for _, word in words]
    assert said[:-1] == [
        "begins stopped",
        ARMED[module],
        "fed",
        ARMED[module],
        "fed after its restart",
        "stopped",
    ], vm.said[-30:]
    took_s = words[-1][0] - words[-2][0]
    with capsys.disabled():
        print(f"\n  {module}: reset {took_s:.1f} s after the guard stood still", end="")
    assert TIMEOUT_S * 0.5 < took_s < TIMEOUT_S * 2 + 2


def test_f15_a_machine_whose_kernel_panics_is_reset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the hardware, which nobody feeds any more; no kdump, and no reboot after a panic."""
    vm = machine(tmp_path, "i6300esb")
    words = told(vm, "panicked")
    assert words[-2][1] == "panic", vm.said[-30:]
    took_s = words[-1][0] - words[-2][0]
    with capsys.disabled():
        print(f"\n  i6300esb: reset {took_s:.1f} s after a panic", end="")
    assert TIMEOUT_S * 0.5 < took_s < TIMEOUT_S * 2 + 2


def test_a_process_that_cannot_be_killed_lets_the_machine_be_reset(tmp_path: Path) -> None:
    """F57: a file system that hangs; the lease ends, and what is left is not waited for."""
    vm = machine(tmp_path, "i6300esb")
    words = told(vm, "left")
    said = [word for _, word in words]
    assert said[2:-1] == ["fed", "left ['/protected.slice/web.service has processes']"], vm.said[
        -30:
    ]


@pytest.mark.parametrize(
    ("story", "last"),
    [("released", "still alive"), ("ended", "Fired, still alive")],
)
def test_a_machine_on_which_nothing_is_left_goes_on(story: str, last: str, tmp_path: Path) -> None:
    vm = machine(tmp_path, "i6300esb")
    words = told(vm, story)
    assert words[-2][1] == last, vm.said[-30:]


def test_a_watchdog_that_was_tried_is_called_tested(tmp_path: Path) -> None:
    vm = machine(tmp_path, "i6300esb")
    assert [word for _, word in told(vm, "trial")][1:-1] == ["tries"], vm.said[-30:]
    vm.said.clear()
    words = [word for _, word in told(vm, "trial")]
    assert words[1:-1] == [ARMED["i6300esb"], "tested"], vm.said[-30:]


def test_a_ptp_device_answers_by_the_clock_number_of_its_file(tmp_path: Path) -> None:
    """The emulated card's clock stands still; a hypervisor's needs KVM."""
    card = ("-netdev", "user,id=n", "-device", "e1000e,netdev=n")
    vm = Machine(tmp_path, STORIES, ("e1000e",), card)
    words = told(vm, "clock")
    assert words[-2][1] == "answers True", vm.said[-30:]


def test_a_wall_clock_that_is_set_ends_no_lease_and_lengthens_none(tmp_path: Path) -> None:
    """F21: an hour forward, an hour back."""
    words = [word for _, word in told(machine(tmp_path), "stepped")]
    assert words[1:-1] == ["+3600 s: here", "-7200 s: here", "gone at its time"], words


@contextmanager
def touched(file: Path) -> Iterator[None]:
    """A clock for a machine that has no other: a file whose time goes on outside."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(0.001):
            file.touch()

    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    thread = threading.Thread(target=touch, name="clock")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("clock", "pause_s", "at_most_s"), [("shared", 5.0, 0.5), ("none", 5.0, 4.0)]
)
def test_how_long_an_address_answers_after_its_machine_was_stopped(
    clock: str,
    pause_s: float,
    at_most_s: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F16, F22: with a clock that went on meanwhile the guard acts on waking; without one the
    rest of the lease has to pass, unless the agent hears from another holder before."""
    vm = Machine(tmp_path, STORIES, monitored=True)
    woken_s = 0.0
    with touched(vm.disk / "clock"):
        for row in vm.tell(f"paused@{clock}", within_s=90):
            if row.endswith("STORY stop me"):
                vm.order("stop")
                time.sleep(pause_s)
                woken_s = vm.order("cont")
    gone_s = next((at for at, row in vm.said if "STORY gone" in row), 0.0)
    assert gone_s, "\n".join(row for _, row in vm.said[-8:])
    answered_s = gone_s - woken_s
    with capsys.disabled():
        print(f"\n  clock {clock}: gone {answered_s * 1000:.0f} ms after waking", end="")
    assert 0 < answered_s < at_most_s, vm.said[-30:]
    if clock == "none":
        assert answered_s > 1.0, "the machine's clocks stood still with it"
