"""The resource group: checked as a whole, numbered so that agents can tell old from new."""

from datetime import UTC, datetime
from typing import Any

import pytest

from standfast.api.cluster import HACluster
from standfast.api.parse import parse
from standfast.api.resource import HAResource
from standfast.controller.authorities import Declared, Register
from standfast.controller.groups import declared_group, in_service, next_number
from standfast.errors import UserError
from standfast.wire import resources as wire
from standfast.wire.api import MemberStatus, ResourceStatus
from standfast.wire.resources import (
    Drbd,
    Filesystem,
    Port,
    Postgresql,
    ReservedDisk,
    SharedDisk,
    Systemd,
    Vip,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NODES = [
    {
        "name": name,
        "vm": {"instanceUUID": f"50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f0{at}"},
        "addresses": [f"10.0.0.{at}"],
    }
    for at, name in enumerate(("a", "b"), start=1)
]


def cluster(**changed: Any) -> HACluster:
    spec = {"infrastructureRef": {"name": "i"}, "nodes": NODES, **changed}
    return parse(HACluster, document("HACluster", "orders", spec))


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "standfast.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": spec,
    }


def resource(name: str, *after: str, **of: Any) -> HAResource:
    spec: dict[str, Any] = {"clusterRef": {"name": "orders"}}
    spec["dependsOn"] = [{"name": other} for other in after]
    spec.update(of or {"systemd": {"unit": f"{name}.service"}})
    return parse(HAResource, document("HAResource", name, spec))


def test_ports_reach_the_agents() -> None:
    web = resource("web", systemd={"unit": "web.service", "ports": [{"port": 443}]})
    pg = {"unit": "pg.service", "dataDirectory": "/srv/pg"}
    db = resource("db", postgresql={**pg, "ports": [{"port": 53, "protocol": "UDP"}]})
    first, second = declared_group(cluster(data="Replicated"), [db, web], {}).resources
    assert isinstance(first, Postgresql)
    assert isinstance(second, Systemd)
    assert first.ports == (Port(number=53, protocol="UDP"),)
    assert second.ports == (Port(number=443),)


def test_durations_and_policies_reach_the_agents_in_their_units() -> None:
    web = resource(
        "web",
        systemd={"unit": "web.service"},
        monitor={"interval": "2s", "timeout": "500ms"},
        start={"timeout": "1m30s"},
        onFailure={"restarts": 1, "window": "2m", "then": "KeepTrying"},
        critical=False,
    )
    vip = resource("vip", "web", vip={"address": "10.0.0.100/24", "interface": "ens192"})
    first, second = declared_group(cluster(), [vip, web], {}).resources
    assert isinstance(first, Vip)
    assert (first.address, first.interface, first.depends_on) == (
        "10.0.0.100/24",
        "ens192",
        ("web",),
    )
    assert isinstance(second, Systemd)
    assert (second.unit, second.critical) == ("web.service", False)
    assert (second.monitor.interval_ms, second.monitor.timeout_ms) == (2_000, 500)
    assert second.start_timeout_ms == 90_000
    assert (second.on_failure.restarts, second.on_failure.window_ms) == (1, 120_000)
    assert second.on_failure.then == "KeepTrying"
    assert (second.monitor.failure_threshold, second.monitor.out_of) == (1, 1)
    assert second.check is None


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"tcp": {"port": 25, "expect": "220"}}, wire.TcpCheck(port=25, expect="220")),
        ({"http": {"port": 80}}, wire.HttpCheck(port=80)),
        (
            {
                "http": {
                    "address": "::1",
                    "port": 443,
                    "path": "/health",
                    "scheme": "HTTPS",
                    "host": "shop",
                    "status": "204",
                    "verify": True,
                }
            },
            wire.HttpCheck(
                address="::1",
                port=443,
                path="/health",
                scheme="HTTPS",
                host="shop",
                status_min=204,
                status_max=204,
                verify=True,
            ),
        ),
        ({"command": {"name": "orders"}}, wire.CommandCheck(name="orders")),
    ],
)
def test_how_an_application_is_asked_reaches_the_agents(
    declared: dict[str, Any], told: wire.Check
) -> None:
    web = resource("web", systemd={"unit": "web.service", "check": declared})
    (found,) = declared_group(cluster(), [web], {}).resources
    assert isinstance(found, Systemd)
    assert found.check == told


