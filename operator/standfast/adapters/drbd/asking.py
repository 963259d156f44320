"""The socket at which DRBD's handlers, and a person on this machine, ask the driver.

One request per connection: a list of words as a line of JSON; the answer is a status and a
sentence. Root's alone: the socket is made with mode 0600 in the agent's directory.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

Reply = tuple[int, str]
Asked = Callable[[list[str]], Awaitable[Reply]]
ASK_S = 5.0


class Counter:
    """Serves one socket.

    Args:
        path: Where.
        asked: Answers; may take as long as it likes.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._path = path
        self._asked = asked
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer; doing it again changes nothing."""
        if self._server is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ASK_S):
                words = json.loads(await reader.readline())
            reply = await self._asked([str(word) for word in words])
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        writer.close()
