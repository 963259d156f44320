"""A voter without a process: a slot with conditional writes, and how a member reaches it.

The member runs the voter's rules itself (`core.passive`): read the slot, judge, write on the
condition that nothing was written since, and only then take the answer. Requests and answers are
lost and late like every message; a lost answer to a write is an unknown result, so no answer. A
member reads the slot every heartbeat, because a promise in it runs out only for a reader that has
watched it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standfast.core.events import Received
from standfast.core.ids import MemberUid
from standfast.core.messages import Envelope, Hello
from standfast.core.passive import STORE_BOOT, STORE_RUN, Observation, Slot, observe, vote

if TYPE_CHECKING:
    from standfast.simulator.process import Process


class Store:
    """The slot, at a place that links lead to."""

    __slots__ = ("name", "slot", "writes")

    def __init__(self, name: str, slot: Slot) -> None:
        self.name = name
        self.slot = slot
        self.writes = 0

    @property
    def uid(self) -> MemberUid:
        return self.slot.voter

    def swap(self, judged: Slot, new: Slot) -> bool:
        """Write if the value that was judged still stands."""
        if self.slot is not judged:
            return False
        self.slot = new
        self.writes += 1
        return True


@dataclass(frozen=True, slots=True)
class SlotRead:
    """The answer to a read has arrived, for a request that waits for it or for nobody."""

    link: "StoreLink"
    slot: Slot
    request: Envelope | None


@dataclass(frozen=True, slots=True)
class SlotWritten:
    """A conditional write succeeded: its answers count."""

    link: "StoreLink"
    answers: tuple[Envelope, ...]


class StoreLink:
    """One run's view of one store; what it has observed dies with the run."""

    __slots__ = ("_greeted", "_seen", "process", "store")

    def __init__(self, process: "Process", store: Store) -> None:
        self.process = process
        self.store = store
        self._seen: Observation | None = None
        self._greeted = False
        self._poll()

    def send(self, request: Envelope | None) -> None:
        """Begin a round: read first."""
        link = (self.process.machine.name, self.store.name)
        self.process.machine.world.network.carry(link, self._read_at_the_store, request)

    def _poll(self) -> None:
        process = self.process
        if process.links.get(self.store.uid) not in {None, self} or not process.alive:
            return
        state = process.state
        if state is not None and process.machine.runs and not process.stalled:
            self.send(None)
        heartbeat_ms = process.machine.world.plan.timing.heartbeat_ms
        process.machine.world.timeline.after(heartbeat_ms * 1000, self._poll)

    def _read_at_the_store(self, request: Envelope | None) -> None:
        machine = self.process.machine
        event = SlotRead(self, self.store.slot, request)
        machine.world.network.carry((self.store.name, machine.name), machine.receive, event)

    def on_read(self, read: SlotRead) -> None:
        """Judge on the store's behalf; a refusal needs no write."""
        machine = self.process.machine
        now_ms = machine.now_ms()
        self._seen = seen = observe(self._seen, read.slot, now_ms)
        self._greet(read.slot)
        if read.request is None:
            return
        new, answers = vote(seen, read.request, now_ms)
        if new is None:
            self._take(answers)
            return
        link = (machine.name, self.store.name)
        machine.world.network.carry(link, self._write_at_the_store, (seen.slot, new, answers))

    def _write_at_the_store(self, write: tuple[Slot, Slot, tuple[Envelope, ...]]) -> None:
        judged, new, answers = write
        machine = self.process.machine
        if not self.store.swap(judged, new):
            machine.world.coverage.count("store", "written in between")
            return
        machine.world.coverage.count("store", "written")
        for answer in answers:
            machine.world.checkers.sent(machine, answer)
        event = SlotWritten(self, answers)
        machine.world.network.carry((self.store.name, machine.name), machine.receive, event)

    def on_written(self, written: SlotWritten) -> None:
        self._take(written.answers)

    def _take(self, answers: tuple[Envelope, ...]) -> None:
        for answer in answers:
            self.process.deliver(Received(answer))

    def _greet(self, slot: Slot) -> None:
        """A slot that can be read holds the config it was made with."""
        state = self.process.state
        if self._greeted or state is None:
            return
        self._greeted = True
        config = slot.record.config
        envelope = Envelope(
            cluster=config.cluster,
            incarnation=config.incarnation,
            sender=slot.voter,
            to=state.me,
            boot=STORE_BOOT,
            run=STORE_RUN,
            generation=slot.count,
            body=Hello(slot.record.version, config.id, config.digest),
        )
        self.process.deliver(Received(envelope))
