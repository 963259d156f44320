"""The probe against servers of every kind, on loopback."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from standfast.lab.probe import ask_sql, ask_tcp
from standfast.lab.probing import MODULE

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: bytes, *, waits: bool = True) -> AsyncIterator[int]:
    """A server that answers each connection with these bytes, after the request or at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if waits:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "waits", "who"),
    [
        (b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nvm-a\n", True, "vm-a"),
        (b"HTTP/1.1 200 OK\r\n\r\nvm-b\nand more", True, "vm-b"),
        (b"vm-a\r\n", False, "vm-a"),
        (b"220 vm-b ESMTP\r\n", False, "220 vm-b ESMTP"),
        (b"HTTP/1.0 200 OK\r\n\r\n", True, "an empty answer"),
    ],
)
async def test_who_answers_is_read_from_what_is_said(answer: bytes, waits: bool, who: str) -> None:
    async with server(answer, waits=waits) as port:
        assert await ask_tcp("127.0.0.1", port) == who


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\nvm-a\n", "HTTP status 503"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "HTTP status 404"),
        (b"", "closed without a word"),
    ],
)
async def test_an_answer_that_is_no_service_is_a_failure(answer: bytes, problem: str) -> None:
    async with server(answer) as port:
        with pytest.raises(OSError, match=problem):
            await ask_tcp("127.0.0.1", port)


async def test_nobody_listening_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await ask_tcp("127.0.0.1", port)


async def test_a_database_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(OSError, match=r"refused|failed"):
        await ask_sql("host=127.0.0.1 port=1 connect_timeout=2", "SELECT 1")


async def test_the_probe_prints_a_line_per_attempt_and_a_summary() -> None:
    async with server(b"HTTP/1.0 200 OK\r\n\r\nvm-a\n") as port:
        command = [*MODULE, "vip", "127.0.0.1", "--port", str(port), "--for", "0.5"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
    *lines, last = [json.loads(line) for line in output.decode().splitlines()]
    assert {line["by"] for line in lines} == {"vm-a"}
    assert last["summary"]["attempts"] == len(lines) > 5
    assert last["summary"]["outages"] == []


async def test_a_hanging_server_does_not_hold_up_the_next_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        port = str(silent.getsockname()[1])
        command = [sys.executable, "-m", "standfast.lab.probe", "vip", "127.0.0.1", "--port", port]
        process = await asyncio.create_subprocess_exec(
            *command, "--for", "0.6", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    *lines, last = [json.loads(line) for line in output.decode().splitlines()]
    assert {line["error"] for line in lines} == {"timeout"}
    assert last["summary"]["attempts"] > 10, "one every 20 ms, though each takes 200 ms"
