"""Declared resources as the group and the drivers need them.

The fingerprint of a `Spec` is the canonical JSON of what makes the thing that thing; the driver's
configuration is read back from it, so that the two can never disagree.
"""

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_interface
from pathlib import Path
from typing import assert_never

from standfast.adapters.checks import config as checks
from standfast.adapters.checks.config import CheckConfig, check_of, knobs_of
from standfast.adapters.disks.config import (
    FilesystemConfig,
    Fsck,
    ReservedDiskConfig,
    SharedDiskConfig,
)
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drivers.config import DriverConfig, SystemdConfig, VipConfig
from standfast.adapters.postgresql.config import PostgresqlConfig
from standfast.core.group_spec import Spec, Then, problems
from standfast.core.proof import Need, default_need, enough
from standfast.core.record import DataMode
from standfast.errors import UserError
from standfast.ports.resource import Knobs
from standfast.wire.resources import (
    CommandCheck,
    Drbd,
    Filesystem,
    HttpCheck,
    Postgresql,
    ReservedDisk,
    ResourceSpec,
    SharedDisk,
    Systemd,
    TcpCheck,
    Vip,
)

_DISKS = Filesystem | SharedDisk | ReservedDisk
COPIED = {
    "Synchronous": DataMode.REPLICATED,
    "Asynchronous": DataMode.REPLICATED_ASYNC,
}
"""How copies follow -> what the votes must ask for."""


def specs_of(resources: Sequence[ResourceSpec], data: DataMode) -> tuple[Spec, ...]:
    """The group's view of a declaration.

    Raises:
        UserError: Some of it cannot be; the sentence names all of it.
    """
    disks = disks_below(resources)
    specs = tuple(_spec_of(resource, data, disks.get(resource.name, ())) for resource in resources)
    found = problems(specs)
    if found:
        raise UserError("; ".join(found), remedy="correct dependsOn of the HAResources")
    for spec in specs:
        config_of(spec)
    return specs


def config_of(spec: Spec) -> DriverConfig:
    """What the driver of this resource is made from.

    Raises:
        UserError: A value does not read.
    """
    fields = json.loads(spec.fingerprint)
    if spec.kind == "vip":
        try:
            address = ip_interface(fields["address"])
        except ValueError as error:
            raise UserError(
                f"resource {spec.name} has the address {fields['address']!r}, which does not read "
                f"as an address with a prefix length: {error}",
                remedy=f"correct spec.vip.address of HAResource {spec.name}, as 10.10.1.100/24",
            ) from error
        return VipConfig(spec.name, address, fields["interface"])
    if spec.kind == "postgresql":
        settings = fields["settingsDirectory"]
        return PostgresqlConfig(
            spec.name,
            fields["unit"],
            Path(fields["dataDirectory"]),
            None if settings is None else Path(settings),
            heartbeat_ms=fields.get("heartbeatMs", 0),
        )
    if spec.kind == "filesystem":
        return FilesystemConfig(
            spec.name,
            fields["device"],
            Path(fields["mountPoint"]),
            fields["fsType"],
            tuple(fields["options"]),
            Fsck(fields["fsck"]),
            tuple(SharedDiskConfig(spec.name, uuid) for uuid in fields.get("onDisks", ())),
        )
    if spec.kind == "sharedDisk":
        return SharedDiskConfig(spec.name, fields["uuid"])
    if spec.kind == "reservedDisk":
        return ReservedDiskConfig(spec.name, fields["uuid"])
    if spec.kind == "drbd":
        meta = fields["metaDisk"]
        return DrbdConfig(
            spec.name,
            Path(fields["device"]),
            Path(fields["disk"]),
            None if meta is None else Path(meta),
            fields["port"],
            fields["network"],
        ).tuned(json.loads(spec.knobs))
    return SystemdConfig(spec.name, fields["unit"], check_of(json.loads(spec.knobs or "{}")))


def check_data_mode(resources: Sequence[ResourceSpec], data: DataMode) -> None:
    """Refuse what the cluster was not made for.

    Copies where votes do not ask who has every write; disks where nobody proves the old node off.

    Raises:
        UserError: There is such a resource.
    """
    for resource in resources:
        if isinstance(resource, Postgresql) and COPIED[resource.replication] is not data:
            wanted = COPIED[resource.replication].value
            raise UserError(
                f"resource {resource.name} keeps a copy of its data on every node "
                f"({resource.replication}), and this cluster was made for data: {data.value}, "
                "where votes do not ask for that",
                remedy=f"set spec.data of the HACluster to {wanted} when it is created",
            )
        if isinstance(resource, Drbd) and data is not DataMode.REPLICATED:
            raise UserError(
                f"resource {resource.name} keeps a copy of its data on every node, and this "
                f"cluster was made for data: {data.value}, where votes do not ask who has them",
                remedy="set spec.data of the HACluster to Replicated when it is created",
            )
    on_copies = _on_copies(resources) if data is DataMode.REPLICATED else frozenset()
    disks = [
        each.name for each in resources if isinstance(each, _DISKS) and each.name not in on_copies
    ]
    if disks and data is not DataMode.SHARED_DISK:
        raise UserError(
            f"resource {', '.join(disks)} is a disk that only one node may write to, and this "
            f"cluster was made for data: {data.value}, where nobody proves the old node off",
            remedy="set spec.data of the HACluster to SharedDisk when it is created",
        )


