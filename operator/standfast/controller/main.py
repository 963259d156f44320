"""`standfast-operator`: the process. Watches from the start, acts when elected, leaves politely.

Order of things at the end: stop acting, tell kopf to stop, give the lease up. A lapsed lease ends
the process from the elector's own thread, whatever this loop is doing.
"""

import asyncio
import contextlib
import resource
import secrets
import signal
import sys
from asyncio import sslproto

import click
import kopf

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.elector import RETRY_S, Elector
from standfast.adapters.kube.endpoint import Credential, load_endpoint
from standfast.adapters.linux.clock import BootClock
from standfast.api.base import API_VERSION
from standfast.api.cluster import HACluster
from standfast.api.kinds import KINDS
from standfast.api.scalars import Truth
from standfast.controller import handlers, logs
from standfast.controller.leading import Leading
from standfast.controller.logs import logger
from standfast.controller.ops import Metrics, OpsServer
from standfast.controller.resource_gauges import ResourceGauges
from standfast.controller.settings import Settings
from standfast.controller.store import Key, Store
from standfast.errors import StandfastError

SILENT_S_MAX = 120
"""Bookmarks come every minute: without any word for longer, the watches are dead."""

KINDS_RETRY_S = 2

TLS_BUFFER_BYTES = 32 * 1024
"""Read at once from one connection; a record of TLS has 16 KiB."""

_NUMBERS = {Truth.TRUE: 1, Truth.FALSE: 0, Truth.UNKNOWN: -1}


class Operator:
    """One replica.

    Args:
        settings: Of the process.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = BootClock()
        self._endpoint = load_endpoint()
        self._store = Store()
        self._metrics = Metrics()
        self._leading: Leading | None = None
        self._elected = asyncio.Event()
        self._stop = asyncio.Event()
        self._has_resigned = False
        self._ready = asyncio.Event()
        self._served = asyncio.Event()
        self._missing = ""
        self._heard_at_ms: int | None = None
        self._loop = asyncio.get_running_loop()
        self._elector = Elector(
            self._endpoint,
            self._clock,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=f"{settings.pod_name}_{secrets.token_hex(8)}",
            on_elected=self._on_elected,
        )

    def _on_elected(self, _token: int) -> None:
        """In the elector's thread."""
        self._loop.call_soon_threadsafe(self._elected.set)

    async def run(self) -> None:
        """Run until a signal comes."""
        client = KubeClient(self._endpoint, self._clock)
        ops = OpsServer(self._metrics, lambda: self._collect(client), self._not_ready)
        await ops.start(self._settings.ops_address, self._settings.ops_port)
        self._take_signals()
        self._elector.start()
        acting = asyncio.create_task(self._act(client), name="acting")
        watching = asyncio.create_task(self._watch(client), name="watching")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait((acting, watching, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(self._elector.release)
            if self._has_resigned:  # whoever starts us again must not be before the others
                await asyncio.sleep(2 * RETRY_S)
            await ops.close()
            await client.close()
        for task in (acting, watching):
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception() or RuntimeError

    async def _act(self, client: KubeClient) -> None:
        await self._served.wait()
        await self._elected.wait()
        logger(token=self._elector.token).info("Elected")
        self._metrics.leader.set(1)
        while True:
            leading = Leading(
                self._settings,
                store=self._store,
                client=client,
                elector=self._elector,
                clock=self._clock,
                metrics=self._metrics,
                resign=self._resign,
            )
            self._leading = leading
            try:
                await leading.run()
            except* StandfastError as errors:
                logger().warning("Acting begins anew", error=str(errors.exceptions[0]))
                await asyncio.sleep(1)

    def _resign(self) -> None:
        """Leave as when asked to; the lease is given up, and another replica need not wait."""
        self._has_resigned = True
        self._stop.set()

    async def _kinds_are_served(self, client: KubeClient) -> bool:
        """Wait for the CRDs: what is not there when watching begins is never watched.

        Returns:
            False when it is time to stop.
        """
        wanted = {kind.plural for kind in KINDS}
        while not self._stop.is_set():
            try:
                missing = wanted - await client.served(API_VERSION)
                problem = f"the API server does not serve {', '.join(sorted(missing))}: "
                problem += "helm install standfast-crds"
            except StandfastError as error:
                missing, problem = wanted, error.problem
            if not missing:
                return True
            if problem != self._missing:
                logger().warning("Waiting for the kinds", why=problem)
            self._missing = problem
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), KINDS_RETRY_S)
        return False

    async def _watch(self, client: KubeClient) -> None:
        if not await self._kinds_are_served(client):
            return
        self._missing = ""
        self._served.set()
        registry = kopf.OperatorRegistry()
        shell = handlers.Shell(
            store=self._store,
            endpoint=self._endpoint,
            credential=Credential(self._endpoint, self._clock),
            namespaces=self._settings.watch_namespaces,
            news=self._news,
            heard=self._heard,
        )
        handlers.register(registry, shell)
        ours = asyncio.create_task(self._take_signals_again(), name="signals")
        namespaces = self._settings.watch_namespaces
        try:
            await kopf.operator(
                registry=registry,
                settings=handlers.settings(),
                standalone=True,
                # Kopf's own guess needs a user with a name, and its type for this is private.
                identity=self._settings.pod_name,  # type: ignore[arg-type]
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=self._stop,
                ready_flag=self._ready,
            )
        finally:
            ours.cancel()

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)

    async def _take_signals_again(self) -> None:
        """Kopf takes them at its start; they are ours, because acting must stop first."""
        await self._ready.wait()
        self._take_signals()

    def _news(self, key: Key) -> None:
        if self._leading is not None:
            self._leading.news(key)

    def _heard(self) -> None:
        self._heard_at_ms = self._clock.now_ms()

    def _not_ready(self) -> str:
        return "" if self._ready.is_set() else self._missing or "the API server is not watched yet"

    def _collect(self, client: KubeClient) -> None:
        metrics = self._metrics
        metrics.writes.set(client.writes)
        if self._heard_at_ms is not None:
            metrics.heard.set((self._clock.now_ms() - self._heard_at_ms) / 1000)
        if self._leading is not None:
            metrics.queued.set(len(self._leading.parts.queue))
            metrics.events_dropped.set(self._leading.parts.recorder.dropped)
        metrics.conditions.clear()
        for cluster in self._store.all(HACluster):
            for condition in cluster.status.conditions:
                metrics.conditions.labels(*cluster.key, condition.type).set(
                    _NUMBERS[condition.status]
                )
        gauges = ResourceGauges(metrics)
        if self._leading is not None:
            for cluster in self._store.all(HACluster):
                said = self._leading.parts.switchboard.said(cluster.metadata.uid)
                gauges.show(cluster.key, said)


async def _run(settings: Settings) -> None:
    await Operator(settings).run()


def allow_connections() -> None:
    """Every member is one open connection, so each has to be cheap.

    Some container runtimes begin with 1,024 files. And asyncio fills a buffer of 256 KiB for each
    TLS connection when it is made: that alone is a quarter of a gigabyte for 1,000 members.
    """
    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@click.group()
def cli() -> None:
    """The operator of Standfast."""


@cli.command()
def run() -> None:
    """Watch, and act when elected, until stopped."""
    settings = Settings.from_environment()
    logs.configure(settings.log_level, settings.log_format)
    logger(**settings.model_dump()).info("Starting")
    allow_connections()
    asyncio.run(_run(settings))


def main() -> None:
    """Entry point: errors are sentences, exit codes say what to do about them."""
    try:
        cli(prog_name="standfast-operator")
    except StandfastError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
