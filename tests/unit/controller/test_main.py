"""What an operator of a thousand connections needs of its process."""

import resource
from asyncio import sslproto

import pytest

from standfast.controller.main import TLS_BUFFER_BYTES, allow_connections


def test_connections_are_cheap_and_as_many_as_the_machine_lets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        allow_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sslproto.SSLProtocol.max_size == TLS_BUFFER_BYTES