def disks_below(resources: Sequence[ResourceSpec]) -> Mapping[str, Sequence[str]]:
    """By resource: the reserved disks that it is, or stands on, by UUID.

    The reservation of one of them is proof enough for what stands on several: each disk starts
    upon its own, and what stands on them only then. A disk that moves stands on no other, whatever
    its order.
    """
    found = {each.name: {each.uuid} for each in resources if isinstance(each, ReservedDisk)}
    above = [each for each in resources if not isinstance(each, SharedDisk | ReservedDisk)]
    for _ in above:
        for each in above:
            below = [found[name] for name in each.depends_on if name in found]
            if below:
                found[each.name] = set().union(*below)
    return {name: sorted(uuids) for name, uuids in found.items()}


def _on_copies(resources: Sequence[ResourceSpec]) -> frozenset[str]:
    """File systems on a DRBD device that starts before them and stops after them."""
    served = {each.name: each.device for each in resources if isinstance(each, Drbd)}
    return frozenset(
        each.name
        for each in resources
        if isinstance(each, Filesystem)
        and each.device in {served.get(below) for below in each.depends_on}
    )


def _check_of(resource: Systemd) -> CheckConfig | None:
    """How the application is asked."""
    ask: checks.Asked
    match resource.check:
        case None:
            return None
        case TcpCheck(address=address, port=port, expect=expect):
            ask = checks.TcpCheck(address, port, expect)
        case HttpCheck() as http:
            ask = checks.HttpCheck(
                http.address,
                http.port,
                http.path,
                http.scheme == "HTTPS",
                http.host,
                http.status_min,
                http.status_max,
                http.verify,
            )
        case CommandCheck(name=name):
            ask = checks.CommandCheck(name)
        case _:
            assert_never(resource.check)
    return CheckConfig(ask, resource.monitor.timeout_ms)


def _spec_of(resource: ResourceSpec, data: DataMode, disks: Sequence[str]) -> Spec:
    knobs: Knobs = {}
    match resource:
        case Vip(address=address, interface=interface):
            kind, need, rides_out = "vip", Need.ADDRESS, True
            thing: dict[str, object] = {"address": address, "interface": interface}
        case Systemd(unit=unit):
            kind, need, rides_out = "systemd", default_need(data, exclusive=False), False
            thing = {"unit": unit}
            knobs = knobs_of(_check_of(resource))
        case Postgresql(unit=unit, data_directory=data_directory, settings_directory=settings):
            kind, need, rides_out = "postgresql", Need.REPLICATED, False
            thing = {
                "unit": unit,
                "dataDirectory": data_directory,
                "settingsDirectory": settings,
                **({"heartbeatMs": resource.heartbeat_ms} if resource.heartbeat_ms else {}),
            }
        case Filesystem():
            is_copy = data is DataMode.REPLICATED  # on DRBD, or `check_data_mode` refuses it
            kind, rides_out = "filesystem", False
            need = Need.REPLICATED if is_copy else Need.EXCLUSIVE
            thing = {
                "device": resource.device,
                "mountPoint": resource.mount_point,
                "fsType": resource.fs_type,
                "options": resource.options,
                "fsck": resource.fsck,
                **({"onDisks": disks} if disks else {}),
            }
        case SharedDisk(uuid=uuid):
            kind, need, rides_out = "sharedDisk", Need.EXCLUSIVE, False
            thing = {"uuid": uuid}
        case ReservedDisk(uuid=uuid):
            kind, need, rides_out = "reservedDisk", Need.EXCLUSIVE, False
            thing = {"uuid": uuid}
        case Drbd():
            kind, need, rides_out = "drbd", Need.REPLICATED, False
            thing = {
                "device": resource.device,
                "disk": resource.disk,
                "metaDisk": resource.meta_disk,
                "port": resource.port,
                "network": resource.network,
            }
            knobs = {
                "resyncMibS": resource.resync_mib_s,
                "isPaused": resource.paused,
                "verifyEveryS": resource.verify_every_s,
            }
        case _:
            assert_never(resource)
    return Spec(
        name=resource.name,
        kind=kind,
        fingerprint=json.dumps(thing, sort_keys=True),
        knobs=json.dumps(knobs, sort_keys=True) if knobs else "",
        depends_on=resource.depends_on,
        critical=resource.critical,
        rides_out=rides_out,
        suffices=enough(need),
        disk=disks[0] if disks else "",
        start_ms=resource.start_timeout_ms,
        stop_ms=resource.stop_timeout_ms,
        check_every_ms=resource.monitor.interval_ms,
        check_ms=resource.monitor.timeout_ms,
        failures_max=resource.monitor.failure_threshold,
        checks_seen=max(resource.monitor.out_of, resource.monitor.failure_threshold),
        restarts=resource.on_failure.restarts,
        window_ms=resource.on_failure.window_ms,
        then=Then(resource.on_failure.then),
    )
