"""Moves a disk from one VM to another; the hypervisor's lock on the disk is what keeps it apart.

A plain disk is opened by one running VM at a time. So a move is: take it off whoever of the given
VMs has it, put it on the one that shall have it, and read back that it is there and nowhere else
among them. A VM that is none of these is never touched: while one has the disk, vCenter refuses
to attach it, and says so. Nothing is ever deleted: a device is removed, its file stays.

Safe to call again after any outcome: what is done already is seen, not remembered.

A task that vCenter has not finished in time, or that nobody wants any more, is called off: done
late, it would take the disk from a VM that serves with it again. What cannot be called off names
the very state of the VM that it was made for (`changeVersion`), so that it never takes another
disk that has come into that place; and a VM that has the disk next loses nothing by it, because it
is a change of the first VM alone.
"""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyVmomi import vim

from standfast.adapters.vsphere.faults import BusyError, vcenter_faults
from standfast.adapters.vsphere.power import PowerSwitch
from standfast.adapters.vsphere.search import find, read
from standfast.adapters.vsphere.session import Connection, Session
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import DiskMoved, NotProvenError

Device = vim.vm.device
Operation = vim.vm.device.VirtualDeviceSpec.Operation
_UNITS = tuple(unit for unit in range(16) if unit != 7)
"""Places on a SCSI controller; 7 is the controller itself."""
_BUSES = 4
ASK_MS = 1_000
"""While vCenter works on it, the node is asked so often whether it waits still."""
_NEW_CONTROLLER, _NEW_DISK = -101, -102


@dataclass(frozen=True, slots=True)
class _Machine:
    """A VM and what is plugged into it, as just read."""

    uuid: str
    name: str
    vm: vim.VirtualMachine
    version: str
    devices: tuple[Device.VirtualDevice, ...]

    def disk(self, vmdk: str) -> Device.VirtualDisk | None:
        return next((each for each in self._disks() if file_of(each) == vmdk), None)

    def _disks(self) -> Iterable[Device.VirtualDisk]:
        return (each for each in self.devices if isinstance(each, Device.VirtualDisk))

    def place(self) -> tuple[int, int] | None:
        """A controller with room, and the first free place on it."""
        for controller in self.devices:
            if not isinstance(controller, Device.VirtualSCSIController):
                continue
            if controller.sharedBus != Device.VirtualSCSIController.Sharing.noSharing:
                continue
            taken = {
                each.unitNumber for each in self.devices if each.controllerKey == controller.key
            }
            free = next((unit for unit in _UNITS if unit not in taken), None)
            if free is not None:
                return controller.key, free
        return None


