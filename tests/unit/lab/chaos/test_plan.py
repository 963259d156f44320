"""Plans are the same for the same seed, and cover what the campaign claims to compose."""

from collections import Counter

import pytest

from standfast.lab.chaos.bed import SUBJECTS
from standfast.lab.chaos.plan import (
    SPREAD_S,
    STUNS_S,
    Fault,
    Kind,
    Part,
    Plan,
    Role,
    draw,
)

RUNS = 1000


@pytest.fixture(scope="module")
def faults() -> list[Fault]:
    return [fault for number in range(1, RUNS + 1) for fault in draw(7, number).faults]


def test_the_same_seed_and_number_give_the_same_run() -> None:
    assert draw(3, 17) == draw(3, 17)
    assert draw(3, 17).told() == draw(3, 17).told()


def test_another_seed_gives_other_runs() -> None:
    assert [draw(1, n) for n in range(20)] != [draw(2, n) for n in range(20)]


def test_a_run_does_not_depend_on_the_runs_before() -> None:
    alone = draw(5, 9)
    assert [draw(5, n) for n in range(1, 10)][-1] == alone


def test_every_kind_is_drawn(faults: list[Fault]) -> None:
    assert {fault.kind for fault in faults} == set(Kind)


def test_a_run_has_one_to_three_faults_and_the_first_comes_at_once() -> None:
    counts = Counter(len(draw(7, number).faults) for number in range(1, RUNS + 1))
    assert set(counts) == {1, 2, 3}
    assert all(draw(7, number).faults[0].at_s == 0 for number in range(1, RUNS + 1))


def test_faults_of_a_run_begin_close_to_each_other_in_the_order_of_time() -> None:
    for number in range(1, RUNS + 1):
        begun = [fault.at_s for fault in draw(7, number).faults]
        assert begun == sorted(begun)
        assert begun[-1] <= SPREAD_S


def test_both_nodes_are_struck_and_the_active_more_often(faults: list[Fault]) -> None:
    struck = Counter(fault.role for fault in faults)
    assert struck[Role.ACTIVE] > struck[Role.STANDBY] > 50


def test_every_stun_length_and_every_part_is_drawn(faults: list[Fault]) -> None:
    for kind in (Kind.STUN, Kind.ANNOUNCED_STUN):
        assert {f.lasts_s for f in faults if f.kind is kind} == set(STUNS_S)
    assert {f.part for f in faults if f.kind is Kind.STOP} == set(Part)


def test_only_the_kinds_that_were_named_are_drawn() -> None:
    drawn = [f for n in range(1, 30) for f in draw(3, n, [Kind.DELAY, Kind.CLOCK_STEP]).faults]
    assert {fault.kind for fault in drawn} == {Kind.DELAY, Kind.CLOCK_STEP}


def test_what_only_a_database_has_does_not_happen_to_another_application() -> None:
    kinds = SUBJECTS["web"].kinds
    drawn = {fault.kind for n in range(1, RUNS) for fault in draw(7, n, kinds).faults}
    assert drawn == kinds == set(Kind) - {Kind.REPLICATION_KILL}
    assert SUBJECTS["postgresql"].kinds == set(Kind)


def test_a_delayed_port_is_not_struck_by_the_switch_as_well() -> None:
    for number in range(1, 2 * RUNS):
        kinds = [fault.kind for fault in draw(7, number).faults]
        if Kind.DELAY in kinds:
            rules = {Kind.STUN, Kind.ANNOUNCED_STUN, Kind.ISOLATION, Kind.MUTE, Kind.LOSS}
            assert not rules.intersection(kinds)
            assert kinds.count(Kind.DELAY) == 1


@pytest.mark.parametrize(
    ("faults", "nothing"),
    [
        ([(Kind.CLOCK_STEP, Role.ACTIVE), (Kind.FORK_BOMB, Role.ACTIVE)], True),
        ([(Kind.VCENTER_DOWN, Role.NOBODY), (Kind.WITNESS_CUT, Role.NOBODY)], True),
        ([(Kind.POWER_CUT, Role.STANDBY)], True),
        ([(Kind.POWER_CUT, Role.STANDBY), (Kind.WITNESS_CUT, Role.NOBODY)], False),
        ([(Kind.BLACKOUT, Role.STANDBY)], False),
        ([(Kind.REPLICATION_KILL, Role.STANDBY)], True),
        ([(Kind.KILL, Role.ACTIVE)], False),
        ([(Kind.SWITCHOVER, Role.NOBODY)], False),
        ([(Kind.FULL_DISK, Role.ACTIVE)], False),
    ],
)
def test_which_runs_need_no_take_over(faults: list[tuple[Kind, Role]], nothing: bool) -> None:
    drawn = tuple(Fault(kind, role, 0) for kind, role in faults)
    assert Plan(1, drawn).moves_nothing is nothing


@pytest.mark.parametrize(
    ("kind", "part", "hampers"),
    [
        (Kind.STOP, Part.GUARD, True),
        (Kind.FREEZE, Part.BOTH, True),
        (Kind.STOP, Part.AGENT, False),
        (Kind.KILL, Part.BOTH, False),
        (Kind.STUN, Part.BOTH, False),
    ],
)
def test_only_a_stopped_guard_excuses(kind: Kind, part: Part, hampers: bool) -> None:
    assert Fault(kind, Role.ACTIVE, 0, 1, part).hampers_guard is hampers


def test_a_fault_is_told_as_a_phrase() -> None:
    fault = Fault(Kind.STOP, Role.ACTIVE, 0.5, 2.25, Part.GUARD)
    assert fault.told() == "stop guard of active at 0.50 for 2.25"
