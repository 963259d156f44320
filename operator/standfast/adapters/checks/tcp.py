"""A connection to a port, and the first words of whoever is there."""

import asyncio

from standfast.adapters.checks.config import TcpCheck
from standfast.ports.resource import Health, Verdict

SHOWN_MAX = 64


class TcpAsk:
    """The `Ask` of a port."""

    def __init__(self, check: TcpCheck) -> None:
        self._check = check
        place = f"[{check.address}]" if ":" in check.address else check.address
        self._what = f"TCP {place}:{check.port}"

    @property
    def what(self) -> str:
        return self._what

    async def obstacle(self) -> str:
        return ""

    async def put(self, limit_s: float) -> Health:
        del limit_s
        reader, writer = await asyncio.open_connection(self._check.address, self._check.port)
        try:
            return await self._judge(reader)
        finally:
            writer.transport.abort()

    async def _judge(self, reader: asyncio.StreamReader) -> Health:
        expected = self._check.expect.encode()
        if not expected:
            return Health(Verdict.UP, f"{self._what} takes connections")
        try:
            said = await reader.readexactly(len(expected))
        except asyncio.IncompleteReadError as error:
            said = error.partial
        shown = repr(said.decode(errors="replace")[:SHOWN_MAX])
        if said == expected:
            return Health(Verdict.UP, f"{self._what} said {shown}")
        wanted = repr(self._check.expect[:SHOWN_MAX])
        return Health(Verdict.DOWN, f"{self._what} said {shown}, expected {wanted}")
