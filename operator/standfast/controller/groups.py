"""The resources of a cluster as its agents get them: one group, one number that only grows.

The group is made from all `HAResource` objects of the cluster, checked as a whole (names, order,
circles), and handed to every node; the agents go on with the last one they accepted. Its number
is kept in the register. When agents know a higher number than the register, the register went
back in time (a restored backup): what is declared then is old, and is not handed over before a
person changes something.

A deleted HAResource takes nothing out of service unless its onDelete was Stop: the register knows
it, and the group goes on with it. So no order of deletions, by a person, a pipeline or the end of
a namespace, stops an application.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from standfast.api.checks import Check, HttpCheck, TcpCheck
from standfast.api.cluster import DataMode, HACluster
from standfast.api.resource import (
    Drbd,
    Filesystem,
    HAResource,
    HAResourceSpec,
    OnDelete,
    Postgresql,
    ServicePort,
    SharedDisk,
    SharedDiskMode,
    Streaming,
    Systemd,
    Vip,
)
from standfast.api.scalars import duration_ms
from standfast.controller.authorities import Declared, Register
from standfast.errors import UserError
from standfast.wire import resources as wire
from standfast.wire.api import GroupRequest, MemberStatus
from standfast.wire.resources import ResourceSpec


@dataclass(frozen=True, slots=True)
class Group:
    """What is declared for one cluster.

    Attributes:
        resources: In the order of their names.
        maintenance: Nodes that a person works on.
        declared: The resources as the register keeps them, by name.
        kept: Names of those whose HAResource is gone.
    """

    resources: tuple[ResourceSpec, ...]
    maintenance: frozenset[str]
    declared: Mapping[str, Declared]
    kept: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Tells one group from another."""
        said = msgspec.json.encode([self.resources, sorted(self.maintenance)], order="sorted")
        return hashlib.sha256(said).hexdigest()[:16]

    def request(self, node: str, number: int) -> GroupRequest:
        return GroupRequest(
            generation=number, resources=self.resources, maintenance=node in self.maintenance
        )


def declared_group(
    cluster: HACluster, resources: Sequence[HAResource], before: Mapping[str, Declared]
) -> Group:
    """The group of a cluster.

    Args:
        cluster: Whose.
        resources: As declared now.
        before: As last declared, by name: what is not to be stopped by its deletion stays.

    Raises:
        UserError: Its order leads in a circle or to nothing, or two resources want one thing.
    """
    declared = {r.metadata.name: _declared(r) for r in resources}
    taken = {each.target for each in declared.values()}
    kept = {
        name: each
        for name, each in before.items()
        if name not in declared and not each.stop and each.target not in taken
    }
    declared |= kept
    specs = tuple(_spec(name, declared[name]) for name in sorted(declared))
    _check_order({spec.name: spec.depends_on for spec in specs})
    _check_targets(resources)
    _check_data(cluster, resources)
    _check_disks(cluster, resources)
    maintenance = frozenset(node.name for node in cluster.spec.nodes if node.maintenance)
    return Group(specs, maintenance, declared, tuple(sorted(kept)))


def in_service(
    declared: Mapping[str, Declared], nodes: Sequence[MemberStatus | None]
) -> Mapping[str, Declared]:
    """What of the last declaration may be in service: all but what no agent has ever taken up.

    A resource that the agents refused must not be kept for ever when its HAResource is deleted.
    That none has it is only known while every node is heard, and has what it once accepted in its
    hands: an agent that has just started shows nothing for a moment.

    Args:
        declared: As last declared, by name.
        nodes: What each node says now; none of one that is not heard.
    """
    heard = [each for each in nodes if each is not None and each.resources_generation > 0]
    if len(heard) < len(nodes):
        return declared
    known = {resource.name for status in heard for resource in status.resources}
    return {name: each for name, each in declared.items() if name in known}


def _declared(resource: HAResource) -> Declared:
    name, spec = resource.metadata.name, resource.spec
    return Declared(
        spec=msgspec.json.encode(to_wire(name, spec)).decode(),
        target=" ".join(_target(spec)),
        stop=spec.on_delete is OnDelete.STOP,
    )


def _spec(name: str, declared: Declared) -> ResourceSpec:
    try:
        return _specs.decode(declared.spec)
    except msgspec.DecodeError as error:
        raise UserError(
            f"HAResource {name} was deleted, is kept in service, and has a type that this "
            f"operator does not know: {error}",
            remedy="install the operator of the version that brought this type",
        ) from error


