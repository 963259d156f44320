"""When to stand: rank, jitter, retreat."""

from dataclasses import replace

from standfast.core.ids import Version
from standfast.core.messages import Fenced, Release
from standfast.core.record import DataMode
from standfast.core.standing import (
    ATTEMPTS_COUNTED,
    RANK_HEARTBEATS,
    jitter_ms,
    rank_delay_ms,
    retreat_ms,
    successor_problem,
)
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

THREE = config_of(A, B, C, W)
HEARTBEAT = THREE.timing.heartbeat_ms


def delays(holder: object, **changes: object) -> dict[object, int]:
    record = record_of(replace(THREE, **changes), Version(3, 1), holder)  # type: ignore[arg-type]
    return {uid: rank_delay_ms(One(uid, THREE, record=record).state) for uid in (A, B, C)}


def test_the_first_of_the_config_stands_at_once_and_the_others_after_it() -> None:
    found = delays(None)
    assert found[A] == 0
    assert RANK_HEARTBEATS * HEARTBEAT <= found[B] < found[C]


def test_the_last_holder_comes_last() -> None:
    found = delays(A)
    assert found[B] == 0
    assert found[C] < found[A]


def test_a_node_without_the_data_does_not_make_others_wait() -> None:
    config = replace(THREE, data=DataMode.REPLICATED)
    record = record_of(config, Version(3, 1), A, in_sync=frozenset({A, C}))
    assert rank_delay_ms(One(C, config, record=record).state) == 0
    assert rank_delay_ms(One(B, config, record=record).state) == 0


def test_a_witness_ranks_behind_everybody() -> None:
    assert rank_delay_ms(One(W, THREE).state) >= 3 * RANK_HEARTBEATS * HEARTBEAT


def test_the_scatter_is_fixed_below_its_bound_and_differs_between_rivals() -> None:
    states = [replace(One(uid, THREE).state, attempts=n) for uid in (A, B, C) for n in range(9)]
    scatter = [jitter_ms(state, 200) for state in states]
    assert scatter == [jitter_ms(state, 200) for state in states]
    assert all(0 <= one < 200 for one in scatter)
    assert len(set(scatter)) > 15
    assert jitter_ms(states[0], 0) == 0


def test_the_retreat_grows_with_every_failure_up_to_a_bound() -> None:
    state = One(A, THREE).state
    longest = [
        max(
            retreat_ms(replace(state, attempts=n, durable=replace(state.durable, term=term)))
            for term in range(200)
        )
        for n in (0, 3, ATTEMPTS_COUNTED)
    ]
    assert longest[0] < longest[1] < longest[2] <= HEARTBEAT * (2 + ATTEMPTS_COUNTED)
    assert retreat_ms(replace(state, attempts=10**6)) <= HEARTBEAT * (2 + ATTEMPTS_COUNTED)


def test_a_successor_is_a_data_node_of_the_config_with_the_data() -> None:
    config = replace(THREE, data=DataMode.REPLICATED)
    record = record_of(config, Version(3, 1), A, in_sync=frozenset({A, B}))
    state = One(A, config, record=record).state
    problems = {uid: successor_problem(state, uid) for uid in (A, B, C, W)}
    assert problems[B] is None
    assert "holds the lease already" in str(problems[A])
    assert "every acknowledged write" in str(problems[C])
    assert "not a data node" in str(problems[W])


def candidate() -> One:
    one = One(A, config_of(A, B, C, W, X))
    one.stand()
    one.grant(W)
    one.grant(X)
    assert one.state.candidacy is not None
    assert not one.state.candidacy.ask.pre
    return one


def test_a_candidate_without_a_promise_to_itself_has_none_to_take_back() -> None:
    """It has just learnt that its own boot is attested powered off."""
    one = candidate()
    one.hear(B, Fenced(A, BOOT))
    assert one.state.promise is None
    for other in (B, C, W):
        one.refuse(other)
    assert one.state.candidacy is None
    assert one.state.releases[A].term == 1


def test_giving_up_does_not_replace_a_newer_release_of_its_own() -> None:
    one = candidate()
    newer = Release(A, BOOT, 7, stopped=True)
    one.hear(B, newer)
    for other in (B, C, W):
        one.refuse(other)
    assert one.state.candidacy is None
    assert one.state.releases[A] == newer
