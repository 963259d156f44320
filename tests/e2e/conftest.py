"""One lab for the whole suite, one protected pair in it, and a clean pair before every test.

The pair is made by `bring_up`, which is what the README's user types. After each test everything
that was broken is mended, and the pair must be whole again by itself: that is invariant I5 of
`docs/failure-modes.md`, asserted for every fault.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from standfast.errors import UserError
from standfast.lab.cluster import LabCluster, bring_up
from standfast.lab.installation import Wanted
from standfast.lab.kubectl import until
from standfast.lab.lab import Lab
from standfast.lab.outages import Summary
from standfast.lab.probing import RunningProbe
from standfast.lab.software import checkout

NAME = "e2e"
EXAMPLE = checkout() / "examples/01-web-pair"
VIP = "10.77.1.100"
CALM_S = 1.5
FOUND_S = 10.0
"""What F12 promises."""


@dataclass
class Watch:
    """What was seen from outside while something happened."""

    probe: RunningProbe
    run_id: str
    """Which run of the application it is, on the node that was active."""
    began_ns: int = field(default_factory=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    @property
    def summary(self) -> Summary:
        return self.probe.summary

    @property
    def outage_s(self) -> float:
        return max((outage.s for outage in self.summary.outages), default=0.0)


@dataclass
class Pair:
    """A settled pair, and the names of who is what at the beginning of the test."""

    lab: Lab
    cluster: LabCluster
    active: str
    standby: str

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Probes the address from the client; at the end asserts that two never had it (I1)."""
        with self.lab.probe_vip(VIP) as probe:
            probe.wait_for()
            watch = Watch(probe, self.run_id())
            yield watch
            time.sleep(CALM_S)
        assert watch.summary.both_s == 0, f"two VMs answered for {watch.summary.both_s} s"
        held_s = self.lab.both_held_s(VIP, watch.began_ns)
        assert held_s == 0, f"two kernels held the address at once for {held_s} s"

    def run_id(self) -> str:
        """Which run of the application it is: another one for each start, by systemd."""
        words = ["systemctl", "show", "--property=InvocationID", "web.service"]
        return self.lab.vm(self.active).exec(words).strip()

    def assert_undisturbed(self, watch: Watch) -> None:
        """The address never left its kernel and the application ran on, on the same node."""
        held = self.lab.holders(VIP, watch.began_ns)
        stretches = {vm: len(intervals) for vm, intervals in held.items()}
        assert stretches == {self.active: 1}, held
        assert held[self.active][0].begin_ns < watch.began_ns, held
        assert self.run_id() == watch.run_id
        assert self.cluster.active == self.active
        print(f"\nundisturbed; longest without an answer {watch.outage_s:.3f} s")

    def stop_a_stranger(self) -> None:
        """Starts the application by hand on the standby: it is found and stopped (F12)."""
        vm = self.lab.vm(self.standby)
        vm.exec(["systemctl", "start", "web.service"])

        def look() -> str | None:
            state = vm.exec(["systemctl", "is-active", "web.service"], check=False).strip()
            return None if state in {"inactive", "failed"} else f"web.service is {state}"

        took_s = until("the stranger is stopped", look, FOUND_S, every_s=0.05)
        print(f"\na stranger on {self.standby} stopped after {took_s:.2f} s")

    def records(self) -> list[dict[str, object]]:
        document = self.cluster.kubectl.get("failoverrecord")
        found = document["items"]
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2, index=0))
    yield lab
    if "KEEP_LAB" not in os.environ:  # to look at what a failure left behind
        lab.down()


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> LabCluster:
    return bring_up(lab, EXAMPLE, "web")


@pytest.fixture
def pair(lab: Lab, cluster: LabCluster) -> Iterator[Pair]:
    cluster.wait_settled()
    yield Pair(lab, cluster, cluster.active, cluster.standby)
    mend(lab)
    cluster.wait_settled()


def mend(lab: Lab) -> None:
    """Undoes every fault of the lab."""
    lab.net.heal()
    lab.start_control()
    for vm in lab.vms():
        if vm.now().power == "off":
            vm.on()


Act = Callable[[], object]
