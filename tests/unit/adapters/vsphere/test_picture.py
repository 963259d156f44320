"""From property updates to facts: partial, absent, unknown, and how long power has been so."""

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.faults import SessionLostError
from standfast.adapters.vsphere.picture import Picture
from standfast.core.fencing import Contact, Power

Collector = vmodl.query.PropertyCollector
VM, HOST, TASK = vim.VirtualMachine("vm-1"), vim.HostSystem("host-1"), vim.Task("task-1")


def update(of: Any, kind: str = "enter", **values: Any) -> Any:
    changes = [
        Collector.Change(name=name.replace("__", "."), op="assign", val=value)
        for name, value in values.items()
    ]
    return Collector.ObjectUpdate(obj=of, kind=kind, changeSet=changes)


def on_its_host() -> list[Any]:
    return [
        update(
            VM,
            name="orders-a",
            runtime__powerState="poweredOn",
            runtime__connectionState="connected",
            runtime__host=HOST,
        ),
        update(HOST, name="esx-1", runtime__connectionState="connected"),
    ]


@pytest.fixture
def picture() -> Picture:
    picture = Picture({"vm-1": "uuid-1"})
    picture.take(on_its_host())
    return picture


def test_a_vm_and_its_host_are_one_fact(picture: Picture) -> None:
    vm = picture.vms(1_000)["uuid-1"]
    assert (vm.name, vm.power, vm.contact) == ("orders-a", Power.ON, Contact.CONNECTED)
    assert (vm.host, vm.host_name, vm.host_contact) == ("host-1", "esx-1", Contact.CONNECTED)
    assert (vm.power_since_ms, vm.on_from_ms) == (1_000, None)


def test_an_update_changes_only_what_it_names(picture: Picture) -> None:
    picture.vms(1_000)
    picture.take([update(VM, "modify", runtime__powerState="poweredOff")])
    vm = picture.vms(5_000)["uuid-1"]
    assert (vm.power, vm.power_since_ms, vm.on_from_ms) == (Power.OFF, 5_000, 1_000)
    assert vm.host_name == "esx-1"
    assert vm.reads_off


def test_a_vm_first_seen_off_was_not_seen_on() -> None:
    picture = Picture({"vm-1": "uuid-1"})
    picture.take([update(VM, runtime__powerState="poweredOff")])
    assert picture.vms(1_000)["uuid-1"].on_from_ms is None


def test_off_after_suspended_was_not_seen_on(picture: Picture) -> None:
    """Power that went away in two steps is judged as if it had never been seen."""
    picture.vms(1_000)
    picture.take([update(VM, "modify", runtime__powerState="suspended")])
    picture.vms(2_000)
    picture.take([update(VM, "modify", runtime__powerState="poweredOff")])
    assert picture.vms(3_000)["uuid-1"].on_from_ms is None


def test_what_may_not_be_read_is_unknown() -> None:
    picture = Picture({"vm-1": "uuid-1"})
    picture.take([update(VM, name="orders-a")])
    vm = picture.vms(1_000)["uuid-1"]
    assert (vm.power, vm.contact, vm.host_contact) == (
        Power.UNKNOWN,
        Contact.UNKNOWN,
        Contact.UNKNOWN,
    )


def test_a_host_that_does_not_respond_is_lost(picture: Picture) -> None:
    picture.take([update(HOST, "modify", runtime__connectionState="notResponding")])
    assert picture.vms(1_000)["uuid-1"].host_contact is Contact.LOST


def test_a_removed_property_is_unknown_again(picture: Picture) -> None:
    gone = Collector.Change(name="runtime.host", op="remove")
    picture.take([Collector.ObjectUpdate(obj=VM, kind="modify", changeSet=[gone])])
    assert picture.vms(1_000)["uuid-1"].host == ""


def test_a_vm_that_left_is_not_in_the_picture(picture: Picture) -> None:
    picture.take([update(VM, "leave")])
    assert picture.vms(1_000) == {}


def test_running_tasks_are_named(picture: Picture) -> None:
    picture.take(
        [
            update(VM, "modify", recentTask=vim.Task.Array([TASK])),
            update(TASK, info__state="running", info__descriptionId="VirtualMachine.relocate"),
        ]
    )
    assert picture.vms(1_000)["uuid-1"].tasks == ("VirtualMachine.relocate",)
    picture.take([update(TASK, "modify", info__state="success")])
    assert picture.vms(2_000)["uuid-1"].tasks == ()


def test_a_session_that_dies_while_collecting_is_no_missing_property(picture: Picture) -> None:
    missing = Collector.MissingProperty(path="name", fault=vim.fault.NotAuthenticated())
    with pytest.raises(SessionLostError):
        picture.take([Collector.ObjectUpdate(obj=VM, kind="modify", missingSet=[missing])])
