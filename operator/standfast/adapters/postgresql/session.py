"""SQL by a `psql` that is kept open: one line of JSON per row.

The database's superuser has connections reserved, so this one is there when the application has
used up all others. A statement that is not answered within its budget costs the `psql`, never the
caller: the next statement opens another one. Our own writes wait for no standby.

psql says of each statement whether it failed, and ends by itself when the connection is lost.
"""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from standfast.adapters.postgresql.account import Account, end
from standfast.adapters.postgresql.settings import conninfo
from standfast.errors import TransientError

CONNECT_S = 3.0
STATEMENT_S = 2.0
_MARK = "standfast-answer"
T = TypeVar("T")


class StatementError(TransientError):
    """The server refused a statement.

    Args:
        problem: In a sentence.
        sqlstate: PostgreSQL's code.
    """

    def __init__(self, problem: str, sqlstate: str) -> None:
        super().__init__(problem, remedy="look at the server's log")
        self.sqlstate = sqlstate


class LostError(TransientError):
    """The connection broke, or could not be made; the next statement tries again."""


class Session:
    """One connection over the local socket.

    Args:
        account: The database's user, whom the server knows by that.
        psql: The program.
        socket: Directory of the server's socket.
        port: Which of the sockets there.
        database: To connect to.
    """

    def __init__(
        self, account: Account, psql: Path, socket: str, port: int, database: str = "postgres"
    ) -> None:
        self._account = account
        target = {
            "host": socket,
            "port": str(port),
            "dbname": database,
            "user": account.user,
            "application_name": "standfast-agent",
            "connect_timeout": str(int(CONNECT_S)),
            "options": "-c synchronous_commit=local -c statement_timeout=0 -c lock_timeout=2s",
        }
        self._command = [str(psql), "-X", "-q", "-A", "-t", "-w", "-d", conninfo(target)]
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._number = 0
        self._where = f"{socket}:{port}"

    async def rows(self, statement: str, budget_s: float = STATEMENT_S) -> Sequence[str]:
        """The lines that a statement answers with; its first column alone.

        Raises:
            StatementError: The server refused it.
            TransientError: No connection, or no answer in time.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(budget_s + (0 if self.is_open else CONNECT_S)):
                    return await self._ask(statement)
            except TimeoutError as late:
                await self._end()
                raise TransientError(
                    f"the server at {self._where} did not answer within {budget_s:g} s"
                ) from late
            except (BrokenPipeError, ConnectionResetError) as gone:
                raise await self._lost() from gone
            except asyncio.CancelledError:
                await self._end()
                raise

    async def one(self, statement: str, kind: type[T], budget_s: float = STATEMENT_S) -> T:
        """The one row of JSON that a statement answers with.

        Raises:
            TransientError: As `rows`, or the answer is not what was expected.
        """
        found = await self.rows(statement, budget_s)
        try:
            return msgspec.json.decode("".join(found), type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            raise TransientError(
                f"the server at {self._where} answered {found!r:.200}: {error}"
            ) from error

    async def first(self, statement: str, budget_s: float = STATEMENT_S) -> str:
        """The one line that a statement answers with; raises as `rows`."""
        found = await self.rows(statement, budget_s)
        return found[0] if found else ""

    async def do(self, statement: str, budget_s: float = STATEMENT_S) -> None:
        """A statement without an answer."""
        await self.rows(statement, budget_s)

    @property
    def is_open(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def close(self) -> None:
        """End the connection. Idempotent; the next statement opens another one."""
        await self._end()

    async def _ask(self, statement: str) -> Sequence[str]:
        if not self.is_open:
            self._process = await self._account.begin(self._command)
        self._number += 1
        mark = f"{_MARK} {self._number}"
        found = await self._say(f"{statement};\n\\echo {mark} :ERROR :SQLSTATE\n", mark)
        failed, _, sqlstate = found.pop().removeprefix(mark).strip().partition(" ")
        if failed == "true" and not sqlstate:  # not the server refused: the connection broke
            raise await self._lost()
        if failed == "true":
            message = await self._say(f"\\echo :LAST_ERROR_MESSAGE\n\\echo {mark}\n", mark)
            said = " ".join(message[:-1])
            raise StatementError(f"the server at {self._where} says: {said}", sqlstate)
        return found

    async def _say(self, text: str, mark: str) -> list[str]:
        """Give psql some lines; what it prints up to the line that begins with `mark`."""
        process = self._process
        assert process is not None, "it was opened"
        assert process.stdin is not None, "with pipes"
        assert process.stdout is not None, "with pipes"
        process.stdin.write(text.encode())
        await process.stdin.drain()
        found: list[str] = []
        while not found or not found[-1].startswith(mark):
            line = await process.stdout.readline()
            if not line.endswith(b"\n"):
                raise await self._lost()
            found.append(line.decode(errors="replace").rstrip("\n"))
        return found

    async def _lost(self) -> LostError:
        """The connection is gone; what psql said last tells why."""
        process = self._process
        said = b""
        if process is not None and process.stderr is not None:
            await end(process)
            said = await process.stderr.read()
        await self._end()
        words = said.decode(errors="replace").strip().splitlines()
        why = words[-1].strip() if words else "the connection was closed"
        return LostError(f"no connection to the server at {self._where}: {why}")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end(process)


def literal(text: str) -> str:
    """A text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"
