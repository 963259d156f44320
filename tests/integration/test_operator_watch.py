"""A watch that falls silent: something between operator and API server keeps the connection and
passes nothing on any more (F75).

The watches are the operator's own, on a real API server; only whoever acts on news is left out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import kopf
import pytest

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.endpoint import Credential, Endpoint
from standfast.adapters.kube.paths import Collection
from standfast.adapters.linux.clock import BootClock
from standfast.controller import handlers
from standfast.controller.main import SILENT_S_MAX
from standfast.controller.store import Key, Store
from tests.integration.kube_parts import KubeLab
from tests.integration.operator_bed import NAMESPACE, clear

pytestmark = pytest.mark.lab

WITNESSES = Collection("standfast.dev/v1alpha1", "Witness", "witnesses")
SHORT_S = 2
"""In place of the operator's own patience, which is longer than a minute."""


@dataclass
class Proxy:
    """Passes TCP on. Connections that are there at `swallow` stay, and pass nothing on from then.

    Attributes:
        port: Where it listens.
        opened: How many connections there were so far.
    """

    to: tuple[str, int]
    port: int = 0
    opened: int = 0
    _swallowed: set[int] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def swallow(self) -> None:
        self._swallowed = set(range(self.opened))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            closed = (writer.wait_closed() for writer in self._writers)
            await asyncio.gather(*closed, return_exceptions=True)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        number, self.opened = self.opened, self.opened + 1
        far, forth = await asyncio.open_connection(*self.to)
        self._writers += [back, forth]
        for reader, writer in ((near, forth), (far, back)):
            task = asyncio.create_task(self._pass_on(number, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if number not in self._swallowed:
                    writer.write(data)
                    await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()


@asynccontextmanager
async def watching(
    endpoint: Endpoint, settings: kopf.OperatorSettings
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """The watches of a replica; what comes out waits for news of an object of this name."""
    heard: asyncio.Queue[Key] = asyncio.Queue()
    registry = kopf.OperatorRegistry()
    shell = handlers.Shell(
        store=Store(),
        endpoint=endpoint,
        credential=Credential(endpoint, BootClock()),
        namespaces=(NAMESPACE,),
        news=heard.put_nowait,
        heard=lambda: None,
    )
    handlers.register(registry, shell)
    stop, ready = asyncio.Event(), asyncio.Event()
    replica = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings,
            standalone=True,
            identity="replica",  # type: ignore[arg-type]  # as in `controller.main`
            namespaces=[NAMESPACE],
            stop_flag=stop,
            ready_flag=ready,
        )
    )

    async def news_of(name: str) -> None:
        while (await heard.get()).name != name:
            pass

    try:
        await ready.wait()
        yield news_of
    finally:
        stop.set()
        await replica


async def declare(client: KubeClient, name: str) -> None:
    spec = {"agent": {"addresses": ["192.0.2.30:7380"]}}
    await client.create(
        WITNESSES, NAMESPACE, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    )


@pytest.mark.parametrize(
    "patience_s",
    [
        pytest.param(SHORT_S, id="short"),
        pytest.param(None, id="its-own", marks=pytest.mark.load),
    ],
)
async def test_f75_a_watch_that_falls_silent_is_begun_anew(
    patience_s: float | None, kube: KubeLab, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its silence alone: the connection stays, and nobody says that anything is wrong."""
    settings = handlers.settings()
    if patience_s is not None:
        settings.watching.inactivity_timeout = patience_s
    host, _, port = kube.endpoint.server.removeprefix("https://").partition(":")
    client = kube.client()
    proxy = Proxy((host, int(port)))
    clock = BootClock()
    try:
        async with proxy.run():
            endpoint = replace(kube.endpoint, server=f"https://127.0.0.1:{proxy.port}")
            async with watching(endpoint, settings) as news_of:
                await declare(client, "before")
                await asyncio.wait_for(news_of("before"), 10)
                before, began = proxy.opened, clock.now_ms()
                proxy.swallow()
                await declare(client, "meanwhile")
                await asyncio.wait_for(news_of("meanwhile"), SILENT_S_MAX)
                took_s = (clock.now_ms() - began) / 1000
        assert proxy.opened > before, "nothing was swallowed"
    finally:
        await clear(client)
        await client.close()
    with capsys.disabled():
        print(f"\n  a change behind a silent watch was noticed after {took_s:.1f} s", end="")


def test_f75_a_watch_is_not_taken_for_silent_between_two_bookmarks() -> None:
    """The API server sends one each minute, whatever happens."""
    settings = handlers.settings()
    assert settings.watching.inactivity_timeout is not None
    assert 60 < settings.watching.inactivity_timeout < SILENT_S_MAX
