"""What the active PostgreSQL tells those that are to follow it, as JSON over the agents' links."""

import msgspec

from standfast.adapters.postgresql.wal import Branch, History


class Invitation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything a standby needs to check, and to connect.

    Attributes:
        system: Identity of the database cluster.
        version: Major version.
        timeline: Its present one.
        past: Every timeline it stems from, oldest first, with the position where it was left.
        port: Where it listens, on every address of its node.
        password: Of our role.
        is_rewindable: pg_rewind may read from it: a checkpoint of its timeline is complete.
        oldest: Position from which on it still has the log.
        size_bytes: Of all its databases.
    """

    system: str
    version: int
    timeline: int
    past: tuple[tuple[int, int], ...] = ()
    port: int
    password: str
    is_rewindable: bool = False
    oldest: int = 0
    size_bytes: int = 0

    @property
    def history(self) -> History:
        return History(self.timeline, tuple(Branch(*branch) for branch in self.past))

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def read_invitation(data: bytes) -> Invitation | None:
    """None when there is none, or a newer version says it otherwise."""
    try:
        return msgspec.json.decode(data, type=Invitation) if data else None
    except (msgspec.DecodeError, ValueError):
        return None
