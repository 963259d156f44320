"""Answers probes over plain HTTP: `/livez` while the loop turns, `/readyz` while it can vote.

A port of its own, without TLS, because kubelets ask without certificates; it tells nothing else.
"""

import asyncio
import contextlib
from collections.abc import Callable

REQUEST_S = 5.0
_PATHS = {b"/livez", b"/readyz"}


class Health:
    """The probes' server.

    Args:
        not_ready: Why the process cannot vote, or "".
    """

    def __init__(self, not_ready: Callable[[], str]) -> None:
        self._not_ready = not_ready

    async def serve(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._answer, host, port, limit=4096)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head.split(b" ", 2)))
                await writer.drain()
        writer.close()

    def _response(self, words: list[bytes]) -> bytes:
        path = words[1] if len(words) > 1 else b""
        if words[0] not in {b"GET", b"HEAD"} or path not in _PATHS:
            return _text("404 Not Found", "ask for /livez or /readyz")
        problem = self._not_ready() if path == b"/readyz" else ""
        if problem:
            return _text("503 Service Unavailable", problem)
        return _text("200 OK", "ok")


def _text(status: str, said: str) -> bytes:
    body = f"{said}\n".encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
