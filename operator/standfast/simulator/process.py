"""One member: the real core, and a shell around it that performs what it wants.

The shell keeps the agent's duties as the contract of `core.quorum` states them: effects in order,
durable before sent, a look at the clock in time. Chance may stop it between any two effects.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from standfast.core import quorum
from standfast.core.events import (
    ClockSuspect,
    Connected,
    Declined,
    Effect,
    EmergencyStop,
    Event,
    GaveUp,
    Halted,
    LeaseExtended,
    LeaseWon,
    LocalChanged,
    Persist,
    ProofFound,
    ProofHeld,
    Received,
    RecordCommitted,
    ReleaseCancelled,
    Released,
    Send,
    Standing,
    StopForRelease,
    Tick,
)
from standfast.core.ids import MemberUid, RunId
from standfast.core.invariants import broken
from standfast.core.record import Proof, WatchdogArmed
from standfast.core.state import Durable, Local, State
from standfast.simulator.store import SlotRead, SlotWritten, StoreLink
from standfast.simulator.timeline import Due

if TYPE_CHECKING:
    from standfast.simulator.machine import Machine


Arrival = Event | SlotRead | SlotWritten
"""What comes into the mailbox: events of the core, and what stores answer."""

DISK_AGAIN_MS = 500
"""When a disk that refused is tried again."""


class Process:
    """Agent or witness on one machine, and its state while it lives."""

    __slots__ = (
        "_before",
        "_busy",
        "_inbox",
        "_left",
        "_perform",
        "_refused_at_us",
        "_tick",
        "_tick_at_us",
        "alive",
        "cut_after",
        "cut_for_ms",
        "eligible",
        "links",
        "machine",
        "run",
        "runs",
        "stalled",
        "state",
        "uid",
        "upstream",
        "watchdog_off",
    )

    def __init__(self, machine: "Machine", uid: MemberUid) -> None:
        self.machine = machine
        self.uid = uid
        self.alive = False
        self.stalled = False
        self.eligible = True
        self.runs = 0
        self.run = RunId("")
        self.state: State | None = None
        self.upstream: tuple[str, str] | None = None
        self.cut_after: int | None = None
        self.cut_for_ms = 0
        self.watchdog_off = False
        self.links: dict[MemberUid, StoreLink] = {}
        self._busy = False
        self._before: State | None = None
        self._inbox: deque[Arrival] = deque()
        self._left: deque[Effect] = deque()
        self._tick: Due | None = None
        self._tick_at_us = -1
        self._refused_at_us = -1
        self._perform: dict[type, Callable[[Any], None]] = {
            Persist: self._persist,
            Send: self._send,
            LeaseWon: self._lease_won,
            LeaseExtended: self._lease_extended,
            RecordCommitted: self._record_committed,
            EmergencyStop: self._emergency_stop,
            StopForRelease: self._stop_for_release,
            Released: self._released,
            ProofFound: self._proof_found,
            Standing: self._standing,
            GaveUp: self._gave_up,
            Halted: self._halted,
            Declined: self._declined,
        }

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """The supervisor starts the process: read the disk, adopt what the deadline allows."""
        machine = self.machine
        if self.alive or not machine.runs or machine.journal is None:
            return
        if machine.disk_full:
            machine.world.timeline.after(500_000, self.start)
            return
        now_ms = machine.now_ms()
        deadline = machine.deadline_file
        adopted = None
        if deadline is not None and deadline.boot == machine.boot and now_ms < deadline.until_ms:
            adopted = quorum.Adopted(deadline.term, deadline.until_ms)
        self.runs += 1
        self.run = RunId(f"{machine.boot}/{self.runs}")
        self.alive = True
        machine.disturb()
        world = machine.world
        world.coverage.count("start", "adopted" if adopted else "fresh")
        adopts = f", adopts term {adopted.term}" if adopted else ""
        world.note(machine.name, f"agent starts{adopts}")
        self.state, effects = quorum.start(
            machine.journal, machine.boot, self.run, now_ms, adopted, machine=machine.identity
        )
        self.links.clear()
        for store in world.stores.values():
            self.links[store.uid] = StoreLink(self, store)
        self._left.extend(effects)
        if machine.database is not None:
            machine.database.up = not self.state.durable.halted
        self._drain()
        if not self.alive:
            return
        self._follow()
        for other in world.machines.values():
            if other is not machine and other.runs:
                world.network.carry((machine.name, other.name), other.receive, Connected(self.uid))
                world.network.carry(
                    (other.name, machine.name), machine.receive, Connected(other.process.uid)
                )

    def die(self) -> None:
        """The process is gone; the machine may live on."""
        if self.alive:
            self.machine.world.disturbed()
            self.machine.world.note(self.machine.name, "agent is gone")
            self.machine.disturb()
        self.alive = False
        self.stalled = False
        self.state = None
        self.cut_after = None
        self._inbox.clear()
        self.links.clear()
        self._left.clear()
        self.call_off()

    def replace_member(self, uid: MemberUid, journal: Durable | None) -> None:
        """Give the machine another identity: a new member, or none yet."""
        self.die()
        self.uid = uid
        self.machine.journal = journal

    def stall(self) -> None:
        """Stop the process at the instruction it has reached."""
        if self.alive and not self.stalled:
            self.stalled = True
            self.machine.disturb()
            self.call_off()
            self.machine.world.note(self.machine.name, "agent stands still")

    def go_on(self) -> None:
        """Let it go on as if nothing had happened."""
        if not self.stalled:
            return
        self.stalled = False
        self.machine.disturb()
        if self.machine.runs:
            self.machine.world.note(self.machine.name, "agent goes on")
            self.rearm()

    # --- events --------------------------------------------------------------------------------

    def deliver(self, event: Arrival) -> None:
        """Put an event into the mailbox; it is taken at once unless the process stands still."""
        if not self.alive:
            return
        self._inbox.append(event)
        if not (self._busy or self.stalled) and self.machine.runs:
            self._drain()

    def rearm(self) -> None:
        """After standing still: finish the step that was cut, take what waited, set the timer."""
        if self.alive and not self.stalled:
            self._tick_at_us = -1
            self._drain()
            self._follow()

    def _drain(self) -> None:
        """The loop of the shell: one event, all of its effects, the next event."""
        self._busy = True
        inbox = self._inbox
        self._perform_left()
        while inbox and not self.stalled and self.alive:
            self._step(inbox.popleft())
        self._busy = False
        if self.alive and not self.stalled:
            self._set_timer()

    def _step(self, event: Arrival) -> None:
        machine = self.machine
        before = self.state
        assert before is not None
        world = machine.world
        self._before = before
        if isinstance(event, SlotRead | SlotWritten):
            self._from_store(event)
            return
        state, effects = quorum.step(before, event, machine.now_ms())
        self.state = state
        world.coverage.events[type(event)] += 1
        problem = broken(before, state, effects)
        if problem is not None:
            world.checkers.broken("local", f"{machine.name}: {problem}")
        if state.holding is not before.holding:
            world.checkers.holding_changed(machine)
            world.coverage.became(before, state)
        elif state.candidacy is not before.candidacy or state.must_stop != before.must_stop:
            world.coverage.became(before, state)
        if effects:
            self._left.extend(effects)
            self._perform_left()
        if isinstance(event, ReleaseCancelled) and machine.service is not None and self.alive:
            machine.service.go_on()
        if self.alive and self.state.durable.record is not before.durable.record:
            self._follow()

    def _from_store(self, event: SlotRead | SlotWritten) -> None:
        """What a store answered, if it was asked by this run."""
        if self.links.get(event.link.store.uid) is not event.link:
            return
        if isinstance(event, SlotRead):
            event.link.on_read(event)
        else:
            event.link.on_written(event)

    def _follow(self) -> None:
        """Tell the database whom to follow, and the member what that means, in one breath."""
        state = self.state
        if state is None:
            return
        holder = state.record.holder
        name = self.machine.world.names.get(holder.member) if holder is not None else None
        self.upstream = (name, holder.boot) if holder is not None and name is not None else None
        if self.machine.is_data_node:
            self.local_changed()

    def local_changed(self) -> None:
        """Tell the own member what the rest of the node says."""
        state = self.state
        if state is None or self.stalled or state.durable.halted:
            return
        machine = self.machine
        database = machine.database
        watchdog = 0 if self.watchdog_off else machine.watchdog_ms
        local = Local(
            eligible=self.eligible,
            position=None if database is None else database.position(),
            watchdog=WatchdogArmed(watchdog) if watchdog else None,
        )
        if local != state.local:
            self._inbox.appendleft(LocalChanged(local))
            if not self._busy and machine.runs:
                self._drain()

    def connected(self, member: MemberUid) -> None:
        """A link came up."""
        if self.machine.runs:
            self.deliver(Connected(member))

    def call_off(self) -> None:
        self.machine.world.timeline.call_off(self._tick)
        self._tick = None
        self._tick_at_us = -1

    def _set_timer(self) -> None:
        state = self.state
        assert state is not None
        machine = self.machine
        wake_ms = quorum.wake_at_ms(state)
        world = machine.world
        now_us = world.timeline.now_us
        if now_us == self._refused_at_us:
            wake_ms = machine.clock.now_ms(now_us) + DISK_AGAIN_MS
        if state.holding is not None:
            look_ms = machine.clock.now_ms(now_us) + state.record.config.tick_ms
            if wake_ms is None or look_ms < wake_ms:
                wake_ms = look_ms
        elif wake_ms is None:
            self.call_off()
            return
        due_us = machine.clock.when_us(wake_ms)
        if self._tick is not None:
            if self._tick_at_us == due_us and self._tick[2] is not None:
                return
            self._tick[2] = None
        self._tick_at_us = due_us
        late_us = 0 if state.holding is not None else world.late_us()
        self._tick = world.timeline.at(max(due_us, now_us + 1) + late_us, self._look)

    def _look(self) -> None:
        self._tick = None
        self._tick_at_us = -1
        self.deliver(Tick())

    # --- effects -------------------------------------------------------------------------------

    def _perform_left(self) -> None:
        """Perform what the last step wants, unless chance ends it half-way."""
        left = self._left
        performs = self._perform
        counts = self.machine.world.coverage.effects
        while left:
            if self.cut_after is not None:
                if self.cut_after <= 0:
                    self._cut()
                    return
                self.cut_after -= 1
            effect = left.popleft()
            counts[type(effect)] += 1
            performs[type(effect)](effect)
            if not self.alive:
                return

    def _cut(self) -> None:
        """Die or stall here, between two effects."""
        self.cut_after = None
        machine = self.machine
        world = machine.world
        world.disturbed()
        left = ", ".join(type(effect).__name__ for effect in self._left)
        if self.cut_for_ms == 0:
            world.note(machine.name, f"agent dies before {left}")
            world.coverage.count("cut", "died")
            self.die()
            world.timeline.after(world.between(50_000, 1_500_000), self.start)
            return
        world.note(machine.name, f"agent stalls before {left}")
        world.coverage.count("cut", "stalled")
        self.stall()
        world.timeline.after(self.cut_for_ms * 1000, self.go_on)

    def _persist(self, effect: Persist) -> None:
        machine = self.machine
        if not machine.disk_full:
            machine.journal = effect.durable
            return
        world = machine.world
        world.coverage.count("journal", "refused")
        if world.chance() < 0.3:
            machine.journal = effect.durable  # refused, and on the disk all the same
        self._undo()

    def _undo(self) -> None:
        """The disk refused: the event counts as lost, and only an emergency stop stands."""
        before, after = self._before, self.state
        assert before is not None
        assert after is not None
        self._left.clear()
        self._refused_at_us = self.machine.world.timeline.now_us
        if after.holding is None and before.holding is not None:
            event = ClockSuspect("the lease ended while the disk refused")
            before, _ = quorum.step(before, event, self.machine.now_ms())
        self.state = before

    def _send(self, effect: Send) -> None:
        envelope = effect.envelope
        world = self.machine.world
        link = self.links.get(envelope.to)
        if link is not None:
            link.send(envelope)
            return
        world.checkers.sent(self.machine, envelope)
        message = Received(envelope)
        for target in world.places.get(envelope.to, ()):
            if target is not self.machine:
                world.network.carry((self.machine.name, target.name), target.receive, message)

    def _lease_won(self, effect: LeaseWon) -> None:
        self.machine.world.note(self.machine.name, f"wins term {effect.term}")
        before = self._before
        assert before is not None
        asked = before.candidacy
        consented = asked is not None and asked.ask.consent is not None
        held = before.holding is not None
        checkers = self.machine.world.checkers
        checkers.won(self.machine, effect.term, consented=consented, held=held)
        self.machine.world.faults.spring("wins", self.machine)
        self.machine.set_deadline(effect.term, effect.until_ms)

    def _lease_extended(self, effect: LeaseExtended) -> None:
        machine = self.machine
        machine.set_deadline(effect.term, effect.until_ms)
        service = machine.service
        if service is not None and machine.kernel_cut_us is None:
            service.consider()  # what expired is started again, as a monitor would find

    def _record_committed(self, effect: RecordCommitted) -> None:
        machine = self.machine
        world = machine.world
        record = effect.record
        if world.tracing:
            world.note(machine.name, f"record {record.version} is committed")
        world.checkers.committed(machine, record)
        world.faults.spring("commits", machine)
        if self.watchdog_off and record.watchdog is None:
            machine.watchdog_ms = 0
        if machine.database is not None:
            machine.database.committed()
        if effect.first:
            self._seek_proofs()
        if machine.service is not None:
            machine.service.consider()

    def _seek_proofs(self) -> None:
        """What the agent itself can see: its own earlier run in this boot."""
        machine = self.machine
        state = self.state
        assert state is not None
        for suspect in state.record.suspects:
            if (suspect.member, suspect.boot) == (state.me, state.boot):
                event = ProofHeld(suspect, Proof.OBSERVED)
                due_us = machine.clock.when_us(machine.now_ms())
                machine.world.timeline.at(due_us + 1, self._prove, self.run, event)

    def _prove(self, run: RunId, event: ProofHeld) -> None:
        if run == self.run:
            self.deliver(event)

    def _emergency_stop(self, effect: EmergencyStop) -> None:
        machine = self.machine
        world = machine.world
        world.note(machine.name, f"emergency stop of term {effect.term}: {effect.message}")
        world.coverage.count("loss", effect.loss.value)
        world.checkers.lost(machine, effect)
        machine.drop_deadline()
        if machine.service is not None:
            machine.service.kill(self.run)

    def _stop_for_release(self, effect: StopForRelease) -> None:
        machine = self.machine
        machine.world.note(machine.name, f"stops for a release of term {effect.term}")
        if machine.service is not None:
            machine.service.stop_in_order(self.run)

    def _released(self, effect: Released) -> None:
        machine = self.machine
        machine.world.note(machine.name, f"releases term {effect.term}")
        machine.drop_deadline()
        machine.world.checkers.released(machine, effect.term)
        machine.world.faults.spring("releases", machine)

    def _proof_found(self, effect: ProofFound) -> None:
        machine = self.machine
        world = machine.world
        suspect, proof = effect.suspect, effect.proof
        world.coverage.count("proof", proof.value)
        world.checkers.proven(machine, suspect, proof)
        name = world.names.get(suspect.member)
        world.note(machine.name, f"{name} is proven stopped: {proof.value}")
        if machine.service is not None:
            machine.service.consider()

    def _standing(self, effect: Standing) -> None:
        if not effect.pre:
            self.machine.world.checkers.stands(self.uid, effect.term)
            self.machine.world.faults.spring("stands", self.machine)
        world = self.machine.world
        world.coverage.count("standing", "pre-vote" if effect.pre else "vote")
        asks = " (pre-vote)" if effect.pre else ""
        world.note(self.machine.name, f"stands for term {effect.term}{asks}")

    def _gave_up(self, effect: GaveUp) -> None:
        reasons = ", ".join(reason.value for reason in effect.reasons)
        self.machine.world.note(self.machine.name, f"gives term {effect.term} up {reasons}")

    def _halted(self, effect: Halted) -> None:
        self.machine.world.note(self.machine.name, f"takes no part any more: {effect.message}")
        self.machine.world.coverage.count("halted", "halted")
        if self.machine.database is not None:
            self.machine.database.up = False

    def _declined(self, effect: Declined) -> None:
        self.machine.world.coverage.count("declined", effect.problem.split(",")[0][:40])
