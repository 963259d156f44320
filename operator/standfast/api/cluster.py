"""`HACluster`: the nodes that keep one application in service, and the policy for it.

What people declare is here; what the operator reports is in `cluster_status`.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from standfast.api.base import KubeObject, LocalRef, Model
from standfast.api.cluster_status import HAClusterStatus
from standfast.api.markers import ListMap, ListSet, Rule, immutable
from standfast.api.rolling import RollingMaintenance
from standfast.api.scalars import Address, Duration, Label, Uuid, between, duration_ms
from standfast.core import record, timing, window

_TARGET_SECONDS_MIN, _TARGET_SECONDS_MAX = 1, 300


class DataMode(StrEnum):
    """Where the application's data lives."""

    NONE = "None"
    SHARED_DISK = "SharedDisk"
    REPLICATED = "Replicated"
    REPLICATED_ASYNC = "ReplicatedAsync"

    def to_core(self) -> record.DataMode:
        return record.DataMode(self.value)


class VirtualMachine(Model):
    """Which VM a node is, by an identity that survives renaming and moving."""

    instance_uuid: Uuid = Field(
        description="vCenter's instance UUID of the VM (config.instanceUuid), not its BIOS UUID.",
        examples=["50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f01"],
    )


class Node(Model):
    """One protected VM."""

    name: Label = Field(
        description="Name of the node within the cluster; usually the VM's name.",
        examples=["orders-a"],
    )
    vm: Annotated[
        VirtualMachine,
        immutable(
            "the VM of a node",
            remedy="remove the node, wait until the cluster has let it go, and add the other VM "
            "under a new name",
        ),
    ] = Field(description="Which VM it is.")
    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=4), ListSet()] = (
        Field(
            description="Its own addresses, one on each network that joins the nodes: "
            "communication paths, all used at once, so that one network's failure is not a node's "
            "failure. Not the address that clients use.",
            examples=[["10.10.1.11", "10.20.1.11"]],
        )
    )
    infrastructure_ref: LocalRef | None = Field(
        default=None,
        description="The Infrastructure this VM runs on, when it is not the cluster's.",
    )
    maintenance: bool = Field(
        default=False,
        description="Whether a person works on it: it keeps voting, but is not chosen to be "
        "active. A node that is active when this is set hands over first, when another can serve.",
    )


class Timing(Model):
    """How fast a failure is acted on; all timers are derived from it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.profile), has(self.targetFailoverSeconds)].exists_one(is_set, is_set)",
            message="exactly one of profile and targetFailoverSeconds must be set, because all "
            "timers are derived from it: remove the other",
            holds=lambda t: (t.profile is None) != (t.target_failover_seconds is None),
        ),
    )

    profile: timing.Profile | None = Field(
        default=None,
        description="Fast: a dead VM is replaced in about 1 s; for one site with quiet networks. "
        "Normal: in about 2 s. Tolerant: in about 12 s, for stretched sites, loaded hosts, "
        "long vMotions.",
    )
    target_failover_seconds: (
        Annotated[int, Field(ge=_TARGET_SECONDS_MIN, le=_TARGET_SECONDS_MAX)] | None
    ) = Field(
        default=None,
        description="Instead of a profile: seconds from the death of the active node to service "
        "on a standby, an application that starts at once provided. status.timing shows the "
        "timers that follow.",
        examples=[3],
    )

    def to_core(self) -> timing.Timing:
        """Return the timers that follow."""
        if self.target_failover_seconds is not None:
            return timing.Timing.for_target(self.target_failover_seconds * 1000)
        return (self.profile or timing.Profile.NORMAL).timing


class Failback(StrEnum):
    """Whether service returns to a preferred node."""

    NEVER = "Never"
    WHEN_IN_SYNC = "WhenInSync"


class FailbackWindow(Model):
    """When service may return by itself."""

    cron: Annotated[
        str,
        Field(min_length=9, max_length=100),
        Rule(
            cel=f"self.matches(r'{window.PATTERN}')",
            message="must be the five fields of cron, with one blank between: minute, hour, day "
            "of the month, month, day of the week, such as 0 3 * * SUN",
            holds=lambda cron: not window.problem(cron),
        ),
    ] = Field(
        description="When it opens, in UTC: minute, hour, day of the month, month, day of the "
        "week.",
        examples=["0 3 * * SUN"],
    )
    duration: Annotated[Duration, between("10m", "24h")] = Field(
        default="2h", description="How long it stays open."
    )

    def to_core(self) -> window.Window:
        return window.Window(self.cron, duration_ms(self.duration) // 60_000)


class Placement(Model):
    """Which node is to be active."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.window) || self.failback == 'WhenInSync'",
            message="placement.window says when service may return, but failback is Never: set "
            "failback to WhenInSync, or remove window",
            holds=lambda p: p.window is None or p.failback is Failback.WHEN_IN_SYNC,
        ),
    )

    failback: Failback = Field(
        default=Failback.NEVER,
        description="Never: service stays where it is after a failover. WhenInSync: it returns to "
        "the most preferred node as soon as that one can take over without loss; each return is "
        "a short outage. Where a Switchover put it, service stays for that tenure.",
    )
    window: FailbackWindow | None = Field(
        default=None,
        description="With WhenInSync: service returns only while this window is open; at any time "
        "when absent.",
    )


