"""What to do with a copy next, and whether writes may go on without the other one. Pure.

The rule that keeps every acknowledged write (S3): DRBD holds all writes from the moment the other
copy is lost until it is told that this copy may go on alone, and it is told so only when neither
the committed record nor any that was proposed since counts the other node as in sync.

Source: `docs/protocol.md`, "In-sync set"; ADR-0042.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, IntEnum

from standfast.adapters.drbd import reading
from standfast.adapters.drbd.generations import Generations, Kinship, kinship
from standfast.adapters.drbd.reading import Seen


class Stage(Enum):
    """Where this node is in the active role."""

    NONE = "None"
    BECOMING = "Becoming"
    ACTIVE = "Active"


class Answer(IntEnum):
    """What DRBD's `fence-peer` handler ends with; its words are DRBD's."""

    REFUSE = 1
    """Writes stay held."""
    OUT = 4
    """The other copy is outdated: voters refuse to let it lead. Writes go on."""


def may_go_alone(stage: Stage, other: str, required: AbstractSet[str] | None) -> Answer | None:
    """Whether writes may be acknowledged without the other node.

    Args:
        stage: Of this node.
        other: The member whose copy is lost.
        required: Nodes that a write must reach by what is committed and proposed; None: not told.

    Returns:
        The answer; None: not yet, ask again when `required` has changed.
    """
    if stage is Stage.NONE:
        return Answer.REFUSE
    if required is not None and other not in required:
        return Answer.OUT
    return None if stage is Stage.ACTIVE else Answer.REFUSE


class Do(Enum):
    """The next step for a standby's copy."""

    NOTHING = "Nothing"
    WAIT = "Wait"
    REFUSE = "Refuse"
    CREATE = "Create"
    ATTACH = "Attach"
    CONNECT = "Connect"
    PARTED = "Parted"
    """Both have changes: only a person may choose."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What is known of this node's copy.

    Attributes:
        seen: What DRBD says.
        mine: Its generations; None: no metadata.
        is_blank: Nothing is on the disk below: it may be taken.
    """

    seen: Seen
    mine: Generations | None
    is_blank: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """A step, and why."""

    do: Do
    why: str = ""


def next_of_standby(copy: Copy, theirs: Generations | None, *, counts_on_me: bool) -> Next:
    """What brings this copy to the active one's data, without giving anything up unasked.

    Args:
        copy: This one.
        theirs: Generations of the active node's copy, as it told last; None: not told.
        counts_on_me: The newest record calls this node in sync.
    """
    seen = copy.seen
    if seen.is_in_touch or seen.is_primary:
        return Next(Do.NOTHING)
    if theirs is None:
        return Next(Do.WAIT, "the active node has not said which data it has")
    if copy.mine is None:
        if copy.is_blank:
            return Next(Do.CREATE, "the disk is blank")
        return Next(Do.REFUSE, "something is on the disk that DRBD did not put there")
    if seen.connection == reading.UNCONFIGURED or seen.disk == reading.DISKLESS:
        return Next(Do.ATTACH)
    kin = kinship(copy.mine, theirs)
    if kin in {Kinship.AHEAD, Kinship.SPLIT, Kinship.UNRELATED}:
        return Next(Do.PARTED, PARTED[kin])
    if kin is not Kinship.SAME and counts_on_me:
        return Next(Do.WAIT, "acknowledged writes rest on this copy until the record lets it go")
    if seen.connection == reading.STAND_ALONE:
        return Next(Do.CONNECT)
    return Next(Do.NOTHING)


PARTED = {
    Kinship.AHEAD: "this copy has writes that the active one never got",
    Kinship.SPLIT: "both copies have writes that the other lacks (split brain)",
    Kinship.UNRELATED: "the two were never copies of each other",
}


class Begin(Enum):
    """How a copy becomes active."""

    PLAINLY = "Plainly"
    AS_FIRST = "AsFirst"
    """It never had data that count, and is the one that the cluster begins with."""
    CREATE = "Create"
    """The same, and DRBD's own data have to be made first."""
    NEVER = "Never"


def how_to_begin(copy: Copy, *, begins: bool, belongs: bool) -> tuple[Begin, str]:
    """Whether this copy may become active, and how.

    Args:
        copy: This one.
        begins: The cluster begins with the data of this node, as long as none has a copy.
        belongs: It is known to be a copy of this cluster.

    Returns:
        How, and why not.
    """
    mine, is_first = copy.mine, begins and not belongs
    if mine is None:
        if is_first and copy.is_blank:
            return Begin.CREATE, ""
        return Begin.NEVER, (
            "DRBD keeps nothing on it" if is_first else "it has no copy of the cluster's data"
        )
    if mine.is_new:
        return (Begin.AS_FIRST, "") if is_first else (Begin.NEVER, "its copy was never filled")
    if not belongs and not begins:
        return Begin.NEVER, "its copy was never seen to be one of this cluster"
    obstacle = unfit(copy)
    return (Begin.NEVER, obstacle) if obstacle else (Begin.PLAINLY, "")


def unfit(copy: Copy) -> str:
    """Why the data of this copy cannot be served; empty when they can."""
    disk, mine = copy.seen.disk, copy.mine
    is_attached = disk in {
        reading.INCONSISTENT,
        reading.OUTDATED,
        reading.CONSISTENT,
        reading.UP_TO_DATE,
    }
    if disk == reading.INCONSISTENT or (
        not is_attached and mine is not None and not mine.is_consistent
    ):
        return "its copy is in the middle of a resync (Inconsistent): half old, half new"
    if disk == reading.OUTDATED or (
        not is_attached and mine is not None and not mine.was_up_to_date
    ):
        return "DRBD knows that its copy is older than the other one (Outdated)"
    return ""


def progress(seen: Seen) -> str:
    """How far a resync or a comparison is, in words that change seldom."""
    done = "" if seen.done is None else f", {seen.done // 50 * 5} % done"
    if seen.connection in reading.PAUSED:
        return f"resync paused{done}"
    what = "comparing" if seen.connection in reading.VERIFYING else "resync"
    return f"{what}{done}{_left(seen.left_s)}"


def _left(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return ", less than a minute left"
    return f", about {-(-seconds // 60)} min left"
