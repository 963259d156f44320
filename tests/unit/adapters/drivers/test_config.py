"""Each type of resource finds its driver."""

from ipaddress import ip_interface
from pathlib import Path

from standfast.adapters.drivers import (
    CONFIG_TYPES,
    DrbdConfig,
    DriverHost,
    FilesystemConfig,
    PostgresqlConfig,
    ReservedDiskConfig,
    SharedDiskConfig,
    SystemdConfig,
    VipConfig,
    make_driver,
)
from standfast.adapters.drivers.drbd import DrbdDriver
from standfast.adapters.drivers.filesystem import FilesystemDriver
from standfast.adapters.drivers.postgresql import PostgresqlDriver
from standfast.adapters.drivers.reserved_disk import ReservedDiskDriver
from standfast.adapters.drivers.shared_disk import SharedDiskDriver
from standfast.adapters.drivers.systemd import SystemdDriver
from standfast.adapters.drivers.vip import VipDriver
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeUnits, FakeWire, RecordingSink


async def test_every_type_has_its_driver() -> None:
    clock = FakeClock()
    machine = FakeMachine(clock, FakeWire(), ip_interface("10.0.0.1/24"))
    host = DriverHost(clock, RecordingSink(), machine, machine, machine, machine, FakeUnits())
    vip = make_driver(VipConfig("ip", ip_interface("10.0.0.100/24")), host)
    unit = make_driver(SystemdConfig("app", "web.service"), host)
    database = make_driver(PostgresqlConfig("db", "pg.service", Path("/srv/pg")), host)
    assert (type(database), database.name) == (PostgresqlDriver, "db")
    mount = make_driver(FilesystemConfig("fs", "LABEL=x", Path("/srv/x"), "ext4"), host)
    disk = make_driver(SharedDiskConfig("disk", "6000c298"), host)
    reserved = make_driver(ReservedDiskConfig("reserved", "6000c298"), host)
    assert (type(reserved), reserved.name) == (ReservedDiskDriver, "reserved")
    assert (type(mount), mount.name) == (FilesystemDriver, "fs")
    assert (type(disk), disk.name) == (SharedDiskDriver, "disk")
    copy = make_driver(DrbdConfig("data", Path("/dev/drbd0"), Path("/dev/mapper/x")), host)
    assert (type(copy), copy.name) == (DrbdDriver, "data")
    assert (type(vip), vip.name) == (VipDriver, "ip")
    assert (type(unit), unit.name) == (SystemdDriver, "app")
    assert dict(CONFIG_TYPES) == {
        "vip": VipConfig,
        "systemd": SystemdConfig,
        "postgresql": PostgresqlConfig,
        "filesystem": FilesystemConfig,
        "sharedDisk": SharedDiskConfig,
        "reservedDisk": ReservedDiskConfig,
        "drbd": DrbdConfig,
    }
    await host.close()
