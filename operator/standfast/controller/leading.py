"""The acting replica: put together when elected, passes until it ends.

Several workers take keys from one queue; a sweep lists and compares; which other keys a change
concerns is said in one place, `concerned`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.elector import Elector
from standfast.adapters.kube.recorder import Recorder
from standfast.api.cluster import HACluster
from standfast.api.infrastructure import Infrastructure
from standfast.api.resource import HAResource
from standfast.api.switchover import Switchover
from standfast.api.witness import Witness
from standfast.controller.authorities import Authorities
from standfast.controller.calling import Caller
from standfast.controller.clusters import Clusters
from standfast.controller.errands import Errands
from standfast.controller.execution import Executor
from standfast.controller.infrastructures import Infrastructures
from standfast.controller.listening import Switchboard
from standfast.controller.logs import decision, logger
from standfast.controller.ops import Metrics
from standfast.controller.parts import Parts
from standfast.controller.places import look_at_infrastructure, look_at_witness
from standfast.controller.provision import Provider
from standfast.controller.reach import LOOK_S, Reach
from standfast.controller.records import Records
from standfast.controller.settings import Settings
from standfast.controller.statuses import StatusWriter
from standfast.controller.store import Key, Store
from standfast.controller.sweep import SWEEP_S, sweep
from standfast.controller.witnesses import Witnesses
from standfast.controller.workqueue import WorkQueue, work
from standfast.errors import TransientError
from standfast.ports.clock import Clock

WORKERS = 4


class Leading:
    """Everything that only the elected replica has.

    Args:
        settings: Of the process.
        store: Filled by handlers, also while not elected.
        client: The API server.
        elector: Whether we may act.
        clock: For moments.
        metrics: For alarms.
        resign: Called when another replica should act instead.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        client: KubeClient,
        elector: Elector,
        clock: Clock,
        metrics: Metrics,
        resign: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        queue: WorkQueue[Key] = WorkQueue(clock)
        caller = Caller(lambda: elector.token, elector.outbid)
        authorities = Authorities(client)
        errands = Errands(queue, clock)
        recorder = Recorder(client, clock, settings.pod_name)
        self.parts = Parts(
            store=store,
            queue=queue,
            clock=clock,
            client=client,
            caller=caller,
            authorities=authorities,
            switchboard=Switchboard(caller, clock),
            infrastructures=Infrastructures(client, clock, self._infrastructure_changed),
            witnesses=Witnesses(
                client,
                authorities,
                caller,
                clock,
                image=settings.witness_image,
                on_change=self._witness_changed,
            ),
            errands=errands,
            executor=Executor(errands, caller, elector, clock),
            provider=Provider(client, authorities, caller, errands, clock),
            recorder=recorder,
            statuses=StatusWriter(client, store, recorder),
            records=Records(client, store, recorder),
        )
        self._clusters = Clusters(self.parts)
        self._reach = Reach(self.parts.switchboard, clock)
        self._resign = resign
        self._unjudged: set[Key] = set()
        self._began_at_ms = 0

    def news(self, key: Key) -> None:
        """An object changed or vanished."""
        for concerned in self.concerned(key):
            self.parts.queue.add(concerned)

    def concerned(self, key: Key) -> Iterable[Key]:
        """Keys to look at when the object behind `key` has changed."""
        match key.kind:
            case "HACluster":
                yield key
                yield from self._witnesses_of(key)
            case "HAResource" | "Switchover":
                yield from self._cluster_of(key)
            case "Infrastructure" | "Witness":
                yield key
                yield from self.parts.store.keys(HACluster.__name__, key.namespace)
            case _:
                return

    async def run(self) -> None:
        """Act until cancelled."""
        parts = self.parts
        self._began_at_ms = parts.clock.now_ms()
        try:
            await self._sweep()
            self._unjudged = set(parts.store.keys(HACluster.__name__))
            for kind in (Infrastructure, Witness, HACluster):
                for key in parts.store.keys(kind.__name__):
                    parts.queue.add(key)
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work(parts.queue, self._look))
                group.create_task(self._sweep_for_ever())
                group.create_task(self._keep_reaching())
                group.create_task(parts.recorder.run())
        finally:
            await parts.errands.close()
            await parts.switchboard.close()
            await parts.infrastructures.close()
            await parts.caller.close()

    async def _look(self, key: Key) -> int | None:
        began = time.perf_counter()
        try:
            with decision():
                return await self._look_at(key)
        except TransientError as error:
            self._metrics.broken.labels(key.kind).inc()
            logger(key=str(key)).info("Pass put off", error=error.problem)
            raise
        finally:
            self._metrics.passes.labels(key.kind).observe(time.perf_counter() - began)

    async def _look_at(self, key: Key) -> int | None:
        match key.kind:
            case "HACluster":
                again_ms = await self._clusters.look(key)
                self._judged(key)
                return again_ms
            case "Infrastructure":
                return await look_at_infrastructure(self.parts, key)
            case "Witness":
                return await look_at_witness(self.parts, key)
            case _:
                return None

    def _judged(self, key: Key) -> None:
        """Say once when everything that was there at the beginning has been judged afresh."""
        if key not in self._unjudged or not self._clusters.is_judged(key):
            return
        self._unjudged.discard(key)
        if not self._unjudged:
            took_ms = self.parts.clock.now_ms() - self._began_at_ms
            self._metrics.synced.set(took_ms / 1000)
            clusters = len(self.parts.store.keys(HACluster.__name__))
            logger(took_ms=took_ms, clusters=clusters).info("Judged all")

    async def _sweep(self) -> None:
        parts = self.parts
        await sweep(parts.client, parts.store, self._settings.watch_namespaces, self.news)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._sweep()
            except TransientError as error:
                logger().info("Sweep put off", error=error.problem, at=datetime.now(UTC))

    async def _keep_reaching(self) -> None:
        while not (lost := self._reach.lost()):  # noqa: ASYNC110 -- silence tells nobody
            await asyncio.sleep(LOOK_S)
        logger(members=lost).warning(
            "Nobody is reached", why="every member was lost: another replica may reach them"
        )
        self._resign()

    def _cluster_of(self, key: Key) -> Iterable[Key]:
        """The cluster that a resource or switchover names; all of them when it is gone."""
        found = (
            self.parts.store.get(HAResource, key.namespace, key.name)
            if key.kind == "HAResource"
            else self.parts.store.get(Switchover, key.namespace, key.name)
        )
        if found is not None:
            yield Key(HACluster.__name__, key.namespace, found.spec.cluster_ref.name)
            return
        yield from self.parts.store.keys(HACluster.__name__, key.namespace)

    def _witnesses_of(self, key: Key) -> Iterable[Key]:
        cluster = self.parts.store.get(HACluster, key.namespace, key.name)
        for ref in cluster.spec.witnesses if cluster is not None else ():
            yield Key(Witness.__name__, key.namespace, ref.name)

    def _infrastructure_changed(self, key: Key, vms: frozenset[str] | None) -> None:
        self.parts.queue.add(key)
        for cluster, named in self.parts.infrastructures.of(key).users.items():
            if vms is None or vms & named:
                self.parts.queue.add(cluster)

    def _witness_changed(self, key: Key) -> None:
        self.parts.queue.add(key)
        for cluster in self.parts.store.all(HACluster, key.namespace):
            if any(ref.name == key.name for ref in cluster.spec.witnesses):
                self.parts.queue.add(Key(HACluster.__name__, *cluster.key))
