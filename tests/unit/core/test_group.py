"""The group as stories: what runs on the node after what happened, and in which order it came."""

import pytest

from standfast.core import group
from standfast.core import group_events as ev
from standfast.core.group_spec import Spec, Then
from standfast.core.group_state import Phase, Want
from standfast.core.proof import FULL, Need, enough
from standfast.core.record import Proof, Suspect
from tests.unit.core.group_world import HOUR_MS, World

DB = Spec("db", "systemd", "db.service")
WEB = Spec("web", "systemd", "web.service", depends_on=("db",))
VIP = Spec("vip", "vip", "10.0.0.100/24", depends_on=("web",), rides_out=True)
SIDE = Spec("side", "systemd", "side.service", critical=False)
OLD = Suspect("uid-b", "boot-b", 3)


def spec(base: Spec, **changes: object) -> Spec:
    values = {name: getattr(base, name) for name in Spec.__dataclass_fields__}
    return Spec(**{**values, **changes})


# ------------------------------------------------------------------ permission and order


def test_nothing_starts_without_permission() -> None:
    world = World().declare(DB, WEB, VIP).run(60_000)
    assert world.running == set()
    assert not world.said(ev.Start)


def test_starts_follow_the_graph_and_serving_is_said_once() -> None:
    world = World().serve(VIP, WEB, DB)
    assert world.running == {"db", "web", "vip"}
    assert world.order_of(ev.Start) == ["db", "web", "vip"]
    assert world.said(ev.Serving) == [ev.Serving(1)]


def test_independent_branches_start_in_parallel() -> None:
    world = World().declare(DB, SIDE).run(100)
    world.things["db"].start_ms = world.things["side"].start_ms = 500
    world.permit()
    assert world.order_of(ev.Start) == ["db", "side"]
    world.run(500)
    assert world.running == {"db", "side"}


def test_a_release_stops_backward_and_then_says_so() -> None:
    world = World().serve(DB, WEB, VIP)
    world.release().run(100)
    assert world.order_of(ev.Stop) == ["vip", "web", "db"]
    assert world.said(ev.AllStopped) == [ev.AllStopped()]
    assert world.group.want is Want.DOWN
    world.run(60_000)
    assert world.running == set()


def test_a_release_of_nothing_is_said_at_once() -> None:
    world = World().release()
    assert world.said(ev.AllStopped) == [ev.AllStopped()]


def test_a_release_looks_again_at_what_it_believes_stopped() -> None:
    world = World().declare(DB, SIDE).run(100)
    world.things["side"].start_fails = 1000
    world.permit().run(100)
    world.things["side"].running = True  # nobody told us
    world.release().run(5000)
    assert world.said(ev.AllStopped) == [ev.AllStopped()]
    assert world.running == set()


def test_a_cancelled_release_starts_again_what_was_stopped() -> None:
    world = World().serve(DB, WEB, VIP)
    world.things["db"].stop_ms = 300
    world.release().run(100)
    assert world.running == {"db"}
    world.feed(ev.Resumed()).run(1000)
    assert world.running == {"db", "web", "vip"}
    assert not world.said(ev.AllStopped)


def test_resuming_after_the_report_changes_nothing() -> None:
    world = World().serve(DB).release().run(100)
    world.feed(ev.Resumed()).run(1000)
    assert world.running == set()


def test_an_emergency_kills_everything_in_one_step_addresses_first() -> None:
    world = World().serve(DB, WEB, VIP, SIDE)
    world.emergency()
    assert world.running == set()
    assert world.order_of(ev.Kill) == ["vip", "db", "side", "web"]
    world.run(10)
    assert world.said(ev.AllStopped) == [ev.AllStopped()]
    assert not world.said(ev.Stop)


def test_an_emergency_overtakes_a_release() -> None:
    world = World().serve(DB, WEB)
    world.things["web"].stop_hangs = True
    world.release().run(50).emergency().run(10)
    assert world.running == set()
    assert world.said(ev.AllStopped) == [ev.AllStopped()]


def test_a_release_does_not_soften_an_emergency() -> None:
    world = World().serve(DB)
    world.things["db"].kill_lies = 2
    world.emergency().run(5).release()
    assert world.group.want is Want.EMERGENCY
    world.run(1000)
    assert world.said(ev.AllStopped) == [ev.AllStopped()]


