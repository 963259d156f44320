"""How long it takes: L1 with its numbers, for every profile and phase of the heartbeat."""

import pytest

from standfast.core.timing import Profile
from standfast.simulator.plan import Fault, FaultKind, NetworkPlan, Plan
from standfast.simulator.shrink import traced
from tests.simulation.parts import NODE_A, TRUE, pair

K = FaultKind
ROUND_TRIPS_MS = 5
"""Pre-vote, vote and first record on a quick network."""


def won_after_ms(plan: Plan, since_ms: int) -> float:
    """From a moment until somebody wins the next term."""
    notes = traced(plan).notes
    won = [n.at_us for n in notes if n.text.startswith("wins term") and n.at_us > since_ms * 1000]
    assert won, "nobody won"
    return won[0] / 1000 - since_ms


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("kind", [K.CRASH, K.ISOLATE, K.STUN])
def test_the_standby_wins_within_a_ttl_of_the_last_renewal(
    profile: Profile, kind: FaultKind
) -> None:
    """Whatever the phase: it waits out its own promise, is first in line, and asks twice."""
    timing = profile.timing
    took = []
    for phase in range(7):
        at_ms = 3 * timing.ttl_ms + phase * timing.heartbeat_ms // 7
        fault = Fault(at_ms, kind, NODE_A, lasts_ms=4 * timing.ttl_ms)
        plan = pair(fault, timing=timing, busy_ms=8 * timing.ttl_ms)
        took.append(won_after_ms(plan, at_ms))
    print(f"{profile.value} {kind.value}: {min(took):.0f} to {max(took):.0f} ms")
    assert max(took) <= timing.ttl_ms + ROUND_TRIPS_MS
    assert min(took) >= timing.ttl_ms - 2 * timing.heartbeat_ms


def test_slow_clocks_wait_longer_by_their_drift_and_no_more() -> None:
    timing = Profile.NORMAL.timing
    slow = TRUE - timing.drift_ppm
    fault = Fault(5_000, K.CRASH, NODE_A, lasts_ms=6_000)
    took_ms = won_after_ms(pair(fault, rates=(TRUE, slow, slow)), 5_000)
    assert took_ms <= timing.ttl_ms * TRUE / slow + ROUND_TRIPS_MS


def test_a_planned_switchover_waits_for_no_promise() -> None:
    """The release frees the voters; what is left is the stop and three round trips."""
    took_ms = won_after_ms(pair(Fault(5_000, K.SWITCHOVER)), 5_000)
    assert took_ms <= 400 + ROUND_TRIPS_MS


@pytest.mark.parametrize("lost", [50, 150])
def test_lost_messages_do_not_take_the_lease(lost: int) -> None:
    """Three heartbeats fit into a lease: a holder survives what one lost packet in seven does."""
    network = NetworkPlan(50, 10, lost_per_mille=lost)
    outcome = traced(pair(busy_ms=60_000, network=network, seed=f"lost-{lost}"))
    losses = [note for note in outcome.notes if "emergency stop of term" in note.text]
    started = [note for note in losses if "without a lease to adopt" in note.text]
    assert len(losses) - len(started) <= lost // 50
