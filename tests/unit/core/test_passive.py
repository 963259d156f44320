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
from standfast.core.passive import Observation, Slot, observe, vote
from standfast.core.record import first_record
from standfast.core.state import Local, State
from tests.unit.core.small_world import A, B, W, config_of


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