def test_an_emergency_kills_what_is_starting() -> None:
    world = World().declare(DB).run(100)
    world.things["db"].start_ms = 500
    world.permit().run(50).emergency().run(2000)
    assert world.running == set()
    assert world.said(ev.AllStopped) == [ev.AllStopped()]


def test_an_emergency_before_the_first_look_kills_unseen() -> None:
    world = World().declare(DB)
    world.things["db"].running = True
    world.things["db"].look_hangs = True
    world.emergency()
    assert world.running == set()


def test_a_new_permission_waits_for_the_end_of_the_emergency() -> None:
    world = World().serve(DB)
    world.things["db"].kill_hangs = 1
    world.emergency().permit(term=2)
    assert world.group.want is Want.EMERGENCY


def test_nothing_starts_after_the_lease() -> None:
    world = World().declare(DB).run(100).permit(for_ms=1000).run(2000)
    world.die("db").run(10_000)
    assert world.things["db"].starts == 1


def test_an_extension_keeps_starts_allowed() -> None:
    world = World().declare(DB).run(100).permit(for_ms=1000).run(500)
    world.feed(ev.Extended(world.now_ms + HOUR_MS)).run(2000)
    world.die("db").run(1000)
    assert world.running == {"db"}


def test_an_extension_without_permission_is_none() -> None:
    world = World().declare(DB).feed(ev.Extended(HOUR_MS)).run(1000)
    assert world.group.until_ms == 0


# ------------------------------------------------------------------ adoption


def test_what_runs_is_adopted_by_a_start_that_does_not_restart_it() -> None:
    world = World().declare(DB, WEB)
    world.things["db"].running = world.things["web"].running = True
    world.feed(ev.Adopted(1, world.now_ms + 700)).run(300)
    assert world.phase("db") is Phase.FOUND
    assert not world.said(ev.Start)
    world.permit(term=2).run(200)
    assert world.phase("web") is Phase.RUNNING
    assert world.things["db"].stops == world.things["db"].kills == 0


def test_under_an_adopted_lease_nothing_starts() -> None:
    world = World().declare(DB).feed(ev.Adopted(1, HOUR_MS)).run(10_000)
    assert world.running == set()


def test_what_dies_under_an_adopted_lease_starts_with_the_new_one() -> None:
    world = World().declare(DB)
    world.things["db"].running = True
    world.feed(ev.Adopted(1, HOUR_MS)).run(100).die("db").run(100)
    assert world.phase("db") is Phase.STOPPED
    world.permit(term=2).run(100)
    assert world.running == {"db"}


def test_before_a_cluster_exists_nothing_is_touched() -> None:
    world = World().declare(DB)
    world.things["db"].running = True
    world.run(60_000)
    assert world.running == {"db"}
    world.declare(generation=2)
    assert world.said(ev.Drop) == [ev.Drop("db")]


# ------------------------------------------------------------------ strays


def test_what_is_started_by_hand_on_a_standby_is_stopped_and_alarmed() -> None:
    world = World().declare(DB).release().run(100).appear("db")
    assert ("db", "RunsWithoutPermission") in world.alarms
    world.run(100)
    assert world.running == set()
    assert world.alarms == set()


def test_a_stray_nobody_signals_is_found_within_ten_seconds() -> None:
    world = World().declare(DB).release().run(6000)
    world.things["db"].running = True
    world.run(10_000)
    assert world.running == set()


# ------------------------------------------------------------------ failures


def test_the_first_death_is_answered_by_a_start_in_the_same_step() -> None:
    world = World().serve(DB, WEB, VIP)
    world.die("web")
    assert world.things["web"].starts == 2
    world.run(100)
    assert world.running == {"db", "web", "vip"}
    assert world.things["vip"].stops == 0


def test_dependents_are_restarted_with_what_they_stand_on() -> None:
    world = World().serve(DB, WEB, VIP)
    world.die("db")
    assert world.things["web"].stops == 1
    assert world.things["db"].starts == 1, "db must not come back under a running web"
    world.run(200)
    assert world.running == {"db", "web", "vip"}
    assert world.order_of(ev.Start)[3:] == ["db", "web"]
    assert world.things["vip"].stops == 0


