"""`HAResource`: one protected thing of one cluster, with its order, checks and budgets.

The spec is a union: a new type of resource is a new model here, a new optional member of
`HAResourceSpec`, its name in `RESOURCE_TYPES`, and a driver in the agent.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from standfast.api.base import KubeObject, LocalRef, Model, ObservedGeneration
from standfast.api.checks import Check
from standfast.api.conditions import Conditions
from standfast.api.markers import (
    Clip,
    ListMap,
    Rule,
    exactly_one,
    immutable,
    same_member_for_ever,
)
from standfast.api.scalars import (
    Count,
    Duration,
    InterfaceAddress,
    Label,
    Sentence,
    Time,
    Word,
    between,
    duration_ms,
)

RESOURCE_TYPES = ("vip", "systemd", "postgresql", "filesystem", "sharedDisk", "drbd")
"""The members of the union, each with a driver in the agent."""


class Vip(Model):
    """An address that leads to the active node."""

    address: InterfaceAddress = Field(
        description="The address that clients use, with the prefix length of its subnet; IPv4 or "
        "IPv6. It must not be configured anywhere else.",
        examples=["10.10.1.100/24"],
    )
    interface: Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[^/\s]+$")] | None = (
        Field(
            default=None,
            description="Network interface that carries it; when absent, the one that has an "
            "address in the same subnet.",
            examples=["ens192"],
        )
    )


ServiceUnit = Annotated[
    str,
    Field(min_length=1, max_length=255),
    Rule(
        cel=r"self.matches('^[A-Za-z0-9:_.@\\\\-]+[.]service$')",
        message="must be the full name of a service unit, such as web.service",
        holds=lambda unit: (
            unit.endswith(".service")
            and len(unit) > len(".service")
            and all(c.isascii() and (c.isalnum() or c in ":_.@\\-") for c in unit)
        ),
    ),
]
"""A unit of systemd that is a service."""

Directory = Annotated[
    str,
    Field(min_length=2, max_length=255, pattern=r"^(/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*)+$"),
]
"""An absolute path, without `.` and `..`, blanks and quotes."""


class PortProtocol(StrEnum):
    """What a port is reached by."""

    TCP = "TCP"
    UDP = "UDP"


class ServicePort(Model):
    """A port on which only the active node answers."""

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        description="Its number, on every address of the node.", examples=[443]
    )
    protocol: PortProtocol = Field(default=PortProtocol.TCP, description="TCP or UDP.")


ServicePorts = Annotated[
    tuple[ServicePort, ...], Field(max_length=32), ListMap("port", "protocol")
]


class Systemd(Model):
    """A unit of systemd that runs on the active node and nowhere else."""

    unit: ServiceUnit = Field(
        description="Name of the unit, the same on every node. It should be disabled there: the "
        "agent starts and stops it.",
        examples=["web.service"],
    )
    ports: ServicePorts = Field(
        default=(),
        description="Ports of the service, for clients that reach the nodes by their own "
        "addresses, such as a load balancer; not needed for what is reached by a vip only. The "
        "kernel of every node lets others in on them only while that node has the lease, to the "
        "millisecond and with no program of ours running; without it, it refuses them. The node "
        "reaches itself always. May be changed at any time.",
    )
    check: Check | None = Field(
        default=None,
        description="How the application itself is asked, at every monitor.interval, within "
        "monitor.timeout. A start has succeeded once it passes. When absent, what systemd says of "
        "the unit decides alone.",
    )


class Streaming(StrEnum):
    """How the copies of a database follow the active one."""

    SYNCHRONOUS = "Synchronous"
    ASYNCHRONOUS = "Asynchronous"


class Heartbeat(Model):
    """A row that the agent writes every second: the database takes writes, and not only answers.

    It is in standfast.heartbeat of the database postgres, by a connection that is kept and that
    clients cannot use up. It costs about a hundred bytes of the log each second.
    """

    timeout: Annotated[Duration, between("2s", "10m")] = Field(
        default="40s",
        description="A write that takes longer has failed. The default outlasts a file system "
        "that is held still for a snapshot (30s); one that is refused fails at once.",
    )

    @property
    def timeout_ms(self) -> int:
        return duration_ms(self.timeout)


class Postgresql(Model):
    """A PostgreSQL cluster with a copy on every node: active on one, a standby on the others.

    The data begin with those of the node that is listed first; the agents copy them to the others,
    promote, and repair what was active before.
    """

    unit: ServiceUnit = Field(
        description="Name of the unit that runs the server, the same on every node. It should be "
        "disabled there: the agent starts and stops it.",
        examples=["postgresql@15-main.service"],
    )
    data_directory: Directory = Field(
        description="Its data directory, the same on every node. What is there on a node that is "
        "not the first is replaced by a copy, unless it holds databases of its own.",
        examples=["/var/lib/postgresql/15/main"],
    )
    settings_directory: Directory | None = Field(
        default=None,
        description="Where its postgresql.conf is; when absent, the place that belongs to the "
        "data directory: /etc/postgresql/15/main in Debian's layout, else the data directory.",
        examples=["/etc/postgresql/15/main"],
    )
    replication: Streaming = Field(
        default=Streaming.SYNCHRONOUS,
        description="Synchronous: a write is acknowledged when every node in sync has it. A "
        "standby that is lost is given up within about three seconds, and writes go on. "
        "Asynchronous: a write waits for nobody, and a failover may lose the newest ones, up to "
        "maxDataLoss of the HACluster, whose data is ReplicatedAsync then.",
    )
    heartbeat: Heartbeat | None = Field(
        default=None,
        description="Whether each check of the active database also writes; when absent, it is "
        "asked only whether it answers. `heartbeat: {}` takes the defaults.",
    )
    ports: ServicePorts = Field(
        default=(),
        description="Ports of the server on which only the active node answers, as with "
        "systemd.ports. For clients that know all nodes (several hosts in one connection string) "
        "or come by a load balancer. Copying goes on, since it asks the active node; what reads "
        "from standbys over the network does not, so leave this empty for that.",
    )


StableDevice = Annotated[
    str,
    Field(min_length=6, max_length=255),
    Rule(
        cel=r"self.matches('^(UUID|LABEL)=[A-Za-z0-9._:-]+$') || "
        r"self.matches('^/dev/(disk/by-[a-z-]+|mapper)/[A-Za-z0-9._:+-]+$') || "
        r"self.matches('^/dev/drbd[0-9]+$')",
        message="must be a name that stays the same on every node and at every boot: "
        "/dev/disk/by-id/..., /dev/mapper/..., /dev/drbd0, UUID=... or LABEL=...; not /dev/sdb",
        holds=lambda device: bool(
            re.fullmatch(r"(UUID|LABEL)=[A-Za-z0-9._:-]+", device)
            or re.fullmatch(r"/dev/(disk/by-[a-z-]+|mapper)/[A-Za-z0-9._:+-]+", device)
            or re.fullmatch(r"/dev/drbd[0-9]+", device)
        ),
    ),
]
"""A block device by a name that does not depend on the order in which disks are found."""

DiskPath = Annotated[
    str,
    Field(
        min_length=13,
        max_length=255,
        pattern=r"^/dev/(disk/by-[a-z-]+|mapper)/[A-Za-z0-9._:+-]+$",
    ),
]
"""A block device by a path that stays the same."""

MountOption = Annotated[
    str,
    Field(min_length=1, max_length=63, pattern=r"^[a-z][a-z0-9_.-]*(=[A-Za-z0-9_./:-]+)?$"),
    Rule(
        cel="!(self in ['ro', 'rw', 'auto', 'noauto', 'defaults', 'remount', 'bind', 'loop'])",
        message="is not an option of its own here: it is mounted once, writable, by the agent",
        holds=lambda option: option not in _NO_OPTIONS,
    ),
]
_NO_OPTIONS = frozenset({"ro", "rw", "auto", "noauto", "defaults", "remount", "bind", "loop"})


class FilesystemType(StrEnum):
    """File systems that are mounted and cleared for sure."""

    EXT4 = "ext4"
    XFS = "xfs"


class Fsck(StrEnum):
    """What is done with a file system before it is mounted."""

    PREEN = "Preen"
    NEVER = "Never"


class Filesystem(Model):
    """A file system that the active node has mounted, and no other node at the same time."""

    device: StableDevice = Field(
        description="The block device, by a name that stays the same: below /dev/disk/by-*, "
        "/dev/mapper, or UUID=, LABEL=; or /dev/drbd0 of a drbd resource. It belongs to the "
        "cluster: nothing may mount it at boot, and a mount made by hand is undone.",
        examples=["/dev/disk/by-id/wwn-0x6000c298595bf4575739e9105b2c0c2d"],
    )
    mount_point: Directory = Field(
        description="Where it is mounted: a directory that is there on every node, and that "
        "/etc/standfast/agent.toml of the nodes allows.",
        examples=["/srv/orders"],
    )
    fs_type: FilesystemType = Field(
        default=FilesystemType.EXT4, description="What is on it. It is never made by the agent."
    )
    options: Annotated[tuple[MountOption, ...], Field(max_length=16)] = Field(
        default=(), description="Mount options.", examples=[["noatime"]]
    )
    fsck: Fsck = Field(
        default=Fsck.PREEN,
        description="Before each mount. Preen: replay the journal and repair what needs no "
        "decision (e2fsck -p); what needs one keeps it unmounted, with the command to type. XFS "
        "does that by itself when it is mounted. Never: mount as it is.",
    )


class SharedDiskMode(StrEnum):
    """How a shared disk is kept apart."""

    MOVING = "Moving"
    RESERVED = "Reserved"


class SharedDisk(Model):
    """A disk that the VMs of a cluster share, and that one of them uses at a time."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.mode != 'Moving' || has(self.vmdk)",
            message="a disk that moves is attached by the operator, which needs to know its file: "
            "set vmdk, as [DATASTORE] FOLDER/FILE.vmdk",
            holds=lambda disk: disk.mode is not SharedDiskMode.MOVING or disk.vmdk is not None,
        ),
    )

    mode: Annotated[
        SharedDiskMode,
        immutable(
            "sharedDisk.mode",
            remedy="delete this HAResource and create it again; the disk is attached to the VMs "
            "in another way",
        ),
    ] = Field(
        default=SharedDiskMode.MOVING,
        description="How it is kept apart. Moving: a plain disk that the operator attaches to the "
        "active node's VM, through vCenter; the hypervisor's lock keeps everybody else out, and a "
        "takeover needs the old node proven off. Reserved: a clustered disk that is attached to "
        "all VMs (SCSI controller with bus sharing Physical); the agents reserve it (SCSI-3 "
        "persistent reservations), which shuts the old node out and is itself the proof, with no "
        "operator and no vCenter. Storage without such reservations is refused.",
    )
    vmdk: (
        Annotated[
            str,
            Field(min_length=8, max_length=255, pattern=r"^\[[^\[\]/]+\] [^\[\]]+[.]vmdk$"),
        ]
        | None
    ) = Field(
        default=None,
        description="The disk in its datastore, as vCenter writes it; with mode Moving it must be "
        "set. A plain disk (sharing: none), independent-persistent so that snapshots leave it "
        "alone. With mode Reserved the operator does not touch it.",
        examples=["[WorkloadDatastore] orders/data.vmdk"],
    )
    uuid: Annotated[
        str,
        Field(max_length=36, pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"),
    ] = Field(
        description="Its UUID, by which the guest knows it (govc datastore.disk.info -uuid). The "
        "VMs need disk.EnableUUID = TRUE.",
        examples=["6000C298-595b-f457-5739-e9105b2c0c2d"],
    )


class Replicating(StrEnum):
    """When a write to a DRBD device is acknowledged."""

    SYNCHRONOUS = "Synchronous"
    ASYNCHRONOUS = "Asynchronous"


class Drbd(Model):
    """A DRBD device: a disk with a copy on each of two nodes, written on the active one only.

    What is on it is another resource that depends on it: a filesystem, and what uses that. The
    agents write DRBD's configuration, /etc/drbd.d/standfast-NAME.res, and touch no other.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.replication != 'Asynchronous'",
            message="replication is Asynchronous, but with DRBD's protocol A nobody can say how "
            "much the other copy lacks when the active node is lost: set Synchronous",
            holds=lambda drbd: drbd.replication is not Replicating.ASYNCHRONOUS,
        ),
    )

    device: Annotated[str, Field(max_length=16, pattern=r"^/dev/drbd(0|[1-9][0-9]{0,4})$")] = (
        Field(
            description="The device that is made, the same on both nodes; its number is DRBD's "
            "minor, and must be free.",
            examples=["/dev/drbd0"],
        )
    )
    disk: DiskPath = Field(
        description="The disk or volume below it on each node, by a name that stays the same. A "
        "blank one is taken; one that holds something is refused, with what to do.",
        examples=["/dev/mapper/vg0-orders"],
    )
    meta_disk: DiskPath | None = Field(
        default=None,
        description="Where DRBD keeps its own data, when not at the end of the disk: a volume of "
        "its own (128 MiB serve 4 TiB). For a disk whose file system cannot be made smaller.",
        examples=["/dev/mapper/vg0-orders-meta"],
    )
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        default=7789, description="TCP port on which the copies talk; another for each device."
    )
    network: (
        Annotated[str, Field(max_length=43, pattern=r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$")] | None
    ) = Field(
        default=None,
        description="Subnet in which the copies talk: each node needs an address in it among "
        "those of the HACluster. When absent, the first address of each. What is sent is "
        "authenticated and not encrypted.",
        examples=["10.20.1.0/24"],
    )
    replication: Replicating = Field(
        default=Replicating.SYNCHRONOUS,
        description="Synchronous (DRBD's protocol C): a write is acknowledged when both copies "
        "have it. When one is lost, writes wait some seconds, until that is noticed and the "
        "quorum has noted it, and go on alone. Asynchronous is refused.",
    )
    resync_rate: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None,
        description="Most that a resync may take of disk and network, in MiB a second; when "
        "absent DRBD adapts to what the application leaves. May be changed at any time.",
        examples=[100],
    )
    resync_paused: bool = Field(
        default=False,
        description="A resync waits. What is written meanwhile reaches both copies, but a copy "
        "that lacks older blocks cannot take over until it has them.",
    )
    verify_every: Annotated[Duration, between("1m", "2160h")] | None = Field(
        default=None,
        description="How often all blocks of both copies are compared, while service goes on; "
        "never when absent. What it found is in status, and an alert when they differ.",
        examples=["168h"],
    )


class Monitor(Model):
    """How the resource is checked while it runs, where its end is not seen by event."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.outOf) || self.outOf >= self.failureThreshold",
            message="outOf is smaller than failureThreshold, so no number of failed checks would "
            "ever be a failure: raise outOf, or remove it",
            holds=lambda monitor: (
                monitor.out_of is None or monitor.out_of >= monitor.failure_threshold
            ),
        ),
    )

    interval: Annotated[Duration, between("100ms", "1h")] = Field(
        default="5s", description="Between two checks."
    )
    timeout: Annotated[Duration, between("100ms", "10m")] = Field(
        default="4s", description="A check that takes longer has failed."
    )
    failure_threshold: Annotated[int, Field(ge=1, le=60)] = Field(
        default=1,
        description="So many failed checks are a failure of the resource. What is certain (the "
        "unit failed, the server is gone, the address was removed) is one at once.",
    )
    out_of: Annotated[int, Field(ge=1, le=60)] | None = Field(
        default=None,
        description="Of so many of the newest checks; when absent failureThreshold, so that they "
        "must fail in a row. A check that could not be made is not counted.",
        examples=[5],
    )

    @property
    def checks_seen(self) -> int:
        return self.out_of or self.failure_threshold

    @property
    def interval_ms(self) -> int:
        return duration_ms(self.interval)

    @property
    def timeout_ms(self) -> int:
        return duration_ms(self.timeout)


