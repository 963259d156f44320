"""One fresh read of a VM and its host in a single call: what power decisions stand on."""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

from dataclasses import dataclass

from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.picture import contact, power
from standfast.adapters.vsphere.search import Values, moid, refuse_dead_session
from standfast.adapters.vsphere.session import Connection
from standfast.core.fencing import Contact, Power
from standfast.errors import TransientError
from standfast.ports.clock import Clock

Query = vmodl.query.PropertyCollector


@dataclass(frozen=True, slots=True)
class Seen:
    """What vCenter said when it was asked.

    Attributes:
        vm: To act on; valid for the connection that read it.
        at_ms: When the question was sent: the answer is at least as new.
    """

    vm: vim.VirtualMachine
    name: str
    power: Power
    vm_contact: Contact
    vm_word: str
    host_name: str
    host_contact: Contact
    host_word: str
    at_ms: int

    @property
    def proves_off(self) -> bool:
        """Off, and said by a host that vCenter hears."""
        return (
            self.power is Power.OFF
            and self.vm_contact is Contact.CONNECTED
            and self.host_contact is Contact.CONNECTED
        )

    def sentence(self) -> str:
        return (
            f"VM {self.name} reads {self.power.value}, the VM {self.vm_word}, its host "
            f"{self.host_name or '(not shown)'} {self.host_word}"
        )


def see(connection: Connection, vm: vim.VirtualMachine, clock: Clock) -> Seen:
    """Read power and connection of the VM, and the connection of the host it is on now.

    Raises:
        TransientError: The VM is gone.
    """
    at_ms = clock.now_ms()
    to_host = Query.TraversalSpec(type=vim.VirtualMachine, path="runtime.host", skip=False)
    answer = connection.content.propertyCollector.RetrievePropertiesEx(
        [
            Query.FilterSpec(
                objectSet=[Query.ObjectSpec(obj=vm, skip=False, selectSet=[to_host])],
                propSet=[
                    Query.PropertySpec(
                        type=vim.VirtualMachine,
                        pathSet=["name", "runtime.powerState", "runtime.connectionState"],
                        all=False,
                    ),
                    Query.PropertySpec(
                        type=vim.HostSystem,
                        pathSet=["name", "runtime.connectionState"],
                        all=False,
                    ),
                ],
            )
        ],
        Query.RetrieveOptions(),
    )
    by_type: dict[bool, Values] = {}
    for found in answer.objects if answer is not None else ():
        refuse_dead_session(found.missingSet or ())
        is_vm = isinstance(found.obj, vim.VirtualMachine)
        by_type[is_vm] = {each.name: each.val for each in found.propSet or ()}
    if True not in by_type:
        raise TransientError(f"VM {moid(vm)} is no longer in the inventory")
    values, host = by_type[True], by_type.get(False, {})
    return Seen(
        vm=vm,
        name=str(values.get("name", moid(vm))),
        power=power(values.get("runtime.powerState")),
        vm_contact=contact(values.get("runtime.connectionState")),
        vm_word=str(values.get("runtime.connectionState", "unknown")),
        host_name=str(host.get("name", "")),
        host_contact=contact(host.get("runtime.connectionState")),
        host_word=str(host.get("runtime.connectionState", "unknown")),
        at_ms=at_ms,
    )