def test_a_dependent_that_is_down_already_is_not_stopped_again() -> None:
    world = World().serve(DB, WEB)
    world.things["web"].start_fails = 3
    world.die("web").run(300)
    stops = world.things["web"].stops
    assert world.phase("web") is Phase.STOPPED
    world.die("db")
    assert world.things["web"].stops == stops
    world.run(30_000)
    assert world.running == {"db", "web"}


def test_a_failed_check_stops_and_starts() -> None:
    world = World().serve(DB)
    world.things["db"].health = ev.Verdict.DOWN
    world.run(5001)
    assert world.things["db"].stops == 1
    world.things["db"].health = ev.Verdict.UP
    world.run(100)
    assert world.running == {"db"}
    assert world.alarms == set()


def test_a_check_that_hangs_is_a_failed_check() -> None:
    """F04."""
    world = World().serve(DB)
    world.things["db"].check_hangs = True
    world.run(9002)
    assert world.things["db"].stops == 1
    assert world.noted("Failed")[0].fields["reason"] == "CheckTimeout"


def test_an_unknown_check_fails_nothing() -> None:
    world = World().serve(DB)
    world.things["db"].health = ev.Verdict.UNKNOWN
    world.run(60_000)
    assert world.things["db"].starts == 1
    assert not world.noted("Failed")


def test_signals_that_may_be_missed_bring_the_next_check_forward() -> None:
    world = World().serve(DB)
    world.things["db"].running = False
    world.feed(ev.Changed("db", ev.Turned.UNSURE, "D-Bus is gone")).run(100)
    assert world.things["db"].starts == 2


def fail_often(world: World, name: str, times: int) -> World:
    for _ in range(times):
        world.die(name).run(5000)
    return world


def test_after_n_restarts_in_the_window_it_hands_over() -> None:
    world = World().serve(DB, WEB, VIP).feed(ev.OthersChanged(eligible=True))
    fail_often(world, "web", 3)
    assert not world.said(ev.HandOver)
    world.die("web")
    assert world.said(ev.HandOver) == [ev.HandOver("web", "web failed 4 times here: web died")]
    assert world.things["web"].starts == 4, "no start while handing over"
    world.release().run(1000)
    assert world.running == set()
    assert any("cools down" in reason for reason in world.hindrances())


def test_the_cool_down_ends_when_nobody_else_would_stand() -> None:
    world = World().serve(DB).feed(ev.OthersChanged(eligible=True))
    fail_often(world, "db", 4).release().run(100)
    assert world.hindrances()
    world.feed(ev.OthersChanged(eligible=False))
    assert world.hindrances() == ()


def test_the_cool_down_ends_when_nobody_holds() -> None:
    world = World().serve(DB).feed(ev.OthersChanged(eligible=True))
    fail_often(world, "db", 4).release().run(100)
    world.feed(ev.OthersChanged(eligible=True, somebody_holds=False))
    assert world.hindrances() == ()


def test_the_cool_down_ends_when_a_person_says_so() -> None:
    world = World().serve(DB).feed(ev.OthersChanged(eligible=True))
    fail_often(world, "db", 4).release().run(100).feed(ev.Forgiven())
    assert world.hindrances() == ()


def test_failures_outside_the_window_are_forgotten() -> None:
    world = World().serve(spec(DB, window_ms=60_000)).feed(ev.OthersChanged(eligible=True))
    for _ in range(10):
        world.die("db").run(20_000)
    assert not world.said(ev.HandOver)
    assert world.running == {"db"}


def test_with_nobody_else_it_goes_on_trying_here() -> None:
    world = World().serve(DB)
    world.things["db"].start_fails = 10
    world.die("db").run(120_000)
    assert not world.said(ev.HandOver)
    assert world.running == {"db"}
    assert world.alarms == set()


def test_it_hands_over_as_soon_as_somebody_else_would_stand() -> None:
    world = World().serve(DB)
    world.things["db"].start_fails = 1000
    world.die("db").run(60_000)
    assert ("db", "KeepsFailing") in world.alarms
    world.feed(ev.OthersChanged(eligible=True))
    assert len(world.said(ev.HandOver)) == 1


