"""Before a disk is taken from a VM it is asked whether that is wanted still."""

import asyncio
from typing import Any

import pytest

from standfast.adapters.fakes import FakeClock
from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.disks import DiskMover
from standfast.adapters.vsphere.vcenter import Vcenter
from standfast.errors import TransientError


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
