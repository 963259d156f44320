"""The machine behind the node: its drivers, its guard, and what its administrator allows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from standfast.adapters.checks.config import Program
from standfast.adapters.drivers import DriverHost, linux_host, make_driver
from standfast.adapters.drivers.guarded import GuardedDriver, Plan
from standfast.adapters.drivers.targets import targets_of
from standfast.adapters.linux.guard_client import GuardClient
from standfast.adapters.linux.port_filter import NftPortFilter
from standfast.agent.allowed import Allowed, load
from standfast.agent.disk import DiskProbe
from standfast.agent.guarding import MakeGuard
from standfast.agent.specs import config_of
from standfast.core.group_spec import Spec
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from standfast.ports.network import PortFilter
from standfast.ports.resource import ResourceDriver

MakeDriver = Callable[[Spec], ResourceDriver]
MakeDrivers = Callable[[Clock, EventSink, Plan], MakeDriver]
"""Given the machine's clock, where to report, and the guard's ear: how a driver is made."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node finds on its machine.

    Attributes:
        make_ports: The lease of ports in its packet filter.
        allowed: Reads anew what may be touched here; raises UserError when that does not read.
        disk: The helper that probes the disk of the journal, if there is one.
    """

    make_drivers: MakeDrivers
    make_guard: MakeGuard
    make_ports: Callable[[Clock], PortFilter]
    allowed: Callable[[], Allowed]
    disk: DiskProbe | None = None


def linux_machine() -> Machine:
    """This machine."""
    return Machine(linux_drivers, GuardClient, NftPortFilter, load)


def program_of(name: str) -> Program | None:
    """What the host's file has for the name of a check now."""
    return load().programs.get(name)


def linux_drivers(clock: Clock, sink: EventSink, plan: Plan) -> MakeDriver:
    """How drivers are made on this machine; the first one opens what all of them share."""
    host: DriverHost | None = None

    def make(spec: Spec) -> ResourceDriver:
        nonlocal host
        if host is None:
            host = linux_host(
                clock,
                sink,
                at_boot=lambda: load().at_boot,
                program_of=program_of,
            )
        config = config_of(spec)
        return GuardedDriver(make_driver(config, host), plan, partial(targets_of, config, host))

    return make
