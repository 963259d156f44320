"""Declarations become what group and drivers need; what cannot be is refused in sentences."""

import json
from ipaddress import ip_interface
from pathlib import Path

import msgspec
import pytest

from standfast.adapters.checks import config as checks
from standfast.adapters.disks.config import (
    FilesystemConfig,
    Fsck,
    ReservedDiskConfig,
    SharedDiskConfig,
)
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drivers.config import SystemdConfig, VipConfig
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.agent.specs import check_data_mode, config_of, specs_of
from standfast.core.proof import Need, enough
from standfast.core.record import DataMode
from standfast.errors import UserError
from standfast.wire.resources import (
    Check,
    CommandCheck,
    Drbd,
    Filesystem,
    HttpCheck,
    Monitor,
    OnFailure,
    Postgresql,
    ReservedDisk,
    SharedDisk,
    Systemd,
    TcpCheck,
    Vip,
)

WEB = Systemd(
    name="web",
    unit="web.service",
    critical=False,
    monitor=Monitor(interval_ms=1, timeout_ms=2, failure_threshold=3, out_of=5),
    start_timeout_ms=3,
    stop_timeout_ms=4,
    on_failure=OnFailure(restarts=5, window_ms=6, then="KeepTrying"),
)
VIP = Vip(name="vip", address="10.0.0.100/24", depends_on=("web",))


def test_everything_declared_arrives() -> None:
    web, vip = specs_of((WEB, VIP), DataMode.NONE)
    assert (web.check_every_ms, web.check_ms, web.start_ms, web.stop_ms) == (1, 2, 3, 4)
    assert (web.restarts, web.window_ms, web.then.value, web.critical) == (
        5,
        6,
        "KeepTrying",
        False,
    )
    assert (web.failures_max, web.checks_seen) == (3, 5)
    assert vip.depends_on == ("web",)
    assert vip.rides_out
    assert not web.rides_out


def test_a_driver_is_made_from_the_fingerprint() -> None:
    web, vip = specs_of((WEB, VIP), DataMode.NONE)
    assert config_of(web) == SystemdConfig("web", "web.service")
    assert config_of(vip) == VipConfig("vip", ip_interface("10.0.0.100/24"), None)


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        (TcpCheck(port=25, expect="220"), checks.TcpCheck("127.0.0.1", 25, "220")),
        (
            HttpCheck(address="::1", port=8, path="/h", scheme="HTTPS", host="shop", verify=True),
            checks.HttpCheck("::1", 8, "/h", True, "shop", 200, 399, True),
        ),
        (HttpCheck(port=80), checks.HttpCheck("127.0.0.1", 80)),
        (CommandCheck(name="orders"), checks.CommandCheck("orders")),
    ],
)
def test_how_it_is_asked_is_told_while_it_runs_and_restarts_nothing(
    declared: Check, asked: checks.Asked
) -> None:
    (plain,) = specs_of((WEB,), DataMode.NONE)
    (spec,) = specs_of((msgspec.structs.replace(WEB, check=declared),), DataMode.NONE)
    config = checks.CheckConfig(asked, 2)
    assert config_of(spec) == SystemdConfig("web", "web.service", config)
    assert spec.fingerprint == plain.fingerprint
    assert json.loads(spec.knobs) != json.loads(plain.knobs)


def test_an_operator_that_knows_no_threshold_means_the_first_failed_check() -> None:
    old = msgspec.json.decode(b'{"type": "systemd", "name": "web", "unit": "w"}', type=Systemd)
    (spec,) = specs_of((old,), DataMode.NONE)
    assert (spec.failures_max, spec.checks_seen) == (1, 1)
    assert config_of(spec) == SystemdConfig("web", "w")


def test_policy_does_not_change_the_fingerprint_and_the_thing_does() -> None:
    (before,) = specs_of((WEB,), DataMode.NONE)
    (policy,) = specs_of((Systemd(name="web", unit="web.service"),), DataMode.NONE)
    (thing,) = specs_of((Systemd(name="web", unit="web2.service"),), DataMode.NONE)
    assert before.fingerprint == policy.fingerprint != thing.fingerprint


