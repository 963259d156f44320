"""Answers `kubectl logs`: the API server asks the node, over TLS and with its own certificate.

The one part of the kubelet's API that people miss when it is not there.
"""

import asyncio
import ssl
from collections import deque
from pathlib import Path

from aiohttp import web

from standfast.lab.ca import Pair
from standfast.lab.paths import LabPaths

FOLLOW_S = 0.2
CHUNK = 64 * 1024


class LogServer:
    """Serves what containers have printed.

    Args:
        paths: The lab.
        address: Where it listens.
        port: And on which port.
        ca: Authority of clients.
        pair: The server's certificate and key.
    """

    def __init__(self, paths: LabPaths, address: str, port: int, ca: Path, pair: Pair) -> None:
        self._paths = paths
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(pair.certificate, pair.key)
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        self._where = (address, port)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._where, ssl_context=self._context).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked, names = request.query, request.match_info
        kind = ".previous.log" if asked.get("previous") == "true" else ".log"
        name = f"{names['namespace']}_{names['pod']}_{names['container']}{kind}"
        path = self._paths.pod_log_dir / name
        if path.parent != self._paths.pod_log_dir or not await asyncio.to_thread(path.exists):
            return web.Response(status=404, text=f"the lab has no log {name}\n")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        lines = int(asked["tailLines"]) if "tailLines" in asked else None
        await self._send(answer, path, lines, follow=asked.get("follow") == "true")
        return answer

    async def _send(
        self, answer: web.StreamResponse, path: Path, lines: int | None, *, follow: bool
    ) -> None:
        with await asyncio.to_thread(path.open, "rb") as file:
            if lines is not None:
                await answer.write(b"".join(deque(file, lines)))
            while True:
                if chunk := file.read(CHUNK):
                    await answer.write(chunk)
                elif follow:
                    await asyncio.sleep(FOLLOW_S)
                else:
                    return
