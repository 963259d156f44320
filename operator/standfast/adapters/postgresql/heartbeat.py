"""Whether the database takes writes, asked by one: a row of ours, written anew again and again.

A server may answer and yet write nothing: its disk is full, read-only or hangs, or somebody made
the database read-only. The row is in `standfast.heartbeat` of the database `postgres`. It goes
over a connection of its own, which is kept, because a write that hangs must hold nothing else up;
it is the superuser's, so it is there when clients have used up all others. It waits for no
standby.

A write that is refused fails the check. One that does not come back fails it after a limit, which
is longer than a file system is held still for a snapshot.
"""

import asyncio
from collections.abc import Callable

from standfast.adapters.postgresql.session import LostError, Session, StatementError, literal
from standfast.errors import TransientError
from standfast.ports.clock import Clock

EVERY_MS = 1000
NO_TABLE = ("3F000", "42P01")
"""No such schema, no such table."""
_MAKE = """
DO $$ BEGIN
  CREATE SCHEMA IF NOT EXISTS standfast;
  CREATE TABLE IF NOT EXISTS standfast.heartbeat (
    id int PRIMARY KEY DEFAULT 1 CHECK (id = 1), node text NOT NULL, at timestamptz NOT NULL);
  COMMENT ON TABLE standfast.heartbeat IS 'Written by the Standfast agent, to see that it can be';
END $$"""
_BEAT = """
INSERT INTO standfast.heartbeat (node, at) VALUES ({node}, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET node = excluded.node, at = excluded.at"""


class Heartbeat:
    """The beats of one active server.

    Args:
        session: Makes the connection that is kept for it.
        node: Written into the row.
        limit_ms: A write that has not come back after this fails the check.
    """

    def __init__(
        self, clock: Clock, session: Callable[[], Session], node: str, limit_ms: int
    ) -> None:
        self._clock = clock
        self._make_session = session
        self._session: Session | None = None
        self._beat = _BEAT.format(node=literal(node))
        self._limit_ms = limit_ms
        self._began_ms = clock.now_ms() - EVERY_MS
        self._task: asyncio.Task[str] | None = None
        self._refused = ""

    def look(self) -> str:
        """Why the database takes no write; "" when it does, or is being asked. Never waits."""
        now_ms = self._clock.now_ms()
        task = self._task
        if task is not None and task.done():
            self._task, self._refused = None, task.result()
            task = None
        if task is None and now_ms - self._began_ms >= EVERY_MS:
            self._began_ms = now_ms
            self._task = asyncio.create_task(self._once())
        elif task is not None and now_ms - self._began_ms >= self._limit_ms:
            return f"a write has not come back for {self._limit_ms / 1000:g} s"
        return self._refused

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if self._session is not None:
            await self._session.close()

    async def _once(self) -> str:
        """One write; what is in its way, as a sentence. A lost connection others judge."""
        if self._session is None:
            self._session = self._make_session()
        budget_s = 2 * self._limit_ms / 1000
        try:
            try:
                await self._session.do(self._beat, budget_s)
            except StatementError as error:
                if error.sqlstate not in NO_TABLE:
                    raise
                await self._session.do(_MAKE, budget_s)
                await self._session.do(self._beat, budget_s)
        except LostError:
            return ""
        except TransientError as error:
            return f"the database takes no write: {error.problem}"
        return ""
