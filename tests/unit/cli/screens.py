"""Objects that the tests of the command line render."""

from datetime import timedelta

from tests.unit.api import statuses
from tests.unit.api.documents import CLUSTER, SYSTEMD, VIP

from standfast.api.base import LocalRef, ObjectMeta
from standfast.api.cluster import HACluster
from standfast.api.cluster_status import HAClusterStatus
from standfast.api.record import FailoverRecord, FailoverRecordSpec
from standfast.api.resource import HAResource, HAResourceStatus
from standfast.api.switchover import Switchover, SwitchoverSpec, SwitchoverStatus

NOW = statuses.AT + timedelta(minutes=12)


def cluster(status: HAClusterStatus | None = None, **spec: object) -> HACluster:
    """The cluster `web`, made an hour ago, with a status; by default nobody has looked at it."""
    read = HACluster.model_validate(CLUSTER)
    metadata = read.metadata.model_copy(
        update={"generation": 1, "creation_timestamp": statuses.AT - timedelta(minutes=48)}
    )
    return read.model_copy(
        update={
            "metadata": metadata,
            "spec": read.spec.model_copy(update=spec),
            "status": status or HAClusterStatus(),
        }
    )


def resources(status: HAResourceStatus | None = None) -> list[HAResource]:
    """The two resources of `web`, the second with a status."""
    web, vip = HAResource.model_validate(SYSTEMD), HAResource.model_validate(VIP)
    return [web, vip.model_copy(update={"status": status or HAResourceStatus()})]


def switchover(status: SwitchoverStatus | None = None, **spec: object) -> Switchover:
    """A switchover of `web` to vm-b."""
    asked = SwitchoverSpec(cluster_ref=LocalRef(name="web"), to="vm-b", reason="patching")
    return Switchover(
        metadata=ObjectMeta(name="web-x7k2p", namespace="default", creation_timestamp=statuses.AT),
        spec=asked.model_copy(update=spec),
        status=status or SwitchoverStatus(),
    )


def record() -> FailoverRecord:
    """The failover of term 3, five minutes before the switchover."""
    ago = timedelta(minutes=5)
    steps = statuses.RECORD.timeline
    status = statuses.RECORD.model_copy(
        update={
            "started_at": statuses.AT - ago,
            "timeline": tuple(
                step.model_copy(update={"started_at": step.started_at - ago}) for step in steps
            ),
        }
    )
    return FailoverRecord(
        metadata=ObjectMeta(name="web-3", namespace="default"),
        spec=FailoverRecordSpec(cluster_ref=LocalRef(name="web"), term=3),
        status=status,
    )
