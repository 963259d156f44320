"""What is told of a copy: its replication, in the agent's words, and what a person should know.

Pure.
"""

from standfast.adapters.drbd import plan, reading
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.generations import Generations
from standfast.adapters.drbd.invitation import Note
from standfast.adapters.drbd.reading import Seen
from standfast.ports.events import Alert
from standfast.ports.replication import Follower, Part, Replication

SPLIT, FAILED, DIFFER = "SplitBrain", "DiskFailed", "CopiesDiffer"


def of_active(seen: Seen, other: str, message: str, *, is_lost: bool = False) -> Replication:
    """How the copy of the active node does.

    Positions count the bytes written here: what the other copy lacks is missing from its own.

    Args:
        seen: What DRBD says.
        other: The other member.
        message: A sentence.
        is_lost: Writes wait because the other copy is lost.
    """
    lacking = seen.out_of_sync_bytes
    position = seen.written_bytes
    behind = 0 if seen.is_in_step else max(1, lacking)
    follower = Follower(
        uid=other,
        position=position - behind,
        lag_bytes=lacking,
        is_connected=seen.is_in_touch and not is_lost,
        holds_all=seen.is_in_step and not is_lost,
        is_lost=is_lost,
    )
    is_there = seen.is_in_touch or is_lost
    return Replication(
        Part.ACTIVE,
        message,
        position=position,
        followers=(follower,) if is_there else (),
        absent=() if is_there else ((other, lacking),),
    )


def of_standby(seen: Seen, leader: str, why: str, *, is_parted: bool) -> Replication:
    """How the copy of a standby does."""
    if is_parted:
        return Replication(Part.DOWN, f"not connected: {why}")
    if seen.connection in {"SyncTarget", "PausedSyncT"}:
        percent = None if seen.done is None else seen.done // 10
        message = f"from {leader}: {plan.progress(seen)}"
        return Replication(
            Part.BUILDING, message, lag_bytes=seen.out_of_sync_bytes, percent=percent
        )
    if seen.is_in_step:
        return Replication(Part.STANDBY, f"in step with {leader or 'the other node'}", lag_bytes=0)
    part = Part.STANDBY if seen.disk == reading.UP_TO_DATE else Part.DOWN
    state = f"{seen.connection}, {seen.disk}"
    return Replication(part, f"{state}: {why}" if why else state)


def alerts_of(
    config: DrbdConfig, seen: Seen, parted: str, mine: Generations | None, note: Note | None = None
) -> list[Alert]:
    """What a person should know.

    Args:
        config: Which device.
        seen: What DRBD says.
        parted: Why the copies may not meet; "" when they may.
        mine: Generations of this copy, when they parted.
        note: Of the last comparison.
    """
    found: list[Alert] = []
    if parted:
        name = "?" if mine is None else f"{mine.current:016X}"
        found.append(
            Alert(
                SPLIT,
                f"{config.name}: {parted}. Here differ {seen.out_of_sync_bytes} bytes, generation "
                f"{name}. Nothing is copied until a person says whose writes are given up",
                f"save what is needed of {config.disk}; to give up this node's: standfast-agent "
                f"drbd discard {config.name} {name}; to keep them instead: switch over with "
                "kubectl standfast consent, then give up the other node's",
            )
        )
    is_attached = seen.connection != reading.UNCONFIGURED
    if is_attached and seen.disk == reading.DISKLESS and seen.is_primary:
        found.append(
            Alert(
                FAILED,
                f"{config.name}: {config.disk} failed, and {config.device} is served from the "
                "other node's copy over the network",
                "switch over (kubectl standfast switchover), then replace the disk",
            )
        )
    if note is not None and note.differing_bytes and seen.out_of_sync_bytes:
        found.append(
            Alert(
                DIFFER,
                f"{config.name}: the comparison that ended {note.verified_at} found "
                f"{note.differing_bytes} bytes that differ between the copies",
                f"to copy the active node's over: drbdadm disconnect {config.resource} && "
                f"drbdadm connect {config.resource}; and look at the disks and the memory",
            )
        )
    return found
