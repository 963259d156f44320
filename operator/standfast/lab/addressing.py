"""Every name and address of a lab's network, from its index and its sizes. Pure.

A lab has the addresses 10.<77 + index>.0.0/16: network 0 joins this machine (`.1`, the control
side) and the pods (`.10` and up), network N from 1 joins the N-th interfaces of the VMs (`.11` and
up). A router in the switch (`.254` in network 0, `.1` elsewhere) leads from one to the other, as
between the subnets of a data centre. VIPs are by convention `.100` and up.
"""

import re
from dataclasses import dataclass

from standfast.errors import UserError

FIRST_OCTET = 77
LABS_MAX = 100
NETWORKS_MAX = 9
VMS_MAX = 16
CLIENT = "client"
HOST = "host"
VM_NAME_RULE = re.compile(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Interface:
    """One network card of a VM, a pod, the client or this machine, and the switch port it is in.

    Args:
        owner: Whose it is: a VM's or pod's name, `client` or `host`.
        port: Name of the switch's end, unique in the lab, 15 characters at most.
        device: Name of the owner's end, `eth0`.
        bridge: The bridge that the port belongs to.
        network: 0 for the management network.
        mac: Link-layer address of the owner's end.
        addresses: With prefix length, IPv4 first.
        gateway: The router's IPv4 address on that network.
        gateway6: The router's IPv6 address on that network.
    """

    owner: str
    port: str
    device: str
    bridge: str
    network: int
    mac: str
    addresses: tuple[str, ...]
    gateway: str
    gateway6: str


@dataclass(frozen=True, slots=True)
class Addressing:
    """The network plan of one lab.

    Args:
        lab: The lab's name.
        index: Its number on this machine, from 0: which /16 it has.
        networks: How many networks join the VMs.
        vms: The VMs' names, in the order of their addresses.
    """

    lab: str
    index: int
    networks: int
    vms: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.networks <= NETWORKS_MAX:
            raise UserError(
                f"a lab with {self.networks} networks cannot be made: 1 to {NETWORKS_MAX} can",
                remedy="--networks 2",
            )
        if not 1 <= len(self.vms) <= VMS_MAX:
            raise UserError(
                f"a lab with {len(self.vms)} VMs cannot be made: 1 to {VMS_MAX} can",
                remedy="--vms 2",
            )
        for vm in self.vms:
            if not VM_NAME_RULE.fullmatch(vm) or vm in {CLIENT, HOST, "sw"}:
                raise UserError(
                    f"a VM of the lab cannot be called {vm!r}: 12 lower-case letters, digits and"
                    f" dashes at most, and not {CLIENT}, {HOST} or sw",
                    remedy="use a name such as vm-a",
                )

    @property
    def octet(self) -> int:
        return FIRST_OCTET + self.index

    @property
    def cidr(self) -> str:
        """All of the lab's IPv4 addresses."""
        return f"10.{self.octet}.0.0/16"

    @property
    def switch_namespace(self) -> str:
        return f"lab-{self.lab}-sw"

    @property
    def client_namespace(self) -> str:
        return f"lab-{self.lab}-{CLIENT}"

    def namespace(self, owner: str) -> str:
        """The network namespace of a VM or a pod."""
        return f"lab-{self.lab}-{owner}"

    @property
    def host_device(self) -> str:
        """This machine's card on the management network."""
        return f"lab{self.octet}"

    @property
    def control_address(self) -> str:
        """Where VMs and pods reach the control side: this machine."""
        return f"10.{self.octet}.0.1"

    def subnet(self, network: int) -> str:
        return f"10.{self.octet}.{network}.0/24"

    def gateway(self, network: int) -> str:
        return f"10.{self.octet}.{network}.{254 if network == 0 else 1}"

    def gateway6(self, network: int) -> str:
        return f"fd77:{self.octet}:{network}::{'fe' if network == 0 else '1'}"

    def bridges(self) -> tuple[str, ...]:
        """Names of the bridges; the position is the network's number."""
        return tuple(f"br{network}" for network in range(self.networks + 1))

    def vm_interfaces(self, vm: str) -> tuple[Interface, ...]:
        """A VM's network cards, one per network.

        Raises:
            UserError: The lab has no such VM.
        """
        if vm not in self.vms:
            raise UserError(
                f"lab {self.lab} has no VM {vm!r}: it has {', '.join(self.vms)}",
                remedy="name one of them",
            )
        number = 11 + self.vms.index(vm)
        return tuple(
            self._interface(vm, network, number, f"{vm}-{network}", f"eth{network - 1}")
            for network in range(1, self.networks + 1)
        )

    def vm_addresses(self, vm: str) -> tuple[str, ...]:
        """A VM's IPv4 addresses without prefix length, in the order of its networks."""
        return tuple(card.addresses[0].split("/")[0] for card in self.vm_interfaces(vm))

    def client_interface(self) -> Interface:
        """The card of the client namespace, on network 1."""
        return self._interface(CLIENT, 1, 200, CLIENT, "eth0")

    def host_interface(self) -> Interface:
        """This machine's card on the management network."""
        return self._interface(HOST, 0, 1, HOST, self.host_device)

    def pod_interface(self, pod: str, number: int) -> Interface:
        """The card of a pod on the management network.

        Args:
            pod: Its name, by which `net cut` knows it.
            number: Last part of its address, 10 to 250; unique among the lab's pods.
        """
        assert 10 <= number <= 250, f"pod number {number} is not in 10..250"
        return self._interface(pod, 0, number, f"pod-{number}", "eth0")

    def _interface(
        self, owner: str, network: int, number: int, port: str, device: str
    ) -> Interface:
        return Interface(
            owner=owner,
            port=port,
            device=device,
            bridge=f"br{network}",
            network=network,
            mac=f"02:53:{self.octet:02x}:00:{network:02x}:{number:02x}",
            addresses=(
                f"10.{self.octet}.{network}.{number}/24",
                f"fd77:{self.octet}:{network}::{number}/64",
            ),
            gateway=self.gateway(network),
            gateway6=self.gateway6(network),
        )


def vm_names(count: int) -> tuple[str, ...]:
    """The names of a lab's VMs: vm-a, vm-b, ..."""
    return tuple(f"vm-{chr(ord('a') + number)}" for number in range(count))