@pytest.mark.parametrize(
    ("monitor", "told"),
    [
        ({"failureThreshold": 3}, (3, 3)),
        ({"failureThreshold": 3, "outOf": 5}, (3, 5)),
        ({"outOf": 5}, (1, 5)),
    ],
)
def test_f05_how_many_failed_checks_are_a_failure_reaches_the_agents(
    monitor: dict[str, int], told: tuple[int, int]
) -> None:
    declared = resource("web", systemd={"unit": "web.service"}, monitor=monitor)
    (web,) = declared_group(cluster(), [declared], {}).resources
    assert (web.monitor.failure_threshold, web.monitor.out_of) == told


def test_a_circle_is_named() -> None:
    with pytest.raises(UserError, match="a -> b"):
        declared_group(cluster(), [resource("a", "b"), resource("b", "a"), resource("c")], {})


def test_a_dependency_on_nothing_is_named() -> None:
    with pytest.raises(UserError, match="web depends on nobody"):
        declared_group(cluster(), [resource("web", "nobody")], {})


def test_two_resources_that_want_one_thing_are_refused() -> None:
    one = resource("one", vip={"address": "10.0.0.100/24"})
    two = resource("two", vip={"address": "10.0.0.100/25"})
    with pytest.raises(UserError, match="one and two both want vip 10"):
        declared_group(cluster(), [one, two], {})


def test_maintenance_is_told_to_the_node_it_concerns() -> None:
    nodes = [{**NODES[0], "maintenance": True}, NODES[1]]
    group = declared_group(cluster(nodes=nodes), [], {})
    assert group.request("a", 3).maintenance
    assert not group.request("b", 3).maintenance
    assert group.digest != declared_group(cluster(), [], {}).digest


def test_the_number_grows_with_every_change_and_only_then() -> None:
    group = declared_group(cluster(), [resource("web")], {})
    assert next_number(Register(), group, []) == 1
    kept = Register(group=4, group_digest=group.digest)
    assert next_number(kept, group, [4, 3]) == 4
    assert next_number(kept, declared_group(cluster(), [], {}), [4, 4]) == 5


def test_what_is_older_than_the_agents_know_is_not_handed_out_before_a_person_changes_it() -> None:
    """F79: a restored API server declares yesterday's resources."""
    group = declared_group(cluster(), [resource("web")], {})
    restored = Register(group=4, group_digest=group.digest)
    assert next_number(restored, group, [7, 6]) is None
    assert next_number(restored, declared_group(cluster(), [], {}), [7, 6]) == 8


def test_a_deleted_resource_is_kept_as_it_was_declared() -> None:
    """F76: deletions in whatever order are no outage."""
    web, vip = resource("web"), resource("vip", "web", vip={"address": "10.0.0.100/24"})
    before = declared_group(cluster(), [web, vip], {})
    for left in ([web], [vip], []):
        after = declared_group(cluster(), left, before.declared)
        assert after.digest == before.digest, "the agents are told nothing"
        assert len(after.kept) == 2 - len(left)
        assert after.declared == before.declared


def test_a_resource_that_was_to_be_stopped_is_not_kept() -> None:
    web = resource("web", systemd={"unit": "web.service"}, onDelete="Stop")
    before = declared_group(cluster(), [web, resource("log")], {})
    after = declared_group(cluster(), [], before.declared)
    assert (after.kept, [spec.name for spec in after.resources]) == (("log",), ["log"])


def test_what_no_agent_has_taken_up_is_not_kept() -> None:
    """Refused by the agents, then deleted: it is gone."""
    declared = declared_group(cluster(), [resource("web"), resource("bad")], {}).declared
    web = ResourceStatus(name="web", type="systemd", state="Running", since=BEGAN)
    one, other = said(web), said()
    assert set(in_service(declared, [one, other])) == {"web"}
    assert in_service(declared, [one, None]) == declared, "an unheard node may have it"
    assert in_service(declared, [None, None]) == declared
    assert in_service(declared, [said(number=0), said(number=0)]) == declared, "they just began"


def said(*resources: ResourceStatus, number: int = 3) -> MemberStatus:
    return MemberStatus(
        seq=1, member_uid="u", name="a", kind="data", boot_id="b", run="r", agent_version="1",
        role="Standby", resources=resources, resources_generation=number,
    )  # fmt: skip


def test_another_resource_for_the_same_thing_takes_over_from_a_kept_one() -> None:
    before = declared_group(cluster(), [resource("vip", vip={"address": "10.0.0.9/24"})], {})
    renamed = resource("address", vip={"address": "10.0.0.9/25"})
    after = declared_group(cluster(), [renamed], before.declared)
    assert (after.kept, [spec.name for spec in after.resources]) == ((), ["address"])


