"""Positions in the write-ahead log, timelines, and whether one copy went another way.

A position is a number of bytes (`0/3000060` is 0x3000060). A timeline is a branch of the log; a
promotion begins a new one, and its history names every branch it stems from with the position at
which that was left. Timeline numbers are given out locally: two nodes that are promoted from the
same state both call it the next number, so the number alone is never trusted.

Source: PostgreSQL 15 documentation, 26.3.5 "Timelines"; src/backend/access/transam/timeline.c.
"""

from dataclasses import dataclass
from enum import Enum

SEGMENT_BYTES = 16 * 1024 * 1024


def read_lsn(text: str) -> int:
    """`16/B374D848` as a number.

    Raises:
        ValueError: It does not read.
    """
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is not a position")
    return (int(high, 16) << 32) + int(low, 16)


def show_lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_name(timeline: int, position: int, segment_bytes: int = SEGMENT_BYTES) -> str:
    """The file of pg_wal that holds this position."""
    per_log = (1 << 32) // segment_bytes
    number = position // segment_bytes
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


@dataclass(frozen=True, slots=True)
class Branch:
    """A timeline that ended, and the position at which the next one left it."""

    timeline: int
    end: int


@dataclass(frozen=True, slots=True)
class History:
    """A timeline with all that it stems from, oldest first."""

    timeline: int
    past: tuple[Branch, ...] = ()

    def end_of(self, timeline: int) -> int | None:
        """Where that branch was left; None when this history does not come from it."""
        return next((b.end for b in self.past if b.timeline == timeline), None)


def read_history(timeline: int, text: str) -> History:
    """The content of a `.history` file.

    Raises:
        ValueError: A line does not read.
    """
    past: list[Branch] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split(maxsplit=2)
        if words:
            past.append(Branch(int(words[0]), read_lsn(words[1])))
    return History(timeline, tuple(past))


class Kin(Enum):
    """How a copy is related to the one it should follow."""

    SAME = "Same"
    """On the same timeline."""
    ANCESTOR = "Ancestor"
    """On a timeline that the other one left later: it only has to go on."""
    DIVERGED = "Diverged"
    """It has something that the other one has not: back to where they parted."""
    TWIN = "Twin"
    """Two histories under one number: nothing can tell where they parted."""


def kin(mine: History, position: int, theirs: History) -> Kin:
    """Compare a copy with the one it should follow.

    Args:
        mine: Timeline of the copy.
        position: How far the copy reaches on it.
        theirs: Timeline of the other.
    """
    if mine.timeline == theirs.timeline:
        return Kin.SAME if mine.past == theirs.past else Kin.TWIN
    if mine.past != theirs.past[: len(mine.past)]:
        return Kin.DIVERGED
    end = theirs.end_of(mine.timeline)
    if end is None or len(theirs.past) <= len(mine.past):
        return Kin.DIVERGED
    if theirs.past[len(mine.past)].timeline != mine.timeline:
        return Kin.DIVERGED
    return Kin.ANCESTOR if position <= end else Kin.DIVERGED


def parted_at(mine: History, theirs: History) -> int:
    """The position up to which both are one, as far as the histories tell."""
    common = 0
    for own, other in zip(
        (*mine.past, Branch(mine.timeline, 1 << 64)),
        (*theirs.past, Branch(theirs.timeline, 1 << 64)),
        strict=False,
    ):
        if own.timeline != other.timeline:
            break
        common = min(own.end, other.end)
        if own.end != other.end:
            break
    return common
