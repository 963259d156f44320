"""When failed checks are a failure: so many of the newest, and what is certain at once (F05)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from standfast.core import group_events as ev
from standfast.core.group_spec import Spec
from standfast.core.group_stop import FLAPPING
from tests.unit.core.group_world import World

DOWN, GONE, UNKNOWN, UP = ev.Verdict.DOWN, ev.Verdict.GONE, ev.Verdict.UNKNOWN, ev.Verdict.UP
EVERY_MS = 5000


def serving(failures_max: int, checks_seen: int) -> World:
    spec = Spec("db", "thing", "1", failures_max=failures_max, checks_seen=checks_seen)
    return World().serve(spec)


def see(world: World, *verdicts: ev.Verdict) -> int:
    """One check after the other; how many were made before it was stopped, or all of them."""
    for at, verdict in enumerate(verdicts):
        world.things["db"].health = verdict
        world.run(EVERY_MS)
        if world.things["db"].stops:
            return at + 1
    return len(verdicts) + 1


def test_f05_a_check_that_flaps_below_its_threshold_moves_nothing_and_is_seen() -> None:
    world = serving(3, 5)
    assert see(world, *(DOWN, UP, UP, DOWN, UP) * 4) == 21
    assert world.things["db"].starts == 1
    assert not world.noted("Failed")
    assert world.group.cells["db"].failed_checks == 2
    assert ("db", FLAPPING) in world.alarms
    said = next(one for one in reversed(world.said(ev.Alarm)) if isinstance(one, ev.Alarm))
    assert said.message.startswith("2 of the last 5 checks failed")
    assert said.message.endswith("with 3 of 5 it counts as failed")
    assert len(world.noted("CheckFailed")) == 8, "one for each time that it turned"


def test_f05_enough_failed_checks_of_the_newest_are_a_failure() -> None:
    assert see(serving(3, 5), DOWN, UP, DOWN, UP, DOWN) == 5
    assert see(serving(2, 2), DOWN, UP, DOWN, UP, DOWN, DOWN) == 6, "in a row"


def test_the_alarm_ends_with_the_last_failed_check_that_is_remembered() -> None:
    world = serving(2, 3)
    see(world, DOWN, UP, UP)
    assert ("db", FLAPPING) in world.alarms
    see(world, UP)
    assert world.alarms == set()


def test_a_check_that_could_not_be_made_is_not_counted() -> None:
    assert see(serving(2, 2), DOWN, UNKNOWN, UNKNOWN, DOWN) == 4


def test_what_is_certain_counts_at_once() -> None:
    assert see(serving(60, 60), UP, GONE) == 2
    world = serving(60, 60)
    world.die("db").run(100)
    assert world.things["db"].starts == 2


def test_f04_a_check_that_hangs_counts_as_one_and_is_made_again_when_it_is_due() -> None:
    world = serving(2, 2)
    world.things["db"].check_hangs = True
    world.run(EVERY_MS + 4001)
    assert world.things["db"].stops == 0
    assert "did not come back within 4000 ms" in world.group.cells["db"].message
    world.run(EVERY_MS + 4001)
    assert world.things["db"].stops == 1
    assert world.noted("Failed")[0].fields["reason"] == "CheckTimeout"


def test_a_restart_begins_to_count_anew() -> None:
    world = serving(2, 3)
    see(world, DOWN)
    world.die("db").run(100)
    assert world.group.cells["db"].checks == ()
    assert world.alarms == set()
    assert see(world, DOWN) == 2


def test_what_was_seen_of_it_is_forgotten_with_the_lease() -> None:
    world = serving(2, 3)
    see(world, DOWN)
    world.release().run(100)
    assert world.alarms == set()


def test_another_threshold_restarts_nothing_and_holds_from_the_next_check() -> None:
    world = serving(5, 5)
    see(world, DOWN, DOWN, DOWN)
    world.declare(Spec("db", "thing", "1", failures_max=2, checks_seen=2), generation=2)
    world.run(1)
    assert world.things["db"].stops == 0
    assert see(world, DOWN) == 1


verdicts = st.lists(st.sampled_from((UP, DOWN, UNKNOWN, GONE)), max_size=24)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), verdicts)
def test_f05_it_fails_with_the_first_check_that_makes_it_so_many_and_not_before(
    failures_max: int, more: int, seen: list[ev.Verdict]
) -> None:
    checks_seen = failures_max + more
    known: list[bool] = []
    wanted = len(seen) + 1
    for at, verdict in enumerate(seen):
        if verdict is not UNKNOWN:
            known.append(verdict is not UP)
        if verdict is GONE or sum(known[-checks_seen:]) >= failures_max:
            wanted = at + 1
            break
    assert see(serving(failures_max, checks_seen), *seen) == wanted
