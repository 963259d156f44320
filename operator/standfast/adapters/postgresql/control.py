"""The control file of a database cluster, as pg_controldata shows it in the C locale."""

from dataclasses import dataclass
from enum import Enum

from standfast.adapters.postgresql.wal import read_lsn
from standfast.errors import TransientError


class ClusterState(Enum):
    """`Database cluster state`, in PostgreSQL's own words."""

    STARTING = "starting up"
    SHUT_DOWN = "shut down"
    SHUT_DOWN_IN_RECOVERY = "shut down in recovery"
    SHUTTING_DOWN = "shutting down"
    CRASH_RECOVERY = "in crash recovery"
    ARCHIVE_RECOVERY = "in archive recovery"
    PRODUCTION = "in production"


_STANDBY = frozenset({ClusterState.SHUT_DOWN_IN_RECOVERY, ClusterState.ARCHIVE_RECOVERY})


@dataclass(frozen=True, slots=True)
class Control:
    """What is known of a database cluster without starting it.

    Args:
        system: Its identity: drawn by initdb, shared by all its copies.
        state: How it was left, or what it is doing.
        timeline: The newest that it is on.
        checkpoint: Position of the newest checkpoint.
        min_recovery: A standby's data are consistent from this position on; 0 for others.
        can_rewind: Whether pg_rewind may work on it (checksums, or hints logged).
        segment_bytes: Size of a file of the log.
    """

    system: str
    state: ClusterState
    timeline: int
    checkpoint: int
    min_recovery: int
    can_rewind: bool
    segment_bytes: int

    @property
    def was_standby(self) -> bool:
        """It was following when it was left: it wrote nothing of its own."""
        return self.state in _STANDBY

    @property
    def is_clean(self) -> bool:
        """It was stopped in order: its log ends with the checkpoint."""
        return self.state in {ClusterState.SHUT_DOWN, ClusterState.SHUT_DOWN_IN_RECOVERY}

    @property
    def reach(self) -> int:
        """A position that it has reached for certain; it may have more."""
        return max(self.checkpoint, self.min_recovery)


def read_control(text: str) -> Control:
    """Read what `pg_controldata` printed with LC_ALL=C.

    Raises:
        TransientError: A line that is needed is not there, or does not read.
    """
    rows = {
        key.strip(): value.strip()
        for key, colon, value in (line.partition(":") for line in text.splitlines())
        if colon
    }
    try:
        return Control(
            system=rows["Database system identifier"],
            state=ClusterState(rows["Database cluster state"]),
            timeline=max(
                int(rows["Latest checkpoint's TimeLineID"]),
                int(rows["Min recovery ending loc's timeline"]),
            ),
            checkpoint=read_lsn(rows["Latest checkpoint location"]),
            min_recovery=read_lsn(rows["Minimum recovery ending location"]),
            can_rewind=rows["wal_log_hints setting"] == "on"
            or rows["Data page checksum version"] != "0",
            segment_bytes=int(rows["Bytes per WAL segment"]),
        )
    except (KeyError, ValueError) as error:
        raise TransientError(
            f"pg_controldata does not say what is expected of it: {error}",
            remedy="run pg_controldata on the data directory and look",
        ) from error