class Start(Model):
    """The budget of a start."""

    timeout: Annotated[Duration, between("1s", "24h")] = Field(
        default="60s", description="A start that takes longer has failed."
    )

    @property
    def timeout_ms(self) -> int:
        return duration_ms(self.timeout)


class Stop(Model):
    """The budget of a stop."""

    timeout: Annotated[Duration, between("1s", "1h")] = Field(
        default="20s",
        description="How long it may take to stop by itself; after that it is killed. A stop is "
        "never waited for without end.",
    )

    @property
    def timeout_ms(self) -> int:
        return duration_ms(self.timeout)


class Then(StrEnum):
    """What follows when restarts in place did not help."""

    FAILOVER = "Failover"
    KEEP_TRYING = "KeepTrying"
    IGNORE = "Ignore"


class OnFailure(Model):
    """What is done when the resource fails while its node is fine."""

    restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="Restarts in place within the window before `then` applies."
    )
    window: Annotated[Duration, between("1s", "24h")] = Field(
        default="10m",
        description="Failures older than this are forgotten. A node that handed over because of "
        "them does not stand for as long, a minute at least, while another node serves: for so "
        "long it protects nothing.",
    )
    then: Then = Field(
        default=Then.FAILOVER,
        description="Failover: hand over to another node. KeepTrying: go on restarting here. "
        "Ignore: leave it failed and say so.",
    )

    @property
    def window_ms(self) -> int:
        return duration_ms(self.window)


