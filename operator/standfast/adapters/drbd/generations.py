"""How two copies of a device are related, by the generation identifiers that DRBD keeps.

The same questions that DRBD asks when it connects, in its order, asked before it connects: which
copy would be overwritten is known, and allowed, first. Pure.

Source: drbd_uuid_compare() in drivers/block/drbd/drbd_receiver.c of Linux 6.1, rules 10 to 100;
DRBD User's Guide 8.4, "Generation Identifiers".
"""

from dataclasses import dataclass
from enum import Enum

JUST_CREATED = 4
"""What a copy is called that never had data: UUID_JUST_CREATED."""


@dataclass(frozen=True, slots=True)
class Generations:
    """Of one copy.

    Attributes:
        current: Of the data as they are now.
        bitmap: From which on changes are noted for the other copy; 0 when none are.
        history: Older ones, the newest first.
        is_consistent: The copy is whole: not in the middle of a resync.
        was_up_to_date: It was, when it was last in use; false: outdated.
    """

    current: int
    bitmap: int = 0
    history: tuple[int, ...] = ()
    is_consistent: bool = True
    was_up_to_date: bool = True

    @property
    def is_new(self) -> bool:
        """Whether it never had data."""
        return self.current in {0, JUST_CREATED}

    @property
    def text(self) -> str:
        """As drbdadm writes them."""
        return ":".join(f"{each:016X}" for each in (self.current, self.bitmap, *self.history))


class Kinship(Enum):
    """What a copy is to another one."""

    SAME = "Same"
    """Nothing to do, or what one crash left."""
    BEHIND = "Behind"
    """The other has all of it and more: the difference is copied over."""
    FAR_BEHIND = "FarBehind"
    """The same, and nobody noted what differs: everything is copied over."""
    NEW = "New"
    """It never had data: everything is copied over."""
    AHEAD = "Ahead"
    """It has all of the other, and more: connecting would overwrite the other."""
    SPLIT = "Split"
    """Both have changes that the other lacks."""
    UNRELATED = "Unrelated"
    """They never were copies of each other."""


def kinship(mine: Generations, theirs: Generations) -> Kinship:
    """What my copy is to theirs."""
    me, they = _plain(mine.current), _plain(theirs.current)
    my_bitmap, their_bitmap = _plain(mine.bitmap), _plain(theirs.bitmap)
    if mine.is_new and theirs.is_new:
        return Kinship.SAME
    if mine.is_new:
        return Kinship.NEW
    if theirs.is_new:
        return Kinship.AHEAD
    if me == they:
        return Kinship.SAME
    if me == their_bitmap:
        return Kinship.BEHIND
    if me in _past(theirs):
        return Kinship.FAR_BEHIND
    if they == my_bitmap or they in _past(mine):
        return Kinship.AHEAD
    if my_bitmap and my_bitmap == their_bitmap:
        return Kinship.SPLIT
    if _past(mine) & _past(theirs):
        return Kinship.SPLIT
    return Kinship.UNRELATED


def read_generations(text: str) -> Generations | None:
    """What `drbdadm get-gi` prints; None when it does not read.

    Four identifiers, then flags: consistent, was up to date, primary, connected, ...
    """
    fields = text.strip().split(":")
    if len(fields) < 6:
        return None
    try:
        current, bitmap, *history = (int(field, 16) for field in fields[:4])
    except ValueError:
        return None
    return Generations(
        current,
        bitmap,
        tuple(history),
        is_consistent=fields[4] == "1",
        was_up_to_date=fields[5] == "1",
    )


def _plain(identifier: int) -> int:
    """Without the lowest bit, by which DRBD marks a primary."""
    return identifier & ~1


def _past(copy: Generations) -> frozenset[int]:
    return frozenset(_plain(each) for each in copy.history) - {0}
