"""When a replica that reaches nobody gives its lease up, and when it does not."""

from typing import cast

from standfast.adapters.fakes.clock import FakeClock
from standfast.controller.listening import Switchboard
from standfast.controller.reach import LOST_MS, Reach


class Counts:
    """A switchboard that hears so many of three members."""

    def __init__(self) -> None:
        self.heard, self.known = 0, 3

    def counts(self) -> tuple[int, int]:
        return self.heard, self.known


def made() -> tuple[Reach, Counts, FakeClock]:
    board, clock = Counts(), FakeClock()
    return Reach(cast("Switchboard", board), clock), board, clock


def test_who_has_lost_everybody_for_long_says_how_many() -> None:
    reach, board, clock = made()
    board.heard = 3
    assert reach.lost() == 0
    board.heard = 0
    assert reach.lost() == 0
    clock.advance(LOST_MS - 1)
    assert reach.lost() == 0
    clock.advance(1)
    assert reach.lost() == 3


def test_one_that_is_heard_in_between_begins_it_anew() -> None:
    reach, board, clock = made()
    for heard in (3, 0, 1, 0):
        board.heard = heard
        assert reach.lost() == 0
        clock.advance(LOST_MS - 1)
    assert reach.lost() == 0


def test_who_never_reached_anybody_stays() -> None:
    reach, _, clock = made()
    for _ in range(3):
        assert reach.lost() == 0
        clock.advance(LOST_MS)


def test_without_members_nobody_is_lost() -> None:
    reach, board, clock = made()
    board.heard = 3
    assert reach.lost() == 0
    board.heard = board.known = 0
    for _ in range(3):
        assert reach.lost() == 0
        clock.advance(LOST_MS)