class OnDelete(StrEnum):
    """What becomes of the thing itself when its HAResource is deleted."""

    KEEP = "Keep"
    STOP = "Stop"


class HAResourceSpec(Model):
    """One protected thing: exactly one type is set, and it stays that type."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        exactly_one(*RESOURCE_TYPES, of="type of resource"),
        same_member_for_ever(
            *RESOURCE_TYPES,
            what="the type of a resource",
            remedy="delete this HAResource and create another",
        ),
    )

    cluster_ref: Annotated[
        LocalRef,
        immutable(
            "clusterRef",
            remedy="delete this HAResource and create it again with the other cluster",
        ),
    ] = Field(description="The HACluster whose active node runs it.")
    depends_on: Annotated[tuple[LocalRef, ...], Field(max_length=32), ListMap("name")] = Field(
        default=(),
        description="Resources of the same cluster that must run first; this one stops before "
        "them. Resources without order between them start at the same time.",
    )
    critical: bool = Field(
        default=True,
        description="Whether its failure counts for the decision to fail over. Resources that are "
        "not critical are restarted and reported only.",
    )
    monitor: Monitor = Field(default=Monitor(), description="How it is checked while it runs.")
    start: Start = Field(default=Start(), description="Budget of a start.")
    stop: Stop = Field(default=Stop(), description="Budget of a stop.")
    on_failure: OnFailure = Field(
        default=OnFailure(), description="What is done when it fails while its node is fine."
    )
    on_delete: OnDelete = Field(
        default=OnDelete.KEEP,
        description="What becomes of the thing itself when this object is deleted while its "
        "HACluster goes on. Keep: the agents keep it in service as it was last declared, so that "
        "no deletion in whatever order is an outage. Stop: it is stopped and forgotten. To let go "
        "of one that was kept: create it again with Stop, and delete it.",
    )
    vip: Vip | None = Field(default=None, description="An address that leads to the active node.")
    systemd: Systemd | None = Field(
        default=None, description="A unit of systemd that runs on the active node only."
    )

    postgresql: Postgresql | None = Field(
        default=None,
        description="A PostgreSQL cluster with a copy on every node. The HACluster needs data: "
        "Replicated.",
    )
    filesystem: Filesystem | None = Field(
        default=None,
        description="A file system that the active node has mounted. The HACluster needs data: "
        "SharedDisk; or Replicated, when it is on a DRBD device that it depends on.",
    )
    shared_disk: SharedDisk | None = Field(
        default=None,
        description="A disk that the VMs share, and that the active node uses: one that moves to "
        "its VM, or one that is reserved for it. The HACluster needs data: SharedDisk.",
    )
    drbd: Drbd | None = Field(
        default=None,
        description="A DRBD device with a copy on each of two nodes. The HACluster needs data: "
        "Replicated.",
    )

    @property
    def type(self) -> str:
        """The member of the union that is set."""
        return next(name for name in RESOURCE_TYPES if getattr(self, to_snake(name)) is not None)

    @property
    def target(self) -> str:
        """The thing itself, for people: the address, the unit."""
        match self:
            case HAResourceSpec(vip=Vip() as vip):
                return vip.address
            case HAResourceSpec(systemd=Systemd() as systemd):
                return systemd.unit
            case HAResourceSpec(postgresql=Postgresql() as postgresql):
                return postgresql.unit
            case HAResourceSpec(filesystem=Filesystem() as filesystem):
                return filesystem.mount_point
            case HAResourceSpec(shared_disk=SharedDisk() as disk):
                return disk.vmdk or disk.uuid
            case HAResourceSpec(drbd=Drbd() as drbd):
                return drbd.device
            case _:
                return ""


class ResourceState(StrEnum):
    """What a resource does on one node."""

    STOPPED = "Stopped"
    STANDBY = "Standby"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class CopyRole(StrEnum):
    """What a copy of replicated data is."""

    ACTIVE = "Active"
    STANDBY = "Standby"
    BUILDING = "Building"
    DOWN = "Down"
    UNKNOWN = "Unknown"


class ReplicationOnNode(Model):
    """The copy on one node. Coarse on purpose: it changes only when something happens."""

    role: CopyRole = Field(description="What it is: Building is being copied or repaired.")
    message: Sentence = Field(default="", description="What it is doing, in a sentence.")
    lag_mib: Count | None = Field(
        default=None,
        description="How far a standby is behind, in MiB, as a power of two; 0 below 16.",
    )
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Progress while it is being built, in steps of five."
    )


class ResourceOnNode(Model):
    """The resource on one node, as its agent last told."""

    node: Label = Field(description="Name of the node.")
    state: ResourceState = Field(description="What it does there.")
    reason: Word = Field(default="", description="One word for machines.")
    message: Sentence = Field(default="", description="A sentence, with what to do.")
    restarts: Count = Field(default=0, description="Restarts in place within the window.")
    failed_checks: Count = Field(
        default=0,
        description="Failed checks among the newest that count (monitor.outOf): it flaps when "
        "this comes and goes.",
    )
    since: Time | None = Field(default=None, description="When the state was entered.")
    replication: ReplicationOnNode | None = Field(
        default=None, description="The copy there, of what keeps one on every node."
    )


class HAResourceStatus(Model):
    """Where the resource runs, and how it does."""

    observed_generation: ObservedGeneration = -1
    type: Word | None = Field(default=None, description="The member of spec that is set.")
    target: Word | None = Field(default=None, description="The thing itself: address, unit.")
    state: ResourceState | None = Field(
        default=None, description="What it does on the active node."
    )
    node: Label | None = Field(default=None, description="The active node.")
    nodes: Annotated[tuple[ResourceOnNode, ...], Field(max_length=8), ListMap("node")] = Field(
        default=(), description="The resource on each node."
    )
    message: Annotated[str, Clip(1024)] | None = Field(
        default=None, description="What is being done about this object now, in one sentence."
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: it runs on the active node. Reconciling and Stalled exist only while "
        "true.",
    )


class HAResource(KubeObject):
    """One thing that a cluster keeps in service on its active node: an address, a service.

    The resources of a cluster form a graph by dependsOn: they start in its order and stop in the
    reverse, and move together.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.spec.dependsOn) || "
            "!self.spec.dependsOn.exists(d, d.name == self.metadata.name)",
            message="spec.dependsOn names the resource itself, but nothing can start after "
            "itself: remove it",
            holds=lambda r: (
                r.metadata.name not in {ref.name for ref in r.spec.depends_on}
                or not r.metadata.name
            ),
        ),
    )

    kind: Literal["HAResource"] = "HAResource"
    spec: HAResourceSpec = Field(description="What is declared.")
    status: HAResourceStatus = Field(
        default=HAResourceStatus(), description="What was found; written by the operator."
    )
