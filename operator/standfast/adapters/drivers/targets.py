"""What of a resource the guard has to take away when the lease ends, per type of driver."""

from collections.abc import Sequence
from typing import assert_never

from standfast.adapters.disks.config import FilesystemConfig, ReservedDiskConfig, SharedDiskConfig
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drivers.config import DriverConfig, SystemdConfig, VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.ports.guard import AddressTarget, CgroupTarget, MountTarget, Target


async def targets_of(config: DriverConfig, host: DriverHost) -> Sequence[Target]:
    """The targets of one resource. Asks the service manager; raises TransientError."""
    match config:
        case VipConfig():
            prefix = config.address.network.prefixlen
            return (AddressTarget(str(config.address.ip), prefix),)
        case SystemdConfig() | PostgresqlConfig():
            facts = await host.units.facts(config.unit)
            group = facts.control_group
            return (CgroupTarget(group, config.unit),) if group else ()
        case FilesystemConfig():
            return (MountTarget(str(config.mount_point)),)
        case SharedDiskConfig() | ReservedDiskConfig():
            return ()  # nothing writes to it but what is mounted from it
        case DrbdConfig():
            return ()  # the same; and what it acknowledges is on the other copy, or in the record
        case _:
            assert_never(config)