class DiskMover:
    """Moves disks. Blocking; may be called from any thread.

    Args:
        session: The login.
        switch: Whose connection is used.
        clock: For deadlines.
    """

    def __init__(self, session: Session, switch: PowerSwitch, clock: Clock) -> None:
        self._session = session
        self._switch = switch
        self._clock = clock

    def move(
        self,
        vmdk: str,
        uuid: str,
        to: str,
        others: frozenset[str],
        budget_ms: int,
        *,
        still: Callable[[], None],
    ) -> DiskMoved:
        """See `ports.hypervisor.Hypervisor`."""
        began_ms = self._clock.now_ms()
        deadline_ms = began_ms + budget_ms
        machines = self._machines(frozenset({to}) | others)
        target = machines.pop(to)
        left: list[str] = []
        for machine in machines.values():
            disk = machine.disk(vmdk)
            if disk is not None:
                still()
                self._detach(machine, disk, vmdk, deadline_ms, still)
                left.append(machine.name)
        is_there = target.disk(vmdk) is not None
        if not is_there:
            self._attach(target, vmdk, deadline_ms, still)
        self._read_back(vmdk, uuid, to, others)
        took_ms = self._clock.now_ms() - began_ms
        return DiskMoved(vmdk, tuple(left), target.name, not is_there, took_ms)

    def _machines(self, uuids: frozenset[str]) -> dict[str, _Machine]:
        access = self._session.access

        def look(connection: Connection) -> dict[str, _Machine]:
            found = find(connection, access, uuids)
            return {
                uuid: _read(connection, uuid, each.only(access)) for uuid, each in found.items()
            }

        return self._switch.reading("reading the disks of the VMs", look)

    def _detach(
        self,
        machine: _Machine,
        disk: Device.VirtualDisk,
        vmdk: str,
        deadline_ms: int,
        still: Callable[[], None],
    ) -> None:
        doing = f"detaching {vmdk} from {machine.name}"
        if getattr(disk.backing, "parent", None) is not None:
            raise UserError(
                f"{doing}: a snapshot of {machine.name} holds the disk",
                remedy=f"delete the snapshots of {machine.name}, and make the disk "
                "independent-persistent so that snapshots leave it alone",
            )
        change = Device.VirtualDeviceSpec(operation=Operation.remove, device=disk)
        self._reconfigure(machine, [change], doing, deadline_ms, still)

    def _attach(
        self, machine: _Machine, vmdk: str, deadline_ms: int, still: Callable[[], None]
    ) -> None:
        changes: list[Device.VirtualDeviceSpec] = []
        place = machine.place()
        if place is None:
            controller = Device.ParaVirtualSCSIController(
                key=_NEW_CONTROLLER,
                busNumber=_bus(machine.name, machine.devices),
                sharedBus=Device.VirtualSCSIController.Sharing.noSharing,
            )
            changes.append(Device.VirtualDeviceSpec(operation=Operation.add, device=controller))
            place = _NEW_CONTROLLER, 0
        backing = Device.VirtualDisk.FlatVer2BackingInfo(
            fileName=vmdk, diskMode="independent_persistent", sharing="sharingNone"
        )
        controller_key, unit = place
        disk = Device.VirtualDisk(
            key=_NEW_DISK, controllerKey=controller_key, unitNumber=unit, backing=backing
        )
        changes.append(Device.VirtualDeviceSpec(operation=Operation.add, device=disk))
        doing = f"attaching {vmdk} to {machine.name}"
        self._reconfigure(machine, changes, doing, deadline_ms, still)

    def _reconfigure(
        self,
        machine: _Machine,
        changes: list[Device.VirtualDeviceSpec],
        doing: str,
        deadline_ms: int,
        still: Callable[[], None],
    ) -> None:
        if self._clock.now_ms() >= deadline_ms:
            raise BusyError(f"{doing}: no time is left for it", retry_after_ms=500)
        with vcenter_faults(self._session.access, doing):
            spec = vim.vm.ConfigSpec(deviceChange=changes, changeVersion=machine.version or None)
            task = machine.vm.ReconfigVM_Task(spec)
        try:
            self._finish(task, doing, deadline_ms, still)
        except NotProvenError as late:
            called_off = self._call_off(task, doing)
            raise TransientError(
                f"{late.problem}; {called_off}", remedy=late.remedy, retry_after_ms=500
            ) from late

    def _finish(
        self, task: vim.Task, doing: str, deadline_ms: int, still: Callable[[], None]
    ) -> None:
        """Wait for it in short pieces, and ask between two whether it is wanted."""
        while True:
            until_ms = min(deadline_ms, self._clock.now_ms() + ASK_MS)
            try:
                self._switch.finish(task, doing, until_ms)
            except NotProvenError:
                if until_ms >= deadline_ms:
                    raise
                self._go_on_if(still, task, doing)
            else:
                return

    def _go_on_if(self, still: Callable[[], None], task: vim.Task, doing: str) -> None:
        try:
            still()
        except StandfastError as unwanted:
            called_off = self._call_off(task, doing)
            raise TransientError(
                f"{doing}: {unwanted.problem}; {called_off}", remedy=unwanted.remedy
            ) from unwanted

    def _call_off(self, task: vim.Task, doing: str) -> str:
        """Have vCenter forget the task; what came of that, for a sentence."""
        try:
            with vcenter_faults(self._session.access, f"calling off {doing}"):
                task.CancelTask()
        except StandfastError as error:
            return f"it could not be called off and may still be done ({error.problem})"
        return "it was called off"

    def _read_back(self, vmdk: str, uuid: str, to: str, others: frozenset[str]) -> None:
        """What vCenter says afterwards is what counts."""
        machines = self._machines(frozenset({to}) | others)
        target = machines.pop(to)
        still = [each.name for each in machines.values() if each.disk(vmdk) is not None]
        disk = target.disk(vmdk)
        if still or disk is None:
            where = ", ".join(still) or "no VM"
            raise TransientError(f"{vmdk} was moved to {target.name}, and {where} has it now")
        seen = str(getattr(disk.backing, "uuid", "") or "")
        if _plain(seen) != _plain(uuid):
            raise UserError(
                f"{vmdk} has the UUID {seen or '(none)'}, not {uuid}: the guest would look for "
                "another disk",
                remedy=f"set spec.sharedDisk.uuid to {seen}" if seen else "give the disk a UUID",
            )


def _read(connection: Connection, uuid: str, vm: vim.VirtualMachine) -> _Machine:
    wanted = ("name", "config.changeVersion", "config.hardware.device")
    values = next(iter(read(connection, [vm], *wanted)), {})
    devices = values.get("config.hardware.device")
    found = devices if isinstance(devices, list) else []
    only = tuple(each for each in found if isinstance(each, Device.VirtualDevice))
    version = str(values.get("config.changeVersion") or "")
    return _Machine(uuid, str(values.get("name", uuid)), vm, version, only)


def file_of(disk: Device.VirtualDisk) -> str:
    """The disk's file; the lowest one when snapshots lie above it."""
    backing: object = disk.backing
    while (below := getattr(backing, "parent", None)) is not None:
        backing = below
    return str(getattr(backing, "fileName", "") or "")


def _bus(name: str, devices: Iterable[Device.VirtualDevice]) -> int:
    taken = {each.busNumber for each in devices if isinstance(each, Device.VirtualSCSIController)}
    free = next((bus for bus in range(_BUSES) if bus not in taken), None)
    if free is None:
        raise UserError(
            f"{name} has no free place for a disk: all SCSI controllers are full",
            remedy=f"remove a disk or a device from {name}",
        )
    return free


def _plain(uuid: str) -> str:
    return re.sub(r"[^0-9a-f]", "", uuid.lower())
