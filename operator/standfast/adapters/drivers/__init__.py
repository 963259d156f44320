"""Drivers: one module per type of resource, and the one place that chooses among them."""

from collections.abc import Mapping
from typing import assert_never

from standfast.adapters.disks.config import FilesystemConfig, ReservedDiskConfig, SharedDiskConfig
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drivers.config import DriverConfig, SystemdConfig, VipConfig
from standfast.adapters.drivers.drbd import DrbdDriver
from standfast.adapters.drivers.filesystem import FilesystemDriver
from standfast.adapters.drivers.host import DriverHost, linux_host
from standfast.adapters.drivers.postgresql import PostgresqlDriver
from standfast.adapters.drivers.reserved_disk import ReservedDiskDriver
from standfast.adapters.drivers.shared_disk import SharedDiskDriver
from standfast.adapters.drivers.systemd import SystemdDriver
from standfast.adapters.drivers.vip import VipDriver
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.ports.resource import ResourceDriver

__all__ = [
    "CONFIG_TYPES",
    "DrbdConfig",
    "DriverConfig",
    "DriverHost",
    "FilesystemConfig",
    "PostgresqlConfig",
    "ReservedDiskConfig",
    "SharedDiskConfig",
    "SystemdConfig",
    "VipConfig",
    "linux_host",
    "make_driver",
]

CONFIG_TYPES: Mapping[str, type[DriverConfig]] = {
    "vip": VipConfig,
    "systemd": SystemdConfig,
    "postgresql": PostgresqlConfig,
    "filesystem": FilesystemConfig,
    "sharedDisk": SharedDiskConfig,
    "reservedDisk": ReservedDiskConfig,
    "drbd": DrbdConfig,
}
"""The word in the spec's `type`, and the configuration its driver takes."""


def make_driver(config: DriverConfig, host: DriverHost) -> ResourceDriver:
    """The driver of one declared resource. Touches nothing; needs a running loop only later."""
    match config:
        case VipConfig():
            return VipDriver(config, host)
        case SystemdConfig():
            return SystemdDriver(config, host)
        case PostgresqlConfig():
            return PostgresqlDriver(config, host)
        case FilesystemConfig():
            return FilesystemDriver(config, host)
        case SharedDiskConfig():
            return SharedDiskDriver(config, host)
        case ReservedDiskConfig():
            return ReservedDiskDriver(config, host)
        case DrbdConfig():
            return DrbdDriver(config, host)
        case _:
            assert_never(config)
