"""An API server that is not at its best: between the operators and the real one.

It refuses a share of the requests (429, 500, 503), is slow, cuts watches, says 410 to whoever
resumes one, or does not answer at all. What is not disturbed passes through unchanged.
"""

import asyncio
import json
import random
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from standfast.adapters.kube.endpoint import Endpoint
from standfast.lab.ca import Authority, Subject
from standfast.lab.kube_config import write_kubeconfig

HOST = "127.0.0.1"
_GONE = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version: 1 (2)",
        "reason": "Expired",
        "code": 410,
    },
}
_PASSED = ("Content-Type", "Accept", "User-Agent")


@dataclass
class Mood:
    """How it behaves.

    Args:
        refused: Share of the requests that are refused.
        slow_s: Every request waits up to so long.
        away: Connections are cut without an answer.
    """

    refused: float = 0
    slow_s: float = 0
    away: bool = False


class FaultyApi:
    """One of it.

    Args:
        endpoint: The real one, and who we are there.
        directory: Takes certificates and the kubeconfig for it.
        rng: Draws what is refused.
    """

    def __init__(self, endpoint: Endpoint, directory: Path, rng: random.Random) -> None:
        self.mood = Mood()
        self.disturbed = 0
        """Requests that did not pass."""
        self.kubeconfig = directory / "faulty.kubeconfig"
        self._endpoint = endpoint
        self._rng = rng
        self._gone: set[str] = set()
        self._watches: dict[web.StreamResponse, asyncio.Event] = {}
        self._authority = Authority(directory / "faulty", "authority of a faulty server")
        self._pair = self._authority.issue("server", Subject("faulty-server", hosts=(HOST,)))
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._pair.certificate, self._pair.key)
        connector = aiohttp.TCPConnector(limit=0, ssl=self._endpoint.ssl_context())
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0, ssl_context=context)
        await site.start()
        port = self._runner.addresses[0][1]
        url = f"https://{HOST}:{port}"
        ca = self._authority.pair.certificate
        write_kubeconfig(self.kubeconfig, url, ca, "operator", self._pair)

    async def close(self) -> None:
        self.cut_watches(gone=False)
        if self._session is not None:
            await self._session.close()
        await self._runner.cleanup()

    def calm(self) -> None:
        self.mood = Mood()
        self._gone.clear()

    def cut_watches(self, *, gone: bool) -> int:
        """End every watch; with `gone` whoever resumes one must list anew."""
        for event in self._watches.values():
            event.set()
        return len(self._watches) + (self._expire() if gone else 0)

    def _expire(self) -> int:
        self._gone.add("all")
        return 0

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        mood = self.mood
        is_watch = request.query.get("watch") == "true"
        if mood.slow_s:
            await asyncio.sleep(self._rng.uniform(0, mood.slow_s))
        if mood.away:
            self._disturb(request)
            raise web.HTTPServiceUnavailable
        if mood.refused and self._rng.random() < mood.refused:
            self.disturbed += 1
            return _refused(self._rng.choice((429, 500, 503)))
        assert self._session is not None, "started"
        url = URL(self._endpoint.server + request.raw_path, encoded=True)
        body = await request.read() or None
        headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        try:
            async with self._session.request(
                request.method, url, data=body, headers=headers, timeout=timeout
            ) as answer:
                if is_watch:
                    return await self._watch(request, answer)
                return web.Response(
                    body=await answer.read(),
                    status=answer.status,
                    headers={"Content-Type": answer.headers.get("Content-Type", "")},
                )
        except (aiohttp.ClientError, OSError):
            return _refused(503)

    def _disturb(self, request: web.Request) -> None:
        self.disturbed += 1
        if request.transport is not None:
            request.transport.abort()

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            status=answer.status, headers={"Content-Type": "application/json"}
        )
        await response.prepare(request)
        if self._gone and request.path not in self._gone:
            self._gone.add(request.path)  # once for each kind
            self.disturbed += 1
            await response.write(json.dumps(_GONE).encode() + b"\n")
            return response
        cut = self._watches[response] = asyncio.Event()
        try:
            await self._stream(answer, response, cut)
        finally:
            del self._watches[response]
        return response

    @staticmethod
    async def _stream(
        answer: aiohttp.ClientResponse, response: web.StreamResponse, cut: asyncio.Event
    ) -> None:
        ended = asyncio.create_task(cut.wait())
        try:
            while True:
                chunk = asyncio.create_task(answer.content.readany())
                await asyncio.wait((chunk, ended), return_when=asyncio.FIRST_COMPLETED)
                if ended.done() or not (data := await chunk):
                    chunk.cancel()
                    return
                await response.write(data)
        finally:
            ended.cancel()


def _refused(status: int) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": "disturbed", "code": status}
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)