_specs: msgspec.json.Decoder[ResourceSpec] = msgspec.json.Decoder(ResourceSpec)


class _Common(TypedDict):
    """What resources of every type are told."""

    name: str
    depends_on: tuple[str, ...]
    critical: bool
    monitor: wire.Monitor
    start_timeout_ms: int
    stop_timeout_ms: int
    on_failure: wire.OnFailure


def _ports(ports: Sequence[ServicePort]) -> tuple[wire.Port, ...]:
    return tuple(wire.Port(number=each.port, protocol=each.protocol.value) for each in ports)


def to_wire(name: str, spec: HAResourceSpec) -> ResourceSpec:
    """One resource as the agents read it."""
    common: _Common = {
        "name": name,
        "depends_on": tuple(ref.name for ref in spec.depends_on),
        "critical": spec.critical,
        "monitor": wire.Monitor(
            interval_ms=spec.monitor.interval_ms,
            timeout_ms=spec.monitor.timeout_ms,
            failure_threshold=spec.monitor.failure_threshold,
            out_of=spec.monitor.checks_seen,
        ),
        "start_timeout_ms": spec.start.timeout_ms,
        "stop_timeout_ms": spec.stop.timeout_ms,
        "on_failure": wire.OnFailure(
            restarts=spec.on_failure.restarts,
            window_ms=spec.on_failure.window_ms,
            then=spec.on_failure.then.value,
        ),
    }
    match spec:
        case HAResourceSpec(vip=Vip() as vip):
            return wire.Vip(
                **common,
                address=vip.address,
                interface=vip.interface,
            )
        case HAResourceSpec(systemd=Systemd() as systemd):
            return wire.Systemd(
                **common,
                unit=systemd.unit,
                ports=_ports(systemd.ports),
                check=None if systemd.check is None else _check(systemd.check),
            )
        case HAResourceSpec(postgresql=Postgresql() as postgresql):
            return wire.Postgresql(
                **common,
                unit=postgresql.unit,
                data_directory=postgresql.data_directory,
                settings_directory=postgresql.settings_directory,
                replication=postgresql.replication.value,
                heartbeat_ms=0
                if postgresql.heartbeat is None
                else postgresql.heartbeat.timeout_ms,
                ports=_ports(postgresql.ports),
            )
        case HAResourceSpec(filesystem=Filesystem() as filesystem):
            return wire.Filesystem(
                **common,
                device=filesystem.device,
                mount_point=filesystem.mount_point,
                fs_type=filesystem.fs_type.value,
                options=filesystem.options,
                fsck=filesystem.fsck.value,
            )
        case HAResourceSpec(shared_disk=SharedDisk() as disk):
            kind = wire.ReservedDisk if disk.mode is SharedDiskMode.RESERVED else wire.SharedDisk
            return kind(
                **common,
                uuid=disk.uuid.lower(),
            )
        case HAResourceSpec(drbd=Drbd() as drbd):
            every = drbd.verify_every
            return wire.Drbd(
                **common,
                device=drbd.device,
                disk=drbd.disk,
                meta_disk=drbd.meta_disk,
                port=drbd.port,
                network=drbd.network,
                resync_mib_s=drbd.resync_rate,
                paused=drbd.resync_paused,
                verify_every_s=None if every is None else duration_ms(every) // 1000,
            )
        case _:
            raise UserError(
                f"HAResource {name} has a type that this operator does not know: {spec.type}",
                remedy="install the operator of the version that brought this type",
            )


def _check(check: Check) -> wire.Check:
    """How an application is asked, as the agents read it."""
    match check:
        case Check(tcp=TcpCheck() as tcp):
            return wire.TcpCheck(address=tcp.address, port=tcp.port, expect=tcp.expect)
        case Check(http=HttpCheck() as http):
            lowest, highest = http.status_range
            return wire.HttpCheck(
                address=http.address,
                port=http.port,
                path=http.path,
                scheme=http.scheme.value,
                host=http.host or "",
                status_min=lowest,
                status_max=highest,
                verify=http.verify,
            )
        case _:
            assert check.command is not None, "one of them is set"
            return wire.CommandCheck(name=check.command.name)


