"""The lab's node: takes every pod that waits for one, runs it, and provides what it needs.

Scheduler, kubelet, volume provisioner and load balancer of the lab in one process, each as small
as one node allows. A change anywhere wakes one pass over everything, which compares what the API
says with what runs; whatever takes time is a task of the pod it concerns.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from standfast.errors import TransientError
from standfast.lab import pods_claims, pods_kept, pods_node, pods_services
from standfast.lab.kube_client import ApiError, Json, KubeClient
from standfast.lab.pods_mirror import Mirror
from standfast.lab.pods_network import PodNetwork
from standfast.lab.pods_numbers import Numbers
from standfast.lab.pods_pod import Node, Pod
from standfast.lab.pods_services import Ingress
from standfast.lab.pods_spec import label_of

SWEEP_S = 10.0
"""Between passes when nothing changes: what was refused is tried again."""

HEARTBEAT_S = 30.0

log = logging.getLogger(__name__)


class Runner:
    """The node.

    Args:
        api: The API.
        node: What it is called and where its files are.
        network: Gives pods their cards.
        logs_port: Where the API server asks it for what containers print.
    """

    def __init__(self, api: KubeClient, node: Node, network: PodNetwork, logs_port: int) -> None:
        self._api = api
        self._node = node
        self._network = network
        self._logs_port = logs_port
        self._numbers = Numbers(node.paths.pods_dir / "numbers.json")
        self._wake = asyncio.Event()
        self._pods: dict[str, Pod] = {}
        self._ended: set[str] = set()
        self._all, self._services, self._claims, self._volumes = (
            Mirror(api, path, self._wake.set)
            for path in (
                "/api/v1/pods",
                "/api/v1/services",
                "/api/v1/persistentvolumeclaims",
                "/api/v1/persistentvolumes",
            )
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Runs pods until it is cancelled; they go on without it.

        Args:
            ready: Called when the node is known to the API.
        """
        mirrors = (self._all, self._services, self._claims, self._volumes)
        async with asyncio.TaskGroup() as group:
            for mirror in mirrors:
                group.create_task(mirror.run())
            for mirror in mirrors:
                await mirror.filled.wait()
            await self._remove_leftovers()
            group.create_task(self._declare(ready))
            while True:
                self._wake.clear()
                await self._pass(group)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), SWEEP_S)

    async def _pass(self, group: asyncio.TaskGroup) -> None:
        pods = list(self._all)
        self._take(pods, group)
        _write_if_changed(self._node.hosts, pods_services.hosts_file(self._services, pods))
        steps = [self._bind(pod) for pod in pods if _waits_for_node(pod)]
        steps += [
            self._show(ingress) for ingress in pods_services.stale_ingresses(self._services, pods)
        ]
        steps.append(
            pods_claims.provision(
                self._api, self._node.paths.volumes_dir, self._claims, self._volumes
            )
        )
        for step in steps:
            await _tried(step)

    def _take(self, manifests: Iterable[Json], group: asyncio.TaskGroup) -> None:
        """Starts pods that are new, tells others what changed, and ends those that are gone."""
        ours = {
            pod["metadata"]["uid"]: pod
            for pod in manifests
            if pod["spec"].get("nodeName") == self._node.name
        }
        self._ended &= ours.keys()  # the mirror hears of an end after us
        for uid, pod in self._pods.items():
            if uid in ours:
                pod.update(ours[uid])
            else:
                pod.forget()
        busy = {pod.label for pod in self._pods.values()}
        for uid, manifest in ours.items():
            label = label_of(manifest)
            taken = uid in self._pods or uid in self._ended or label in busy
            if taken or _has_ended(manifest):
                continue
            number = self._numbers.give(label, {pod.number for pod in self._pods.values()})
            if number is None:
                log.warning("No address left pod=%s", label)
                continue
            pod = Pod(self._api, self._node, self._network, number, manifest)
            self._pods[uid] = pod
            log.info("Taking pod=%s number=%d", label, number)
            task = group.create_task(pod.run())
            task.add_done_callback(partial(self._drop, uid))
            pod.update(manifest)

    def _drop(self, uid: str, _task: asyncio.Task[None]) -> None:
        del self._pods[uid]
        self._ended.add(uid)
        self._wake.set()

    async def _bind(self, pod: Json) -> None:
        metadata = pod["metadata"]
        await self._api.create(
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding",
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self._node.name},
            },
        )

    async def _show(self, ingress: Ingress) -> None:
        await self._api.merge(
            f"/api/v1/namespaces/{ingress.namespace}/services/{ingress.name}/status",
            {"status": {"loadBalancer": {"ingress": [{"ip": ingress.address}]}}},
        )

    async def _declare(self, ready: Callable[[], None]) -> None:
        while True:
            if await _tried(pods_node.declare(self._api, self._node, self._logs_port)):
                ready()
                await asyncio.sleep(HEARTBEAT_S)
            else:
                await asyncio.sleep(1)

    async def _remove_leftovers(self) -> None:
        """Ends pods that were deleted while no runner was there."""
        known = {pod["metadata"]["uid"] for pod in self._all}
        for kept in pods_kept.pods(self._node.paths):
            if kept.uid not in known:
                await pods_kept.remove(self._node.paths, kept, self._network)


async def _tried(step: Coroutine[Any, Any, None]) -> bool:
    """Whether a step was done; why not is logged, and the next pass tries again."""
    try:
        await step
    except ApiError as error:
        if not (error.conflict or error.not_found):  # else somebody was faster
            log.warning("Refused error=%s", error.problem)
        return False
    except TransientError as error:
        log.info("Waiting error=%s", error.problem)
        return False
    return True


def _waits_for_node(pod: Json) -> bool:
    spec = pod["spec"]
    gated = bool(spec.get("schedulingGates"))
    return not (spec.get("nodeName") or gated or "deletionTimestamp" in pod["metadata"])


def _has_ended(pod: Json) -> bool:
    """Whether it ran to its end before; it is only taken again to be deleted."""
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return ended and "deletionTimestamp" not in pod["metadata"]


def _write_if_changed(path: Path, text: str) -> None:
    """Rewrites a file in place: mounted into pods, a replaced one would go on being seen."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
