"""What /proc/drbd says is read as it was recorded; what is not there is unconfigured."""

import pytest

from standfast.adapters.drbd.reading import KIB, Seen, read_json, read_proc, version_of
from tests.unit.adapters.drbd import recorded


def test_the_version_of_the_module() -> None:
    assert version_of(recorded.NEW) == (8, 4, 11)
    assert version_of("nonsense") is None


@pytest.mark.parametrize("text", [recorded.NOTHING, recorded.UNCONFIGURED, ""])
def test_a_device_that_is_not_there_is_unconfigured(text: str) -> None:
    assert read_proc(text, 0) == Seen()


def test_the_device_is_found_by_its_number() -> None:
    assert read_proc(recorded.UNCONFIGURED, 1).is_in_step
    assert read_proc(recorded.IN_STEP, 10) == Seen()


def test_a_new_copy() -> None:
    seen = read_proc(recorded.NEW, 0)
    assert (seen.connection, seen.disk, seen.protocol) == ("StandAlone", "Inconsistent", "")
    assert not seen.is_frozen, "the last flag is another one"
    assert seen.out_of_sync_bytes == 131032 * KIB


def test_a_resync_says_how_far_it_is() -> None:
    seen = read_proc(recorded.SYNC_TARGET, 0)
    assert (seen.done, seen.left_s) == (782, 8)
    assert seen.is_in_touch
    assert not seen.is_in_step
    source = read_proc(recorded.SYNC_SOURCE, 0)
    assert (source.done, source.left_s) == (63, 573)
    assert source.is_primary
    assert source.written_bytes == 143772 * KIB
    paused = read_proc(recorded.PAUSED, 0)
    assert (paused.connection, paused.done) == ("PausedSyncS", None)


def test_in_step_is_both_copies_whole_and_connected() -> None:
    assert read_proc(recorded.IN_STEP, 0).is_in_step
    asynchronous = recorded.IN_STEP.replace("UpToDate C r", "UpToDate A r")
    assert not read_proc(asynchronous, 0).is_in_step
    for text in (recorded.FROZEN, recorded.ALONE, recorded.SYNC_SOURCE, recorded.REJOINING):
        assert not read_proc(text, 0).is_in_step


def test_held_writes_are_seen() -> None:
    frozen = read_proc(recorded.FROZEN, 0)
    assert frozen.is_frozen
    assert not frozen.is_in_touch
    assert read_proc(recorded.FAILING, 0).is_frozen
    assert not read_proc(recorded.ALONE, 0).is_frozen
    assert not read_proc(recorded.TAKEN_AWAY, 0).is_primary


def test_a_state_of_drbd_9() -> None:
    seen = read_json(recorded.NINE, "standfast-data")
    assert (seen.connection, seen.role, seen.peer_disk) == (
        "SyncSource",
        "Primary",
        "Inconsistent",
    )
    assert (seen.done, seen.out_of_sync_bytes) == (872, 512 * KIB)
    assert read_json(recorded.NINE, "other") == Seen()
    assert read_json("", "other") == Seen()
    alone = recorded.NINE.replace('"Connected"', '"Connecting"')
    assert read_json(alone, "standfast-data").connection == "WFConnection"
