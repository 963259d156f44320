"""Probes: alive while the loop turns, ready while it can vote, nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from standfast.witness.health import Health

PROBLEM = [""]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    PROBLEM[0] = ""
    server = await Health(lambda: PROBLEM[0]).serve("127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 2)
    writer.close()
    return answer


async def test_it_is_alive_and_ready(port: int) -> None:
    for path in (b"/livez", b"/readyz"):
        assert (await ask(port, b"GET " + path + b" HTTP/1.1\r\n\r\n")).startswith(
            b"HTTP/1.1 200 OK\r\n"
        )


async def test_what_keeps_it_from_voting_is_said(port: int) -> None:
    PROBLEM[0] = "starting"
    answer = await ask(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503")
    assert answer.endswith(b"starting\n")
    assert (await ask(port, b"GET /livez HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_line", [b"GET /secrets HTTP/1.1", b"POST /livez HTTP/1.1", b"GET", b"\xff\xff"]
)
async def test_nothing_else_is_told(port: int, request_line: bytes) -> None:
    assert (await ask(port, request_line + b"\r\n\r\n")).startswith(b"HTTP/1.1 404")


async def test_a_request_without_end_is_cut_off(port: int) -> None:
    assert await ask(port, b"GET /" + b"a" * 10_000) == b""
