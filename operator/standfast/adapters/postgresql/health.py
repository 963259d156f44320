"""What a person should know of a database before it becomes an outage: pure sentences.

None of it moves the service; a full disk of a standby keeps that node from becoming active.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from standfast.ports.events import Alert

FREE_BYTES_MIN = 64 << 20
"""Less than this, and a server cannot even start."""
FREE_SHARE_LOW = 0.05
CLIENTS_SHARE_HIGH = 0.9

DISK, ARCHIVE, CLIENTS, OVERRIDDEN, BOOT = (
    "DiskAlmostFull",
    "ArchivingFails",
    "ConnectionsRunOut",
    "SettingOverridden",
    "StartsAtBoot",
)


@dataclass(frozen=True, slots=True)
class Room:
    """Free space of a file system.

    Args:
        path: What is on it.
    """

    path: Path
    free_bytes: int
    total_bytes: int

    @property
    def is_low(self) -> bool:
        return self.free_bytes < max(FREE_BYTES_MIN, FREE_SHARE_LOW * self.total_bytes)

    @property
    def is_out(self) -> bool:
        return self.free_bytes < FREE_BYTES_MIN


def rooms(data: Path) -> Sequence[Room]:
    """Where the data are, and where the log is, if that is elsewhere; nothing without data."""
    found: list[Room] = []
    for path in (data, data / "pg_wal"):
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        room = Room(path, usage.free, usage.total)
        if not any(
            (r.free_bytes, r.total_bytes) == (room.free_bytes, room.total_bytes) for r in found
        ):
            found.append(room)
    return found


def disk_alerts(found: Sequence[Room]) -> list[Alert]:
    """About file systems that fill up."""
    return [
        Alert(
            DISK,
            f"{room.free_bytes >> 20} MiB of {room.total_bytes >> 20} MiB are free where "
            f"{room.path} is",
            f"make room there, or make the disk larger; du -xsh {room.path.parent}/* shows where "
            "it went",
        )
        for room in found
        if room.is_low
    ][:1]


def archive_alert(failed: str) -> Alert:
    """Archiving of the log does not work: what is kept grows until the disk is full."""
    return Alert(
        ARCHIVE,
        f"the archive_command fails for {failed}, and the log is kept until it works",
        "look at the server's log, and at the place that archive_command copies to",
    )


def clients_alert(clients: int, limit: int) -> Alert | None:
    """Connections are nearly used up; none when they are not."""
    if clients < CLIENTS_SHARE_HIGH * limit:
        return None
    return Alert(
        CLIENTS,
        f"{clients} of {limit} connections are in use: the next clients are turned away",
        "close idle connections, put a pooler in front, or raise max_connections on every node",
    )


def overridden_alert(setting: str, wanted: str, shown: str) -> Alert:
    """A setting of ours is not in force, because it is set in another place as well."""
    return Alert(
        OVERRIDDEN,
        f"{setting} is {shown!r} in the server, and the agent wrote {wanted!r}: it is set in "
        "another place that comes later",
        f"ALTER SYSTEM RESET {setting}; the view pg_file_settings shows every place that sets it",
    )


def boot_alert(unit: str, start_conf: Path) -> Alert:
    """Debian starts this server at boot."""
    return Alert(
        BOOT,
        f"{start_conf} says auto: {unit} is started at boot without asking who is active",
        f"echo manual > {start_conf}; systemctl daemon-reload",
    )


def starts_at_boot(start_conf: Path) -> bool:
    """Whether Debian's file says so; without that file it is for the unit to say."""
    try:
        lines = start_conf.read_text().splitlines()
    except OSError:
        return False
    words = [line.partition("#")[0].strip() for line in lines]
    return "auto" in words
