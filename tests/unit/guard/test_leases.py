"""The rules of the guard, as stories of what is asked and what follows."""

from standfast.guard.leases import Leases
from standfast.guard.protocol import (
    AHEAD_MS_MAX,
    LEASES_MAX,
    Disarm,
    Extend,
    MountTarget,
    Outcome,
    Plan,
    Stage,
    Strike,
)
from standfast.guard.status import LeaseStatus

DATA = (MountTarget("/data"),)
STRUCK = Outcome(1, 1000, 0, 0, 0, 0)
OVER = Outcome(1, 1000, 0, 0, 0, 0, verified_us=5)


def armed(term: int = 1, until_ms: int = 1000) -> Leases:
    leases = Leases()
    assert leases.plan(Plan("a", DATA)) == ""
    assert leases.extend(Extend("a", term, until_ms), 0) == ""
    return leases


def fired(outcome: Outcome = STRUCK) -> Leases:
    leases = armed()
    leases.fire("a", outcome)
    return leases


def lease(leases: Leases) -> LeaseStatus:
    found = leases.get("a")
    assert found is not None
    return found


def test_the_deadline_is_the_first_moment_that_is_too_late() -> None:
    leases = armed()
    assert leases.due(999) == ()
    assert [it.lease for it in leases.due(1000)] == ["a"]
    assert leases.next_due_ms() == 1000


def test_an_extension_moves_the_deadline_both_ways() -> None:
    leases = armed()
    assert leases.extend(Extend("a", 1, 1500), 900) == ""
    assert leases.due(1000) == ()
    assert leases.extend(Extend("a", 1, 1200), 950) == ""
    assert leases.due(1200)


def test_an_extension_sent_in_time_counts_when_it_is_read_late() -> None:
    """The guard itself was stopped in between: what a majority promised is still true."""
    leases = armed()
    assert leases.extend(Extend("a", 1, 1500), 1100) == ""
    assert leases.due(1100) == ()


def test_a_fired_lease_takes_no_extension_of_any_term() -> None:
    leases = fired()
    assert "verify that all is stopped" in leases.extend(Extend("a", 1, 9000), 1100)
    assert "verify that all is stopped" in leases.extend(Extend("a", 2, 9000), 1100)
    assert lease(leases).stage is Stage.FIRED


def test_a_fired_lease_keeps_its_plan() -> None:
    leases = fired()
    assert leases.plan(Plan("a", ())) != ""
    assert lease(leases).targets == DATA


def test_after_the_disarm_only_a_newer_term_arms() -> None:
    leases = fired(OVER)
    assert leases.disarm(Disarm("a", 1), ()) == ""
    assert lease(leases).stage is Stage.IDLE
    assert lease(leases).targets == ()
    assert "term 1 has ended" in leases.extend(Extend("a", 1, 9000), 1100)
    assert leases.extend(Extend("a", 2, 9000), 1100) == ""


def test_a_released_term_does_not_come_back() -> None:
    leases = armed()
    assert leases.disarm(Disarm("a", 1), ()) == ""
    assert leases.due(5000) == ()
    assert "term 1 has ended" in leases.extend(Extend("a", 1, 9000), 500)


def test_a_disarm_is_refused_while_anything_is_left() -> None:
    leases = armed()
    problem = leases.disarm(Disarm("a", 1), ("/data is mounted",))
    assert problem == "not everything of the plan is stopped: /data is mounted"
    assert leases.due(1000)


def test_an_older_term_changes_nothing() -> None:
    leases = armed(term=5)
    before = lease(leases)
    assert "older than 5" in leases.extend(Extend("a", 4, 9000), 500)
    assert "older than 5" in leases.disarm(Disarm("a", 4), ())
    assert "older than 5" in leases.strike(Strike("a", 4), 500)
    assert lease(leases) == before


def test_a_newer_term_goes_on_where_the_older_was() -> None:
    """The holder stood again above its term while its lease ran on."""
    leases = armed()
    assert leases.extend(Extend("a", 4, 2000), 800) == ""
    assert lease(leases).term == 4
    assert lease(leases).targets == DATA
    assert leases.due(1500) == ()


def test_a_strike_ends_the_lease_now() -> None:
    leases = armed()
    assert leases.strike(Strike("a", 1), 400) == ""
    assert leases.due(400)
    assert lease(leases).until_ms == 400


def test_a_strike_does_not_put_the_end_off() -> None:
    leases = armed()
    leases.strike(Strike("a", 1), 4000)
    assert lease(leases).until_ms == 1000


def test_a_strike_at_nothing_is_fine() -> None:
    leases = Leases()
    assert leases.strike(Strike("a", 1), 400) == ""
    assert leases.disarm(Disarm("a", 1), ()) == ""
    assert leases.all() == ()
    struck = fired()
    assert struck.strike(Strike("a", 1), 4000) == ""
    assert lease(struck).until_ms == 1000


def test_a_deadline_far_ahead_is_a_mistake() -> None:
    leases = Leases()
    assert "ms is the most" in leases.extend(Extend("a", 1, AHEAD_MS_MAX + 1), 0)
    assert leases.extend(Extend("a", 1, AHEAD_MS_MAX), 0) == ""


def test_told_to_leave_it_takes_no_extension() -> None:
    leases = armed()
    leases.leaving = True
    assert "hand over" in leases.extend(Extend("a", 1, 9000), 500)
    assert leases.due(1000)
    assert leases.disarm(Disarm("a", 1), ()) == ""
    assert leases.is_quiet()


def test_each_lease_has_its_own_deadline() -> None:
    leases = armed()
    leases.extend(Extend("b", 9, 700), 0)
    assert leases.next_due_ms() == 700
    assert [it.lease for it in leases.due(800)] == ["b"]
    assert {it.lease for it in leases.due(1000)} == {"a", "b"}


def test_idle_leases_make_room_and_armed_ones_do_not() -> None:
    leases = Leases()
    for number in range(LEASES_MAX):
        assert leases.extend(Extend(f"lease {number}", 1, 1000), 0) == ""
    assert "16 leases already" in leases.extend(Extend("one more", 1, 1000), 0)
    assert "16 leases already" in leases.plan(Plan("one more", DATA))
    leases.disarm(Disarm("lease 3", 1), ())
    assert leases.extend(Extend("one more", 1, 1000), 0) == ""
    assert leases.get("lease 3") is None
    assert len(leases.all()) == LEASES_MAX


def test_the_watchdog_is_fed_while_the_lease_holds_or_nothing_is_left() -> None:
    assert Leases().may_feed(0)
    leases = armed()
    assert leases.may_feed(999)
    assert not leases.may_feed(1000)
    assert not leases.is_quiet()
    leases.fire("a", STRUCK)
    assert not leases.may_feed(1001)
    leases.note("a", OVER)
    assert leases.may_feed(1001)
    assert leases.is_quiet()


def test_a_new_term_forgets_how_the_last_one_ended() -> None:
    leases = fired(OVER)
    leases.disarm(Disarm("a", 1), ())
    assert lease(leases).outcome == OVER
    leases.extend(Extend("a", 2, 9000), 2000)
    assert lease(leases).outcome is None


def test_what_an_earlier_run_knew_goes_on() -> None:
    again = Leases(armed().all())
    assert again.due(1000)
    assert "verify that all is stopped" in Leases(fired().all()).extend(Extend("a", 2, 5000), 0)