class FencePolicy(StrEnum):
    """When the infrastructure is asked to switch a failed VM off."""

    WHEN_NEEDED = "WhenNeeded"
    ALWAYS = "Always"
    NEVER = "Never"


class AfterFence(StrEnum):
    """What becomes of a VM that was switched off as a fence."""

    POWER_ON = "PowerOn"
    LEAVE_OFF = "LeaveOff"


class Fencing(Model):
    """How it is made sure that a failed node cannot write."""

    policy: FencePolicy = Field(
        default=FencePolicy.WHEN_NEEDED,
        description="WhenNeeded: switch the VM off when no quicker proof suffices that it "
        "stopped. Always: at every failover. Never: the infrastructure is only watched.",
    )
    after_fence: AfterFence = Field(
        default=AfterFence.POWER_ON,
        description="PowerOn: switch the VM on again once a standby serves; it comes back as a "
        "standby. LeaveOff: wait for a person.",
    )


def _all_differ(values: Iterable[str]) -> bool:
    found = list(values)
    return len(set(found)) == len(found)


class HAClusterSpec(Model):
    """The nodes, the witnesses and the policy."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="size(self.nodes) >= 2",
            message="spec.nodes lists one node, but a failover needs a second VM to take over: "
            "add it",
            holds=lambda c: len(c.nodes) >= 2,
        ),
        Rule(
            cel="has(self.infrastructureRef) || self.nodes.all(n, has(n.infrastructureRef))",
            message="a node has no infrastructure, so nobody could see or switch off its VM: set "
            "spec.infrastructureRef, or infrastructureRef of every node",
            holds=lambda c: (
                c.infrastructure_ref is not None
                or all(n.infrastructure_ref is not None for n in c.nodes)
            ),
        ),
        Rule(
            cel="self.nodes.all(n, "
            "self.nodes.exists_one(m, m.vm.instanceUUID == n.vm.instanceUUID))",
            message="two nodes name the same VM in vm.instanceUUID, but each node is a VM of its "
            "own: correct one of them",
            holds=lambda c: _all_differ(n.vm.instance_uuid for n in c.nodes),
        ),
        Rule(
            cel="self.nodes.all(n, n.addresses.all(a, "
            "self.nodes.exists_one(m, m.addresses.exists(b, b == a))))",
            message="two nodes list the same address in addresses, but an address leads to one "
            "VM: correct one of them",
            holds=lambda c: _all_differ(a for n in c.nodes for a in n.addresses),
        ),
        Rule(
            cel="!self.nodes.exists(n, self.witnesses.exists(w, w.name == n.name))",
            message="a node and a witness have the same name, but status tells voters apart by "
            "name: rename the node",
            holds=lambda c: {n.name for n in c.nodes}.isdisjoint(w.name for w in c.witnesses),
        ),
        Rule(
            cel="self.data != 'SharedDisk' || size(self.witnesses) > 0",
            message="data is SharedDisk, but spec.witnesses is empty: two nodes that cannot see "
            "each other would both write to one disk and destroy it. List a Witness at a third "
            "place",
            holds=lambda c: c.data is not DataMode.SHARED_DISK or bool(c.witnesses),
        ),
        Rule(
            cel="self.data != 'SharedDisk' || self.fencing.policy != 'Never'",
            message="data is SharedDisk and fencing.policy is Never, but a shared disk may only "
            "be taken over from a node that is proven off: set fencing.policy to WhenNeeded",
            holds=lambda c: (
                c.data is not DataMode.SHARED_DISK or c.fencing.policy is not FencePolicy.NEVER
            ),
        ),
        Rule(
            cel="self.data != 'SharedDisk' || self.nodes.all(n, "
            "(has(n.infrastructureRef) ? n.infrastructureRef.name : "
            "has(self.infrastructureRef) ? self.infrastructureRef.name : '') == "
            "(has(self.nodes[0].infrastructureRef) ? self.nodes[0].infrastructureRef.name : "
            "has(self.infrastructureRef) ? self.infrastructureRef.name : ''))",
            message="data is SharedDisk, but the nodes are in different infrastructures: one disk "
            "is not in two places. Give all nodes the same infrastructureRef, or use data: "
            "Replicated",
            holds=lambda c: (
                c.data is not DataMode.SHARED_DISK
                or len({n.infrastructure_ref or c.infrastructure_ref for n in c.nodes}) <= 1
            ),
        ),
        Rule(
            cel="!has(self.rolling) || "
            "self.rolling.done.all(d, self.nodes.exists(n, n.name == d))",
            message="rolling.done names what is not a node of spec.nodes: correct it",
            holds=lambda c: c.rolling is None or {*c.rolling.done} <= {n.name for n in c.nodes},
        ),
        Rule(
            cel="!has(self.maxDataLoss) || self.data == 'ReplicatedAsync'",
            message="maxDataLoss is set, but only data: ReplicatedAsync ever loses an "
            "acknowledged write: remove it, or set spec.data to ReplicatedAsync",
            holds=lambda c: c.max_data_loss is None or c.data is DataMode.REPLICATED_ASYNC,
        ),
        Rule(
            cel="has(self.maxDataLoss) == has(oldSelf.maxDataLoss) && (!has(self.maxDataLoss) || "
            "self.maxDataLoss == oldSelf.maxDataLoss)",
            message="maxDataLoss cannot change, because voters judge by the one they were given "
            "first: create another cluster for another bound",
        ),
    )

    infrastructure_ref: LocalRef | None = Field(
        default=None,
        description="The Infrastructure its VMs run on; a node may name its own, for clusters "
        "across two.",
    )
    data: Annotated[
        DataMode,
        immutable(
            "data",
            remedy="it decides which proof a takeover needs; create another cluster for the other "
            "mode",
        ),
    ] = Field(
        default=DataMode.NONE,
        description="Where the application's data lives; it decides which proof a takeover needs. "
        "None: nothing to lose. SharedDisk: one disk that both VMs can reach. Replicated: a copy "
        "on each node that has every acknowledged write. ReplicatedAsync: a copy on each node "
        "that follows as fast as it can; a failover may lose up to maxDataLoss.",
    )
    max_data_loss: (
        Annotated[str, Field(min_length=2, max_length=12, pattern=r"^[1-9][0-9]{0,6}(Ki|Mi|Gi)$")]
        | None
    ) = Field(
        default=None,
        description="With data: ReplicatedAsync: how much of the newest data a failover may lose "
        "without a person's consent, counted from the position that the members last agreed on, "
        "which is about a second old; 16Mi when absent. A node that lacks more waits for a "
        "consent, and says what would be lost.",
        examples=["16Mi"],
    )
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, max_length=7), ListMap("name")] = Field(
        description="The VMs, in order of preference. All run; one is active."
    )
    witnesses: Annotated[tuple[LocalRef, ...], Field(max_length=5), ListMap("name")] = Field(
        default=(),
        description="Witnesses that vote with the nodes. Nodes and witnesses together should be "
        "an odd number; two nodes want one witness.",
    )
    timing: Timing = Field(
        default=Timing(profile=timing.Profile.NORMAL),
        description="How fast a failure is acted on: a profile or a target.",
    )
    placement: Placement = Field(default=Placement(), description="Which node is to be active.")
    fencing: Fencing = Field(
        default=Fencing(), description="How it is made sure that a failed node cannot write."
    )
    rolling: RollingMaintenance | None = Field(
        default=None,
        description="Maintenance of all nodes, one after the other: standbys first, then service "
        "moves once, then the node that was active. It stops at the first doubt. To end it, "
        "remove it: a node that is out returns to service.",
    )
    paused: bool = Field(
        default=False,
        description="Whether the operator only watches. The agents still fail over by themselves.",
    )


_LOSS_DEFAULT = "16Mi"
_SHIFTS = {"Ki": 10, "Mi": 20, "Gi": 30}


def loss_bytes_max(spec: HAClusterSpec) -> int:
    """The declared bound in bytes; 0 where nothing may be lost."""
    if spec.data is not DataMode.REPLICATED_ASYNC:
        return 0
    said = spec.max_data_loss or _LOSS_DEFAULT
    return int(said[:-2]) << _SHIFTS[said[-2:]]


class HACluster(KubeObject):
    """VMs that keep one application in service: one is active, the others stand by.

    When the active one, its application, its network or its host fails, a standby takes over with
    the address and the data, and never while the old one can still write. Deleting it leaves the
    application running where it is.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="size(self.metadata.name) <= 63",
            message="metadata.name of an HACluster has at most 63 characters, because objects "
            "that belong to it carry it as a label: choose a shorter name",
            holds=lambda cluster: len(cluster.metadata.name) <= 63,
        ),
    )

    kind: Literal["HACluster"] = "HACluster"
    spec: HAClusterSpec = Field(description="What is declared.")
    status: HAClusterStatus = Field(
        default=HAClusterStatus(), description="What was found; written by the operator."
    )
