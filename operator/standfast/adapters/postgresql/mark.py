"""Which server was told to promote: kept in memory that an agent's restart survives.

Written before the order is given. A server that bears it may write at any moment from then on,
whatever it says of itself; a reboot ends server and mark together.
"""

from dataclasses import dataclass
from pathlib import Path

from standfast.adapters.postgresql.server import Postmaster


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of one resource.

    Args:
        path: Its file.
    """

    path: Path

    def set(self, server: Postmaster) -> None:
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.path.write_text(server.mark, encoding="ascii")

    def is_on(self, server: Postmaster | None) -> bool:
        try:
            return server is not None and self.path.read_text(encoding="ascii") == server.mark
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
