"""Asking by TCP and HTTP over real sockets of this machine: what is seen is what is said."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from standfast.adapters.checks import Checker, checker
from standfast.adapters.checks.config import CheckConfig, CommandCheck, HttpCheck, TcpCheck
from standfast.adapters.fakes import FakeUnits
from standfast.ports.resource import Verdict

LOCAL = "127.0.0.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asking(ask: TcpCheck | HttpCheck | CommandCheck, timeout_ms: int = 4000) -> Checker:
    return checker("web", CheckConfig(ask, timeout_ms), FakeUnits(), lambda _: None)


@contextlib.asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(once, LOCAL, 0, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()


def answering(status: int, heads: list[bytes] | None = None) -> Serve:
    """Answers every request with this status, and with a body that never ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await writer.drain()
        await reader.read()

    return serve


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that is open, where nobody takes what comes: a process that hangs."""
    with socket.create_server((LOCAL, 0)) as listening:
        yield listening.getsockname()[1]


def unused() -> int:
    with socket.create_server((LOCAL, 0)) as listening:
        return int(listening.getsockname()[1])


async def test_a_get_is_judged_by_its_status_alone() -> None:
    heads: list[bytes] = []
    async with serving(answering(204, heads)) as port:
        health = await asking(HttpCheck(LOCAL, port, "/healthz?deep=1", host="shop")).look()
    assert health.verdict is Verdict.UP
    assert health.message == f"GET http://127.0.0.1:{port}/healthz?deep=1: 204"
    assert heads[0].startswith(b"GET /healthz?deep=1 HTTP/1.1\r\n")
    assert b"\r\nHost: shop\r\n" in heads[0]


@pytest.mark.parametrize(
    ("status", "lowest", "highest", "verdict", "said"),
    [
        (503, 200, 399, Verdict.DOWN, "503, expected 200-399"),
        (302, 200, 399, Verdict.UP, "302"),
        (302, 200, 200, Verdict.DOWN, "302, expected 200"),
        (401, 401, 401, Verdict.UP, "401"),
    ],
)
async def test_statuses_that_are_expected(
    status: int, lowest: int, highest: int, verdict: Verdict, said: str
) -> None:
    async with serving(answering(status)) as port:
        check = HttpCheck(LOCAL, port, status_min=lowest, status_max=highest)
        health = await asking(check).look()
    assert (health.verdict, health.message) == (verdict, f"GET http://127.0.0.1:{port}/: {said}")


async def test_f03_an_open_port_behind_which_nobody_answers_is_down(deaf: int) -> None:
    health = await asking(HttpCheck(LOCAL, deaf), 200).look()
    assert health.verdict is Verdict.DOWN
    assert health.message == f"GET http://127.0.0.1:{deaf}/: no answer within 0.18 s"
    health = await asking(TcpCheck(LOCAL, deaf, "220 "), 200).look()
    assert (health.verdict, "no answer within" in health.message) == (Verdict.DOWN, True)
    assert (await asking(TcpCheck(LOCAL, deaf)).look()).verdict is Verdict.UP, "the kernel's word"


async def test_nobody_there_is_said_in_a_word() -> None:
    port = unused()
    for ask in (HttpCheck(LOCAL, port), TcpCheck(LOCAL, port)):
        health = await asking(ask).look()
        assert health.verdict is Verdict.DOWN
        assert health.message.startswith(("GET http://", "TCP ")), health.message
        assert health.message.endswith(": Connection refused"), health.message


async def test_an_answer_that_is_none_is_down() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.readline()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    for serve in (hang_up, babble):
        async with serving(serve) as port:
            health = await asking(HttpCheck(LOCAL, port)).look()
        assert health.verdict is Verdict.DOWN
        assert len(health.message) > len(f"GET http://127.0.0.1:{port}/: ")


async def test_what_is_said_first_must_begin_as_expected() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 too busy\r\n")
        await writer.drain()
        await reader.read()

    async with serving(greet) as port:
        up = await asking(TcpCheck(LOCAL, port, "421")).look()
        down = await asking(TcpCheck(LOCAL, port, "220 ")).look()
        longer = await asking(TcpCheck(LOCAL, port, "421 too busy\r\nand more"), 300).look()
    assert (up.verdict, up.message) == (Verdict.UP, f"TCP 127.0.0.1:{port} said '421'")
    assert down.message == f"TCP 127.0.0.1:{port} said '421 ', expected '220 '"
    assert longer.verdict is Verdict.DOWN


async def test_one_that_hangs_up_before_a_word_has_said_nothing() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.close()

    async with serving(hang_up) as port:
        health = await asking(TcpCheck(LOCAL, port, "220")).look()
    assert health.message == f"TCP 127.0.0.1:{port} said '', expected '220'"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_counts_only_where_that_is_declared(tls: ssl.SSLContext) -> None:
    async with serving(answering(200), tls) as port:
        trusting = await asking(HttpCheck(LOCAL, port, is_tls=True, host="shop")).look()
        strict = await asking(HttpCheck(LOCAL, port, is_tls=True, host="shop", verify=True)).look()
    assert (trusting.verdict, strict.verdict) == (Verdict.UP, Verdict.DOWN)
    assert "the certificate is not valid" in strict.message
    assert trusting.message == f"GET https://127.0.0.1:{port}/: 200"


async def test_a_port_needs_nothing_of_the_host() -> None:
    for ask in (HttpCheck("::1", 80), TcpCheck("::1", 80)):
        check = asking(ask)
        assert "[::1]:80" in check.what
        assert await check.obstacle() == ""
