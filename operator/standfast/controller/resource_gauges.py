"""Numbers of resources for alarms: failed checks, how far copies are behind, what is at risk.

They move all the time, so they are not in any status; they are collected when somebody asks.
"""

from collections.abc import Sequence

from standfast.controller.ops import Metrics
from standfast.wire.api import MemberStatus


class ResourceGauges:
    """Fills the gauges anew: what is not said now is not shown.

    Args:
        metrics: Has the gauges.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for gauge in (
            metrics.copy_lag,
            metrics.copy_age,
            metrics.copy_lacks,
            metrics.failed_checks,
        ):
            gauge.clear()

    def show(self, cluster: tuple[str, str], said: Sequence[MemberStatus]) -> None:
        """Show the copies of one cluster.

        Args:
            cluster: Its namespace and name.
            said: By each member that is heard.
        """
        names = {member.member_uid: member.name for member in said}
        for member in said:
            for resource in member.resources:
                labels = (*cluster, resource.name, member.name)
                if resource.state == "Running":
                    self._metrics.failed_checks.labels(*labels).set(resource.failed_checks)
                copy = resource.replication
                if copy is None:
                    continue
                if copy.lag_bytes is not None:
                    self._metrics.copy_lag.labels(*labels).set(copy.lag_bytes)
                if copy.lag_ms is not None:
                    self._metrics.copy_age.labels(*labels).set(copy.lag_ms / 1000)
                for uid, lacking in copy.lacks.items():
                    node = names.get(uid, uid)
                    whose = (*cluster, resource.name, node)
                    self._metrics.copy_lacks.labels(*whose).set(lacking)
