"""What is told of a copy to the quorum and to people."""

from pathlib import Path

from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.generations import read_generations
from standfast.adapters.drbd.invitation import Note
from standfast.adapters.drbd.reading import Seen, read_proc
from standfast.adapters.drbd.telling import alerts_of, of_active, of_standby
from standfast.ports.replication import Part
from tests.unit.adapters.drbd import recorded

CONFIG = DrbdConfig("data", Path("/dev/drbd0"), Path("/dev/mapper/data"))


def seen(text: str) -> Seen:
    return read_proc(text, 0)


def test_only_a_copy_in_step_holds_all() -> None:
    (follower,) = of_active(seen(recorded.IN_STEP), "b", "").followers
    assert (follower.holds_all, follower.is_connected, follower.lag_bytes) == (True, True, 0)
    for text in (recorded.SYNC_SOURCE, recorded.PAUSED):
        told = of_active(seen(text), "b", "")
        (follower,) = told.followers
        assert not follower.holds_all
        assert told.position is not None
        assert follower.position < told.position
    asked = of_active(seen(recorded.IN_STEP), "b", "", is_lost=True)
    (follower,) = asked.followers
    assert (follower.holds_all, follower.is_connected, follower.is_lost) == (False, False, True)


def test_a_copy_that_is_gone_lacks_what_was_written_since() -> None:
    told = of_active(seen(recorded.ALONE), "b", "")
    assert told.followers == ()
    assert told.absent == (("b", 40 * 1024),)


def test_a_standby_says_what_it_is() -> None:
    building = of_standby(seen(recorded.SYNC_TARGET), "a", "", is_parted=False)
    assert (building.part, building.percent) == (Part.BUILDING, 78)
    step = of_standby(seen(recorded.IN_STEP), "a", "", is_parted=False)
    assert (step.part, step.lag_bytes) == (Part.STANDBY, 0)
    down = of_standby(seen(recorded.NEW), "a", "waits", is_parted=False)
    assert (down.part, down.message) == (Part.DOWN, "StandAlone, Inconsistent: waits")
    parted = of_standby(seen(recorded.REJOINING), "a", "split", is_parted=True)
    assert parted.part is Part.DOWN


def test_parted_copies_are_named_with_the_words_to_choose() -> None:
    mine = read_generations(recorded.GI_OLD)
    (alert,) = alerts_of(CONFIG, seen(recorded.REJOINING), "both went on", mine)
    assert alert.reason == "SplitBrain"
    assert "16777216 bytes" in alert.message
    assert "discard data BBE6423E39DE08E0" in alert.remedy


def test_a_failed_disk_and_copies_that_differ_are_told() -> None:
    diskless = seen(recorded.IN_STEP.replace("ds:UpToDate/", "ds:Diskless/"))
    (alert,) = alerts_of(CONFIG, diskless, "", None)
    assert alert.reason == "DiskFailed"
    note = Note(verified_at="2026-01-01T00:00:00+00:00", differing_bytes=4096)
    differ = seen(recorded.IN_STEP.replace("oos:0", "oos:4"))
    (alert,) = alerts_of(CONFIG, differ, "", None, note)
    assert alert.reason == "CopiesDiffer"
    assert alerts_of(CONFIG, seen(recorded.IN_STEP), "", None, note) == []
