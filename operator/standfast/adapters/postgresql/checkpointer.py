"""Whether a server's checkpointer has read its settings: it alone says that writes wait at all.

PostgreSQL keeps one flag in shared memory, "there are synchronous standbys", and its checkpointer
sets it when it reads the settings. No view shows the flag. What shows that the process has read
them: it has taken the signal (nothing pending any more), and sleeps again at a point of its loop
that lies behind the reading, twice in a row, `APART_S` apart.

The signal was sent once a connection that was opened afterwards shows the new value: the first
process of the server reads the settings, tells its children, and only then forks again.

Source: PostgreSQL 15, src/backend/postmaster/checkpointer.c, replication/syncrep.c.
"""

import asyncio
import signal
from pathlib import Path

import msgspec

from standfast.adapters.postgresql.session import Session
from standfast.errors import TransientError

APART_S = 0.2
_POINTS = frozenset({"CheckpointerMain", "CheckpointWriteDelay"})
_STATEMENT = """
SELECT json_build_object('pid', pid, 'point', coalesce(wait_event, ''))
FROM pg_stat_activity WHERE backend_type = 'checkpointer'"""


class _Seen(msgspec.Struct, frozen=True):
    pid: int
    point: str


async def has_read_settings(session: Session) -> bool:
    """Look twice; false when it cannot be said now. Call it once the signal was sent.

    Raises:
        TransientError: The server does not answer.
    """
    if not await _rests(session):
        return False
    await asyncio.sleep(APART_S)
    return await _rests(session)


async def _rests(session: Session) -> bool:
    seen = await session.one(_STATEMENT, _Seen)
    if not is_asleep(Path(f"/proc/{seen.pid}/status")):
        return False
    again = await session.one(_STATEMENT, _Seen)
    return again == seen and again.point in _POINTS


def is_asleep(status: Path) -> bool:
    """Whether the process sleeps, and has no order to read its settings pending.

    Raises:
        TransientError: There is no such process.
    """
    try:
        lines = status.read_text().splitlines()
        rows = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    except OSError as error:
        raise TransientError(f"the server's checkpointer is gone: {error}") from error
    bit = 1 << (signal.SIGHUP - 1)
    pending = int(rows["SigPnd"], 16) | int(rows["ShdPnd"], 16)
    return rows["State"].startswith("S") and not pending & bit
