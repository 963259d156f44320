"""The whole of kopf: an object that changed goes into the store, its key into the queue.

Only `@kopf.on.event`, which writes nothing to the objects. Handlers have no opinions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import kopf
from typing_extensions import override

from standfast.adapters.kube.client import make_session
from standfast.adapters.kube.endpoint import Credential, Endpoint
from standfast.api.base import GROUP, VERSION
from standfast.api.kinds import KINDS, Kind
from standfast.controller.store import Key, Store

WATCHES_HEADROOM = 4


@dataclass(frozen=True, slots=True)
class Shell:
    """What handlers reach: the store, and who is told of news.

    Attributes:
        news: Takes the key of an object that changed or vanished.
        heard: Told of every event, whatever it says.
    """

    store: Store
    endpoint: Endpoint
    credential: Credential
    namespaces: tuple[str, ...]
    news: Callable[[Key], None]
    heard: Callable[[], None]


def register(registry: kopf.OperatorRegistry, shell: Shell) -> None:
    """Put the handlers of all kinds, and the login, into a registry."""
    for kind in KINDS:
        kopf.on.event(GROUP, VERSION, kind.plural, id=f"store-{kind.plural}", registry=registry)(
            _store(kind, shell)
        )

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        watches = len(KINDS) * max(len(shell.namespaces), 1)
        limit = watches + WATCHES_HEADROOM
        session = make_session(shell.endpoint, shell.credential, limit)
        return kopf.AiohttpSession(
            server=shell.endpoint.server,
            aiohttp_session=session,
            default_namespace=shell.endpoint.namespace,
        )


def _store(kind: Kind, shell: Shell) -> Callable[..., Any]:
    async def store(event: kopf.RawEvent, **_: Any) -> None:
        shell.heard()
        document: dict[str, Any] = {**event["object"]}
        if event["type"] == "DELETED":
            metadata = document["metadata"]
            key = Key(kind.name, str(metadata.get("namespace") or ""), str(metadata["name"]))
            if shell.store.drop_if(key, str(metadata.get("uid"))):
                shell.news(key)
            return
        key, is_news = shell.store.put(kind, document)
        if is_news:
            shell.news(key)

    return store


def settings() -> kopf.OperatorSettings:
    """Kopf as measured to cost least and survive most (`docs/adr`)."""
    wanted = kopf.OperatorSettings()
    wanted.posting.enabled = False
    wanted.peering.standalone = True
    wanted.scanning.disabled = True
    wanted.networking.request_timeout = 20
    wanted.networking.connect_timeout = 5
    wanted.networking.error_backoffs = _Backoffs()
    wanted.watching.server_timeout = 300
    wanted.watching.connect_timeout = 5
    wanted.watching.inactivity_timeout = 70
    wanted.watching.chunk_size = 500
    wanted.watching.initial_streaming = False
    wanted.queueing.idle_timeout = 1
    wanted.persistence.finalizer = f"{GROUP}/unused"
    wanted.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    wanted.persistence.diffbase_storage = _NoEssence()
    return wanted


class _NoEssence(kopf.DiffBaseStorage):
    """Nothing is compared: there are no change handlers, and copies of every object cost a tenth.

    Kopf makes the copy for each event, whatever is registered.
    """

    @override
    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None
    ) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    @override
    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    @override
    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        raise AssertionError("nothing of ours lets kopf write")


class _Backoffs:
    """0.5, 1, 2, 4, 8, 15, 15, …: an API server that is away is waited for without end."""

    def __iter__(self) -> "_Delays":
        return _Delays()


class _Delays:
    def __init__(self) -> None:
        self._next_s = 0.5

    def __iter__(self) -> "_Delays":
        return self

    def __next__(self) -> float:
        delay_s, self._next_s = self._next_s, min(2 * self._next_s, 15.0)
        return delay_s
