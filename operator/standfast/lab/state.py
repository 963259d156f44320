"""What a lab is, kept in its `state.json`: for the lab's own programs and for every other tool.

Written by `standfast-lab up`, read by the hypervisor, the tests and the demo. A lab's index
decides its addresses; it is drawn here, under a lock that all labs of the machine share.
"""

import fcntl
import ipaddress
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from standfast.errors import UserError
from standfast.lab.addressing import LABS_MAX, Addressing, vm_names
from standfast.lab.commands import ip_json
from standfast.lab.paths import LabPaths, VmSpec
from standfast.lab.program import write

HOSTS = 3
IDENTITIES = uuid.UUID("7c3d2c9e-5b9b-5a5c-8f0e-53616e64666c")
INSTANCES = {
    "vm-a": "50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f0a",
    "vm-b": "5031d0f7-0f6e-6b1c-8f37-0f6f4f9a1b0b",
}
"""The VMs that `examples/` name; others are drawn from their names."""


class Network(msgspec.Struct, frozen=True):
    """A network that joins the VMs.

    Args:
        number: From 1.
        cidr: Its addresses.
    """

    number: int
    cidr: str


class VmState(msgspec.Struct, frozen=True):
    """A VM as other tools need to know it.

    Args:
        name: In vCenter and in the lab.
        instance_uuid: What `HACluster` names the node by.
        bios_uuid: What the guest sees as its product UUID.
        host: The ESXi host that vCenter shows it on at first.
        addresses: One per network, in their order.
    """

    name: str
    instance_uuid: str = msgspec.field(name="instanceUUID")
    bios_uuid: str = msgspec.field(name="biosUUID")
    host: str
    addresses: tuple[str, ...]

    @property
    def spec(self) -> VmSpec:
        return VmSpec(self.name, self.instance_uuid, self.bios_uuid, self.host)


class VCenterState(msgspec.Struct, frozen=True):
    """How to log in to the simulated vCenter.

    Args:
        server: `host:port`, from VMs, pods and this machine alike.
        username: Of the operator's account.
        password: Of the operator's account.
        ca_file: The authority that signed its certificate.
    """

    server: str
    username: str
    password: str
    ca_file: str = msgspec.field(name="caFile")


class Control(msgspec.Struct, frozen=True):
    """The side that is not a VM.

    Args:
        address: This machine, as VMs and pods reach it.
        client: The probe's address, on network 1.
    """

    address: str
    client: str


class LabState(msgspec.Struct, frozen=True):
    """One lab.

    Args:
        name: Its name.
        index: Its number on this machine, from 0.
        networks: Those that join the VMs.
        vms: In the order of their addresses.
        control: The control side.
        kubeconfig: The administrator's; empty when the lab has no Kubernetes.
        kubectl: The program; empty likewise.
        helm: The program; empty likewise.
        vcenter: None when the lab has no vCenter.
        agent: Digest of the sources whose agent the VMs boot with; empty when they have none.
        complete: Whether `up` got to its end.
    """

    name: str
    index: int
    networks: tuple[Network, ...]
    vms: tuple[VmState, ...]
    control: Control
    kubeconfig: str = ""
    kubectl: str = ""
    helm: str = ""
    vcenter: VCenterState | None = None
    agent: str = ""
    complete: bool = False

    @property
    def addressing(self) -> Addressing:
        return Addressing(
            self.name, self.index, len(self.networks), tuple(vm.name for vm in self.vms)
        )


def load(paths: LabPaths) -> LabState | None:
    """The state of a lab; None when there is no such lab."""
    try:
        data = paths.state_file.read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(data, type=LabState)


def existing(paths: LabPaths) -> LabState:
    """The state of a lab.

    Raises:
        UserError: There is no such lab.
    """
    state = load(paths)
    if state is None:
        raise UserError(
            f"there is no lab {paths.name}: {paths.state_file} does not exist",
            remedy=f"standfast-lab up --name {paths.name}",
        )
    return state


def store(paths: LabPaths, state: LabState) -> None:
    """Replaces the state of a lab in one step."""
    write(paths.state_file, msgspec.json.format(msgspec.json.encode(state)).decode() + "\n")


def register(
    paths: LabPaths, vms: int, networks: int, wanted_index: int | None = None
) -> LabState:
    """Writes the state of a new lab, under an index that no other lab of this machine has.

    Args:
        paths: The lab.
        vms: How many VMs.
        networks: How many networks.
        wanted_index: The only index that will do; any free one when it is None.

    Raises:
        UserError: These sizes cannot be made, or no address range is free.
    """
    with _registry(paths.root.parent):
        index = _free_index(paths, wanted_index)
        plan = Addressing(paths.name, index, networks, vm_names(vms))
        state = LabState(
            name=paths.name,
            index=index,
            networks=tuple(Network(n, plan.subnet(n)) for n in range(1, networks + 1)),
            vms=tuple(
                VmState(
                    name=vm,
                    instance_uuid=INSTANCES.get(vm, str(uuid.uuid5(IDENTITIES, f"instance/{vm}"))),
                    bios_uuid=str(uuid.uuid5(IDENTITIES, f"bios/{vm}")),
                    host=f"esx-{number % HOSTS + 1}.lab",
                    addresses=plan.vm_addresses(vm),
                )
                for number, vm in enumerate(plan.vms)
            ),
            control=Control(
                address=plan.control_address,
                client=plan.client_interface().addresses[0].split("/")[0],
            ),
        )
        store(paths, state)
        return state


def names(base: Path) -> list[str]:
    """The labs of this machine, below the directory that holds all of them."""
    return sorted(file.parent.name for file in base.glob("*/state.json"))


def _free_index(paths: LabPaths, wanted: int | None) -> int:
    base = paths.root.parent
    taken = {
        state.index: name
        for name in names(base)
        if name != paths.name and (state := load(LabPaths(name, base / name)))
    }
    routed = _routed()
    for index in range(LABS_MAX) if wanted is None else [wanted]:
        plan = Addressing(paths.name, index, 1, ("vm-a",))
        range_ = ipaddress.ip_network(plan.cidr)
        if index not in taken and not any(range_.overlaps(network) for network in routed):
            return index
    if wanted is not None:
        cidr = Addressing(paths.name, wanted, 1, ("vm-a",)).cidr
        why = f"lab {taken[wanted]} has them" if wanted in taken else "a route leads there"
        raise UserError(
            f"lab {paths.name} needs the addresses {cidr}, which are not free: {why}",
            remedy=f"standfast-lab down --name {taken.get(wanted, 'NAME')}",
        )
    raise UserError(
        f"none of the {LABS_MAX} address ranges from {Addressing('a', 0, 1, ('b',)).cidr} is free:"
        f" this machine has {len(taken)} labs and routes into the others",
        remedy="standfast-lab down --name NAME, for a lab that is not needed",
    )


def _routed() -> list[ipaddress.IPv4Network]:
    """What this machine reaches by a route of its own, without the default route."""
    routes = json.loads(ip_json(["-4", "route", "show"]))
    targets = [route["dst"] for route in routes if route["dst"] != "default"]
    return [ipaddress.IPv4Network(target, strict=False) for target in targets]


@contextmanager
def _registry(base: Path) -> Iterator[None]:
    base.mkdir(parents=True, exist_ok=True)
    with (base / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
