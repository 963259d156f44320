"""What the active copy tells the other one, as JSON over the agents' links; and our note."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standfast.adapters.drbd.generations import Generations


class Invitation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything a standby needs to check, and to connect.

    Attributes:
        secret: With which the two copies know each other.
        generations: Of the active copy: current, bitmap and older ones.
        port: Where it listens.
    """

    secret: str
    generations: tuple[int, ...]
    port: int

    @property
    def theirs(self) -> Generations:
        current, bitmap, *history = (*self.generations, 0, 0)[: max(2, len(self.generations))]
        return Generations(current, bitmap, tuple(history))

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def read_invitation(data: bytes) -> Invitation | None:
    """None when there is none, or a newer version says it otherwise."""
    try:
        found = msgspec.json.decode(data, type=Invitation) if data else None
    except (msgspec.DecodeError, ValueError):
        return None
    return found if found is not None and found.generations else None


class Note(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the agent remembers of a copy.

    Attributes:
        cluster: This copy is one of that cluster's: it was the first, or was in step with one.
        secret: With which the two copies know each other.
        verified_at: When the copies were last compared to the end, RFC 3339; "" when never.
        differing_bytes: What that comparison found.
    """

    cluster: str = ""
    secret: str = ""
    verified_at: str = ""
    differing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Notebook:
    """Reads and writes the note of one resource.

    Args:
        path: The file; root's alone.
    """

    path: Path

    def read(self) -> Note:
        """The note; an empty one when there is none, or it does not read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError, ValueError):
            return Note()

    def write(self, note: Note) -> None:
        """Safely on disk on return. Blocks for a moment."""
        if note != self.read():
            write_durably(self.path, msgspec.json.encode(note))


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file of root's; safely on disk on return."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
