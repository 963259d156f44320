"""A small asynchronous client of the Kubernetes API, for the lab's control side only.

Used by `kube` to see that the control plane is ready and by the pod runner, which needs
subresources (binding, status, token) and long watches and little else. Objects are plain JSON. The
product has its own client (`adapters/kube`).
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from standfast.errors import StandfastError, TransientError
from standfast.lab.ca import Pair

Json = dict[str, Any]

CALL_S = 30
LINE_BYTES_MAX = 16 * 1024 * 1024
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(StandfastError):
    """The API server answered, and the answer is no.

    Args:
        problem: Its sentence.
        status: HTTP status.
        reason: Its machine-readable reason, `NotFound`.
    """

    def __init__(self, problem: str, status: int, reason: str) -> None:
        super().__init__(problem)
        self.status = status
        self.reason = reason

    @property
    def not_found(self) -> bool:
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def conflict(self) -> bool:
        return self.status == HTTPStatus.CONFLICT


class KubeClient:
    """A connection to an API server, known by a client certificate: `async with KubeClient(...)`.

    Every call raises `ApiError` for a refusal and `TransientError` when nobody answers.

    Args:
        server: `https://address:port`.
        ca: Authority that signed its certificate.
        pair: The client's certificate and key.
    """

    def __init__(self, server: str, ca: Path, pair: Pair) -> None:
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(pair.certificate, pair.key)
        self._session = aiohttp.ClientSession(
            server,
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            read_bufsize=LINE_BYTES_MAX,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ready(self) -> bool:
        """Whether the API server serves."""
        try:
            async with self._session.get("/readyz", timeout=_within(5)) as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        return await self._call("GET", path, params=params)

    async def exists(self, path: str) -> bool:
        try:
            await self.get(path)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return True

    async def create(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, body=body)

    async def merge(self, path: str, body: Json) -> Json:
        """Merge-patches an object or its subresource."""
        return await self._call("PATCH", path, body=body, content_type=MERGE)

    async def apply(self, path: str, body: Json) -> Json:
        """Makes an object as described, whether it exists or not (server-side apply)."""
        params = {"fieldManager": "standfast-lab", "force": "true"}
        return await self._call("PATCH", path, body=body, params=params, content_type=APPLY)

    async def delete(self, path: str, body: Json) -> None:
        """Deletes an object; one that is gone, or another by the same name, is left alone."""
        try:
            await self._call("DELETE", path, body=body)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    async def watch(self, path: str, version: str) -> AsyncIterator[Json]:
        """The events after a resource version, until the server ends the watch."""
        params = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=330)
        try:
            async with self._session.get(path, params=params, timeout=timeout) as answer:
                await _refuse(answer)
                async for line in answer.content:
                    yield msgspec.json.decode(line)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _no_answer(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        try:
            async with self._session.request(
                method, path, params=params, data=data, headers=headers, timeout=_within(CALL_S)
            ) as answer:
                await _refuse(answer)
                return msgspec.json.decode(await answer.read(), type=Json)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _no_answer(error) from error


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    text = await answer.read()
    try:
        status = msgspec.json.decode(text, type=Json)
    except msgspec.DecodeError:
        status = {"message": text.decode(errors="replace")}
    raise ApiError(
        status.get("message", "no reason given"), answer.status, status.get("reason", "Unknown")
    )


def _no_answer(error: Exception) -> TransientError:
    return TransientError(f"the lab's API server does not answer: {str(error) or 'not in time'}")


def _within(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)
