"""Objects that are right, and what a person might do to them that must be refused.

The table of refusals is read twice: by unit tests, which give each object to the models, and by
`tests/integration/test_crds.py`, which gives it to a real API server. Both must answer with the
same sentence.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
API_VERSION = "standfast.dev/v1alpha1"
VM_A = "50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f0a"
VM_B = "5031d0f7-0f6e-6b1c-8f37-0f6f4f9a1b0b"


def _object(kind: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


INFRASTRUCTURE = _object(
    "Infrastructure",
    "lab",
    {"vsphere": {"server": "10.77.0.1:8989", "credentialsSecretRef": {"name": "vcenter"}}},
)
WITNESS = _object("Witness", "third", {"managed": {}})
WITNESS_AGENT = _object("Witness", "far", {"agent": {"addresses": ["192.0.2.30:7380"]}})
CLUSTER = _object(
    "HACluster",
    "web",
    {
        "infrastructureRef": {"name": "lab"},
        "nodes": [
            {"name": "vm-a", "vm": {"instanceUUID": VM_A}, "addresses": ["10.77.1.11"]},
            {"name": "vm-b", "vm": {"instanceUUID": VM_B}, "addresses": ["10.77.1.12"]},
        ],
        "witnesses": [{"name": "third"}],
    },
)
VIP = _object(
    "HAResource",
    "web-vip",
    {"clusterRef": {"name": "web"}, "vip": {"address": "10.77.1.100/24"}},
)
SYSTEMD = _object(
    "HAResource", "web", {"clusterRef": {"name": "web"}, "systemd": {"unit": "web.service"}}
)
POSTGRESQL = _object(
    "HAResource",
    "orders-pg",
    {
        "clusterRef": {"name": "web"},
        "postgresql": {
            "unit": "postgresql@15-main.service",
            "dataDirectory": "/var/lib/postgresql/15/main",
        },
    },
)
FILESYSTEM = _object(
    "HAResource",
    "orders-fs",
    {
        "clusterRef": {"name": "web"},
        "filesystem": {
            "device": "/dev/disk/by-id/wwn-0x6000c298595bf4575739e9105b2c0c2d",
            "mountPoint": "/srv/orders",
            "options": ["noatime", "commit=30"],
        },
    },
)
SHARED_DISK = _object(
    "HAResource",
    "orders-disk",
    {
        "clusterRef": {"name": "web"},
        "sharedDisk": {
            "vmdk": "[WorkloadDatastore] orders/data.vmdk",
            "uuid": "6000C298-595b-f457-5739-e9105b2c0c2d",
        },
    },
)
DRBD = _object(
    "HAResource",
    "orders-data",
    {
        "clusterRef": {"name": "web"},
        "drbd": {
            "device": "/dev/drbd0",
            "disk": "/dev/mapper/vg0-orders",
            "network": "10.20.1.0/24",
            "verifyEvery": "168h",
        },
    },
)
SWITCHOVER = _object("Switchover", "web-1", {"clusterRef": {"name": "web"}, "to": "vm-b"})
RECORD = _object("FailoverRecord", "web-7", {"clusterRef": {"name": "web"}, "term": 7})

RIGHT = (
    INFRASTRUCTURE,
    WITNESS,
    WITNESS_AGENT,
    CLUSTER,
    VIP,
    SYSTEMD,
    POSTGRESQL,
    FILESYSTEM,
    SHARED_DISK,
    DRBD,
    SWITCHOVER,
    RECORD,
)


def changed(document: Document, change: Callable[[Document], object]) -> Document:
    """Return a copy of the document after `change(copy["spec"])`."""
    other = copy.deepcopy(document)
    change(other["spec"])
    return other


def renamed(document: Document, name: str) -> Document:
    """Return a copy of the document under another name."""
    return {**copy.deepcopy(document), "metadata": {"name": name, "namespace": "default"}}


@dataclass(frozen=True)
class Refusal:
    """An object that must be refused.

    Attributes:
        claim: What is wrong with it, as the name of a test.
        document: The object.
        sentence: Part of the answer.
        before: The object as it was, when only the change is refused.
    """

    claim: str
    document: Document
    sentence: str
    before: Document | None = None


def _set(where: str, value: Any) -> Callable[[Document], object]:
    *path, last = where.split(".")

    def change(spec: Document) -> None:
        at: Any = spec
        for part in path:
            at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
        if last.isdigit():
            at[int(last)] = value
        else:
            at[last] = value

    return change


def _without(name: str) -> Callable[[Document], object]:
    return lambda spec: spec.pop(name)


def _to_other_type(spec: Document) -> None:
    del spec["vip"]
    spec["systemd"] = {"unit": "web.service"}


def _to_agent(spec: Document) -> None:
    del spec["managed"]
    spec["agent"] = {"addresses": ["192.0.2.30"]}


def _shared_without_witness(spec: Document) -> None:
    spec.update(data="SharedDisk", witnesses=[])


def _shared_in_two_places(spec: Document) -> None:
    spec["data"] = "SharedDisk"
    spec["nodes"][1]["infrastructureRef"] = {"name": "elsewhere"}


def _without_file(spec: Document) -> None:
    del spec["sharedDisk"]["vmdk"]


CA_BOTH = {
    "server": "vcenter",
    "credentialsSecretRef": {"name": "vcenter"},
    "caBundle": "-----BEGIN CERTIFICATE-----",
    "caBundleConfigMapRef": {"name": "ca"},
}

REFUSALS = (
    Refusal(
        "a_window_reads_as_cron",
        changed(
            CLUSTER,
            _set("placement", {"failback": "WhenInSync", "window": {"cron": "60 3 * * SUN"}}),
        ),
        "must be the five fields of cron",
    ),
    Refusal(
        "a_window_is_of_a_failback",
        changed(CLUSTER, _set("placement", {"window": {"cron": "0 3 * * SUN"}})),
        "placement.window says when service may return, but failback is Never",
    ),
    Refusal(
        "a_version_belongs_to_its_sign",
        changed(CLUSTER, _set("rolling", {"name": "r", "agentVersion": "1.3.0"})),
        "agentVersion is the version that ends the work on a node",
    ),
    Refusal(
        "a_sign_of_a_version_needs_one",
        changed(CLUSTER, _set("rolling", {"name": "r", "until": "AgentVersion"})),
        "agentVersion is the version that ends the work on a node",
    ),
    Refusal(
        "what_the_round_sees_itself_is_not_told",
        changed(CLUSTER, _set("rolling", {"name": "r", "until": "Rebooted", "done": ["vm-a"]})),
        "done tells on which nodes the work is done, but until names another sign",
    ),
    Refusal(
        "the_work_is_done_on_nodes",
        changed(CLUSTER, _set("rolling", {"name": "r", "done": ["third"]})),
        "rolling.done names what is not a node of spec.nodes",
    ),
    Refusal(
        "no_infrastructure_is_named",
        changed(INFRASTRUCTURE, _without("vsphere")),
        "exactly one kind of infrastructure must be set: vsphere",
    ),
    Refusal(
        "two_bundles_of_authorities",
        changed(INFRASTRUCTURE, _set("vsphere", CA_BOTH)),
        "caBundle and caBundleConfigMapRef are both set",
    ),
    Refusal(
        "a_bundle_without_a_certificate",
        changed(INFRASTRUCTURE, _set("vsphere.caBundle", "hello")),
        "must be PEM text with at least one -----BEGIN CERTIFICATE-----",
    ),
    Refusal(
        "a_witness_that_is_nothing",
        changed(WITNESS, _without("managed")),
        "exactly one kind of witness must be set: managed or agent",
    ),
    Refusal(
        "a_witness_that_is_two_things",
        changed(WITNESS, _set("agent", {"addresses": ["192.0.2.30"]})),
        "exactly one kind of witness must be set: managed or agent",
    ),
    Refusal(
        "a_node_port_that_nobody_can_find",
        changed(WITNESS, _set("managed.service.type", "NodePort")),
        "service.type is NodePort, but nothing says which Kubernetes nodes the VMs can reach",
    ),
    Refusal(
        "a_witness_with_too_long_a_name",
        renamed(WITNESS, "w" * 46),
        "metadata.name of a Witness has at most 45 characters",
    ),
    Refusal(
        "a_cluster_with_too_long_a_name",
        renamed(CLUSTER, "c" * 64),
        "metadata.name of an HACluster has at most 63 characters",
    ),
    Refusal(
        "a_cluster_of_one_node",
        changed(CLUSTER, lambda spec: spec["nodes"].pop()),
        "spec.nodes lists one node, but a failover needs a second VM",
    ),
    Refusal(
        "nodes_without_infrastructure",
        changed(CLUSTER, _without("infrastructureRef")),
        "a node has no infrastructure",
    ),
    Refusal(
        "one_vm_as_two_nodes",
        changed(CLUSTER, _set("nodes.1.vm.instanceUUID", VM_A)),
        "two nodes name the same VM in vm.instanceUUID",
    ),
    Refusal(
        "one_address_for_two_nodes",
        changed(CLUSTER, _set("nodes.1.addresses", ["10.77.1.11"])),
        "two nodes list the same address in addresses",
    ),
    Refusal(
        "a_node_called_like_a_witness",
        changed(CLUSTER, _set("nodes.1.name", "third")),
        "a node and a witness have the same name",
    ),
    Refusal(
        "a_shared_disk_without_witness",
        changed(CLUSTER, _shared_without_witness),
        "data is SharedDisk, but spec.witnesses is empty",
    ),
    Refusal(
        "a_shared_disk_without_fencing",
        changed(CLUSTER, lambda s: s.update(data="SharedDisk", fencing={"policy": "Never"})),
        "data is SharedDisk and fencing.policy is Never",
    ),
    Refusal(
        "one_disk_in_two_places",
        changed(CLUSTER, _shared_in_two_places),
        "data is SharedDisk, but the nodes are in different infrastructures",
    ),
    Refusal(
        "a_disk_that_moves_without_its_file",
        changed(SHARED_DISK, _without_file),
        "a disk that moves is attached by the operator",
    ),
    Refusal(
        "drbd_that_nobody_can_bound",
        changed(DRBD, lambda s: s["drbd"].update(replication="Asynchronous")),
        "with DRBD's protocol A nobody can say how much",
    ),
    Refusal(
        "a_bound_where_nothing_may_be_lost",
        changed(CLUSTER, lambda s: s.update(data="Replicated", maxDataLoss="16Mi")),
        "maxDataLoss is set, but only data: ReplicatedAsync ever loses",
    ),
    Refusal(
        "an_instance_uuid_that_is_none",
        changed(CLUSTER, _set("nodes.0.vm.instanceUUID", VM_A.upper())),
        "must be a UUID in lower case",
    ),
    Refusal(
        "a_host_name_as_a_path",
        changed(CLUSTER, _set("nodes.0.addresses", ["vm-a.example.com"])),
        "must be an IPv4 or IPv6 address without prefix length",
    ),
    Refusal(
        "a_profile_and_a_target",
        changed(CLUSTER, _set("timing", {"profile": "Fast", "targetFailoverSeconds": 3})),
        "exactly one of profile and targetFailoverSeconds must be set",
    ),
    Refusal(
        "timing_without_anything",
        changed(CLUSTER, _set("timing", {})),
        "exactly one of profile and targetFailoverSeconds must be set",
    ),
    Refusal(
        "a_device_by_the_order_in_which_it_is_found",
        changed(FILESYSTEM, _set("filesystem.device", "/dev/sdb1")),
        "must be a name that stays the same on every node",
    ),
    Refusal(
        "a_file_system_mounted_read_only",
        changed(FILESYSTEM, _set("filesystem.options", ["noatime", "ro"])),
        "is not an option of its own here",
    ),
    Refusal(
        "a_resource_of_no_type",
        changed(VIP, _without("vip")),
        "exactly one type of resource must be set: vip or systemd or postgresql",
    ),
    Refusal(
        "a_resource_of_two_types",
        changed(VIP, _set("systemd", {"unit": "web.service"})),
        "exactly one type of resource must be set: vip or systemd or postgresql",
    ),
    Refusal(
        "a_resource_that_waits_for_itself",
        changed(VIP, _set("dependsOn", [{"name": "web-vip"}])),
        "spec.dependsOn names the resource itself",
    ),
    Refusal(
        "an_address_without_prefix_length",
        changed(VIP, _set("vip.address", "10.77.1.100")),
        "must be an address with its prefix length, such as 10.10.1.100/24",
    ),
    Refusal(
        "a_unit_that_is_no_service",
        changed(SYSTEMD, _set("systemd.unit", "web")),
        "must be the full name of a service unit, such as web.service",
    ),
    Refusal(
        "a_port_that_is_listed_twice",
        changed(SYSTEMD, _set("systemd.ports", [{"port": 443}, {"port": 443, "protocol": "TCP"}])),
        "ports",
    ),
    Refusal(
        "data_that_are_not_at_an_absolute_path",
        changed(POSTGRESQL, _set("postgresql.dataDirectory", "/var/lib/../../etc")),
        "dataDirectory",
    ),
    Refusal(
        "a_check_every_nanosecond",
        changed(VIP, _set("monitor.interval", "1ms")),
        "must be between 100ms and 1h",
    ),
    Refusal(
        "more_failed_checks_than_are_remembered",
        changed(VIP, _set("monitor", {"failureThreshold": 4, "outOf": 3})),
        "outOf is smaller than failureThreshold",
    ),
    Refusal(
        "a_check_of_two_kinds",
        changed(SYSTEMD, _set("systemd.check", {"tcp": {"port": 80}, "command": {"name": "web"}})),
        "exactly one kind of check must be set: tcp or http or command",
    ),
    Refusal(
        "a_check_of_no_kind",
        changed(SYSTEMD, _set("systemd.check", {})),
        "exactly one kind of check must be set",
    ),
    Refusal(
        "statuses_from_high_to_low",
        changed(SYSTEMD, _set("systemd.check", {"http": {"port": 80, "status": "399-200"}})),
        "must be one status, or the lowest and the highest, as 200-399",
    ),
    Refusal(
        "a_certificate_that_is_to_be_valid_for_nobody",
        changed(
            SYSTEMD,
            _set("systemd.check", {"http": {"port": 443, "scheme": "HTTPS", "verify": True}}),
        ),
        "verify needs scheme HTTPS, and the host",
    ),
    Refusal(
        "a_path_that_is_two_lines",
        changed(SYSTEMD, _set("systemd.check", {"http": {"port": 80, "path": "/ HTTP/1.1\r\n"}})),
        "path",
    ),
    Refusal(
        "a_deadline_of_days",
        changed(SWITCHOVER, _set("deadline", "48h")),
        "must be between 5s and 1h",
    ),
)
"""Refused when created."""

CHANGES = (
    Refusal(
        "an_attempt_does_not_go_back",
        changed(CLUSTER, _set("rolling", {"name": "r", "attempt": 1})),
        "attempt of the same round cannot go back",
        before=changed(CLUSTER, _set("rolling", {"name": "r", "attempt": 2})),
    ),
    Refusal(
        "the_sign_of_a_round_stays",
        changed(CLUSTER, _set("rolling", {"name": "r", "until": "Rebooted"})),
        "until cannot change in the middle of a round",
        before=changed(CLUSTER, _set("rolling", {"name": "r"})),
    ),
    Refusal(
        "the_vm_of_a_node_stays",
        changed(CLUSTER, _set("nodes.0.vm.instanceUUID", VM_A.replace("5031", "6031", 1))),
        "the VM of a node cannot change: remove the node",
        before=CLUSTER,
    ),
    Refusal(
        "the_data_mode_stays",
        changed(CLUSTER, _set("data", "Replicated")),
        "data cannot change",
        before=CLUSTER,
    ),
    Refusal(
        "the_bound_of_a_loss_stays",
        changed(CLUSTER, lambda s: s.update(data="ReplicatedAsync", maxDataLoss="1Gi")),
        "maxDataLoss cannot change",
        before=changed(CLUSTER, lambda s: s.update(data="ReplicatedAsync", maxDataLoss="16Mi")),
    ),
    Refusal(
        "a_bound_is_not_added_later",
        changed(CLUSTER, lambda s: s.update(data="ReplicatedAsync", maxDataLoss="1Gi")),
        "maxDataLoss cannot change",
        before=changed(CLUSTER, _set("data", "ReplicatedAsync")),
    ),
    Refusal(
        "the_last_witness_of_a_shared_disk_stays",
        changed(CLUSTER, _shared_without_witness),
        "data is SharedDisk, but spec.witnesses is empty",
        before=changed(CLUSTER, _set("data", "SharedDisk")),
    ),
    Refusal(
        "the_cluster_of_a_resource_stays",
        changed(VIP, _set("clusterRef.name", "other")),
        "clusterRef cannot change: delete this HAResource",
        before=VIP,
    ),
    Refusal(
        "the_mode_of_a_disk_stays",
        changed(SHARED_DISK, _set("sharedDisk.mode", "Reserved")),
        "sharedDisk.mode cannot change: delete this HAResource",
        before=SHARED_DISK,
    ),
    Refusal(
        "the_type_of_a_resource_stays",
        changed(VIP, _to_other_type),
        "the type of a resource cannot change from one of vip, systemd, postgresql",
        before=VIP,
    ),
    Refusal(
        "the_kind_of_a_witness_stays",
        changed(WITNESS, _to_agent),
        "a witness cannot change from one of managed, agent to another",
        before=WITNESS,
    ),
    Refusal(
        "a_switchover_stays_as_it_was_asked_for",
        changed(SWITCHOVER, _set("to", "vm-a")),
        "spec of a Switchover cannot change",
        before=SWITCHOVER,
    ),
    Refusal(
        "a_record_stays_about_what_it_is_about",
        changed(RECORD, _set("term", 8)),
        "spec of a FailoverRecord cannot change",
        before=RECORD,
    ),
)
"""Refused when changed to; only the API server knows what was before."""
