"""Making a copy, and repairing one: base backup and rewind. The server is down throughout.

What is replaced is set aside under the name of the moment; of what is cut off, the log from the
parting on is kept. Both lie in the directory beside the data, the newest `KEPT` of each.
"""

import asyncio
import re
import shutil
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from standfast.adapters.postgresql.account import Account, Done, end
from standfast.adapters.postgresql.control import Control
from standfast.adapters.postgresql.note import Note, Notebook
from standfast.adapters.postgresql.places import Places
from standfast.adapters.postgresql.plan import Building
from standfast.adapters.postgresql.settings import conninfo
from standfast.adapters.postgresql.wal import History, parted_at, segment_name
from standfast.errors import TransientError, UserError

KEPT = 2
RECOVERY_S = 24 * 3600.0
SPARE_BYTES = 64 << 20
FIRST_USER_OBJECT = 16384
"""Object numbers below are given by initdb."""
SAVED_SEGMENTS_MAX = 256

_PERCENT = re.compile(rb"\((\d+)%\)")
_NETWORK = ("could not connect", "connection to server", "server closed", "could not receive")
_BEGAN = "need to copy"
_NOTHING_TO_DO = "no rewind required"
"""Of an active that crashed this is never true: it had what it sent, and a checkpoint since."""

_SWAP = """
if [ -e "$1" ]; then mv -T "$1" "$2"; fi
mv -T "$3" "$1"
sync "${1%/*}"
"""
_PRUNE = 'ls -1d "$1"/"$2"-* 2>/dev/null | sort | head -n "-$3" | xargs -r -d "\\n" rm -rf --'


@dataclass(frozen=True, slots=True)
class Source:
    """The active to copy from.

    Args:
        name: Of its node, for sentences.
        fields: How to connect to it.
        slot: Of this standby on it.
        history: Its timeline.
        size_bytes: Of its databases.
    """

    name: str
    fields: Mapping[str, str]
    slot: str
    history: History
    size_bytes: int


