"""The watchers watched: a simulator that sees nothing would find nothing.

Each test breaks something below or beside the core, where only a checker can notice, or steps
outside the promise's own bounds, and expects to be told. Broken rules of the core itself are
`tests/mutants`.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Profile
from standfast.simulator.database import Database
from standfast.simulator.draw import plan_for
from standfast.simulator.machine import Machine
from standfast.simulator.plan import Fault, FaultKind, Habits, MachinePlan, NetworkPlan, Plan
from standfast.simulator.process import Process
from standfast.simulator.service import Service
from standfast.simulator.shrink import shrunk, traced
from standfast.simulator.story import tell
from standfast.simulator.timeline import EVENTS_MAX
from standfast.simulator.world import Outcome, World

K = FaultKind
NODE_A, NODE_B, WITNESS = "node-a", "node-b", "witness-1"


def pair(
    *faults: Fault,
    data: DataMode = DataMode.NONE,
    rates: tuple[int, int, int] = (1_000_000, 1_000_000, 1_000_000),
    **changes: object,
) -> Plan:
    """Two nodes and a witness in profile Normal, everything sharp."""
    kinds = (MemberKind.DATA, MemberKind.DATA, MemberKind.WITNESS)
    machines = tuple(
        MachinePlan(name, kind, rate)
        for name, kind, rate in zip((NODE_A, NODE_B, WITNESS), kinds, rates, strict=True)
    )
    plan = Plan(
        seed="watchers",
        timing=Profile.NORMAL.timing,
        machines=machines,
        data=data,
        network=NetworkPlan(50, 10),
        habits=Habits(sharp=True, start_ms_max=0, write_every_ms=100),
        faults=faults,
        busy_ms=20_000,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def promise_broken(plan: Plan) -> str:
    violation = World(plan).run().violation
    return "" if violation is None else violation.promise


ISOLATED = (Fault(5_000, K.ISOLATE, NODE_A, lasts_ms=6_000),)


def test_a_run_is_the_same_run_each_time() -> None:
    for seed in ("same-1", "same-2", "same-3"):
        first, second = traced(plan_for(seed)), traced(plan_for(seed))
        assert first.notes == second.notes
        assert (first.events, first.faults, first.at_ms) == (
            second.events,
            second.faults,
            second.at_ms,
        )


def test_telling_a_run_does_not_change_it() -> None:
    plan = plan_for("told")
    silent, told = World(plan).run(), traced(plan)
    assert (silent.events, silent.at_ms) == (told.events, told.at_ms)
    assert silent.notes == ()
    assert told.notes


def test_nothing_is_broken_when_nothing_is() -> None:
    for data in DataMode:
        assert promise_broken(pair(*ISOLATED, data=data)) == ""


def test_the_worst_clocks_within_the_bound_break_nothing() -> None:
    assert promise_broken(pair(*ISOLATED, rates=(990_000, 1_010_000, 1_010_000))) == ""


def test_clocks_beyond_the_bound_break_s1() -> None:
    """What the drift bound is for: a holder at half speed outlives its voters' promises."""
    plan = pair(*ISOLATED, rates=(400_000, 1_010_000, 1_010_000))
    assert promise_broken(plan) == "S1"


def test_clocks_beyond_the_bound_do_not_break_a_shared_disk_or_the_writes() -> None:
    """S1 may break then; what needs a stronger proof may not."""
    rates = (400_000, 1_010_000, 1_010_000)
    for data in (DataMode.SHARED_DISK, DataMode.REPLICATED):
        plan = pair(*ISOLATED, data=data, rates=rates, beyond_bound=True)
        assert promise_broken(plan) == ""


def test_a_holder_that_is_never_renewed_loses_and_nobody_waits_for_it_for_ever() -> None:
    outcome = traced(pair(*ISOLATED))
    text = "\n".join(note.text for note in outcome.notes)
    assert "the lease of term 1 ended" in text
    assert "wins term 2" in text


def _nothing(*_: object, **__: object) -> None:
    """Does not do its work."""


@pytest.mark.parametrize(
    ("owner", "method", "data", "faults", "promise"),
    [
        # The guard sleeps while the agent stands still: the application outlives the lease.
        (Machine, "_guard_looks", DataMode.NONE, (Fault(5_000, K.STALL, NODE_A, "", 6_000),), "S2"),
        # The kernel keeps the address beyond the lease.
        (Machine, "_arm_cut", DataMode.NONE, (Fault(5_000, K.STALL, NODE_A, "", 6_000),), "S2"),
        # The agent kills nothing when it is told to.
        (Service, "kill", DataMode.NONE, ISOLATED, "S2"),
        # The driver does not wait for a node before that is proposed.
        (Database, "grow", DataMode.REPLICATED, (), ""),
    ],
)
def test_a_layer_below_that_does_not_do_its_work_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    data: DataMode,
    faults: tuple[Fault, ...],
    promise: str,
) -> None:
    monkeypatch.setattr(owner, method, _nothing)
    assert promise_broken(pair(*faults, data=data)) == promise
