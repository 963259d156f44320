"""A voter without a process: the same rules, run by whoever writes the store."""

from dataclasses import dataclass, replace

from standfast.core import quorum
from standfast.core.events import (
    Effect,
    EmergencyStop,
    Event,
    LocalChanged,
    Received,
    ReleaseRequested,
    Send,
    StopForRelease,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, MemberUid, RunId
from standfast.core.messages import (
    Body,
    Envelope,
    Fenced,
    Hello,
    Refuse,
    Release,
    Renew,
    VoteRequest,
)
from standfast.core.passive import Observation, Promised, Slot, observe, vote
from standfast.core.record import Suspect, first_record
from standfast.core.state import Local, State
from tests.unit.core.small_world import A, B, C, W, config_of


@dataclass
class Store:
    """A store with conditional writes: a write names the value that it replaces."""

    slot: Slot
    writes: int = 0

    def swap(self, judged: Slot, new: Slot) -> bool:
        if self.slot != judged:
            return False
        self.slot = new
        self.writes += 1
        return True


class PassiveWorld:
    """Two nodes and a store; messages between the nodes and to the store take no time."""

    def __init__(self) -> None:
        self.config = config_of(A, B, W)
        self.store = Store(Slot(W, first_record(self.config)))
        self.now_ms = 1_000
        self.states: dict[MemberUid, State] = {}
        self.seen: dict[MemberUid, Observation] = {}
        self.dead: set[MemberUid] = set()
        self.apart = False
        self.queue: list[tuple[MemberUid, Event]] = []
        begun = {}
        for uid in (A, B):
            disk = quorum.durable_for(self.config, uid)
            boot, run = BootId(f"{uid}1"), RunId(f"{uid}-run")
            state, begun[uid] = quorum.start(disk, boot, run, self.now_ms)
            self.states[uid] = replace(state, confirmed=frozenset({A, B, W}))
        for uid, effects in begun.items():
            self.perform(uid, effects)
            self.tell(uid, LocalChanged(Local(eligible=True)))

    def tell(self, uid: MemberUid, event: Event) -> None:
        self.queue.append((uid, event))
        while self.queue:
            to, now = self.queue.pop(0)
            if to not in self.dead:
                self.states[to], effects = quorum.step(self.states[to], now, self.now_ms)
                self.perform(to, effects)

    def perform(self, uid: MemberUid, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Send(envelope) if envelope.to == W:
                    self.reach(uid, effect)
                case Send(envelope) if not self.apart:
                    self.queue.append((envelope.to, Received(envelope)))
                case EmergencyStop() | StopForRelease():
                    self.queue.append((uid, Stopped()))
                case _:
                    pass

    def reach(self, uid: MemberUid, send: Send) -> None:
        self.seen[uid] = observe(self.seen.get(uid), self.store.slot, self.now_ms)
        new, answers = vote(self.seen[uid], send.envelope, self.now_ms)
        if new is None or self.store.swap(self.seen[uid].slot, new):
            self.queue += [(uid, Received(answer)) for answer in answers]

    def run(self, for_ms: int) -> None:
        for _ in range(for_ms):
            self.now_ms += 1
            for uid in (A, B):
                self.seen[uid] = observe(self.seen.get(uid), self.store.slot, self.now_ms)
                self.tell(uid, Tick())
            assert len(self.serving()) <= 1

    def serving(self) -> list[MemberUid]:
        return [u for u, s in self.states.items() if u not in self.dead and s.serves(self.now_ms)]


def test_a_pair_with_a_store_elects_one_and_fails_over() -> None:
    world = PassiveWorld()
    world.run(100)
    assert world.serving() == [A]
    world.dead.add(A)
    world.run(1_400)
    assert world.serving() == []
    world.run(400)
    assert world.serving() == [B]


def test_a_node_that_only_reaches_the_store_keeps_the_lease() -> None:
    world = PassiveWorld()
    world.run(100)
    world.apart = True
    world.run(5_000)
    assert world.serving() == [A]


def test_a_release_opens_the_way_for_the_successor_in_the_store_too() -> None:
    world = PassiveWorld()
    world.run(100)
    world.tell(A, ReleaseRequested(successor=B))
    world.run(5)
    assert world.serving() == [B]


def test_a_value_judged_before_another_write_is_not_written() -> None:
    world = PassiveWorld()
    world.run(100)
    old = world.store.slot
    world.run(500)
    assert not world.store.swap(old, replace(old, count=old.count + 1))


def test_every_value_written_is_unique() -> None:
    world = PassiveWorld()
    values = set()
    for _ in range(50):
        world.run(50)
        values.add((world.store.slot.count, world.store.slot.writer))
    assert world.store.writes >= len(values) - 1
    assert len(values) > 10


def test_an_observation_starts_anew_with_every_value() -> None:
    world = PassiveWorld()
    world.run(100)
    slot = world.store.slot
    first = observe(None, slot, 5)
    assert observe(first, slot, 500) is first
    assert observe(first, replace(slot, count=slot.count + 1), 500).since_ms == 500


# --- one value, judged --------------------------------------------------------------------------

A1, B1 = BootId("a1"), BootId("b1")
TTL = config_of(A, B, W).timing.ttl_ms


def request(sender: MemberUid, body: Body) -> Envelope:
    config = config_of(A, B, W)
    boot, run = BootId(f"{sender}1"), RunId(f"{sender}-run")
    return Envelope(config.cluster, 1, sender, W, boot, run, 1, body)


def asks(term: int, slot: Slot) -> VoteRequest:
    return VoteRequest(False, 1, term, TTL, slot.record)


def judged(slot: Slot, sender: MemberUid, body: Body, *, seen_for_ms: int = 0) -> Slot | None:
    new, _ = vote(Observation(slot, 1_000), request(sender, body), 1_000 + seen_for_ms)
    return new


EMPTY = Slot(W, first_record(config_of(A, B, W)))


def promised_to_a() -> Slot:
    slot = judged(EMPTY, A, asks(1, EMPTY))
    assert slot is not None
    assert (slot.term, slot.voted_for, slot.promised) == (1, A, Promised(A, A1, 1, TTL))
    return slot


def test_a_promise_runs_out_only_for_a_reader_that_has_watched_it() -> None:
    slot = promised_to_a()
    assert judged(slot, B, asks(2, slot), seen_for_ms=TTL - 1) is None
    after = judged(slot, B, asks(2, slot), seen_for_ms=TTL)
    assert after is not None
    assert after.voted_for == B


def test_a_refusal_writes_nothing_and_is_an_answer_at_once() -> None:
    slot = promised_to_a()
    new, answers = vote(Observation(slot, 1_000), request(B, asks(2, slot)), 1_000)
    assert new is None
    assert [type(answer.body) for answer in answers] == [Refuse]
    assert answers[0].generation == slot.count


def test_a_renewal_is_a_new_value_each_time() -> None:
    slot = promised_to_a()
    renew = Renew(1, 1, TTL, slot.record.version)
    once = judged(slot, A, renew, seen_for_ms=200)
    assert once is not None
    again = judged(once, A, replace(renew, beat=2), seen_for_ms=200)
    assert again is not None
    assert again.count == once.count + 1 == slot.count + 2


def test_a_write_about_something_else_never_shortens_a_promise() -> None:
    """A reader counts the whole promise from when it first sees the new value."""
    slot = promised_to_a()
    fenced = judged(slot, B, Fenced(B, BootId("old")), seen_for_ms=TTL - 100)
    assert fenced is not None
    assert fenced.promised == slot.promised


def test_a_power_off_frees_what_was_promised_to_that_boot() -> None:
    slot = promised_to_a()
    after = judged(slot, B, Fenced(A, A1))
    assert after is not None
    assert after.promised is None
    assert judged(after, B, Fenced(A, A1)) is None


def test_a_release_opens_a_window_that_the_same_observation_ends() -> None:
    slot = promised_to_a()
    after = judged(slot, A, Release(A, A1, 1, stopped=True, successor=B))
    assert after is not None
    assert after.promised is None
    assert after.window_ttl_ms == TTL
    assert judged(after, A, asks(2, after), seen_for_ms=TTL - 1) is None
    assert judged(after, A, asks(2, after), seen_for_ms=TTL) is not None
    assert judged(after, B, asks(2, after)) is not None


def test_a_window_that_is_over_is_not_written_again() -> None:
    slot = promised_to_a()
    opened = judged(slot, A, Release(A, A1, 1, stopped=True, successor=B))
    assert opened is not None
    within = judged(opened, B, asks(2, opened), seen_for_ms=TTL - 1)
    assert within is not None
    assert within.window is not None
    after = judged(opened, B, asks(2, opened), seen_for_ms=TTL)
    assert after is not None
    assert (after.window, after.window_ttl_ms) == (None, 0)


def test_a_store_forgets_earlier_boots_of_who_writes_and_members_that_left() -> None:
    c_boot = BootId("c1")
    power_offs = (Fenced(A, BootId("a0")), Fenced(B, BootId("b0")), Fenced(C, c_boot))
    old = replace(
        EMPTY, fenced=power_offs, releases=(Release(C, c_boot, 1, stopped=True),), count=7
    )
    after = judged(old, A, asks(1, old))
    assert after is not None
    assert [f.boot for f in after.fenced] == ["b0"]
    assert after.releases == ()
    suspects = (Suspect(A, BootId("a0"), 1),)
    suspected = replace(old, record=replace(old.record, suspects=suspects))
    kept = judged(suspected, A, asks(1, suspected))
    assert kept is not None
    assert [f.boot for f in kept.fenced] == ["a0", "b0"]


def test_what_a_store_cannot_judge_is_not_answered() -> None:
    hello = Hello(EMPTY.record.version, EMPTY.record.config.id, "")
    assert vote(Observation(EMPTY, 0), request(A, hello), 5) == (None, ())