class Builder:
    """Builds one copy.

    Args:
        places: Where it is.
        account: Whose it is.
        notes: What is remembered of it.
        progress: Told the percentage now and then.
    """

    def __init__(
        self,
        places: Places,
        account: Account,
        notes: Notebook,
        progress: Callable[[int | None], None],
    ) -> None:
        self._places = places
        self._account = account
        self._notes = notes
        self._progress = progress

    def is_fresh(self) -> bool:
        """Whether the data are as initdb made them: no object of a user's."""
        base = self._places.data / "base"
        for directory in base.iterdir():
            if _number(directory) >= FIRST_USER_OBJECT:
                return False
            if directory.is_dir() and any(
                _number(file) >= FIRST_USER_OBJECT for file in directory.iterdir()
            ):
                return False
        return True

    async def base_backup(self, source: Source, note: Note) -> str:
        """Copy everything, then put it in place of what is there.

        Args:
            source: From whom.
            note: What is remembered of the copy from then on.

        Returns:
            Where the data that were there are now; "" when there were none.

        Raises:
            UserError: There is no room.
            TransientError: It did not work; nothing has changed.
        """
        own = self._places.own
        await self._notes.make_directory()
        fresh = own / "new"
        await self._account.shell('rm -rf -- "$1"', str(fresh), budget_s=600)
        self._check_room(source.size_bytes)
        argv = [
            *(str(self._places.program("pg_basebackup")), f"--pgdata={fresh}"),
            *("--wal-method=stream", "--checkpoint=fast", "--progress", "--no-password"),
            *(f"--slot={source.slot}", f"--dbname={conninfo(source.fields)}"),
        ]
        done = await self._long(argv)
        if done.status != 0:
            raise TransientError(
                f"pg_basebackup from {source.name} ended with status {done.status}: {done.said}",
                remedy="it is tried again; look at free space and at the network",
            )
        aside = own / f"aside-{_moment()}"
        had_data = self._places.data.exists() and any(self._places.data.iterdir())
        await self._account.shell(': > "$1/standby.signal"', str(fresh))
        data = str(self._places.data)
        await self._account.shell(_SWAP, data, str(aside), str(fresh))
        await self._notes.write(note)
        await self._account.shell(_PRUNE, str(own), "aside", str(KEPT), budget_s=600)
        return str(aside) if had_data else ""

    async def rewind(self, source: Source, mine: History, control: Control) -> str:
        """Cut the copy back to where both were one, and take the rest from the active.

        Returns:
            Where the part of the log that was cut off is now.

        Raises:
            TransientError: It did not work. When the note says so afterwards, the files are of no
                use any more.
        """
        note = self._notes.read()
        if not control.is_clean:
            note = msgspec.structs.replace(note, building=Building.REPLAYED)
            await self._notes.write(note)
            await self._recover()
        saved = await self._save_log(source.history, mine, control)
        begun = msgspec.structs.replace(note, building=Building.REWIND)
        await self._notes.write(begun)
        fields = {**source.fields, "dbname": "postgres"}
        argv = [
            *(str(self._places.program("pg_rewind")), f"--target-pgdata={self._places.data}"),
            *(f"--source-server={conninfo(fields)}", "--progress", "--no-ensure-shutdown"),
        ]
        done = await self._long(argv)
        if done.status != 0:
            if any(word in done.error for word in _NETWORK) and _BEGAN not in done.error:
                await self._notes.write(note)
            raise TransientError(
                f"pg_rewind from {source.name} ended with status {done.status}: {done.said}"
            )
        if _NOTHING_TO_DO in done.out + done.error:  # the note stays: it is copied anew
            raise TransientError(
                f"the log here ends before {source.name} went its own way: these data are older "
                "than what this node once had, as of a restored image"
            )
        await self._account.shell(': > "$1"; sync "$1"', str(self._places.signal))
        await self._notes.write(msgspec.structs.replace(note, building=Building.NOTHING))
        return saved

    async def _recover(self) -> None:
        """Replay the own log to its end: pg_rewind works on a copy that was stopped in order."""
        await self._account.shell('rm -f -- "$1"', str(self._places.signal))
        argv = [
            *(str(self._places.program("postgres")), "--single", "-D", str(self._places.data)),
            *("-c", f"config_file={self._places.conf}", "template1"),
        ]
        done = await self._account.run(argv, budget_s=RECOVERY_S)
        if done.status != 0:
            raise TransientError(
                f"the log of {self._places.data} does not replay: {done.said}",
                remedy="move that data directory away, and the agent copies the active one's",
            )

    async def _save_log(self, theirs: History, mine: History, control: Control) -> str:
        """Keep the log from the parting on: what was written here and nowhere else."""
        begin = parted_at(mine, theirs)
        first = segment_name(mine.timeline, begin, control.segment_bytes)
        names = sorted(
            path.name
            for path in (self._places.data / "pg_wal").iterdir()
            if len(path.name) == 24 and path.name[:8] == first[:8] and path.name >= first
        )
        aside = self._places.own / f"diverged-{_moment()}"
        await self._notes.make_directory()
        await self._account.shell(
            'to=$1 from=$2; shift 2; mkdir -p -m 0700 "$to"; '
            'for name; do cp -- "$from/$name" "$to/"; done; '
            'cp -- "$from/../global/pg_control" "$to/"; sync -f "$to"',
            *(str(aside), str(self._places.data / "pg_wal"), *names[:SAVED_SEGMENTS_MAX]),
            budget_s=600,
        )
        own = str(self._places.own)
        await self._account.shell(_PRUNE, own, "diverged", str(KEPT), budget_s=600)
        return str(aside)

    def _check_room(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self._places.own).free
        needed = size_bytes + size_bytes // 10 + SPARE_BYTES
        if free < needed:
            raise UserError(
                f"a copy of the active's data takes {needed >> 20} MiB, and beside "
                f"{self._places.data} only {free >> 20} MiB are free",
                remedy=f"make room there; {self._places.own} has what was set aside earlier",
            )

    async def _long(self, argv: Sequence[str]) -> Done:
        """A program that takes long and tells how far it is."""
        process = await self._account.begin(argv, gently=True)
        try:
            out, error = await asyncio.gather(_drain(process), self._listen(process))
        finally:
            await end(process)
            self._progress(None)
        status = process.returncode
        assert status is not None, "it was waited for"
        return Done(status, out, error)

    async def _listen(self, process: Process) -> str:
        """Read what it says of itself; numbers overwrite each other, sentences are kept."""
        assert process.stdin is not None, "pipes"
        assert process.stderr is not None, "pipes"
        process.stdin.close()
        said = b""
        while chunk := await process.stderr.read(4096):
            found = _PERCENT.findall(chunk)
            if found:
                self._progress(min(100, int(found[-1])))
            said = (said + chunk)[-20_000:]
        lines = [line for line in re.split(rb"[\r\n]+", said) if line and not _is_number(line)]
        return b"\n".join(lines).decode(errors="replace")


async def _drain(process: Process) -> str:
    assert process.stdout is not None, "pipes"
    return (await process.stdout.read()).decode(errors="replace")


def _is_number(line: bytes) -> bool:
    return _PERCENT.search(line) is not None and b"need to copy" not in line


def _number(path: Path) -> int:
    head = path.name.partition(".")[0].partition("_")[0]
    return int(head) if head.isdigit() else 0


def _moment() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
