"""Resources as the operator hands them to agents: a union by `type`, everything in milliseconds.

The operator makes them from `HAResource` objects; the agent makes a driver from each. Defaults
here are those of the API, so that a test or a person may write the short form.
"""

from typing import Literal

import msgspec


class Monitor(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """How often to look, for what no signal tells.

    Attributes:
        failure_threshold: So many failed checks of the newest `out_of` are a failure.
    """

    interval_ms: int = 5000
    timeout_ms: int = 4000
    failure_threshold: int = 1
    out_of: int = 1


class OnFailure(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What to do when it fails by itself.

    Attributes:
        restarts: In place, within the window; the next failure goes to `then`.
        then: Hand over to another node; go on trying here; or leave it failed.
    """

    restarts: int = 3
    window_ms: int = 600_000
    then: Literal["Failover", "KeepTrying", "Ignore"] = "Failover"


class Resource(msgspec.Struct, rename="camel", frozen=True, kw_only=True, tag_field="type"):
    """What every resource declares.

    Attributes:
        name: Unique within the cluster.
        depends_on: Start after these, stop before them.
        critical: Whether its failure counts for the decision to hand over.
    """

    name: str
    depends_on: tuple[str, ...] = ()
    critical: bool = True
    monitor: Monitor = Monitor()
    start_timeout_ms: int = 60_000
    stop_timeout_ms: int = 20_000
    on_failure: OnFailure = OnFailure()


class Vip(Resource, tag="vip", frozen=True, kw_only=True):
    """An address that clients use, with its prefix length; interface by subnet unless named."""

    address: str
    interface: str | None = None


class Port(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A port that others reach only while the node has the lease."""

    number: int
    protocol: Literal["TCP", "UDP"] = "TCP"


class TcpCheck(msgspec.Struct, rename="camel", frozen=True, kw_only=True, tag="tcp"):
    """A connection is taken; and, where declared, what is said first begins as expected."""

    address: str = "127.0.0.1"
    port: int
    expect: str = ""


class HttpCheck(msgspec.Struct, rename="camel", frozen=True, kw_only=True, tag="http"):
    """A GET is answered with a status within the range.

    Attributes:
        host: Header, and the name in TLS; the address when not named.
        verify: The certificate must be valid for `host`.
    """

    address: str = "127.0.0.1"
    port: int
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    host: str = ""
    status_min: int = 200
    status_max: int = 399
    verify: bool = False


class CommandCheck(msgspec.Struct, rename="camel", frozen=True, kw_only=True, tag="command"):
    """A program ends with status 0: one that the host's agent.toml names so."""

    name: str


Check = TcpCheck | HttpCheck | CommandCheck


class Systemd(Resource, tag="systemd", frozen=True, kw_only=True):
    """A systemd unit by its full name; its ports are open under the lease only.

    Attributes:
        check: How the application is asked; an agent that does not know it asks systemd only.
    """

    unit: str
    ports: tuple[Port, ...] = ()
    check: Check | None = None


class Postgresql(Resource, tag="postgresql", frozen=True, kw_only=True):
    """A PostgreSQL cluster with a copy on every node.

    Attributes:
        unit: The unit that runs its server.
        data_directory: Of the server, the same on every node.
        settings_directory: Where its postgresql.conf is; by the layout when not named.
        replication: How the copies follow.
        heartbeat_ms: A write of ours that has not come back after this fails the check; 0: none.
        ports: Open under the lease only.
    """

    unit: str
    data_directory: str
    settings_directory: str | None = None
    replication: Literal["Synchronous", "Asynchronous"] = "Synchronous"
    heartbeat_ms: int = 0
    ports: tuple[Port, ...] = ()


class Filesystem(Resource, tag="filesystem", frozen=True, kw_only=True):
    """A file system that one node has mounted.

    Attributes:
        device: A path that stays the same, or `UUID=...`, `LABEL=...`.
        mount_point: Where it is mounted.
        fs_type: Kind of file system.
        options: Mount options beside `rw`.
        fsck: What is done before each mount.
    """

    device: str
    mount_point: str
    fs_type: Literal["ext4", "xfs"] = "ext4"
    options: tuple[str, ...] = ()
    fsck: Literal["Preen", "Never"] = "Preen"


class SharedDisk(Resource, tag="sharedDisk", frozen=True, kw_only=True):
    """A disk that is attached to one VM at a time, by its UUID; the operator moves it."""

    uuid: str


class ReservedDisk(Resource, tag="reservedDisk", frozen=True, kw_only=True):
    """A disk that is attached to all VMs, by its UUID; the agents reserve it.

    A type of its own, so that an agent that knows only disks that move refuses it.
    """

    uuid: str


class Drbd(Resource, tag="drbd", frozen=True, kw_only=True):
    """A DRBD device with a copy on each of two nodes; protocol C.

    Attributes:
        device: What is served, as `/dev/drbd0`.
        disk: What is below it on each node.
        meta_disk: Where DRBD keeps its own; at the end of `disk` when not named.
        port: On which the copies talk.
        network: Subnet in which they do; the members' first address when not named.
        resync_mib_s: Most that a resync may take, in MiB a second.
        paused: A resync waits.
        verify_every_s: The copies are compared so often; never when not named.
    """

    device: str
    disk: str
    meta_disk: str | None = None
    port: int = 7789
    network: str | None = None
    resync_mib_s: int | None = None
    paused: bool = False
    verify_every_s: int | None = None


ResourceSpec = Vip | Systemd | Postgresql | Filesystem | SharedDisk | ReservedDisk | Drbd
