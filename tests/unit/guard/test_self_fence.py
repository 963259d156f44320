"""The order of the deed, and what is said of it; the kernel is played by twins here."""

from collections.abc import Iterable, Sequence
from typing import cast

import pytest

from standfast.guard.addresses import Addresses
from standfast.guard.cgroups import Cgroups
from standfast.guard.mounts import Detacher
from standfast.guard.protocol import AddressTarget, CgroupTarget, MountTarget, Outcome, Stage
from standfast.guard.self_fence import SelfFence
from standfast.guard.service_manager import ServiceManager
from standfast.guard.status import LeaseStatus

VIP = AddressTarget("10.0.0.100", 24)
WEB = CgroupTarget("/system.slice/web.service", "web.service")
DATA = MountTarget("/proc/1/no such mount")


class Kernel:
    """All four at once: what is here, and what was done in which order."""

    def __init__(self) -> None:
        self.here: set[str] = {VIP.address, WEB.path}
        self.done: list[str] = []
        self.now_ns = 1_000_000_000
        self.refuses = False

    def clock(self) -> int:
        self.now_ns += 1000
        return self.now_ns

    def take(self, targets: Sequence[AddressTarget]) -> tuple[str, ...]:
        self.done += [f"take {target.address}" for target in targets]
        if self.refuses:
            raise OSError(105, "No buffer space available")
        self.here -= {target.address for target in targets}
        return ()

    def held(self, targets: Sequence[AddressTarget]) -> list[tuple[AddressTarget, int, int]]:
        return [(target, target.prefix, 2) for target in targets if target.address in self.here]

    def objection(self, path: str) -> str:
        return "" if path == WEB.path else f"{path} is somebody else's"

    def kill(self, path: str) -> str:
        self.done.append(f"kill {path}")
        self.here.discard(path)
        return ""

    def is_populated(self, path: str) -> bool:
        return path in self.here

    def detach(self, path: str) -> None:
        self.done.append(f"detach {path}")

    def problems(self) -> tuple[str, ...]:
        return ()

    def ask_stop(self, units: Iterable[str]) -> str:
        self.done += [f"stop {unit}" for unit in units]
        return ""

    def close(self) -> None:
        self.done.append("close")


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def fence(kernel: Kernel) -> SelfFence:
    return SelfFence(
        kernel.clock,
        cast("Addresses", kernel),
        cast("Cgroups", kernel),
        cast("Detacher", kernel),
        cast("ServiceManager", kernel),
    )


def due(name: str = "a", outcome: Outcome | None = None) -> LeaseStatus:
    return LeaseStatus(name, 3, 0, Stage.ARMED, 990, (DATA, WEB, VIP), outcome)


def test_addresses_go_first_then_processes_then_mounts(kernel: Kernel, fence: SelfFence) -> None:
    outcome = fence.strike([due()])["a"]
    assert kernel.done == [
        "take 10.0.0.100",
        "stop web.service",
        "kill /system.slice/web.service",
        "detach /proc/1/no such mount",
    ]
    assert (outcome.term, outcome.due_ms, outcome.late_us) == (3, 990, 10_001)
    assert outcome.late_us < outcome.addresses_us < outcome.cgroups_us < outcome.mounts_us
    assert outcome.verified_us is None


def test_leases_due_at_once_are_one_deed(kernel: Kernel, fence: SelfFence) -> None:
    """No lease waits with its address for another's processes or mounts."""
    assert set(fence.strike([due("a"), due("b")])) == {"a", "b"}
    words = [done.split()[0] for done in kernel.done]
    assert words == ["take", "take", "stop", "stop", "kill", "kill", "detach", "detach"]


def test_a_refusal_does_not_stop_the_rest(kernel: Kernel, fence: SelfFence) -> None:
    kernel.refuses = True
    outcome = fence.strike([due()])["a"]
    assert "kill /system.slice/web.service" in kernel.done
    assert outcome.problems == (
        "the kernel does not take addresses away: [Errno 105] No buffer space available",
    )
    assert fence.left(due().targets) == ("10.0.0.100 is on interface 2",)


def test_it_is_verified_only_when_nothing_is_left(kernel: Kernel, fence: SelfFence) -> None:
    kernel.refuses = True
    first = fence.strike([due()])["a"]
    second = fence.look(due(outcome=first))
    assert second.verified_us is None
    assert second.left == ("10.0.0.100 is on interface 2",)
    kernel.refuses = False
    third = fence.look(due(outcome=second))  # takes it away once more
    fourth = fence.look(due(outcome=third))
    assert fourth.verified_us is not None
    assert fourth.left == ()
    assert fourth.again == 0
    assert fence.look(due(outcome=fourth)) == fourth


def test_what_comes_back_is_taken_away_again(kernel: Kernel, fence: SelfFence) -> None:
    verified = fence.look(due(outcome=fence.strike([due()])["a"]))
    assert verified.verified_us is not None
    kernel.here.add(WEB.path)  # Restart=, or a person
    found = fence.look(due(outcome=verified))
    assert (found.again, found.verified_us) == (1, None)
    assert found.left == ("/system.slice/web.service has processes",)
    assert WEB.path not in kernel.here
    assert fence.look(due(outcome=found)).verified_us is not None


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (AddressTarget("10.0.0.300", 24), "is no IP address"),
        (AddressTarget("10.0.0.1", 33), "has no prefix of 33 bits"),
        (AddressTarget("", 24), "is no IP address"),
        (CgroupTarget("/system.slice/other.service"), "somebody else's"),
        (MountTarget("/"), "not the path of a mount point"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    target: AddressTarget | CgroupTarget | MountTarget, sentence: str, fence: SelfFence
) -> None:
    assert sentence in fence.objection([VIP, target])


def test_a_plan_that_can_is_taken(fence: SelfFence) -> None:
    assert (
        fence.objection([VIP, AddressTarget("fd00::1", 64, 5), WEB, MountTarget("/srv/x")]) == ""
    )
