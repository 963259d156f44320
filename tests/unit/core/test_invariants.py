"""Each invariant is broken once by hand, and the sentence says which."""

from dataclasses import replace

import pytest

from standfast.core.events import Effect, EmergencyStop, Halted, Loss, Persist, Released, Send
from standfast.core.ids import BootId, Version
from standfast.core.invariants import Running, broken, lost, runs_twice, two_holders
from standfast.core.messages import Ack, Fenced, Grant, Release
from standfast.core.state import Promise, State
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

PAIR = config_of(A, B, W)
STOP = EmergencyStop(1, Loss.EXPIRED, "over")


def wrong(before: State, after: State, *effects: Effect) -> str:
    problem = broken(before, after, effects)
    assert problem is not None
    return problem


def saved(state: State, **changes: object) -> tuple[State, Persist]:
    """The state with durable fields changed, and the write that belongs to it."""
    number = changes.pop("generation", state.durable.generation + 1)
    durable = replace(state.durable, generation=number, **changes)  # type: ignore[arg-type]
    return replace(state, durable=durable), Persist(durable)


def holder() -> State:
    one = One(A)
    one.win(W)
    return one.state


def test_a_step_that_changes_nothing_breaks_nothing() -> None:
    state = One(W).state
    assert broken(state, state, ()) is None
    same = replace(state, durable=replace(state.durable))
    assert broken(state, same, ()) is None


def test_terms_and_records_never_go_back() -> None:
    state, _ = saved(One(W).state, term=5, record=record_of(PAIR, Version(5, 2), A))
    assert "term went back" in wrong(state, *saved(state, term=4))
    older = record_of(PAIR, Version(5, 1), A)
    assert "record went back" in wrong(state, *saved(state, record=older))


def test_a_halted_member_stays_halted() -> None:
    state, _ = saved(One(W).state, halted="a copy")
    assert "came back" in wrong(state, *saved(state, halted=""))


def test_every_write_is_counted_once() -> None:
    state = One(W).state
    assert "was followed by" in wrong(state, *saved(state, term=3, generation=99))


def test_durable_before_sent() -> None:
    one = One(W)
    one.hear(A, one.ask(1))
    (message,) = [effect for effect in one.effects if isinstance(effect, Send)]
    state = One(W).state
    after, write = saved(state, term=3)
    assert "before what it depends on is durable" in wrong(state, after, message, write)
    assert "was not written" in wrong(state, after)
    other = Persist(replace(after.durable, term=9))
    assert "something else was made durable" in wrong(state, after, other)


def test_nothing_delays_an_emergency_stop() -> None:
    state = One(W).state
    after, write = saved(state, term=3)
    assert "waits for something" in wrong(state, after, write, STOP)
    assert broken(state, after, (STOP, STOP, write)) is None


def candidate() -> One:
    one = One(A, config_of(A, B, C, W, X))
    one.stand()
    one.grant(W)
    one.grant(X)
    return one


def test_a_candidate_has_its_own_vote() -> None:
    state = candidate().state
    after, write = saved(state, voted_for=B)
    assert "without its own vote" in wrong(state, after, write)


def test_a_term_is_stood_in_once() -> None:
    state = candidate().state
    assert broken(state, state, ()) is None
    before = replace(state, candidacy=None)
    assert "again" in wrong(before, state)


def test_a_lease_does_not_end_quietly() -> None:
    before = holder()
    after = replace(before, holding=None)
    assert "ended quietly" in wrong(before, after)
    for end in (STOP, Released(1), Halted("a copy")):
        assert broken(before, after, (end,)) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"must_stop": 1}, "before the stop of term 1 is verified"),
        ({"releases": {A: Release(A, BOOT, 1, stopped=True)}}, "after releasing term 1"),
        ({"promise": None}, "one of its own voters"),
        ({"promise": Promise(A, BOOT, 1, 1)}, "one of its own voters"),
        ({"promise": Promise(B, BOOT, 1, 10**9)}, "one of its own voters"),
    ],
)
def test_what_a_lease_needs_as_long_as_it_lasts(changes: dict[str, object], sentence: str) -> None:
    before = holder()
    assert broken(before, before, ()) is None
    assert sentence in wrong(before, replace(before, **changes))  # type: ignore[arg-type]


def test_neither_a_halted_member_nor_a_fenced_boot_holds() -> None:
    before = holder()
    assert "may take no part" in wrong(before, *saved(before, halted="a copy"))
    off = (Fenced(A, BOOT),)
    assert "attested powered off" in wrong(before, *saved(before, fenced=off))


def test_a_release_of_another_boot_or_of_an_older_term_does_not_end_it() -> None:
    before = holder()
    for release in (Release(A, BootId("old"), 9, True), Release(A, BOOT, 0, True)):
        assert broken(before, replace(before, releases={A: release}), ()) is None


def test_a_term_that_was_held_is_not_held_again() -> None:
    now = holder()
    before = replace(now, holding=None, last_term=1)
    assert "again after it held term 1" in wrong(before, replace(now, last_term=1))


def test_an_unrenewed_lease_needs_no_own_vote() -> None:
    before = holder()
    assert before.holding is not None
    adopted = replace(before, holding=replace(before.holding, renews=False), promise=None)
    assert broken(before, adopted, ()) is None


def voter_says_yes(body: type[Grant] | type[Ack]) -> tuple[State, State, Send]:
    one = One(W)
    before = one.state
    one.hear(A, one.ask(5) if body is Grant else one.renew(5))
    (message,) = [effect for effect in one.effects if isinstance(effect, Send)]
    return before, one.state, message


@pytest.mark.parametrize("body", [Grant, Ack])
def test_a_voter_says_yes_to_what_it_promised(body: type[Grant] | type[Ack]) -> None:
    before, after, message = voter_says_yes(body)
    assert broken(before, after, (Persist(after.durable), message)) is None
    other = replace(after, durable=replace(after.durable, voted_for=B))
    assert "without a vote" in wrong(before, other, Persist(other.durable), message)
    free = replace(after, promise=None)
    assert "without a promise" in wrong(before, free, Persist(free.durable), message)


def test_a_term_is_granted_once() -> None:
    before, after, message = voter_says_yes(Grant)
    voted = replace(
        before,
        durable=replace(after.durable, voted_for=B, generation=after.durable.generation - 1),
    )
    assert "after b" in wrong(voted, after, Persist(after.durable), message)


def test_two_holders_are_two() -> None:
    one, two = holder(), holder()
    now_ms = 100_000
    assert two_holders([("a", one, now_ms)]) is None
    assert two_holders([("a", one, now_ms), ("b", One(B).state, now_ms)]) is None
    assert two_holders([("a", one, now_ms), ("b", two, now_ms)]) == "a and b hold at once"


def test_what_runs_in_two_places_is_named() -> None:
    here, there = Running("web", "node-a"), Running("web", "node-b")
    assert runs_twice([here, Running("db", "node-b")]) is None
    assert runs_twice([here, here]) is None
    assert runs_twice([here, there]) == "web runs on node-a and on node-b"


def test_lost_writes_are_those_that_are_missing() -> None:
    assert lost([1, 2, 3], {1, 3, 4}) == [2]