def test_a_declined_hand_over_goes_on_here_and_asks_again() -> None:
    world = World().serve(DB).feed(ev.OthersChanged(eligible=True))
    world.things["db"].start_fails = 1000
    world.die("db").run(5000)
    assert len(world.said(ev.HandOver)) == 1
    tries = world.things["db"].starts
    world.feed(ev.HandOverDeclined("not now")).run(30_000)
    assert world.things["db"].starts > tries
    assert len(world.said(ev.HandOver)) == 2


def test_a_declined_hand_over_that_nobody_asked_for_changes_nothing() -> None:
    world = World().serve(DB)
    before = world.group
    assert world.feed(ev.HandOverDeclined("what?")).group == before


def test_keep_trying_never_hands_over() -> None:
    world = World().serve(spec(DB, then=Then.KEEP_TRYING)).feed(ev.OthersChanged(eligible=True))
    world.things["db"].start_fails = 8
    world.die("db").run(120_000)
    assert not world.said(ev.HandOver)
    assert world.running == {"db"}


def test_ignore_leaves_it_failed_until_the_declaration_changes() -> None:
    ignored = spec(DB, then=Then.IGNORE, restarts=0)
    world = World().serve(ignored).feed(ev.OthersChanged(eligible=True))
    world.die("db").run(600_000)
    assert world.running == set()
    assert world.things["db"].starts == 1
    world.declare(spec(ignored, restarts=1), generation=2).run(100)
    assert world.running == {"db"}


def test_what_is_not_critical_does_not_count() -> None:
    world = World().serve(DB, SIDE).feed(ev.OthersChanged(eligible=True))
    world.things["side"].start_fails = 1000
    world.die("side").run(600_000)
    assert not world.said(ev.HandOver)
    assert world.running == {"db"}


def test_serving_does_not_wait_for_what_is_not_critical() -> None:
    world = World().declare(DB, SIDE).run(100)
    world.things["side"].start_fails = 1000
    world.permit().run(1000)
    assert world.said(ev.Serving)


def test_a_start_that_fails_is_stopped_before_it_is_tried_again() -> None:
    world = World().declare(DB).run(100)
    world.things["db"].start_fails = 1
    world.permit().run(1000)
    assert world.things["db"].stops == 1
    assert world.running == {"db"}


def test_a_start_that_hangs_is_killed_and_tried_again() -> None:
    world = World().declare(spec(DB, start_ms=3000)).run(100)
    world.things["db"].start_hangs = True
    world.permit().run(3000)
    assert world.things["db"].kills == 1
    world.things["db"].start_hangs = False
    world.run(1000)
    assert world.running == {"db"}


def test_a_failing_start_on_the_new_node_goes_back_to_the_others() -> None:
    """F07: nothing ran here in this term yet, so the service goes where it may run."""
    world = World().declare(DB).run(100).feed(ev.OthersChanged(eligible=True))
    world.things["db"].start_fails = 1000
    world.permit().run(10_000)
    assert len(world.said(ev.HandOver)) == 1


def test_a_lasting_obstacle_hands_over_without_trying_again() -> None:
    world = World().declare(DB).run(100).feed(ev.OthersChanged(eligible=True))
    world.things["db"].start_fails = 1000
    world.things["db"].lasting = True
    world.permit().run(5000)
    assert world.things["db"].starts == 1
    assert len(world.said(ev.HandOver)) == 1


def test_a_new_resource_with_a_bad_declaration_moves_nothing() -> None:
    """A unit that does not exist: nothing restarts or stops because of it."""
    world = World().serve(DB).feed(ev.OthersChanged(eligible=True))
    bad = Spec("typo", "systemd", "tpyo.service")
    world.declare(DB, bad, generation=2)
    world.things["typo"].start_fails = 1000
    world.things["typo"].lasting = True
    world.run(120_000)
    assert not world.said(ev.HandOver)
    assert world.things["db"].starts == 1
    assert world.running == {"db"}
    assert ("typo", "KeepsFailing") in world.alarms


# ------------------------------------------------------------------ the stop ladder (F06)


def test_a_stop_that_fails_is_followed_by_a_kill() -> None:
    world = World().serve(spec(DB, stop_ms=2000))
    world.things["db"].stop_fails = True
    world.release().run(1999)
    assert world.running == {"db"}
    world.run(100)
    assert world.said(ev.AllStopped)


def test_a_stop_that_hangs_is_followed_by_a_kill() -> None:
    world = World().serve(spec(DB, stop_ms=2000))
    world.things["db"].stop_hangs = True
    world.release().run(2300)
    assert world.said(ev.AllStopped)
    (overdue,) = world.noted("StopOverdue")
    assert int(overdue.fields["took_ms"]) >= 2000, "each rung has its time in the record"
    stopped = next(note for note in world.noted("Stopped") if note.fields["resource"] == "db")
    assert stopped.fields["kills"] == 1
    assert int(stopped.fields["took_ms"]) < 2000


def test_a_kill_that_hangs_is_repeated_and_reported() -> None:
    world = World().serve(DB)
    world.things["db"].kill_hangs = 4
    world.emergency().run(7000)
    assert ("db", "Stuck") in world.alarms
    assert any("could not be stopped" in reason for reason in world.hindrances())
    assert not world.said(ev.AllStopped)
    world.run(3000)
    assert world.said(ev.AllStopped)
    assert world.alarms == set()


def test_a_kill_is_believed_only_when_seen() -> None:
    world = World().serve(DB)
    world.things["db"].kill_lies = 3
    world.emergency().run(50)
    assert not world.said(ev.AllStopped)
    world.run(1000)
    assert world.said(ev.AllStopped)
    assert world.things["db"].kills == 4


def test_a_kill_that_cannot_be_verified_is_never_reported_stopped() -> None:
    world = World().serve(DB)
    world.things["db"].look_blind = True
    world.emergency().run(60_000)
    assert not world.said(ev.AllStopped)
    world.things["db"].look_blind = False
    world.run(1000)
    assert world.said(ev.AllStopped)


def test_a_kill_that_ends_with_a_problem_is_repeated() -> None:
    world = World().serve(DB)
    world.things["db"].kill_hangs = 1
    world.emergency()
    call = world.group.cells["db"].call
    world.feed(ev.StopEnded("db", call, "a process is in D state"))
    world.things["db"].call = 0
    world.run(1000)
    assert world.said(ev.AllStopped)


def test_a_look_after_a_kill_that_hangs_is_followed_by_another_kill() -> None:
    world = World().serve(DB)
    world.things["db"].look_hangs = True
    world.emergency().run(3000)
    assert world.things["db"].kills == 2
    world.things["db"].look_hangs = False
    world.run(3000)
    assert world.said(ev.AllStopped)


def test_a_release_stops_what_it_cannot_see() -> None:
    world = World().declare(DB, generation=1)
    world.things["db"].running = True
    world.things["db"].look_blind = True
    world.run(10).release().run(1000)
    assert world.said(ev.AllStopped)


# ------------------------------------------------------------------ declarations


def test_an_impossible_graph_is_refused_and_nothing_changes() -> None:
    world = World().serve(DB)
    world.declare(DB, spec(WEB, depends_on=("bd",)), generation=2)
    refused = world.said(ev.GroupDeclined)
    assert "web depends on bd, which is not declared in this cluster" in refused[0].problem
    assert world.group.generation == 1
    assert set(world.group.cells) == {"db"}


def test_an_older_declaration_is_refused() -> None:
    world = World().declare(DB, generation=5).declare(generation=4)
    assert "older than 5" in world.said(ev.GroupDeclined)[0].problem
    assert set(world.group.cells) == {"db"}


def test_an_added_resource_starts_without_disturbing_the_others() -> None:
    world = World().serve(DB).declare(DB, WEB, generation=2).run(100)
    assert world.running == {"db", "web"}
    assert world.things["db"].starts == 1


def test_an_added_resource_that_runs_already_is_adopted() -> None:
    world = World().serve(DB).declare(DB, WEB, generation=2)
    world.things["web"].running = True
    world.run(100)
    assert world.phase("web") is Phase.RUNNING
    assert world.things["web"].stops == world.things["web"].kills == 0


def test_a_removed_resource_is_stopped_and_dropped() -> None:
    world = World().serve(DB, WEB, VIP).declare(DB, WEB, generation=2).run(100)
    assert set(world.things) == {"db", "web"}
    assert world.things["web"].starts == 1


def test_a_removed_resource_that_comes_back_in_time_is_kept() -> None:
    world = World().serve(DB, WEB)
    world.things["web"].stop_ms = 1000
    world.declare(DB, generation=2).run(100).declare(DB, WEB, generation=3).run(5000)
    assert world.running == {"db", "web"}
    assert not world.said(ev.Drop)


def test_a_changed_thing_is_stopped_as_the_old_and_started_as_the_new() -> None:
    world = World().serve(DB, WEB, VIP)
    world.declare(DB, spec(WEB, fingerprint="web2.service"), VIP, generation=2).run(200)
    assert world.things["web"].spec.fingerprint == "web2.service"
    assert world.running == {"db", "web", "vip"}
    assert world.things["db"].stops == world.things["vip"].stops == 0


def test_a_changed_thing_takes_along_what_stands_on_it() -> None:
    world = World().serve(DB, WEB, VIP)
    world.declare(spec(DB, fingerprint="db2"), WEB, VIP, generation=2).run(200)
    assert world.order_of(ev.Stop) == ["web", "db"]
    assert world.running == {"db", "web", "vip"}


def test_a_change_that_is_taken_back_before_it_acts_restarts_nothing() -> None:
    world = World().serve(DB, WEB)
    world.things["web"].stop_ms = 1000
    world.declare(spec(DB, fingerprint="db2"), WEB, generation=2).run(100)
    world.declare(DB, WEB, generation=3).run(5000)
    assert world.things["db"].stops == 0
    assert world.running == {"db", "web"}


def test_a_change_of_policy_restarts_nothing() -> None:
    world = World().serve(DB, WEB)
    new = spec(DB, restarts=9, stop_ms=1, check_every_ms=100, critical=False)
    world.declare(new, WEB, generation=2).run(1000)
    assert world.things["db"].starts == 1
    assert world.group.cells["db"].spec == new


def test_a_change_on_a_standby_makes_the_new_driver_at_once() -> None:
    world = World().declare(DB).release().run(100)
    world.declare(spec(DB, fingerprint="db2"), generation=2).run(100)
    assert world.things["db"].spec.fingerprint == "db2"
    assert world.running == set()


def test_everything_may_be_removed() -> None:
    world = World().serve(DB, WEB, VIP).declare(generation=2).run(1000)
    assert world.things == {}
    assert world.group.cells == {}


# ------------------------------------------------------------------ proofs


def exclusive() -> Spec:
    return spec(DB, suffices=enough(Need.EXCLUSIVE))


def test_what_needs_a_proof_waits_for_it_and_the_rest_does_not() -> None:
    world = World().declare(exclusive(), SIDE).run(100)
    world.feed(ev.Permitted(4, HOUR_MS, (OLD,))).run(5000)
    assert world.running == {"side"}
    world.feed(ev.ProofsChanged((OLD,), {OLD: Proof.LEASE_EXPIRED})).run(1000)
    assert world.running == {"side"}
    world.feed(ev.ProofsChanged((OLD,), {OLD: Proof.POWERED_OFF})).run(1000)
    assert world.running == {"side", "db"}


def test_a_reservation_lets_only_the_resource_on_its_disk_start() -> None:
    one, two = (
        spec(DB, disk="data", suffices=enough(Need.EXCLUSIVE)),
        spec(SIDE, disk="logs", suffices=enough(Need.EXCLUSIVE)),
    )
    reserved = {"data": frozenset({OLD})}
    world = World().declare(one, two).run(100)
    world.feed(ev.Permitted(4, HOUR_MS, (OLD,)))
    world.feed(ev.ProofsChanged((OLD,), {}, reserved)).run(1000)
    assert world.running == {"db"}
    world = World().declare(spec(one, suffices=enough(Need.REPLICATED) - {Proof.LEASE_EXPIRED}))
    world.run(100).feed(ev.Permitted(4, HOUR_MS, (OLD,)))
    world.feed(ev.ProofsChanged((OLD,), {}, reserved)).run(1000)
    assert world.running == set()


def test_what_an_earlier_lease_had_reserved_is_nothing_under_the_next() -> None:
    world = World().declare(spec(DB, disk="data", suffices=enough(Need.EXCLUSIVE))).run(100)
    world.feed(ev.ProofsChanged((OLD,), {}, {"data": frozenset({OLD})}))
    world.feed(ev.Permitted(4, HOUR_MS, (OLD,))).run(1000)
    assert world.running == set()


