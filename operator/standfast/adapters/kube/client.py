"""A small client of the API server on aiohttp: read, create, apply, delete, with time limits.

Writes are of three kinds: `create` (fails when there is one), `apply` (server-side apply: our
fields and no others), `apply_status` (the same on the status, with the resourceVersion it was made
from as precondition, so that a stale replica writes nothing). Nothing here retries: the work queue
does, and knows the deadline.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus

import aiohttp

from standfast.adapters.kube.endpoint import Credential, Endpoint
from standfast.adapters.kube.paths import Collection, Document
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.clock import Clock

FIELD_MANAGER = "standfast-operator"
REQUEST_S_MAX = 15.0
CONNECT_S_MAX = 5.0
CONNECTIONS = 16
PAGE = 500

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class NotFoundError(TransientError):
    """There is no such object."""


class ConflictError(TransientError):
    """Somebody else changed or made it first: read it again."""


class UnreachableError(TransientError):
    """The API server did not answer, or answered that it cannot now."""


def make_session(endpoint: Endpoint, credential: Credential, limit: int) -> aiohttp.ClientSession:
    """A session whose every request carries the token that is valid then."""

    async def prove(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update(credential.headers())
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=endpoint.ssl_context()),
        middlewares=(prove,),
        headers={"User-Agent": FIELD_MANAGER},
    )


class KubeClient:
    """One API server.

    Args:
        endpoint: Where and as whom.
        clock: For the age of the token.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._server = endpoint.server
        self._session = make_session(endpoint, Credential(endpoint, clock), CONNECTIONS)
        self._timeout = aiohttp.ClientTimeout(total=REQUEST_S_MAX, connect=CONNECT_S_MAX)
        self.writes = 0
        """Writes that were sent since the start; 0 while nothing happens."""

    async def close(self) -> None:
        await self._session.close()

    async def get(self, what: Collection, namespace: str, name: str) -> Document:
        """Read one object.

        Raises:
            NotFoundError: There is none.
        """
        return await self._call("GET", what.path(namespace, name))

    async def find(self, what: Collection, namespace: str, name: str) -> Document | None:
        """Read one object; none when there is none."""
        try:
            return await self.get(what, namespace, name)
        except NotFoundError:
            return None

    async def list(
        self,
        what: Collection,
        namespace: str = "",
        labels: str = "",
        on_version: Callable[[str], None] | None = None,
    ) -> AsyncIterator[Document]:
        """Read all objects, of one namespace or of all, page by page.

        Args:
            what: Of which kind.
            namespace: Empty for all.
            labels: A label selector.
            on_version: Told once of which moment the list is (its resourceVersion).
        """
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = labels
        while True:
            page = await self._call("GET", what.path(namespace), query=query)
            if on_version is not None and "continue" not in query:
                on_version(str(page.get("metadata", {}).get("resourceVersion", "")))
            for item in page.get("items") or ():
                yield what.of(item)
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token

    async def create(self, what: Collection, namespace: str, document: Document) -> Document:
        """Make an object.

        Raises:
            ConflictError: One of that name exists.
        """
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write("POST", what.path(namespace), query=query, body=what.of(document))

    async def apply(
        self, what: Collection, namespace: str, name: str, document: Document
    ) -> Document:
        """Make an object, or set our fields of it."""
        return await self._apply(what.path(namespace, name), what, name, document)

    async def apply_status(
        self,
        what: Collection,
        namespace: str,
        name: str,
        status: Mapping[str, object],
        resource_version: str,
    ) -> Document:
        """Replace our status of an object, unless it changed since `resource_version`.

        Raises:
            ConflictError: It changed, or it is gone.
        """
        document: Document = {
            "metadata": {"resourceVersion": resource_version},
            "status": dict(status),
        }
        try:
            return await self._apply(what.path(namespace, name, "status"), what, name, document)
        except NotFoundError as error:
            raise ConflictError(error.problem) from error

    async def merge(
        self, what: Collection, namespace: str, name: str, document: Document
    ) -> Document:
        """Set some fields of an object that exists."""
        return await self._write(
            "PATCH", what.path(namespace, name), body=document, content=_MERGE
        )

    async def delete(self, what: Collection, namespace: str, name: str, uid: str) -> None:
        """Delete this very object; fine when it is gone or another has its name."""
        body: Document = {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self._write("DELETE", what.path(namespace, name), body=body)
        except (NotFoundError, ConflictError):
            return

    async def served(self, api_version: str) -> frozenset[str]:
        """Plurals of the kinds that the API server serves in a group; empty for an unknown one."""
        try:
            found = await self._call("GET", f"/apis/{api_version}")
        except NotFoundError:
            return frozenset()
        return frozenset(str(each.get("name")) for each in found.get("resources") or ())

    async def answers(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            await self._call("GET", "/readyz", expect_json=False)
        except StandfastError:
            return False
        return True

    async def _apply(self, path: str, what: Collection, name: str, document: Document) -> Document:
        metadata = {"name": name, **document.get("metadata", {})}
        return await self._write(
            "PATCH",
            path,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=what.of({**document, "metadata": metadata}),
            content=_APPLY,
        )

    async def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        content: str = "application/json",
    ) -> Document:
        self.writes += 1
        return await self._call(method, path, query=query, body=body, content=content)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        content: str = "application/json",
        expect_json: bool = True,
    ) -> Document:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": content}
        doing = f"{method} {path}"
        try:
            async with self._session.request(
                method,
                self._server + path,
                params=query,
                data=data,
                headers=headers,
                timeout=self._timeout,
            ) as answer:
                text = await answer.read()
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    retry_after = answer.headers.get("Retry-After", "")
                    raise _refusal(doing, answer.status, text, retry_after)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise UnreachableError(
                f"{doing}: the Kubernetes API server does not answer ({said})",
                retry_after_ms=2_000,
            ) from error
        document: Document = json.loads(text) if expect_json and text else {}
        return document


def _refusal(doing: str, status: int, text: bytes, retry_after: str) -> StandfastError:
    """What the API server's answer means for us."""
    said = _message(text)
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(f"{doing}: {said}")
        case HTTPStatus.CONFLICT:
            return ConflictError(f"{doing}: {said}", retry_after_ms=100)
        case HTTPStatus.FORBIDDEN:
            return UserError(
                f"{doing}: the operator may not do this: {said}",
                remedy="install the chart of this version, which grants it (helm upgrade)",
            )
        case HTTPStatus.UNPROCESSABLE_ENTITY | HTTPStatus.BAD_REQUEST:
            return UserError(
                f"{doing}: the API server refuses the object: {said}",
                remedy="install the CRDs of this version (helm upgrade standfast-crds)",
            )
        case _:
            after_ms = int(retry_after) * 1000 if retry_after.isdigit() else 2_000
            return UnreachableError(f"{doing}: {status} {said}", retry_after_ms=after_ms)


def _message(text: bytes) -> str:
    try:
        status = json.loads(text)
    except ValueError:
        return text.decode(errors="replace").strip()[:300]
    return str(status.get("message", ""))[:500] if isinstance(status, dict) else ""
