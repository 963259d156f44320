"""One pod on the lab's node, from the moment it is bound to it until nothing of it is left.

Called by `pods_runner`, which tells it when its object was changed or deleted. The order of things
is the kubelet's: a card in the network, volumes, init containers one after the other, containers
together; on deletion all are stopped within the grace period, and only then the object goes.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from standfast.errors import TransientError
from standfast.lab import pods_kept, pods_spec
from standfast.lab.kube_client import ApiError, Json, KubeClient
from standfast.lab.paths import LabPaths
from standfast.lab.pods_container import Container
from standfast.lab.pods_network import Card, PodNetwork
from standfast.lab.pods_process import Files, Order
from standfast.lab.pods_spec import NotStartableError, Place
from standfast.lab.pods_status import ContainerView, Ended, PodView, Waiting, now, status
from standfast.lab.pods_volumes import Volumes, read_source

REFRESH_S = 5.0
RETRY_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """Where pods run.

    Args:
        paths: The lab.
        name: The node's name.
        address: The node's address.
        api_host: Where the API server is.
        api_port: And its port.
        bin_dir: The programs of the product's own images.
        hide: Directories that no container may see.
        expose: Directories that every container must see.
        hosts: The `/etc/hosts` of every pod.
        resolver: The `/etc/resolv.conf` of every pod.
    """

    paths: LabPaths
    name: str
    address: str
    api_host: str
    api_port: int
    bin_dir: Path
    hide: tuple[str, ...]
    expose: tuple[str, ...]
    hosts: Path
    resolver: Path


class Pod:
    """One pod.

    Args:
        api: The API.
        node: Where it runs.
        network: Gives it its card.
        number: Its number among the lab's pods.
        manifest: Its object.
    """

    def __init__(
        self, api: KubeClient, node: Node, network: PodNetwork, number: int, manifest: Json
    ) -> None:
        self._api = api
        self._node = node
        self._network = network
        self.number = number
        self.manifest = manifest
        self._directory = node.paths.pods_dir / manifest["metadata"]["uid"]
        self._card: Card | None = None
        self._volumes: Volumes | None = None
        self._mounts: dict[str, Path] = {}
        self._trouble: Waiting | None = None
        self._started_at = manifest.get("status", {}).get("startTime") or now()
        self._dirty = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = False
        spec = manifest["spec"]
        self._policy = spec.get("restartPolicy", "Always")
        retried = self._policy != "Never"
        self._init = tuple(
            self._container(entry, lambda code: code != 0 and retried)
            for entry in spec.get("initContainers", [])
        )
        self._containers = tuple(
            self._container(entry, self._restarts_after) for entry in spec["containers"]
        )

    @property
    def label(self) -> str:
        return pods_spec.label_of(self.manifest)

    def update(self, manifest: Json) -> None:
        """Its object was changed."""
        self.manifest = manifest
        if "deletionTimestamp" in manifest["metadata"]:
            self._deleted.set()

    def forget(self) -> None:
        """Its object is gone without us: it ends now."""
        self._gone = True
        self._deleted.set()

    async def run(self) -> None:
        """Lives until nothing of it is left."""
        reporting = asyncio.create_task(self._report())
        living = asyncio.create_task(self._live())
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait({living, deleted}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()  # it has ended by itself, or this raises our bug
            await deleted
            await self._stop()
        finally:
            for task in (living, deleted, reporting):
                task.cancel()
            await asyncio.gather(living, deleted, reporting, return_exceptions=True)
        await self._vanish()

    async def _live(self) -> None:
        pods_kept.keep(self._directory, self.label, self.number)
        self._dirty.set()
        await self._until_done(self._plug)
        await self._until_done(self._fill)
        refreshing = asyncio.create_task(self._refresh())
        try:
            for container in self._init:
                await container.run()
                if not _succeeded(container):
                    return
            async with asyncio.TaskGroup() as group:
                for container in self._containers:
                    group.create_task(container.run())
        finally:
            refreshing.cancel()

    async def _stop(self) -> None:
        spec, metadata = self.manifest["spec"], self.manifest["metadata"]
        grace_s = metadata.get(
            "deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30)
        )
        log.info("Stopping pod=%s grace_s=%d", self.label, 0 if self._gone else grace_s)
        async with asyncio.TaskGroup() as group:
            for container in (*self._init, *self._containers):
                group.create_task(container.stop(0 if self._gone else grace_s))

    async def _vanish(self) -> None:
        while True:
            if await self._has_left():
                break
            await asyncio.sleep(RETRY_S)
        if _exists(self._directory):
            shutil.rmtree(self._directory)
        log.info("Gone pod=%s", self.label)

    async def _has_left(self) -> bool:
        try:
            await self._network.unplug(self.number, self.manifest["metadata"]["name"])
            if not self._gone:
                await self._api.delete(self._path(), self._delete_options())
        except (TransientError, ApiError) as error:
            log.info("Not gone yet pod=%s error=%s", self.label, error.problem)
            return False
        return True

    async def _plug(self) -> None:
        self._card = await self._network.plug(self.number, self.manifest["metadata"]["name"])
        self._volumes = Volumes(self._api, self.manifest, self._directory / "volumes", self._place)

    async def _fill(self) -> None:
        assert self._volumes is not None, "volumes are filled before the pod has a card"
        self._mounts = await self._volumes.fill()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self._fill()
            except (TransientError, ApiError) as error:
                log.info("Volumes not refreshed pod=%s error=%s", self.label, error.problem)

    async def _until_done(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Repeats a step until it succeeds; meanwhile the containers show why it does not."""
        while True:
            try:
                await step()
            except NotStartableError as error:
                self._trouble = Waiting(error.reason, error.problem)
            except (TransientError, ApiError) as error:
                self._trouble = Waiting("ContainerCreating", error.problem)
            else:
                self._trouble = None
                self._dirty.set()
                return
            self._dirty.set()
            await asyncio.sleep(RETRY_S)

    async def _order(self, container: Json) -> Order:
        found = {}
        for source, optional in pods_spec.sources(container).items():
            data = await read_source(self._api, self.manifest["metadata"]["namespace"], source)
            if data is not None:
                found[source] = {
                    key: value.decode("utf-8", "replace") for key, value in data.items()
                }
            elif not optional:
                raise NotStartableError(f'{source[0]} "{source[1]}" not found')
        env = pods_spec.environment(self.manifest, container, found, self._place)
        assert self._card is not None, "a container is ordered before its pod has a card"
        return Order(
            argv=pods_spec.command(container, env),
            env=env,
            cwd=container.get("workingDir", "/"),
            hostname=pods_spec.hostname(self.manifest),
            rights=pods_spec.rights(self.manifest, container),
            mounts=(
                ("/etc/hosts", self._node.hosts, True),
                ("/etc/resolv.conf", self._node.resolver, True),
                *self._volume_mounts(container, env),
            ),
            hide=self._node.hide,
            expose=self._node.expose,
            ports={
                port["name"]: port["containerPort"]
                for port in container.get("ports", [])
                if "name" in port
            },
            address=self._card.address,
            namespace=self._card.namespace,
        )

    def _volume_mounts(
        self, container: Json, env: dict[str, str]
    ) -> Iterator[tuple[str, Path, bool]]:
        for mount in container.get("volumeMounts", []):
            source = self._mounts[mount["name"]]
            inner = mount.get("subPath") or pods_spec.expand(mount.get("subPathExpr", ""), env)
            if inner:
                source /= inner
                if not source.exists():
                    source.mkdir(parents=True)
            yield mount["mountPath"], source, mount.get("readOnly", False)

    def _container(self, manifest: Json, restarts_after: Callable[[int], bool]) -> Container:
        metadata, name = self.manifest["metadata"], manifest["name"]
        log_name = f"{metadata['namespace']}_{metadata['name']}_{name}.log"
        files = Files(
            self._directory / "containers" / name, self._node.paths.pod_log_dir / log_name
        )
        return Container(manifest, files, restarts_after, self._order, self._dirty.set)

    def _restarts_after(self, code: int) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and code != 0)

    @property
    def _place(self) -> Place:
        node = self._node
        pod_ip = "" if self._card is None else self._card.address
        return Place(node.name, node.address, pod_ip, node.api_host, node.api_port, node.bin_dir)

    def _view(self) -> PodView:
        return PodView(
            init=self._shown(self._init),
            containers=self._shown(self._containers),
            restart_policy=self._policy,
            started_at=self._started_at,
            host_ip=self._node.address,
            pod_ip="" if self._card is None else self._card.address,
        )

    def _shown(self, containers: Iterable[Container]) -> tuple[ContainerView, ...]:
        views = (container.view() for container in containers)
        if self._trouble is None:
            return tuple(views)
        return tuple(replace(view, state=self._trouble) for view in views)

    async def _report(self) -> None:
        """Writes the pod's status whenever it has changed and somebody is there to read it."""
        written: Json = {}
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            wanted = status(self._view(), written or self.manifest.get("status", {}), now())
            if wanted == written:
                continue
            try:
                await self._api.merge(f"{self._path()}/status", {"status": wanted})
                written = wanted
            except ApiError as error:
                if not error.not_found:
                    log.warning("Status refused pod=%s error=%s", self.label, error.problem)
            except TransientError:
                self._dirty.set()
                await asyncio.sleep(RETRY_S)

    def _path(self) -> str:
        metadata = self.manifest["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"

    def _delete_options(self) -> Json:
        uid = self.manifest["metadata"]["uid"]
        return {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}


def _exists(path: Path) -> bool:
    return path.exists()


def _succeeded(container: Container) -> bool:
    state = container.view().state
    return isinstance(state, Ended) and state.code == 0
