"""Which part of a vCenter's inventory may be looked at, as `Infrastructure.spec.vsphere.scope`."""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

from collections.abc import Mapping
from dataclasses import dataclass

from pyVmomi import vim

from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.faults import vcenter_faults
from standfast.adapters.vsphere.search import Found, moid, read
from standfast.adapters.vsphere.session import Connection
from standfast.errors import UserError

_DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """A datacenter and a folder by inventory path; both empty for everything the user sees."""

    datacenter: str = ""
    folder: str = ""

    @property
    def path(self) -> str:
        """Inventory path of the narrowest object named, without the leading slash."""
        return (self.folder or self.datacenter).strip("/")

    def sift(
        self, connection: Connection, access: Access, found: Mapping[str, Found]
    ) -> tuple[dict[str, vim.VirtualMachine], dict[str, str]]:
        """Split what was found into the VMs to watch and the sentences for the others.

        Raises:
            UserError: The datacenter or folder does not exist.
        """
        within = self._root(connection, access)
        vms: dict[str, vim.VirtualMachine] = {}
        missing: dict[str, str] = {}
        for uuid, each in found.items():
            problem = each.problem(access)
            if (
                problem is None
                and within
                and not self._holds(connection, access, each.vms[0], within)
            ):
                problem = UserError(
                    f"the VM with instance UUID {uuid} is outside /{self.path} in vCenter "
                    f"{access.server}",
                    remedy="move the VM there, or widen spec.vsphere.scope of the Infrastructure",
                )
            if problem is None:
                vms[uuid] = each.vms[0]
            else:
                missing[uuid] = f"{problem.problem}; {problem.remedy}"
        return vms, missing

    def count(self, connection: Connection, access: Access) -> int:
        """How many VMs the user sees here."""
        manager = connection.content.viewManager
        assert manager is not None, "every vCenter has a view manager"
        with vcenter_faults(access, "counting VMs"):
            root = self._object(connection) if self.path else connection.content.rootFolder
            if root is None:
                return 0
            view = manager.CreateContainerView(root, [vim.VirtualMachine], recursive=True)
            try:
                return len(view.view)
            finally:
                view.DestroyView()

    def _object(self, connection: Connection) -> vim.ManagedEntity | None:
        index = connection.content.searchIndex
        assert index is not None, "every vCenter has a search index"
        return index.FindByInventoryPath(self.path)

    def _root(self, connection: Connection, access: Access) -> str:
        if not self.path:
            return ""
        with vcenter_faults(access, f"looking for /{self.path}"):
            root = self._object(connection)
        if root is None:
            raise UserError(
                f"vCenter {access.server} shows no /{self.path} to user {access.username}",
                remedy="correct spec.vsphere.scope (govc find / -type f lists the folders), or "
                "grant the user Read-only on it",
            )
        return moid(root)

    def _holds(
        self, connection: Connection, access: Access, vm: vim.VirtualMachine, within: str
    ) -> bool:
        at: object = vm
        for _ in range(_DEPTH_MAX):
            if not isinstance(at, vim.ManagedEntity):
                return False
            if moid(at) == within:
                return True
            with vcenter_faults(access, "reading where a VM is kept"):
                at = next(iter(read(connection, [at], "parent")), {}).get("parent")
        return False


EVERYTHING = Scope()
"""All that the user may see."""