def test_a_kept_resource_of_a_type_from_the_future_is_said_and_nothing_is_handed_out() -> None:
    newer = {"x": Declared(spec='{"type":"hologram","name":"x"}', target="beam x")}
    with pytest.raises(UserError, match="x was deleted, is kept in service"):
        declared_group(cluster(), [], newer)


DISK = {
    "vmdk": "[ds] orders/data.vmdk",
    "uuid": "6000C298-595b-f457-5739-e9105b2c0c2d",
}
MOUNT = {"device": "LABEL=orders", "mountPoint": "/srv/orders", "options": ["noatime"]}


def test_disks_reach_the_agents_by_their_names_in_the_guest() -> None:
    of = cluster(data="SharedDisk", witnesses=[{"name": "w"}])
    mount = resource("fs", "disk", filesystem={**MOUNT, "fsType": "xfs", "fsck": "Never"})
    disk, found = declared_group(of, [mount, resource("disk", sharedDisk=DISK)], {}).resources
    assert disk == SharedDisk(name="disk", uuid="6000c298-595b-f457-5739-e9105b2c0c2d")
    assert isinstance(found, Filesystem)
    assert (found.device, found.mount_point, found.options) == (
        "LABEL=orders",
        "/srv/orders",
        ("noatime",),
    )
    assert (found.fs_type, found.fsck, found.depends_on) == ("xfs", "Never", ("disk",))


def test_a_disk_that_is_reserved_is_another_kind_for_the_agents() -> None:
    """An agent that knows only disks that move refuses it, and does not wait for it to come."""
    of = cluster(data="SharedDisk", witnesses=[{"name": "w"}])
    reserved = {"mode": "Reserved", "uuid": DISK["uuid"]}
    (disk,) = declared_group(of, [resource("disk", sharedDisk=reserved)], {}).resources
    assert disk == ReservedDisk(name="disk", uuid="6000c298-595b-f457-5739-e9105b2c0c2d")
    with pytest.raises(UserError, match="one and two both want"):
        declared_group(of, [resource(name, sharedDisk=reserved) for name in ("one", "two")], {})


def test_disks_need_a_cluster_that_proves_the_old_node_off() -> None:
    with pytest.raises(UserError, match="HAResource disk is a disk that only one node") as refused:
        declared_group(cluster(), [resource("disk", sharedDisk=DISK)], {})
    assert "spec.data: SharedDisk" in refused.value.remedy


def test_two_resources_for_one_disk_or_mount_point_are_refused() -> None:
    of = cluster(data="SharedDisk", witnesses=[{"name": "w"}])
    for kind, spec in (("sharedDisk", DISK), ("filesystem", MOUNT)):
        with pytest.raises(UserError, match="one and two both want"):
            declared_group(
                of, [resource("one", **{kind: spec}), resource("two", **{kind: spec})], {}
            )
    other = {**MOUNT, "mountPoint": "/srv/other"}
    both = [resource("one", filesystem=MOUNT), resource("two", filesystem=other)]
    assert len(declared_group(of, both, {}).resources) == 2


DRBD = {"device": "/dev/drbd0", "disk": "/dev/mapper/vg-data", "resyncRate": 50}
ON_DRBD = {"device": "/dev/drbd0", "mountPoint": "/srv/data"}


def test_a_drbd_device_and_what_is_on_it_reach_the_agents() -> None:
    of = cluster(data="Replicated")
    mount = resource("fs", "data", filesystem=ON_DRBD)
    every = resource("data", drbd={**DRBD, "verifyEvery": "168h"})
    data, found = declared_group(of, [mount, every], {}).resources
    assert data == Drbd(
        name="data",
        device="/dev/drbd0",
        disk="/dev/mapper/vg-data",
        resync_mib_s=50,
        verify_every_s=604_800,
    )
    assert isinstance(found, Filesystem)


def test_a_drbd_device_needs_votes_that_ask_who_has_all_writes() -> None:
    of = cluster(data="SharedDisk", witnesses=[{"name": "w"}])
    with pytest.raises(UserError, match="keeps a copy of its data") as refused:
        declared_group(of, [resource("data", drbd=DRBD)], {})
    assert "spec.data: Replicated" in refused.value.remedy


def test_a_file_system_on_a_copy_names_it_in_depends_on() -> None:
    loose = resource("fs", filesystem=ON_DRBD)
    with pytest.raises(UserError, match="HAResource fs is a disk") as refused:
        declared_group(cluster(data="Replicated"), [loose, resource("data", drbd=DRBD)], {})
    assert "dependsOn" in refused.value.remedy
