"""How two copies are related is judged as DRBD judges it when it connects."""

import pytest

from standfast.adapters.drbd.generations import (
    Generations,
    Kinship,
    kinship,
    read_generations,
)
from tests.unit.adapters.drbd import recorded


def copy(text: str) -> Generations:
    found = read_generations(text)
    assert found is not None
    return found


NEW = copy(recorded.GI_NEW)
FIRST = copy(recorded.GI_FIRST)
OLD = copy(recorded.GI_OLD)
TAKEN_OVER = copy(recorded.GI_TAKEN_OVER)


def test_what_drbdadm_prints_is_read() -> None:
    assert OLD.current == 0xBBE6423E39DE08E0
    assert OLD.history == (0x1D3CEFCB1511BE39, 0x1D3BEFCB1511BE39)
    assert OLD.is_consistent
    assert not copy(recorded.GI_TARGET).is_consistent
    assert NEW.is_new
    assert not FIRST.is_new
    assert recorded.GI_OLD.startswith(OLD.text)


@pytest.mark.parametrize("text", ["", "no such resource", "xyz:0:0:0:1:1", "1:2:3"])
def test_what_does_not_read_is_nothing(text: str) -> None:
    assert read_generations(text) is None


def test_an_old_active_is_behind_the_node_that_took_over() -> None:
    """As recorded: DRBD resynchronised 4097 blocks from the bitmap then."""
    assert kinship(OLD, TAKEN_OVER) is Kinship.BEHIND
    assert kinship(TAKEN_OVER, OLD) is Kinship.AHEAD


def test_a_new_copy_is_filled_and_never_overwrites() -> None:
    assert kinship(NEW, FIRST) is Kinship.NEW
    assert kinship(FIRST, NEW) is Kinship.AHEAD
    assert kinship(NEW, NEW) is Kinship.SAME


def test_the_mark_of_a_primary_makes_no_difference() -> None:
    assert kinship(Generations(0x11), Generations(0x10)) is Kinship.SAME


def test_two_that_went_on_from_one_are_split() -> None:
    mine = Generations(0xA0, 0xBBE6423E39DE08E0)
    assert kinship(mine, TAKEN_OVER) is Kinship.SPLIT
    assert kinship(TAKEN_OVER, mine) is Kinship.SPLIT
    elder = Generations(0xB0, 0, (0x1D3CEFCB1511BE38,))
    assert kinship(elder, Generations(0xC0, 0xD0, (0x1D3CEFCB1511BE39,))) is Kinship.SPLIT


def test_a_copy_of_long_ago_is_filled_anew() -> None:
    assert kinship(Generations(0x1D3CEFCB1511BE38), TAKEN_OVER) is Kinship.FAR_BEHIND


def test_strangers_are_unrelated() -> None:
    assert kinship(Generations(0xA0), Generations(0xB0)) is Kinship.UNRELATED
    assert kinship(Generations(0xA0, 0, (0, 0)), Generations(0xB0, 0, (0, 0))) is (
        Kinship.UNRELATED
    )


def test_who_is_ahead_is_never_overwritten_by_who_is_behind() -> None:
    """Over a small world: if one is behind, the other is ahead."""
    values = (0x10, 0x20, 0x30)
    world = [
        Generations(current, bitmap, (history,))
        for current in values
        for bitmap in (0, *values)
        for history in (0, *values)
    ]
    behind = {Kinship.BEHIND, Kinship.FAR_BEHIND, Kinship.NEW}
    for mine in world:
        for theirs in world:
            if kinship(mine, theirs) is Kinship.SPLIT:
                assert kinship(theirs, mine) is Kinship.SPLIT
            if kinship(mine, theirs) is Kinship.SAME:
                assert kinship(theirs, mine) is Kinship.SAME
            both = {kinship(mine, theirs), kinship(theirs, mine)}
            crossed = theirs.current in {mine.bitmap, *mine.history} and (
                mine.current in {theirs.bitmap, *theirs.history}
            )
            if both & behind and not crossed:
                assert Kinship.AHEAD in both
