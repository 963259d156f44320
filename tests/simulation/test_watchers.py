"""The watchers watched: a simulator that sees nothing would find nothing.

Each test breaks something below or beside the core, where only a checker can notice, or steps
outside the promise's own bounds, and expects to be told. Broken rules of the core itself are
`tests/mutants`.
"""

from collections import Counter
from dataclasses import replace

import pytest

from standfast.core.events import Stopped
from standfast.core.ids import RunId
from standfast.core.record import DataMode, MemberKind
from standfast.core.turn import Turn
from standfast.simulator.database import Database
from standfast.simulator.draw import BEYOND, plan_for
from standfast.simulator.machine import Machine
from standfast.simulator.plan import Fault, FaultKind, Habits, MachinePlan
from standfast.simulator.process import Process
from standfast.simulator.service import Service
from standfast.simulator.shrink import shrunk, traced
from standfast.simulator.story import tell
from standfast.simulator.timeline import EVENTS_MAX
from standfast.simulator.world import World
from tests.simulation.parts import NODE_A, NODE_B, WITNESS, pair, promise_broken

K = FaultKind
ISOLATED = (Fault(5_000, K.ISOLATE, NODE_A, lasts_ms=6_000),)
STALLED = (Fault(5_000, K.STALL, NODE_A, lasts_ms=6_000),)
SLOWED = (*ISOLATED, Fault(5_000, K.CLOCK_RATE, NODE_A, value=300_000))


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
    assert promise_broken(pair(*SLOWED)) == "S1"


def test_clocks_beyond_the_bound_do_not_break_a_shared_disk_or_the_writes() -> None:
    """S1 may break then; what needs a stronger proof may not."""
    for data in (DataMode.SHARED_DISK, DataMode.REPLICATED):
        assert promise_broken(pair(*SLOWED, data=data, beyond_bound=True)) == ""


def test_a_holder_that_is_never_renewed_loses_and_nobody_waits_for_it_for_ever() -> None:
    outcome = traced(pair(*ISOLATED))
    text = "\n".join(note.text for note in outcome.notes)
    assert "the lease of term 1 ended" in text
    assert "wins term 2" in text


# --- layers below the core that do not do their work ------------------------------------------


def _nothing(*_: object, **__: object) -> None:
    """Does not do its work."""


def test_a_guard_that_sleeps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent stands still, the application outlives the lease."""
    monkeypatch.setattr(Machine, "_guard_looks", _nothing)
    assert promise_broken(pair(*STALLED)) == "S2"


def test_a_kernel_that_keeps_the_address_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where the guard sleeps as well: each layer alone is enough for the address."""
    habits = Habits(sharp=True, address_first=True, fences=False)
    plan = pair(*STALLED, habits=habits, data=DataMode.SHARED_DISK)
    monkeypatch.setattr(Machine, "_arm_cut", _nothing)
    assert promise_broken(plan) == ""
    monkeypatch.setattr(Machine, "_guard_looks", _nothing)
    violation = World(plan).run().violation
    assert violation is not None
    assert "both answer for the address" in violation.message


def test_a_stop_that_only_claims_to_have_stopped_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def claims(service: Service, run: RunId | None = None) -> None:
        if run is not None:
            service.machine.process.deliver(Stopped())

    monkeypatch.setattr(Service, "kill", claims)
    monkeypatch.setattr(Machine, "_guard_looks", _nothing)
    assert promise_broken(pair(*ISOLATED)) == "S2"


def test_a_driver_that_waits_for_nobody_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge = Database.acknowledge

    def waits_for_nobody(database: Database) -> None:
        required, database.required = database.required, frozenset()
        acknowledge(database)
        database.required = required

    monkeypatch.setattr(Database, "acknowledge", waits_for_nobody)
    assert promise_broken(pair(*ISOLATED, data=DataMode.REPLICATED)) == "S3"


