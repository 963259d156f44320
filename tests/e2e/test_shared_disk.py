"""The example of a disk that moves, whole: a client writes all the time, observers look.

Every acknowledged line is there afterwards (I2), and the disk is never mounted by two VMs (I1), as
the kernels' own tables say it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from standfast.errors import RefusedError, UserError
from standfast.lab import disks, file_writer
from standfast.lab.chaos.bed import moved
from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.disks import Shelf
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.paths import DISKS
from standfast.lab.software import checkout
from standfast.lab.writing import RunningWriter, judge, longest_silence_ms
from tests.e2e.conftest import mend

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

NAME = "e2edisk"
EXAMPLE = checkout() / "examples/03-shared-disk"
(DISK,) = DISKS
LOOK_S = 0.005


@dataclass
class Observer:
    """Looks at both VMs' mounts from outside, for as long as a block lasts."""

    lab: Lab
    looks: int = 0
    both: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        shelf, loops = Shelf(self.lab.paths), set[str]()
        while not self._over.wait(LOOK_S):
            place = shelf.attached().get(DISK.uuid)
            if place is not None and place.loop:
                loops.add(place.loop)
            having = [vm.name for vm in self.lab.vms() if self._has(vm.name, loops)]
            self.looks += 1
            self.seen.update(having)
            if len(having) > 1:
                self.both.append(f"look {self.looks}: {having} of {sorted(loops)}")

    def _has(self, vm: str, loops: set[str]) -> bool:
        with suppress(RefusedError, OSError):  # it is off, or ends this moment
            return any(disks.mounted(self.lab.vm(vm).machine, loop) for loop in loops)
        return False


@dataclass
class Files:
    """The pair."""

    lab: Lab
    cluster: LabCluster
    written: int = 0

    @property
    def vip(self) -> str:
        return f"10.{self.lab.state.addressing.octet}.1.100"

    def settle(self) -> None:
        self.cluster.wait_settled(120)

    @contextmanager
    def writing(self) -> Iterator[RunningWriter]:
        observer = Observer(self.lab)
        argv = self.lab.client_command(file_writer.command(self.vip, self.written + 1))
        with observer.looking(), RunningWriter(argv) as running:
            running.wait_for(20)
            yield running
            running.wait_for(20, timeout_s=90)
        # The next one may have been under way when the writer was stopped, and be there as well.
        self.written = max(write.number for write in running.writes) + 1
        read = [*file_writer.command(self.vip, 1), "--read"]
        found = [int(each) for each in self.lab.client_exec(read).stdout.split()]
        first = min(running.acknowledged)
        verdict = judge(running.acknowledged, [each for each in found if each >= first])
        silence_ms = longest_silence_ms(running.writes)
        print(f"\n{verdict}; silence {silence_ms:.0f} ms; {observer.looks} looks, {observer.seen}")
        assert (verdict.lost, verdict.twice) == ((), ())
        assert observer.both == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    try:
        install_operator(lab)
        cluster = LabCluster(lab, "files")
        cluster.apply(moved(EXAMPLE, lab, tmp_path_factory.mktemp("files") / "example"))
        cluster.enroll()
        files = Files(lab, cluster)
        files.settle()
        yield files
    finally:
        if "KEEP_LAB" not in os.environ:
            lab.down()


@pytest.fixture
def files(made: Files) -> Iterator[Files]:
    made.settle()
    yield made
    mend(made.lab)
    made.settle()


def test_a_planned_switchover_moves_the_disk(files: Files) -> None:
    standby = files.cluster.standby
    with files.writing() as writing:
        command = ("switchover", "files", "--to", standby, "--reason", "maintenance")
        files.cluster.kubectl.standfast(*command)
        files.cluster.wait_active(standby)
        writing.wait_for(20, timeout_s=90)
    place = Shelf(files.lab.paths).attached()[DISK.uuid]
    assert place.vm == standby


def test_an_isolated_active_is_fenced_before_the_disk_moves(files: Files) -> None:
    active, standby = files.cluster.active, files.cluster.standby
    with files.writing() as writing:
        files.lab.net.cut(active)
        files.cluster.wait_active(standby, 90)
        writing.wait_for(20, timeout_s=90)
    files.lab.net.heal()


def test_without_vcenter_the_service_goes_on_and_the_danger_is_said(files: Files) -> None:
    active = files.cluster.active
    with files.writing() as writing:
        files.lab.stop_vcenter()
        files.cluster.wait("Protected", "False")
        writing.wait_for(20)
        files.lab.start_vcenter()
        files.cluster.wait("Protected", timeout_s=90)
    assert files.cluster.active == active
