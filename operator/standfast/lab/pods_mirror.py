"""A copy of one kind of the API's objects, kept up to date by a watch.

The pod runner has one per kind it looks at. When the API server is away the copy stays as it was,
and the mirror tries again: pods go on running without a control plane.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus

from standfast.errors import TransientError
from standfast.lab.kube_client import ApiError, Json, KubeClient

RETRY_S = 0.5

log = logging.getLogger(__name__)


class Mirror:
    """The objects behind one collection's path.

    Args:
        api: The API.
        path: `/api/v1/pods`.
        changed: Called after every change, without arguments.
    """

    def __init__(self, api: KubeClient, path: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self._objects: dict[str, Json] = {}
        self.filled = asyncio.Event()

    def __iter__(self) -> Iterator[Json]:
        return iter(list(self._objects.values()))

    async def run(self) -> None:
        """Follows the collection until it is cancelled."""
        while True:
            try:
                await self._follow(await self._fill())
            except TransientError:
                await asyncio.sleep(RETRY_S)
            except ApiError as error:
                if error.status != HTTPStatus.GONE:
                    log.warning("Watch refused path=%s error=%s", self._path, error.problem)
                    await asyncio.sleep(RETRY_S)

    async def _fill(self) -> str:
        listed = await self._api.get(self._path)
        self._objects = {item["metadata"]["uid"]: item for item in listed.get("items") or []}
        self.filled.set()
        self._changed()
        return str(listed["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        while True:
            async for event in self._api.watch(self._path, version):
                item = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(item.get("message", ""), item.get("code", 0), "Watch")
                version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED":
                    self._objects.pop(item["metadata"]["uid"], None)
                else:
                    self._objects[item["metadata"]["uid"]] = item
                self._changed()
