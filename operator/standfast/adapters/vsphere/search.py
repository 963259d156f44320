"""Find a VM by its identity, and read it afresh.

A VM is addressed by instance UUID only: names repeat, BIOS UUIDs are copied with a clone, managed
object ids change when a VM is registered anew. Two VMs with one instance UUID are refused: whoever
picks one fences the wrong one some day.
"""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import ManagedObject

from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.faults import (
    CallUnknownError,
    SessionLostError,
    vcenter_faults,
)
from standfast.adapters.vsphere.session import Connection
from standfast.errors import UserError

Query = vmodl.query.PropertyCollector
Values = dict[str, object]
"""Property path to value; a property that may not be read or has no value is absent."""


def read(
    connection: Connection, objects: Sequence[vim.ManagedEntity | vim.Task], *paths: str
) -> list[Values]:
    """Read leaf properties of objects of one type, afresh, in one call."""
    assert objects, "reading nothing"
    kind = type(objects[0])
    answer = connection.content.propertyCollector.RetrievePropertiesEx(
        [
            Query.FilterSpec(
                objectSet=[Query.ObjectSpec(obj=each) for each in objects],
                propSet=[Query.PropertySpec(type=kind, pathSet=list(paths), all=False)],
            )
        ],
        Query.RetrieveOptions(),
    )
    return [_values(found) for found in (answer.objects if answer is not None else [])]


def _values(found: vmodl.query.PropertyCollector.ObjectContent) -> Values:
    refuse_dead_session(found.missingSet or ())
    return {each.name: each.val for each in found.propSet or ()}


def refuse_dead_session(missing: Iterable[vmodl.query.PropertyCollector.MissingProperty]) -> None:
    """A session that dies while properties are collected shows as missing properties."""
    if any(isinstance(each.fault, vim.fault.NotAuthenticated) for each in missing):
        raise SessionLostError("the session ended while properties were read")


def moid(each: ManagedObject) -> str:
    """The managed object id, stable within one session: `vm-123`."""
    return str(each._GetMoId())  # noqa: SLF001 the library's only way to it


@dataclass(frozen=True, slots=True)
class Found:
    """The VMs that carry one instance UUID."""

    uuid: str
    vms: tuple[vim.VirtualMachine, ...]

    def only(self, access: Access) -> vim.VirtualMachine:
        """The one VM.

        Raises:
            UserError: There is none, or more than one.
        """
        problem = self.problem(access)
        if problem is not None:
            raise problem
        return self.vms[0]

    def problem(self, access: Access) -> UserError | None:
        """Why this UUID does not identify a VM; None when it does."""
        if not self.vms:
            return UserError(
                f"vCenter {access.server} shows no VM with instance UUID {self.uuid} to user "
                f"{access.username}",
                remedy="set spec.nodes[].vm.instanceUUID to the VM's config.instanceUuid "
                "(govc vm.info -json NAME), or grant the user Read-only on the VM's folder",
            )
        if len(self.vms) > 1:
            ids = ", ".join(sorted(moid(vm) for vm in self.vms))
            return UserError(
                f"vCenter {access.server} has {len(self.vms)} VMs with instance UUID {self.uuid} "
                f"({ids}): none of them is touched",
                remedy="remove the copy from the inventory, or give it an instance UUID of its "
                "own (reconfigure with instanceUuid)",
            )
        return None


def find(connection: Connection, access: Access, uuids: Iterable[str]) -> dict[str, Found]:
    """Look up VMs by instance UUID; every asked UUID is in the answer."""
    wanted = sorted(set(uuids))
    index = connection.content.searchIndex
    assert index is not None, "every vCenter has a search index"
    found: dict[str, Found] = {}
    try:
        for uuid in wanted:
            with vcenter_faults(access, f"looking up instance UUID {uuid}"):
                vms = index.FindAllByUuid(None, uuid, True, True)
            only_vms = tuple(vm for vm in vms or () if isinstance(vm, vim.VirtualMachine))
            found[uuid] = Found(uuid, only_vms)
    except CallUnknownError:
        with vcenter_faults(access, "looking through all VMs"):
            return _find_by_reading_all(connection, wanted)
    return found


def _find_by_reading_all(connection: Connection, wanted: Sequence[str]) -> dict[str, Found]:
    manager = connection.content.viewManager
    assert manager is not None, "every vCenter has a view manager"
    view = manager.CreateContainerView(
        connection.content.rootFolder, [vim.VirtualMachine], recursive=True
    )
    try:
        vms = [vm for vm in view.view if isinstance(vm, vim.VirtualMachine)]
        if not vms:
            return {uuid: Found(uuid, ()) for uuid in wanted}
        pairs = _uuids_of(connection, vms)
    finally:
        view.DestroyView()
    return {uuid: Found(uuid, tuple(vm for vm, has in pairs if has == uuid)) for uuid in wanted}


def _uuids_of(
    connection: Connection, vms: Sequence[vim.VirtualMachine]
) -> list[tuple[vim.VirtualMachine, str]]:
    collector = connection.content.propertyCollector
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=vm) for vm in vms],
        propSet=[
            Query.PropertySpec(type=vim.VirtualMachine, pathSet=["config.instanceUuid"], all=False)
        ],
    )
    answer = collector.RetrievePropertiesEx([spec], Query.RetrieveOptions())
    pairs: list[tuple[vim.VirtualMachine, str]] = []
    while answer is not None:
        for found in answer.objects:
            assert isinstance(found.obj, vim.VirtualMachine), "only VMs were asked for"
            pairs += [(found.obj, str(each.val).lower()) for each in found.propSet or ()]
        if not answer.token:
            break
        answer = collector.ContinueRetrievePropertiesEx(answer.token)
    return pairs