@pytest.mark.parametrize(
    ("data", "need"),
    [
        (DataMode.NONE, Need.ADDRESS),
        (DataMode.REPLICATED, Need.REPLICATED),
        (DataMode.SHARED_DISK, Need.EXCLUSIVE),
    ],
)
def test_the_data_mode_decides_which_proof_a_unit_needs(data: DataMode, need: Need) -> None:
    web, vip = specs_of((WEB, VIP), data)
    assert web.suffices == enough(need)
    assert vip.suffices == enough(Need.ADDRESS), "the kernel takes an address away"


@pytest.mark.parametrize("address", ["10.0.0.300/24", "web", "", "10.0.0.1/99"])
def test_an_address_that_does_not_read_is_named(address: str) -> None:
    with pytest.raises(UserError, match="resource vip has the address") as refused:
        specs_of((Vip(name="vip", address=address),), DataMode.NONE)
    assert "spec.vip.address" in refused.value.remedy


PG = Postgresql(
    name="pg", unit="postgresql@15-main.service", data_directory="/var/lib/postgresql/15/main"
)


def test_a_database_with_copies_needs_only_that_the_old_one_can_acknowledge_nothing() -> None:
    (spec,) = specs_of((PG,), DataMode.REPLICATED)
    assert config_of(spec) == PostgresqlConfig(
        "pg", "postgresql@15-main.service", Path("/var/lib/postgresql/15/main")
    )
    assert spec.suffices == enough(Need.REPLICATED)
    elsewhere = msgspec.structs.replace(PG, settings_directory="/etc/pg")
    (spec,) = specs_of((elsewhere,), DataMode.REPLICATED)
    assert config_of(spec) == PostgresqlConfig(
        "pg", PG.unit, Path(PG.data_directory), Path("/etc/pg")
    )
    (beating,) = specs_of((msgspec.structs.replace(PG, heartbeat_ms=40_000),), DataMode.REPLICATED)
    assert config_of(beating) == PostgresqlConfig(
        "pg", PG.unit, Path(PG.data_directory), heartbeat_ms=40_000
    )


def test_copies_need_votes_that_ask_who_has_every_write() -> None:
    check_data_mode((WEB, PG), DataMode.REPLICATED)
    check_data_mode((WEB, VIP), DataMode.NONE)
    with pytest.raises(UserError, match=r"data: None") as refused:
        check_data_mode((WEB, PG), DataMode.NONE)
    assert "Replicated" in refused.value.remedy
    loosely = msgspec.structs.replace(PG, replication="Asynchronous")
    check_data_mode((WEB, loosely), DataMode.REPLICATED_ASYNC)
    with pytest.raises(UserError, match=r"Asynchronous.*data: Replicated,"):
        check_data_mode((WEB, loosely), DataMode.REPLICATED)


DISK = SharedDisk(name="disk", uuid="6000c298-595b-f457-5739-e9105b2c0c2d")
MOUNT = Filesystem(
    name="fs",
    depends_on=("disk",),
    device="LABEL=x",
    mount_point="/srv/x",
    fs_type="xfs",
    options=("noatime",),
    fsck="Never",
)


def test_a_disk_starts_only_when_the_old_node_is_proven_off() -> None:
    disk, mount = specs_of((DISK, MOUNT), DataMode.SHARED_DISK)
    assert disk.suffices == mount.suffices == enough(Need.EXCLUSIVE)
    assert config_of(disk) == SharedDiskConfig("disk", DISK.uuid)
    assert config_of(mount) == FilesystemConfig(
        "fs", "LABEL=x", Path("/srv/x"), "xfs", ("noatime",), Fsck.NEVER
    )


RESERVED = ReservedDisk(name="disk", uuid=DISK.uuid)


def test_what_stands_on_a_reserved_disk_starts_upon_its_reservation() -> None:
    service = msgspec.structs.replace(WEB, name="app", depends_on=("fs",))
    alone = msgspec.structs.replace(WEB, name="alone", depends_on=())
    disk, mount, app, other = specs_of((RESERVED, MOUNT, service, alone), DataMode.SHARED_DISK)
    assert disk.disk == mount.disk == app.disk == DISK.uuid
    assert other.disk == ""
    assert disk.suffices == app.suffices == enough(Need.EXCLUSIVE)
    assert config_of(disk) == ReservedDiskConfig("disk", DISK.uuid)
    found = config_of(mount)
    assert isinstance(found, FilesystemConfig)
    assert [each.uuid for each in found.on_disks] == [DISK.uuid]