def _check_order(depends_on: Mapping[str, Sequence[str]]) -> None:
    for name, before in depends_on.items():
        for other in before:
            if other not in depends_on:
                raise UserError(
                    f"HAResource {name} depends on {other}, which is not a resource of this "
                    "cluster",
                    remedy=f"create HAResource {other}, or remove it from dependsOn of {name}",
                )
    left = {name: set(before) for name, before in depends_on.items()}
    while left:
        free = [name for name, before in left.items() if not before & left.keys()]
        if not free:
            circle = " -> ".join(sorted(left))
            raise UserError(
                f"dependsOn leads in a circle: {circle}, so none of them could start first",
                remedy=f"remove one of these references: kubectl edit haresource {min(left)}",
            )
        for name in free:
            del left[name]


def _check_targets(resources: Sequence[HAResource]) -> None:
    owner: dict[tuple[str, str], str] = {}
    for resource in resources:
        name, spec = resource.metadata.name, resource.spec
        target = _target(spec)
        if target in owner:
            raise UserError(
                f"HAResources {owner[target]} and {name} both want {spec.type} {target[1]}, but "
                "one of them would stop it under the other",
                remedy=f"kubectl delete haresource {name}",
            )
        owner[target] = name


def _target(spec: HAResourceSpec) -> tuple[str, str]:
    """The thing itself: two resources never want the same one."""
    match spec:
        case HAResourceSpec(vip=Vip() as vip):
            return "address", vip.address.partition("/")[0]
        case HAResourceSpec(filesystem=Filesystem() as filesystem):
            return "mount point", filesystem.mount_point
        case HAResourceSpec(shared_disk=SharedDisk() as disk):
            return "disk", disk.vmdk or disk.uuid.lower()
        case HAResourceSpec(drbd=Drbd() as drbd):
            return "device", drbd.device
        case _:
            return "unit", spec.target


def _check_data(cluster: HACluster, resources: Sequence[HAResource]) -> None:
    for resource in resources:
        if resource.spec.drbd is not None and cluster.spec.data is not DataMode.REPLICATED:
            raise UserError(
                f"HAResource {resource.metadata.name} keeps a copy of its data on every node, but "
                f"spec.data of HACluster {cluster.metadata.name} is {cluster.spec.data.value}, by "
                "which a node may become active that lacks acknowledged writes",
                remedy="create the HACluster with spec.data: Replicated",
            )
        if resource.spec.postgresql is None:
            continue
        streaming = resource.spec.postgresql.replication
        if cluster.spec.data is not _COPIED[streaming]:
            raise UserError(
                f"HAResource {resource.metadata.name} keeps a copy of its data on every node "
                f"({streaming.value}), but spec.data of HACluster {cluster.metadata.name} is "
                f"{cluster.spec.data.value}, by which a node may become active that must not",
                remedy=f"create the HACluster with spec.data: {_COPIED[streaming].value}, or set "
                f"spec.postgresql.replication of {resource.metadata.name}",
            )


_COPIED = {
    Streaming.SYNCHRONOUS: DataMode.REPLICATED,
    Streaming.ASYNCHRONOUS: DataMode.REPLICATED_ASYNC,
}


def _check_disks(cluster: HACluster, resources: Sequence[HAResource]) -> None:
    on_copies = _on_copies(resources) if cluster.spec.data is DataMode.REPLICATED else frozenset()
    disks = [
        r
        for r in resources
        if (r.spec.filesystem and r.metadata.name not in on_copies) or r.spec.shared_disk
    ]
    names = ", ".join(resource.metadata.name for resource in disks)
    if disks and cluster.spec.data is not DataMode.SHARED_DISK:
        raise UserError(
            f"HAResource {names} is a disk that only one node may write to, but spec.data of "
            f"HACluster {cluster.metadata.name} is {cluster.spec.data.value}, by which nobody "
            "proves the old node off before the disk is taken over",
            remedy="create the HACluster with spec.data: SharedDisk; a file system on a DRBD "
            "device needs that resource in its dependsOn",
        )


def _on_copies(resources: Sequence[HAResource]) -> frozenset[str]:
    """File systems on a DRBD device that they depend on."""
    served = {r.metadata.name: r.spec.drbd.device for r in resources if r.spec.drbd is not None}
    return frozenset(
        r.metadata.name
        for r in resources
        if r.spec.filesystem is not None
        and r.spec.filesystem.device in {served.get(below.name) for below in r.spec.depends_on}
    )


def next_number(register: Register, group: Group, known: Sequence[int]) -> int | None:
    """The number to hand the group over with; none when what is declared is older than theirs.

    Args:
        register: As kept.
        group: As declared now.
        known: Numbers that the agents have accepted.
    """
    highest = max(known, default=0)
    if group.digest == register.group_digest:
        return register.group if highest <= register.group else None
    return max(register.group, highest) + 1
