"""What the agent remembers of a copy, in a file beside it.

`cluster` and `system` say that this copy belongs to a cluster of ours: it was the first one, or it
was made from, or followed, one that belongs. Without that it never becomes active. `building` is
written before files are changed in a way that leaves them useless when it is not completed.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from standfast.adapters.postgresql.account import Account
from standfast.adapters.postgresql.plan import Building

NAME = "note.json"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """The file.

    Attributes:
        cluster: Identity of the HACluster.
        system: Identity of the database cluster.
        building: What was begun.
    """

    cluster: str = ""
    system: str = ""
    building: Building = Building.NOTHING

    def belongs(self, cluster: str, system: str) -> bool:
        """Whether this copy, of that database, is one of that cluster."""
        return (self.cluster, self.system) == (cluster, system)


@dataclass(frozen=True, slots=True)
class Notebook:
    """Reads and writes the note.

    Args:
        account: Who owns it.
        directory: Where it is; made when needed.
    """

    account: Account
    directory: Path

    def read(self) -> Note:
        """The note; an empty one when there is none, or it does not read."""
        try:
            return msgspec.json.decode((self.directory / NAME).read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError, ValueError):
            return Note()

    async def write(self, note: Note) -> None:
        """Safely on disk on return."""
        if note == self.read():
            return
        await self.make_directory()
        text = msgspec.json.encode(note).decode()
        await self.account.write(self.directory / NAME, text)

    async def make_directory(self) -> None:
        await self.account.shell('mkdir -p -m 0700 "$1"', str(self.directory))