def test_a_disk_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An fsync that returns before anything is written: votes are given twice."""
    monkeypatch.setattr(Process, "_persist", _nothing)
    found = (promise_broken(plan_for(f"forgets-{number}")) for number in range(60))
    assert next((promise for promise in found if promise in {"S1", "S3", "S4"}), None)


# --- stories -----------------------------------------------------------------------------------


def test_a_failing_run_shrinks_to_the_faults_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "_guard_looks", _nothing)
    noise = tuple(
        Fault(2_000 + 211 * number, kind, NODE_B, lasts_ms=50, value=1_000_000)
        for number, kind in enumerate([K.CLOCK_RATE, K.REPLICATION_CUT, K.MAINTENANCE] * 4)
    )
    small = shrunk(pair(*noise, *STALLED), "S2")
    assert [fault.kind for fault in small.faults] == [K.STALL]
    story = tell(small, traced(small))
    assert "BROKEN S2" in story
    assert "agent stands still" in story
    assert "application starts under term 2" in story


def test_events_that_breed_events_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def breed(world: World) -> None:
        world.timeline.after(0, breed, world)

    monkeypatch.setattr(World, "_look", breed)
    violation = World(pair()).run().violation
    assert violation is not None
    assert violation.promise == "endless"
    assert str(EVENTS_MAX) in violation.message


def test_a_boot_that_calls_itself_clean_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that starts with the machine: `Rebooted` waits until it is stopped."""
    faults = (
        Fault(4_000, K.BOOT_STARTS, NODE_A),
        Fault(4_500, K.KILL_HANGS, NODE_A, lasts_ms=3_000),
        Fault(5_000, K.CRASH, NODE_A, lasts_ms=300),
    )
    habits = Habits(sharp=True, fences=False)
    plan = pair(*faults, habits=habits, data=DataMode.SHARED_DISK)
    outcome = traced(plan)
    assert outcome.violation is None
    texts = [note.text for note in outcome.notes]
    assert "application began with the machine" in texts
    assert any(text.endswith("proven stopped: Rebooted") for text in texts)

    wrap = Turn._wrap
    monkeypatch.setattr(Turn, "_wrap", lambda *asked: replace(wrap(*asked), clean=True))
    assert promise_broken(plan) == "S2"


# --- a majority that is lost for good ----------------------------------------------------------


@pytest.mark.parametrize("data", DataMode)
def test_a_majority_lost_for_good_is_recovered_and_whoever_turns_up_is_a_new_member(
    data: DataMode,
) -> None:
    plan = pair(Fault(8_000, K.MAJORITY_LOST), data=data, busy_ms=10_000)
    outcome = traced(plan)
    assert outcome.violation is None
    texts = [note.text for note in outcome.notes]
    assert any(text.startswith("recovers with") for text in texts)
    assert sum("takes no part any more" in text for text in texts) == 2
    assert sum(text.startswith("enrols") for text in texts) == 2


# --- beyond the bounds -------------------------------------------------------------------------


def test_clocks_far_beyond_the_bound_take_only_what_rests_on_them() -> None:
    """Drawn runs: leases and addresses go; no exclusive resource twice, no acknowledged write."""
    gone: Counter[str] = Counter()
    for number in range(64):
        outcome = World(plan_for(f"{BEYOND}fixed-{number}")).run()
        assert outcome.violation is None, outcome.violation.text()
        gone.update(name for family, name in outcome.coverage.counts if family == "beyond")
    assert gone["two held at once (S1)"]


@pytest.mark.parametrize("outside", [True, False])
def test_a_watchdog_that_ticks_outside_resets_a_machine_that_stands_still(outside: bool) -> None:
    kinds = (MemberKind.DATA, MemberKind.DATA, MemberKind.WITNESS)
    machines = tuple(
        MachinePlan(name, kind, watchdog_ms=2_000, watchdog_outside=outside)
        for name, kind in zip((NODE_A, NODE_B, WITNESS), kinds, strict=True)
    )
    stunned = Fault(5_000, K.STUN, NODE_A, lasts_ms=6_000)
    outcome = traced(pair(stunned, machines=machines))
    assert outcome.violation is None
    texts = [note.text for note in outcome.notes if note.who == NODE_A]
    assert any("not fed while it stood still" in text for text in texts) is outside
    assert any("resumed" in text for text in texts) is not outside
