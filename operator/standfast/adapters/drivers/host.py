"""What drivers use of their machine, in one place: real things in the agent, twins in tests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from standfast.adapters.checks.command import ProgramOf
from standfast.adapters.checks.config import Program
from standfast.adapters.linux.address_events import KernelAddressEvents
from standfast.adapters.linux.addresses import KernelAddresses
from standfast.adapters.linux.lease_filter import NftLeaseFilter
from standfast.adapters.linux.neighbours import WireNeighbours
from standfast.adapters.linux.units import SystemdUnits
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from standfast.ports.network import AddressEvents, AddressTable, LeaseFilter, Neighbours
from standfast.ports.units import AtBoot, Units


async def _nothing_open() -> None:
    """For twins."""


def _refuse() -> AtBoot:
    """The policy of a host whose administrator has said nothing."""
    return AtBoot.REFUSE


def _no_program(name: str) -> Program | None:
    """A host whose administrator has named none."""
    del name
    return None


@dataclass(frozen=True, slots=True)
class DriverHost:
    """The machine as drivers see it; all drivers of a process share one.

    `close` lets go of its sockets, after the drivers were closed.
    """

    clock: Clock
    sink: EventSink
    addresses: AddressTable
    address_events: AddressEvents
    lease_filter: LeaseFilter
    neighbours: Neighbours
    units: Units
    close: Callable[[], Awaitable[None]] = _nothing_open
    at_boot: Callable[[], AtBoot] = _refuse
    """Reads the host's policy for units that systemd starts by itself."""
    program_of: ProgramOf = _no_program
    """Reads what the host's file has for the name of a check."""


def linux_host(
    clock: Clock,
    sink: EventSink,
    at_boot: Callable[[], AtBoot] = _refuse,
    program_of: ProgramOf = _no_program,
) -> DriverHost:
    """This machine. Builds our tables in the packet filter; opens two netlink sockets."""
    addresses = KernelAddresses()
    lease_filter = NftLeaseFilter(clock)
    neighbours = WireNeighbours(addresses)
    units = SystemdUnits()

    async def close() -> None:
        await units.close()
        neighbours.close()
        lease_filter.close()
        addresses.close()

    return DriverHost(
        clock=clock,
        sink=sink,
        addresses=addresses,
        address_events=KernelAddressEvents(),
        lease_filter=lease_filter,
        neighbours=neighbours,
        units=units,
        close=close,
        at_boot=at_boot,
        program_of=program_of,
    )
