"""Probes and metrics on a port of their own: `/livez`, `/readyz`, `/metrics`.

Alive means that the event loop answers. Ready means that the API server is being watched; a
replica that waits for the lease is ready too, or a rolling update would wait for ever.
"""

from collections.abc import Callable

import prometheus_client
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COPY_LABELS = ("namespace", "cluster", "resource", "node")


class Metrics:
    """Numbers for alarms; the list is part of the reference, the labels are bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.leader = Gauge(
            "standfast_operator_leader", "1 while this replica acts", registry=self.registry
        )
        self.passes = Histogram(
            "standfast_operator_pass_seconds",
            "Duration of one pass over an object",
            ["kind"],
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
            registry=self.registry,
        )
        self.broken = Counter(
            "standfast_operator_passes_failed_total",
            "Passes that ended with an error and are tried again",
            ["kind"],
            registry=self.registry,
        )
        self.queued = Gauge(
            "standfast_operator_queued_keys", "Objects waiting for a pass", registry=self.registry
        )
        self.synced = Gauge(
            "standfast_operator_sync_seconds",
            "From taking the lead until every cluster's status was judged afresh; 0 until then",
            registry=self.registry,
        )
        self.writes = Gauge(
            "standfast_operator_api_writes",
            "Writes sent to the API server since the start, without the lease's",
            registry=self.registry,
        )
        self.conditions = Gauge(
            "standfast_cluster_condition",
            "1 for True, 0 for False, -1 for Unknown",
            ["namespace", "cluster", "condition"],
            registry=self.registry,
        )
        self.copy_lag = Gauge(
            "standfast_replication_lag_bytes",
            "How far a standby's copy is behind, as it says itself",
            COPY_LABELS,
            registry=self.registry,
        )
        self.copy_age = Gauge(
            "standfast_replication_lag_seconds",
            "Age of the newest change that a standby has; 0 when it has all",
            COPY_LABELS,
            registry=self.registry,
        )
        self.copy_lacks = Gauge(
            "standfast_replication_lacks_bytes",
            "At risk: what a node that does not follow lacks, as the active node says",
            COPY_LABELS,
            registry=self.registry,
        )
        self.failed_checks = Gauge(
            "standfast_resource_failed_checks",
            "Failed checks among the newest that count (monitor.outOf), where it runs",
            COPY_LABELS,
            registry=self.registry,
        )
        self.events_dropped = Gauge(
            "standfast_operator_events_dropped",
            "Kubernetes Events that were not posted",
            registry=self.registry,
        )
        self.heard = Gauge(
            "standfast_operator_api_silent_seconds",
            "Seconds since the last list or event from the API server",
            registry=self.registry,
        )


class OpsServer:
    """Serves probes and metrics.

    Args:
        metrics: What to show.
        collect: Brings gauges up to date right before they are shown.
        not_ready: Why this replica is not ready; "" when it is.
    """

    def __init__(
        self, metrics: Metrics, collect: Callable[[], None], not_ready: Callable[[], str]
    ) -> None:
        self._metrics = metrics
        self._collect = collect
        self._not_ready = not_ready
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, address: str, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        problem = self._not_ready()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    async def _show(self, _request: web.Request) -> web.Response:
        self._collect()
        return web.Response(
            body=prometheus_client.generate_latest(self._metrics.registry),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )
