"""What declared faults do to a pair: simulated for real, so the numbers are those of the core."""

import dataclasses

import pytest
from tests.unit.simulator.cases import fault, pair

from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.core.view import FencePolicy
from standfast.simulator.directed import play
from standfast.simulator.scenario import CLIENTS, Run, Verb, standard

RUNS = 2


def played(case, *faults) -> list[Run]:
    runs = [play(case, faults, f"unit-{number}") for number in range(RUNS)]
    assert [run.violation for run in runs] == [None] * RUNS
    return runs


def test_a_crash_is_over_within_the_time_that_the_profile_promises() -> None:
    for run in played(pair(), fault(Verb.CRASH, "vm-a")):
        assert (run.before, run.after, run.proof) == ("vm-a", "vm-b", "LeaseExpired")
        assert run.outage_ms is not None
        assert 1_200 < run.outage_ms < 2_200
        assert run.both_ms == 0


def test_an_isolated_node_has_stopped_answering_before_the_other_begins() -> None:
    for run in played(pair(), fault(Verb.ISOLATE, "vm-a")):
        assert run.after == "vm-b"
        assert run.both_ms == 0


def test_a_power_off_that_vcenter_tells_of_is_not_waited_out() -> None:
    seen = played(pair(), fault(Verb.POWER_OFF, "vm-a"))
    assert {run.proof for run in seen} == {"PoweredOff"}
    crashed = played(pair(), fault(Verb.CRASH, "vm-a"))
    assert sum(r.outage_ms or 0 for r in seen) < sum(r.outage_ms or 0 for r in crashed)


def test_a_switchover_is_shorter_than_a_failover_and_released() -> None:
    for run in played(pair(), fault(Verb.SWITCHOVER, other="vm-b")):
        assert (run.after, run.proof) == ("vm-b", "Released")
        assert run.outage_ms is not None
        assert run.outage_ms < 800


def test_a_switchover_to_nobody_who_could_serve_is_refused_with_the_cause() -> None:
    case = pair(maintenance="vm-b")
    for run in played(case, fault(Verb.SWITCHOVER)):
        assert run.refused is not None
        assert run.refused.reason is Reason.TARGET_NOT_READY
        assert "vm-b is in maintenance" in run.refused.message
        assert (run.after, run.outage_ms) == ("vm-a", 0)


@pytest.mark.parametrize(
    "harmless",
    [
        fault(Verb.CUT, "active", "standby"),
        fault(Verb.CRASH, "standby"),
        fault(Verb.LOSE, "third"),
        fault(Verb.LOSE, "vcenter"),
        fault(Verb.LOSE, "operator"),
        fault(Verb.KILL_AGENT, "active"),
    ],
    ids=str,
)
def test_what_the_active_node_can_do_without_interrupts_nothing(harmless) -> None:
    for run in played(pair(), harmless):
        assert (run.after, run.outage_ms, run.nobody) == ("vm-a", 0, None)


def test_an_application_that_dies_is_restarted_where_it_is() -> None:
    for run in played(pair(), fault(Verb.KILL, "web")):
        assert run.after == "vm-a"
        assert run.outage_ms is not None
        assert run.outage_ms < 500


def test_an_application_that_keeps_dying_moves_as_its_policy_says() -> None:
    for run in played(pair(restarts=0), fault(Verb.KILL, "web")):
        assert (run.after, run.proof) == ("vm-b", "Released")


def test_without_a_majority_nobody_takes_over_and_it_says_what_is_missing() -> None:
    faults = (fault(Verb.LOSE, "third"), fault(Verb.CRASH, "vm-a", at=2_000))
    for run in played(pair(), *faults):
        assert (run.after, run.outage_ms) == (None, None)
        assert run.nobody is not None
        assert run.nobody.reason is Reason.NO_MAJORITY
        assert "vm-b reaches nobody" in run.nobody.message
        assert "2 are needed" in run.nobody.message


def test_what_is_healed_may_serve_again() -> None:
    faults = (
        fault(Verb.ISOLATE, "vm-a"),
        fault(Verb.HEAL, at=5_000),
        fault(Verb.CRASH, "vm-b", at=7_000),
    )
    for run in played(pair(), *faults):
        assert run.after == "vm-a"


def test_a_fault_that_lasts_ends_by_itself() -> None:
    faults = (fault(Verb.LOSE, "third", lasts=1_000), fault(Verb.CRASH, "vm-a", at=6_000))
    for run in played(pair(), *faults):
        assert run.after == "vm-b"


def test_a_stunned_node_is_replaced_and_stands_back_when_it_wakes() -> None:
    for run in played(pair(), fault(Verb.STUN, "active", lasts=3_000)):
        assert run.after == "vm-b"
        assert run.both_ms < 100


def test_a_node_that_reboots_takes_the_time_of_a_crash_at_most() -> None:
    for run in played(pair(), fault(Verb.REBOOT, "active")):
        assert run.after == "vm-b"
        assert run.outage_ms is not None
        assert run.outage_ms < 2_200


def test_a_pair_without_witness_waits_for_the_rebooted_node() -> None:
    case = pair(DataMode.REPLICATED, witnesses=())
    for run in played(case, fault(Verb.REBOOT, "active", lasts=10_000)):
        assert run.outage_ms is not None
        assert run.outage_ms > 10_000


def test_a_shared_disk_waits_until_the_old_node_is_proven_off() -> None:
    for run in played(pair(DataMode.SHARED_DISK), fault(Verb.CRASH, "vm-a")):
        assert (run.after, run.proof) == ("vm-b", "PoweredOff")
        assert run.outage_ms is not None
        assert run.outage_ms > 5_000


def test_a_shared_disk_of_a_host_that_vcenter_lost_is_not_taken_over() -> None:
    run = play(pair(DataMode.SHARED_DISK), (fault(Verb.HOST_DOWN, "vm-a"),), "unit")
    assert run.after is None
    assert run.nobody is not None
    assert run.nobody.reason is Reason.FENCE_FAILED
    assert "takes no orders" in run.nobody.message
    assert run.nobody.remedy


def test_a_fence_may_be_declared_for_every_failover() -> None:
    case = pair(fence=FencePolicy.ALWAYS)
    run = play(
        case,
        (fault(Verb.CRASH, "vm-a"), fault(Verb.LOSE, "operator", at=11_000)),
        "unit",
        traced=True,
    )
    assert any("powering off vm-a" in note.text for note in run.notes)


def test_no_acknowledged_write_of_a_replicated_database_is_lost() -> None:
    for run in played(pair(DataMode.REPLICATED), fault(Verb.CRASH, "vm-a")):
        assert (run.after, run.lost_writes) == ("vm-b", 0)


def test_a_standby_in_maintenance_is_not_chosen() -> None:
    for run in played(pair(maintenance="vm-b"), fault(Verb.CRASH, "vm-a")):
        assert run.after is None
        assert run.nobody is not None
        assert "maintenance" in run.nobody.message


def test_a_cluster_that_never_serves_says_what_is_in_the_way() -> None:
    """The application takes longer to start than the budget that is declared for it."""
    case = pair()
    web, vip = case.things
    hasty = dataclasses.replace(web, spec=dataclasses.replace(web.spec, start_ms=40))
    run = play(dataclasses.replace(case, things=(hasty, vip)), (fault(Verb.KILL, "web"),), "unit")
    assert (run.before, run.after, run.outage_ms) == (None, None, None)
    assert run.nobody is not None
    assert "never came into full service" in run.nobody.message
    assert "web did not start within 40 ms" in run.nobody.message


def test_service_returns_to_the_preferred_node_where_that_is_declared() -> None:
    case = pair()
    home = dataclasses.replace(case, want=dataclasses.replace(case.want, failback=True))
    run = play(home, (fault(Verb.SWITCHOVER, other="vm-b"),), "unit")
    assert run.after == "vm-a"


def test_news_of_a_power_off_that_is_over_is_no_news() -> None:
    run = play(pair(), (fault(Verb.POWER_OFF, "vm-b", lasts=50),), "unit")
    assert run.afterwards.startswith("If vm-a died now, vm-b would serve")


def test_telling_a_run_does_not_change_it() -> None:
    case = pair(DataMode.SHARED_DISK)
    for declared in standard(case)[1:4]:
        silent = play(case, (declared,), "same")
        told = play(case, (declared,), "same", traced=True)
        assert (silent.outage_ms, silent.after, silent.end_ms) == (
            told.outage_ms,
            told.after,
            told.end_ms,
        )
        assert not silent.notes
        assert told.notes


def test_a_story_begins_with_the_fault_and_a_picture_a_little_earlier() -> None:
    run = play(pair(), (fault(Verb.CRASH, "active", at=5_000),), "unit", traced=True)
    assert run.notes[0].text == "crash vm-a"
    assert run.notes[0].at_us == 5_000_000
    served = [band for band in run.bands if band.lane == CLIENTS]
    assert [band.word for band in served] == ["vm-a", "", "vm-b"]
    assert served[0].from_ms == 4_700
    assert served[1].to_ms - served[1].from_ms == run.outage_ms


def test_what_is_left_afterwards_is_said_in_the_words_of_the_product() -> None:
    run = play(pair(), (fault(Verb.LOSE, "third"),), "unit")
    assert run.afterwards.startswith("If vm-a died now, 1 voters would remain")
