"""pg_controldata's words."""

import pytest

from standfast.adapters.postgresql.control import ClusterState, Control, read_control
from standfast.errors import TransientError

TEXT = """\
pg_control version number:            1300
Database system identifier:           7642011472967116994
Database cluster state:               in archive recovery
pg_control last modified:             Wed May 20 16:27:30 2026
Latest checkpoint location:           0/1500718
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/1600000
Min recovery ending loc's timeline:   2
wal_log_hints setting:                off
Bytes per WAL segment:                16777216
Data page checksum version:           1
"""


def test_what_it_says_is_read() -> None:
    assert read_control(TEXT) == Control(
        system="7642011472967116994",
        state=ClusterState.ARCHIVE_RECOVERY,
        timeline=2,
        checkpoint=0x1500718,
        min_recovery=0x1600000,
        can_rewind=True,
        segment_bytes=16777216,
    )


def test_a_standby_is_told_from_what_was_active() -> None:
    standby = read_control(TEXT)
    active = read_control(TEXT.replace("in archive recovery", "shut down"))
    crashed = read_control(TEXT.replace("in archive recovery", "in production"))
    assert (standby.was_standby, standby.is_clean, standby.reach) == (True, False, 0x1600000)
    assert (active.was_standby, active.is_clean) == (False, True)
    assert (crashed.was_standby, crashed.is_clean) == (False, False)


def test_neither_checksums_nor_hints_cannot_be_rewound() -> None:
    without = TEXT.replace("version:           1", "version:           0")
    assert not read_control(without).can_rewind
    assert read_control(without.replace("setting:                off", "setting: on")).can_rewind


@pytest.mark.parametrize("text", ["", TEXT.replace("in archive recovery", "upside down")])
def test_other_words_are_an_error(text: str) -> None:
    with pytest.raises(TransientError):
        read_control(text)
