"""What may be lost in an asynchronous mode, in sentences."""

from standfast.agent.bounds import Distance, follows_within, unfollowed_alert
from standfast.ports.replication import Follower, Part, Replication


def serving(*followers: Follower, absent: tuple[tuple[str, int], ...] = ()) -> Replication:
    return Replication(Part.ACTIVE, "", position=900, followers=followers, absent=absent)


def follower(uid: str, lag_bytes: int, *, is_connected: bool = True) -> Follower:
    return Follower(uid, 900 - lag_bytes, lag_bytes, is_connected=is_connected, holds_all=False)


def test_one_node_must_follow_everything_within_the_bound() -> None:
    assert follows_within([serving(follower("b", 100))], 100)
    assert not follows_within([serving(follower("b", 101))], 100)
    assert follows_within([serving(follower("b", 101), follower("c", 7))], 100)
    two = [serving(follower("b", 60)), serving(follower("b", 60))]
    assert not follows_within(two, 100), "of all data together"
    assert not follows_within([serving(follower("b", 1)), serving(follower("c", 1))], 100)
    assert not follows_within([serving(follower("b", 1, is_connected=False))], 100)


def test_the_nearest_copy_is_named_by_what_it_lacks() -> None:
    found = [serving(follower("b", 2048), absent=(("c", 1 << 20),))]
    assert "the nearest copy lacks at most 64.0 KiB" in unfollowed_alert(found, 1024).message
    assert "no copy follows" in unfollowed_alert([serving()], 1024).message


def test_a_distance_is_known_only_when_both_ends_are() -> None:
    assert Distance("a", 10, 7).bytes == 3
    assert Distance("a", 7, 10).bytes == 0
    assert Distance("a", None, 7).bytes is None
    assert Distance("a", 7, None).bytes is None
