"""Before a disk is taken from a VM it is asked whether that is wanted still."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from standfast.adapters.fakes import FakeClock
from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.disks import DiskMover
from standfast.adapters.vsphere.vcenter import Vcenter
from standfast.errors import TransientError
from standfast.ports.hypervisor import NotProvenError


class Vm:
    """A VM with or without the disk."""

    def __init__(self, name: str, *, has_it: bool) -> None:
        self.name = name
        self._disk = object() if has_it else None

    def disk(self, vmdk: str) -> object | None:
        del vmdk
        return self._disk


class Mover(DiskMover):
    """Writes down what it would do."""

    def __init__(self, *, old_has_it: bool) -> None:
        nobody: Any = None  # logs in
        super().__init__(nobody, nobody, FakeClock())
        self._vms = {"new": Vm("new", has_it=False), "old": Vm("old", has_it=old_has_it)}
        self.done: list[str] = []

    def _machines(self, uuids: frozenset[str]) -> Any:
        return {uuid: self._vms[uuid] for uuid in uuids}

    def _detach(self, machine: Any, *_: object) -> None:
        self.done.append(f"detach {machine.name}")

    def _attach(self, machine: Any, *_: object) -> None:
        self.done.append(f"attach {machine.name}")

    def _read_back(self, *_: object) -> None:
        """As it should be."""


def no() -> None:
    raise TransientError("not any more")


def move(mover: Mover, still: Any) -> None:
    mover.move("[d] x.vmdk", "u", "new", frozenset({"old"}), 1000, still=still)


def test_a_disk_that_is_not_wanted_any_more_is_taken_from_nobody() -> None:
    mover = Mover(old_has_it=True)
    with pytest.raises(TransientError, match="not any more"):
        move(mover, no)
    assert mover.done == []


def test_it_is_asked_with_the_disk_still_in_place() -> None:
    mover = Mover(old_has_it=True)
    seen: list[list[str]] = []
    move(mover, lambda: seen.append(list(mover.done)))
    assert (seen, mover.done) == ([[]], ["detach old", "attach new"])


def test_nobody_is_asked_for_a_disk_that_nobody_has() -> None:
    mover = Mover(old_has_it=False)
    move(mover, no)
    assert mover.done == ["attach new"]


async def test_the_question_is_asked_where_the_operator_runs() -> None:
    """The mover waits in a thread of its own; the answer needs the loop."""
    loop = asyncio.get_running_loop()
    asked: list[bool] = []

    async def still() -> None:
        asked.append(asyncio.get_running_loop() is loop)
        await asyncio.sleep(0)
        no()

    access = Access(server="127.0.0.1:1", username="u", password="p", ca_pem="", secret="ns/s")
    vcenter = Vcenter(access, FakeClock(), lambda _inventory: None)
    mover: Any = Mover(old_has_it=True)
    vcenter._disks = mover
    with pytest.raises(TransientError, match="not any more"):
        await vcenter.move_disk("[d] x.vmdk", "u", "new", frozenset({"old"}), 5000, still=still)
    assert (asked, mover.done) == ([True], [])
    await vcenter.close()


class Task:
    """A task of vCenter that takes its time."""

    def __init__(self, *, can_be_called_off: bool = True) -> None:
        self.called_off = False
        self._can_be = can_be_called_off

    def CancelTask(self) -> None:  # noqa: N802 vCenter's name
        if not self._can_be:
            raise vim.fault.InvalidState
        self.called_off = True


class SlowSwitch:
    """Waits for a task that ends after so many looks; time passes with each."""

    def __init__(self, clock: FakeClock, ends_after: int) -> None:
        self._clock = clock
        self._left = ends_after

    def finish(self, task: object, doing: str, deadline_ms: int) -> None:
        del task
        self._left -= 1
        if self._left <= 0:
            return
        self._clock.advance(max(0, deadline_ms - self._clock.now_ms()))
        raise NotProvenError(f"{doing}: task task-7 is still running")


class SlowVm:
    """Takes every change and does none in time."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.specs: list[vim.vm.ConfigSpec] = []

    def ReconfigVM_Task(self, spec: vim.vm.ConfigSpec) -> Task:  # noqa: N802 vCenter's name
        self.specs.append(spec)
        return self.task


def detach(task: Task, ends_after: int, still: Any = lambda: None) -> SlowVm:
    """Take the disk from a VM whose vCenter is slow, within five seconds."""
    clock = FakeClock()
    session: Any = SimpleNamespace(access=Access("vc.example.com", "u", "p", "", "s"))
    switch: Any = SlowSwitch(clock, ends_after)
    mover = DiskMover(session, switch, clock)
    vm = SlowVm(task)
    machine: Any = SimpleNamespace(name="old", vm=vm, version="v42")
    disk = vim.vm.device.VirtualDisk(key=2000)
    mover._detach(machine, disk, "[d] x.vmdk", clock.now_ms() + 5000, still)
    return vm


def test_a_task_that_is_late_is_waited_for_and_asked_about() -> None:
    asked: list[bool] = []
    task = Task()
    vm = detach(task, 4, lambda: asked.append(True))
    assert (len(asked), task.called_off) == (3, False)
    (spec,) = vm.specs
    assert spec.changeVersion == "v42", "it is refused if anything of the VM changed before"


def test_a_detach_that_is_not_done_in_time_is_called_off() -> None:
    """Done later, it would pull the disk from a node that may serve again."""
    task = Task()
    with pytest.raises(TransientError, match="still running; it was called off"):
        detach(task, 100)
    assert task.called_off


def test_a_detach_that_nobody_wants_any_more_is_called_off() -> None:
    task = Task()
    with pytest.raises(TransientError, match="not any more; it was called off"):
        detach(task, 100, no)
    assert task.called_off


def test_what_cannot_be_called_off_is_said() -> None:
    with pytest.raises(TransientError, match="could not be called off and may still be done"):
        detach(Task(can_be_called_off=False), 100)
