"""What a driver needs to know of the resource it serves; the agent fills it from the wire.

One frozen dataclass per type. Budgets and intervals are not here: they belong to the agent, which
passes budgets as arguments and decides when to look.
"""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from standfast.adapters.checks.config import CheckConfig
from standfast.adapters.disks.config import FilesystemConfig, ReservedDiskConfig, SharedDiskConfig
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.postgresql.config import PostgresqlConfig


@dataclass(frozen=True, slots=True)
class VipConfig:
    """An address that leads clients to the active node.

    Args:
        name: Name of the resource.
        address: Address with the prefix length it is added with, as `10.10.1.100/24`.
        interface: Interface to put it on; None: the one that has an address in that subnet.
        probe_ms: How long to ask whether a stranger has the address, before taking it; 0 skips.
        announce_every_ms: Pause between announcements after the burst of the start.
    """

    name: str
    address: IPv4Interface | IPv6Interface
    interface: str | None = None
    probe_ms: int = 100
    announce_every_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class SystemdConfig:
    """A systemd unit.

    Args:
        name: Name of the resource.
        unit: Full name of the unit, as `web.service`.
        check: How the application is asked; None asks systemd only.
    """

    name: str
    unit: str
    check: CheckConfig | None = None


DriverConfig = (
    VipConfig
    | SystemdConfig
    | PostgresqlConfig
    | FilesystemConfig
    | SharedDiskConfig
    | ReservedDiskConfig
    | DrbdConfig
)
