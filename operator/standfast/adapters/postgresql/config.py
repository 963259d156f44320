"""What the driver of PostgreSQL needs to know of the resource it serves."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PostgresqlConfig:
    """A database cluster with a copy on every node.

    Args:
        name: Name of the resource.
        unit: The systemd unit that runs the server, as `postgresql@15-main.service`.
        data: Its data directory.
        settings: Directory of its postgresql.conf; None: by the layout of the data directory.
        user: Who owns the files; also the name of the superuser in the database.
        heartbeat_ms: A write that has not come back after this fails the check; 0: none is made.
        run: Directory in memory for what must survive a restart of the agent, not of the machine.
    """

    name: str
    unit: str
    data: Path
    settings: Path | None = None
    user: str = "postgres"
    heartbeat_ms: int = 0
    run: Path = Path("/run/standfast")