@pytest.mark.parametrize("proof", sorted(FULL, key=str))
def test_every_full_proof_suffices(proof: Proof) -> None:
    world = World().declare(exclusive()).run(100)
    world.feed(ev.Permitted(4, HOUR_MS, (OLD,)))
    world.feed(ev.ProofsChanged((OLD,), {OLD: proof})).run(100)
    assert world.running == {"db"}


def test_a_proof_is_needed_for_every_suspect() -> None:
    other = Suspect("uid-a", "boot-a", 2)
    world = World().declare(exclusive()).run(100)
    world.feed(ev.Permitted(4, HOUR_MS, (OLD, other)))
    world.feed(ev.ProofsChanged((OLD, other), {OLD: Proof.RELEASED})).run(1000)
    assert world.running == set()
    world.feed(ev.ProofsChanged((other,), {other: Proof.OBSERVED})).run(1000)
    assert world.running == {"db"}


def test_an_address_needs_no_more_than_the_lease() -> None:
    world = World().declare(spec(VIP, depends_on=(), suffices=enough(Need.ADDRESS))).run(100)
    world.feed(ev.Permitted(4, HOUR_MS, (OLD,))).run(100)
    assert world.running == {"vip"}


# ------------------------------------------------------------------ readiness


def test_a_node_without_a_declaration_does_not_stand() -> None:
    assert World().hindrances() == ("no resources were declared to this node yet",)


def test_a_node_stands_once_everything_was_tried() -> None:
    world = World().declare(DB, WEB)
    assert "db has not been looked at yet" in world.hindrances()
    world.run(100)
    assert world.hindrances() == ()


def test_obstacles_are_named_and_gone_when_they_are_gone() -> None:
    world = World().declare(DB, SIDE)
    world.things["db"].obstacles = ("there is no unit db.service",)
    world.things["side"].obstacles = ("not critical, not counted",)
    world.run(100)
    assert world.hindrances() == ("there is no unit db.service",)
    world.things["db"].obstacles = ()
    world.run(6000)
    assert world.hindrances() == ()


def test_what_cannot_be_seen_is_an_obstacle() -> None:
    world = World().declare(DB).release().run(100)
    world.things["db"].look_hangs = True
    world.run(10_000)
    assert world.hindrances() == ("a look at it did not come back within 2000 ms",)


def test_the_operator_may_forbid_standing() -> None:
    world = World().declare(DB, hindrance="spec.nodes[0].maintenance is true").run(100)
    assert world.hindrances() == ("spec.nodes[0].maintenance is true",)


def test_what_runs_here_is_no_obstacle() -> None:
    assert World().serve(DB, WEB, VIP).hindrances() == ()


def test_a_group_is_settled_when_everything_was_seen() -> None:
    world = World().declare(DB)
    assert not group.is_settled(world.group)
    world.run(100)
    assert group.is_settled(world.group)


# ------------------------------------------------------------------ answers that come late


def test_events_of_an_unknown_resource_change_nothing() -> None:
    world = World().serve(DB)
    before = world.group
    for event in (
        ev.Changed("ghost", ev.Turned.DIED, ""),
        ev.Started("ghost", 1),
        ev.StartFailed("ghost", 1, ""),
        ev.StopEnded("ghost", 1),
        ev.Looked("ghost", 1, ev.Seen.RUNNING, ""),
        ev.Checked("ghost", 1, ev.Verdict.DOWN, ""),
    ):
        world.feed(event)
    assert world.group == before


@pytest.mark.parametrize("turned", [ev.Turned.DIED, ev.Turned.APPEARED])
def test_signals_during_our_own_calls_are_echoes(turned: ev.Turned) -> None:
    world = World().serve(DB)
    world.things["db"].stop_hangs = True
    world.release()
    before = world.group
    assert world.feed(ev.Changed("db", turned, "echo")).group == before


def test_a_death_while_waiting_to_be_stopped_is_no_failure() -> None:
    world = World().serve(DB, WEB)
    world.things["web"].stop_ms = 500
    world.release().die("db").run(1000)
    assert not world.noted("Failed")
    assert world.said(ev.AllStopped)