def test_what_stands_on_two_reserved_disks_may_be_on_either() -> None:
    second = ReservedDisk(name="second", uuid="6000c298-0000-0000-0000-000000000000")
    mount = msgspec.structs.replace(MOUNT, depends_on=("disk", "second"))
    specs = {spec.name: spec for spec in specs_of((RESERVED, second, mount), DataMode.SHARED_DISK)}
    assert specs["fs"].disk in {DISK.uuid, second.uuid}
    found = config_of(specs["fs"])
    assert isinstance(found, FilesystemConfig)
    assert {each.uuid for each in found.on_disks} == {DISK.uuid, second.uuid}


def test_no_reservation_lets_a_disk_that_moves_start() -> None:
    moving = msgspec.structs.replace(DISK, name="moving", depends_on=("disk",))
    both = msgspec.structs.replace(MOUNT, depends_on=("moving", "disk"))
    specs = {spec.name: spec for spec in specs_of((RESERVED, moving, both), DataMode.SHARED_DISK)}
    assert specs["moving"].disk == ""


def test_a_mount_without_a_reserved_disk_is_what_it_was() -> None:
    """A change of the fingerprint would stop and start it when the agent is updated."""
    _, mount = specs_of((DISK, MOUNT), DataMode.SHARED_DISK)
    assert "onDisks" not in mount.fingerprint


@pytest.mark.parametrize("data", [DataMode.NONE, DataMode.REPLICATED])
def test_a_disk_needs_a_cluster_that_proves_the_old_node_off(data: DataMode) -> None:
    check_data_mode((WEB, DISK, MOUNT), DataMode.SHARED_DISK)
    with pytest.raises(UserError, match="resource disk is a disk that only one node"):
        check_data_mode((RESERVED,), data)
    with pytest.raises(UserError, match="resource disk, fs is a disk that only one node") as no:
        check_data_mode((WEB, DISK, MOUNT), data)
    assert "SharedDisk" in no.value.remedy


def test_a_graph_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="vip depends on web, which is not declared"):
        specs_of((VIP,), DataMode.NONE)


DRBD = Drbd(name="data", device="/dev/drbd0", disk="/dev/mapper/data", resync_mib_s=50)
ON_DRBD = Filesystem(
    name="disk", device="/dev/drbd0", mount_point="/srv/data", depends_on=("data",)
)


def test_a_drbd_device_is_made_from_its_fingerprint_and_knobs() -> None:
    (spec,) = specs_of((DRBD,), DataMode.REPLICATED)
    assert config_of(spec) == DrbdConfig(
        "data", Path("/dev/drbd0"), Path("/dev/mapper/data"), resync_mib_s=50
    )
    assert spec.suffices == enough(Need.REPLICATED)
    (slower,) = specs_of((msgspec.structs.replace(DRBD, resync_mib_s=5),), DataMode.REPLICATED)
    assert slower.fingerprint == spec.fingerprint, "a knob stops nothing"
    assert slower.knobs != spec.knobs


def test_a_file_system_on_a_copy_needs_the_proof_of_the_copy() -> None:
    _, disk = specs_of((DRBD, ON_DRBD), DataMode.REPLICATED)
    assert disk.suffices == enough(Need.REPLICATED)
    check_data_mode((DRBD, ON_DRBD), DataMode.REPLICATED)


@pytest.mark.parametrize(
    ("resources", "data"),
    [
        ((DRBD,), DataMode.SHARED_DISK),
        ((DRBD,), DataMode.REPLICATED_ASYNC),
        ((DRBD, msgspec.structs.replace(ON_DRBD, depends_on=())), DataMode.REPLICATED),
        ((DRBD, msgspec.structs.replace(ON_DRBD, device="UUID=1")), DataMode.REPLICATED),
    ],
    ids=["shared", "asynchronous", "without-order", "another-disk"],
)
def test_what_a_copy_does_not_protect_is_refused(
    resources: tuple[Drbd | Filesystem, ...], data: DataMode
) -> None:
    with pytest.raises(UserError):
        check_data_mode(resources, data)
