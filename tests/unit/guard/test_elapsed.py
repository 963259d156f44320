"""Elapsed time: the larger of two clocks, against every trick a hypervisor's clock may play."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standfast.guard.elapsed import (
    FAILURES_MAX,
    LOOK_EVERY_NS,
    NOISE_NS,
    STEADY_NS,
    STEPS_BACK_MAX,
    Device,
    Elapsed,
    Gap,
    boot_ns,
    find_device,
)

MS = 1_000_000
S = 1000 * MS


class Clocks:
    """Two clocks of one machine: `run` both, `stop` the guest's, `step` the hypervisor's."""

    def __init__(self) -> None:
        self.boot = 100 * S
        self.host = 1_700_000_000 * S
        self.reads = 0
        self.slow = 0
        self.failing = False
        self.device = Device("ptp_vmw", self.read)

    def read(self) -> int:
        self.reads += 1
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        self.boot += self.slow
        return self.host

    def run(self, ns: int) -> None:
        self.boot += ns
        self.host += ns

    def elapsed(self, gap: Gap | None = None) -> Elapsed:
        return Elapsed(lambda: self.boot, self.device, gap or Gap())


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_without_a_device_it_is_boot_time(clocks: Clocks) -> None:
    elapsed = Elapsed(lambda: clocks.boot)
    clocks.run(5 * S)
    elapsed.look()
    assert elapsed.now_ns() == clocks.boot
    assert (elapsed.name, elapsed.trouble, elapsed.gap) == ("", "", Gap())


def test_a_stop_of_the_vm_counts(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    clocks.run(S)
    clocks.host += 20 * S  # the guest's clocks stood still
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == clocks.boot + 20 * S
    clocks.run(S)
    clocks.host += 300 * MS
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == clocks.boot + 20_300 * MS


def test_a_stop_that_boot_time_counted_counts_once(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    clocks.run(20 * S)
    assert elapsed.now_ns() == clocks.boot


def test_the_device_is_read_rarely(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    before = clocks.reads
    for _ in range(1000):
        clocks.run(MS)
        elapsed.now_ns()
    assert clocks.reads - before == 1000 * MS // LOOK_EVERY_NS


def test_a_step_back_gives_nothing_back_and_is_compared_anew(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    clocks.host += 2 * S
    clocks.run(S)
    before = elapsed.now_ns()
    clocks.host -= 3600 * S
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == before + LOOK_EVERY_NS
    clocks.host += 5 * S  # and a stop after it is seen
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == before + 2 * LOOK_EVERY_NS + 5 * S


def test_a_clock_that_is_set_back_again_and_again_is_not_believed(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    for _ in range(STEPS_BACK_MAX + 1):
        clocks.host -= S
        clocks.run(S)
        elapsed.look()
    assert elapsed.name == ""
    assert "was set back 6 times" in elapsed.trouble
    clocks.host += 3600 * S
    clocks.run(S)
    assert elapsed.now_ns() == clocks.boot


def test_a_clock_that_is_set_back_now_and_then_is_believed(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    for _ in range(STEPS_BACK_MAX + 1):
        clocks.host -= S
        clocks.run(STEADY_NS + S)
        elapsed.look()
    assert (elapsed.name, elapsed.trouble) == ("ptp_vmw", "")


def test_an_interrupted_reading_is_not_used(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    clocks.slow = 50 * MS  # between the readings of the kernel's clock
    clocks.run(S)
    elapsed.look()
    clocks.slow = 0
    clocks.host += clocks.boot - 101 * S  # the guest was busy, not stopped
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == clocks.boot


def test_noise_is_not_elapsed_time(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    for _ in range(100):
        clocks.host += NOISE_NS
        clocks.run(S)
        elapsed.look()
        clocks.host -= NOISE_NS
        clocks.run(S)
        elapsed.look()
    assert elapsed.now_ns() == clocks.boot


def test_a_device_that_fails_leaves_boot_time_and_is_reported(clocks: Clocks) -> None:
    elapsed = clocks.elapsed()
    clocks.failing = True
    for _ in range(FAILURES_MAX):
        assert elapsed.trouble == ""
        clocks.run(LOOK_EVERY_NS)
        assert elapsed.now_ns() == clocks.boot
    assert elapsed.trouble == "the hypervisor's clock ptp_vmw does not answer: Input/output error"
    clocks.failing = False
    clocks.host += 4 * S  # a stop meanwhile is seen in the end
    clocks.run(LOOK_EVERY_NS)
    assert elapsed.now_ns() == clocks.boot + 4 * S
    assert elapsed.trouble == ""


def test_the_next_process_goes_on_where_this_one_was(clocks: Clocks) -> None:
    first = clocks.elapsed()
    clocks.host += 7 * S
    first.look()
    gap = first.gap
    clocks.host += 2 * S  # while no process looked
    second = clocks.elapsed(gap)
    assert second.now_ns() == clocks.boot + 9 * S


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * S),
            st.integers(0, 30 * S) | st.just(0),
            st.integers(-3600 * S, 3600 * S) | st.just(0),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_it_never_goes_back_and_never_behind_boot_time(
    moves: list[tuple[int, int, int, bool]],
) -> None:
    clocks = Clocks()
    elapsed = clocks.elapsed()
    last = elapsed.now_ns()
    for runs, stops, steps, fails in moves:
        clocks.run(runs)
        clocks.host += stops + steps
        clocks.failing = fails
        now = elapsed.now_ns()
        assert now >= last + runs
        assert now >= clocks.boot
        last = now


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.integers(0, 30 * S)), max_size=40))
def test_with_a_steady_device_it_is_true_time(moves: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    elapsed = clocks.elapsed()
    begin = clocks.host - clocks.boot
    for runs, stops in moves:
        clocks.run(runs)
        clocks.host += stops
        elapsed.look()
    assert abs(elapsed.now_ns() - (clocks.host - begin)) <= NOISE_NS


def test_boot_time_is_the_kernels() -> None:
    assert boot_ns() <= boot_ns()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({}, None),
        ({"ptp0": "igb"}, None),
        ({"ptp0": "KVM virtual PTP"}, None),  # it is there, and no clock answers behind it
    ],
)
def test_only_a_hypervisors_clock_that_answers_is_found(
    names: dict[str, str], found: str | None, tmp_path: Path
) -> None:
    make: Callable[[str], Path] = lambda name: tmp_path / name  # noqa: E731
    for number, name in names.items():
        make(number).mkdir()
        (make(number) / "clock_name").write_text(name + "\n")
        (make("dev")).mkdir(exist_ok=True)
        (make("dev") / number).write_text("")
    device = find_device(tmp_path, tmp_path / "dev")
    assert (device and device.name) == found
