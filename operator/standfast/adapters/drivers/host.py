"""What drivers use of their machine, in one place: real things in the agent, twins in tests."""

from dataclasses import dataclass

from standfast.adapters.linux.address_events import KernelAddressEvents
from standfast.adapters.linux.addresses import KernelAddresses
from standfast.adapters.linux.lease_filter import NftLeaseFilter
from standfast.adapters.linux.neighbours import WireNeighbours
from standfast.adapters.linux.units import SystemdUnits
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from standfast.ports.network import AddressEvents, AddressTable, LeaseFilter, Neighbours
from standfast.ports.units import Units


@dataclass(frozen=True, slots=True)
class DriverHost:
    """The machine as drivers see it; all drivers of a process share one."""

    clock: Clock
    sink: EventSink
    addresses: AddressTable
    address_events: AddressEvents
    lease_filter: LeaseFilter
    neighbours: Neighbours
    units: Units


def linux_host(clock: Clock, sink: EventSink) -> DriverHost:
    """This machine. Builds our tables in the packet filter; opens two netlink sockets."""
    addresses = KernelAddresses()
    return DriverHost(
        clock=clock,
        sink=sink,
        addresses=addresses,
        address_events=KernelAddressEvents(),
        lease_filter=NftLeaseFilter(clock),
        neighbours=WireNeighbours(addresses),
        units=SystemdUnits(),
    )
