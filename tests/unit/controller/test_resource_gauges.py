"""Numbers of resources for alarms."""

from datetime import UTC, datetime

import msgspec
import prometheus_client

from standfast.controller.ops import Metrics
from standfast.controller.resource_gauges import ResourceGauges
from standfast.wire.api import MemberStatus, ReplicationStatus, ResourceStatus


def member(uid: str, name: str, copy: ReplicationStatus | None) -> MemberStatus:
    resource = ResourceStatus(
        name="pg",
        type="postgresql",
        state="Running",
        since=datetime.now(UTC),
        failed_checks=2,
        replication=copy,
    )
    blank = msgspec.json.decode(BLANK, type=MemberStatus)
    return msgspec.structs.replace(blank, member_uid=uid, name=name, resources=(resource,))


BLANK = b"""{"seq": 1, "memberUid": "", "name": "", "kind": "data", "bootId": "b", "run": "r",
"agentVersion": "1", "term": 1, "role": "Standby"}"""


def shown(metrics: Metrics) -> str:
    return prometheus_client.generate_latest(metrics.registry).decode()


def test_lag_and_what_is_at_risk_are_shown_and_go_with_who_said_it() -> None:
    metrics = Metrics()
    active = ReplicationStatus(role="Active", lacks={"c": 4096})
    standby = ReplicationStatus(role="Standby", lag_bytes=77, lag_ms=1500)
    said = [member("a", "vm-a", active), member("b", "vm-b", standby), member("w", "third", None)]
    ResourceGauges(metrics).show(("default", "orders"), said)
    text = shown(metrics)
    labels = 'cluster="orders",namespace="default",node="{}",resource="pg"'
    assert f"lag_bytes{{{labels.format('vm-b')}}} 77.0" in text
    assert f"lag_seconds{{{labels.format('vm-b')}}} 1.5" in text
    assert f"resource_failed_checks{{{labels.format('vm-a')}}} 2.0" in text
    assert f"lacks_bytes{{{labels.format('c')}}} 4096.0" in text

    ResourceGauges(metrics).show(("default", "orders"), [])
    assert "vm-b" not in shown(metrics)
