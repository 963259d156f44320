"""Who is whose ancestor, and who went another way."""

import pytest

from standfast.adapters.postgresql.wal import (
    Branch,
    History,
    Kin,
    kin,
    parted_at,
    read_history,
    read_lsn,
    segment_name,
    show_lsn,
)

FIRST = History(1)
SECOND = History(2, (Branch(1, 500),))
THIRD = History(3, (Branch(1, 500), Branch(2, 900)))
OTHER_SECOND = History(2, (Branch(1, 400),))


def test_a_position_reads_and_shows() -> None:
    assert read_lsn("16/B374D848") == 0x16B374D848
    assert show_lsn(0x16B374D848) == "16/B374D848"
    for text in ("", "16", "x/y"):
        with pytest.raises(ValueError):
            read_lsn(text)


def test_a_segment_is_named_by_timeline_and_position() -> None:
    assert segment_name(2, read_lsn("0/3000060")) == "000000020000000000000003"
    assert segment_name(1, read_lsn("2/FF000000")) == "0000000100000002000000FF"


def test_a_history_file_reads() -> None:
    text = "1\t0/1F4\tno recovery target specified\n\n# a remark\n2\t0/384\tafter LSN 0/384\n"
    assert read_history(3, text) == THIRD


@pytest.mark.parametrize(
    ("mine", "position", "theirs", "expected"),
    [
        (FIRST, 100, FIRST, Kin.SAME),
        (SECOND, 999, SECOND, Kin.SAME),
        (FIRST, 500, SECOND, Kin.ANCESTOR),
        (FIRST, 501, SECOND, Kin.DIVERGED),
        (FIRST, 500, THIRD, Kin.ANCESTOR),
        (SECOND, 900, THIRD, Kin.ANCESTOR),
        (SECOND, 901, THIRD, Kin.DIVERGED),
        (SECOND, 600, FIRST, Kin.DIVERGED),
        (SECOND, 600, OTHER_SECOND, Kin.TWIN),
        (OTHER_SECOND, 450, THIRD, Kin.DIVERGED),
        (History(4, (Branch(1, 500),)), 600, THIRD, Kin.DIVERGED),
    ],
)
def test_two_copies_are_compared(
    mine: History, position: int, theirs: History, expected: Kin
) -> None:
    assert kin(mine, position, theirs) is expected


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (FIRST, SECOND, 500),
        (SECOND, FIRST, 500),
        (SECOND, THIRD, 900),
        (OTHER_SECOND, THIRD, 400),
        (History(4, (Branch(1, 700),)), SECOND, 500),
        (History(9), History(8), 0),
    ],
)
def test_the_point_of_parting(mine: History, theirs: History, expected: int) -> None:
    assert parted_at(mine, theirs) == expected
