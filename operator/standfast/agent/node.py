"""A data node's duties: the quorum says who may, the group says what next, drivers do it.

Effects of the quorum become events of the group, and the other way round. Neither ever steps
within a step of itself: what the group asks of the quorum goes through the mailbox.

Rules kept here: the deadline file is written before the lease is used longer and removed before
it is given back; guard and addresses are extended with every renewal; nothing starts before the
first record of a term is committed, and nothing that the guard has not taken on; a node says that
it would stand only when everything critical was tried and its guard answers.
"""

import asyncio
from functools import partial
from typing import assert_never

from standfast.adapters.linux.deadline import Deadline, DeadlineFile
from standfast.agent import drivers as calling
from standfast.agent.clocks import Clocks
from standfast.agent.declaration import Declaration
from standfast.agent.disk import DiskWatch
from standfast.agent.drivers import Drivers
from standfast.agent.guarding import Calls, Guarding
from standfast.agent.machine import Machine
from standfast.agent.moves import Moves
from standfast.agent.others import Others
from standfast.agent.port_lease import PortLease
from standfast.agent.proving import Proving
from standfast.agent.quiescing import Quiescing
from standfast.agent.readiness import Readiness
from standfast.agent.replicas import Replicas
from standfast.agent.seat import Seat
from standfast.agent.showing import Showing, shown
from standfast.agent.takeover import Takeover
from standfast.core import group as groups
from standfast.core import group_events as ev
from standfast.core.events import (
    NO_LEASE,
    ClockSuspect,
    Declined,
    Effect,
    EmergencyStop,
    GaveUp,
    Halted,
    LeaseExtended,
    LeaseWon,
    Loss,
    Persist,
    ProofFound,
    RecordCommitted,
    Released,
    Send,
    Standing,
    StandRequested,
    StopForRelease,
    Stopped,
)
from standfast.core.group_state import Group, Want
from standfast.core.ids import FIRST
from standfast.core.quorum import Adopted
from standfast.core.record import Record, WatchdogArmed
from standfast.core.state import Holding
from standfast.errors import RefusedError, TransientError
from standfast.member.chronicle import values
from standfast.member.duties import Report
from standfast.member.links import Links
from standfast.member.membership import Membership
from standfast.member.voter import Voter
from standfast.ports.events import Alert
from standfast.wire.api import (
    Accepted,
    GroupRequest,
    QuiesceAnswer,
    QuiesceRequest,
    ReleaseRequest,
    StandRequest,
)

LEAVE_S = 60.0
LEAVE_LOOK_S = 1.0
"""While it leaves: how long everything may take to stop, and how often that is looked at."""


class Node:
    """The `Duties` of an agent."""

    def __init__(
        self,
        membership: Membership,
        deadline: DeadlineFile,
        machine: Machine,
    ) -> None:
        self._membership = membership
        self._chronicle = membership.chronicle
        self._mailbox = membership.process.mailbox
        self._clock = membership.process.clock
        self._deadline = deadline
        self._seat = Seat()
        self._guarding = Guarding(
            machine.make_guard,
            self._mailbox,
            self._chronicle,
            Calls(self._over, self._judge_guard, self._watchdog_changed),
        )
        self._disk = DiskWatch(
            machine.disk,
            self._chronicle,
            lambda: self._mailbox.put(self._readiness.judge),
        )
        self._drivers = Drivers(
            machine.make_drivers(self._clock, self._chronicle, self._guarding.plan),
            self._mailbox,
            self._chronicle,
            calling.Calls(
                report=lambda event: self._mailbox.put(lambda: self._take(event)),
                news=lambda: self._mailbox.put(self._look_at_copies),
                excluded=lambda disk, term: self._mailbox.put(
                    lambda: self._proving.excluded(disk, term)
                ),
                ousted=lambda why: self._mailbox.put(partial(self._over, why)),
            ),
        )
        self._quiescing = Quiescing(membership, self._drivers)
        self._replicas = Replicas(lambda: self._drivers.replicas, self._clock, self._chronicle)
        self._readiness = Readiness(
            self._seat, self._replicas, self._mailbox, membership.board, self._hindrances
        )
        self._moves = Moves(self._seat, self._drivers, membership, self._resume)
        self._proving = Proving(self._seat, membership.process)
        self._others = Others(self._seat, self._replicas, self._clock)
        self._clocks = Clocks(self._seat, self._clock, self._chronicle, membership.renew)
        self._ports = PortLease(machine.make_ports(self._clock), self._mailbox, self._chronicle)
        self._declaration = Declaration(
            membership, machine, self._seat, self._ports, self._declared
        )
        self._showing = Showing(self._replicas)
        self._takeover = Takeover()
        self._group = Group()
        self._group_at_ms = self._clock.now_ms()
        self._shown = shown(self._group)
        self._is_begun = False
        self._declaration.take_up()

    # ---------------------------------------------------------------- Duties: the quorum

    def adopted(self, record: Record) -> Adopted | None:
        del record  # the quorum compares
        found = self._deadline.read()
        if found is None or found.boot != self._membership.process.boot:
            return None
        if found.until_ms <= self._clock.now_ms():
            return None
        return Adopted(found.term, found.until_ms)

    def begin(self, voter: Voter, links: Links) -> None:
        self._seat.begin(voter, links)
        self._guarding.begin(voter.state.me)
        self._mailbox.start(self._disk.run(), "watch disk")
        self._mailbox.start(self._ports.run(), "watch ports")
        self._others.begin()
        self._declaration.begin()

    def on_effect(self, effect: Effect) -> None:
        now_ms = self._clock.now_ms()
        match effect:
            case LeaseWon(term, until_ms):
                self._takeover.won(term, now_ms)
                self._drivers.foresee()
                self._hold_until(term, until_ms)
            case LeaseExtended(term, until_ms):
                self._hold_until(term, until_ms)
            case RecordCommitted(record, first):
                self._committed(record, first=first)
            case EmergencyStop(term, loss, message):
                self._guarding.strike(term)
                self._drivers.claim(None)
                self._deadline.remove()
                self._clocks.forget()
                # A node that has just joined a cluster in which nobody ever held ends its own
                # application as gently as any other stop.
                gently = (
                    loss is Loss.RESTARTED and term == 0 and self._seat.record.version == FIRST
                )
                self._take(ev.StopAll(emergency=not gently, why=message))
            case StopForRelease():
                self._take(ev.StopAll(emergency=False))
            case Released(term):
                self._guarding.stopped(term, _nothing)
                self._drivers.claim(None)
                self._deadline.remove()
                self._clocks.forget()
            case ProofFound(suspect, proof):
                self._takeover.proven(suspect, proof, now_ms)
                self._tell_proofs()
            case Standing():
                if self._seat.state.holding is None:
                    heard_ms = self._seat.holder_heard_ms(now_ms)
                    self._takeover.stood(now_ms, heard_ms, self._replicas.lacks(self._seat.state))
            case GaveUp():
                self._takeover.gave_up()
            case Halted() | Declined() | Persist() | Send():
                pass
            case _:
                assert_never(effect)

    def on_step(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            lease = self._seat.state.holding
            if lease is not None:
                self._drivers.claim(self._proving.claim(lease.term, self._seat.record))
                self._take(ev.Adopted(lease.term, lease.lease_until_ms))
        self._look_at_others()
        self._tell_copies()

    def on_links(self) -> None:
        self._look_at_others()
        self._tell_copies()

    def _hold_until(self, term: int, until_ms: int) -> None:
        boot = self._membership.process.boot
        self._deadline.write(Deadline(boot, term, until_ms))
        self._guarding.extend(term, until_ms)
        self._take(ev.Extended(until_ms))
        self._drivers.extend(until_ms)

    def _committed(self, record: Record, *, first: bool) -> None:
        lease = self._seat.lease
        if lease is None:
            return
        self._replicas.require(self._seat.state)  # before anything starts, or as soon as it shrank
        if first:
            self._takeover.committed(record, self._clock.now_ms())
            self._drivers.claim(self._proving.claim(lease.term, record))
            self._take(ev.Permitted(lease.term, lease.lease_until_ms, record.suspects))
        self._tell_proofs()

    def _tell_proofs(self) -> None:
        state = self._seat.state
        self._take(
            ev.ProofsChanged(self._seat.record.suspects, dict(state.proofs), state.reserved)
        )

    # ---------------------------------------------------------------- Duties: time

    def next_ms(self) -> int | None:
        due = [groups.wake_at_ms(self._group, self._group_at_ms)]
        if self._seat.lease is not None:
            due += [self._clocks.next_ms(), self._replicas.next_ms(self._seat.state)]
        else:
            due.append(self._others.next_ms())
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def tick(self) -> None:
        self._clocks.look()
        self._look_at_others()
        due_ms = groups.wake_at_ms(self._group, self._group_at_ms)
        if due_ms is not None and self._clock.now_ms() >= due_ms:
            self._take(ev.Tick())
        voter = self._seat.voter
        if voter is not None and self._replicas.is_due(voter.state):
            self._replicas.keep(voter)
            self._readiness.tell_facts()
        self._readiness.tell_again()

    def _tell_copies(self) -> None:
        if self._seat.voter is not None and self._seat.links is not None:
            self._replicas.tell(self._seat.state, self._seat.links)

    def _look_at_copies(self) -> None:
        """A copy has news: those that follow may have caught up, or there is one to be told."""
        self._tell_copies()
        if self._seat.voter is not None:
            self._replicas.keep(self._seat.voter)
        self._readiness.look_at_copies()
        if self._replicas.has_news():
            self._membership.board.change()

    def _look_at_others(self) -> None:
        """Whether somebody else would take over, and whether anybody holds."""
        news = self._others.look()
        if news is not None:
            self._take(ev.OthersChanged(*news))
            self._mailbox.put(self._judge_guard)
        if self._seat.links is not None and groups.is_settled(self._group):
            self._proving.settled()

    # ---------------------------------------------------------------- Duties: the operator

    def declare(self, request: GroupRequest) -> None:
        self._declaration.accept(request)

    def release(self, request: ReleaseRequest) -> Accepted:
        return self._moves.release(request)

    def cancel_release(self, request_id: str) -> Accepted:
        return self._moves.cancel(request_id)

    def _resume(self, lease: Holding) -> None:
        """A move was called off."""
        if self._group.want is Want.RELEASE:
            self._take(ev.Resumed())
        else:  # everything was stopped already, and the quorum has not heard of it yet
            suspects = self._seat.record.suspects
            self._take(ev.Permitted(lease.term, lease.lease_until_ms, suspects))

    def stand(self, request: StandRequest) -> Accepted:
        voter = self._seat.voter_for("stand")
        self._take(ev.Forgiven())
        found = self._hindrances()
        if found:
            raise RefusedError(
                f"this node does not stand: {'; '.join(found)}",
                remedy="remove what is in the way, or let another node stand",
            )
        self._chronicle.note(
            "StandRequested", "Asked to stand now", values(request=request.request_id)
        )
        self._mailbox.put(lambda: _ignore(voter.take(StandRequested())))
        return Accepted(accepted=True)

    async def quiesce(self, request: QuiesceRequest) -> QuiesceAnswer:
        return await self._quiescing.begin(request)

    async def thaw(self) -> None:
        await self._quiescing.end()
        self._replicas.mark()

    # ---------------------------------------------------------------- the group

    def _declared(self, declared: ev.Declared) -> None:
        self._take(declared)
        self._drivers.tune(declared.specs)

    def _take(self, event: ev.GroupEvent) -> None:
        self._ports.take(event)
        self._group_at_ms = self._clock.now_ms()
        self._group, effects = groups.step(self._group, event, self._group_at_ms)
        for effect in effects:
            self._perform(effect)
        news = shown(self._group)
        if news != self._shown:
            self._shown = news
            self._membership.board.change()
        self._readiness.judge()

    def _perform(self, effect: ev.GroupEffect) -> None:
        match effect:
            case ev.Make(spec):
                self._drivers.make(spec)
            case ev.Drop(name):
                self._drivers.drop(name)
            case ev.Look() | ev.Check() | ev.Start() | ev.Stop() | ev.Kill():
                self._drivers.begin(effect)
            case ev.Cancel(name, call):
                self._drivers.cancel(name, call)
            case ev.AllStopped():
                self._all_stopped()
            case ev.HandOver():
                self._mailbox.put(self._hand_over)
            case ev.Serving(term):
                self._takeover.served(term, self._clock.now_ms())
                measured = {
                    "outage_ms": self._takeover.outage_ms,
                    "lacked_bytes": self._takeover.lacked_bytes,
                }
                known = {key: value for key, value in measured.items() if value is not None}
                fields = values(term=term, **known)
                self._chronicle.note("Serving", "Everything critical runs", fields)
            case ev.Note(kind, message, fields):
                self._chronicle.note(kind, message, fields)
            case ev.Alarm(resource, reason, message, remedy):
                self._chronicle.raise_alert(resource, Alert(reason, message, remedy))
            case ev.Calm(resource, reason):
                self._chronicle.clear_alert(resource, reason)
            case ev.GroupDeclined(problem, _):
                self._chronicle.note("Declined", "Declaration not taken", values(error=problem))
            case _:
                assert_never(effect)

    def _all_stopped(self) -> None:
        """A lost lease is over for the guard too; one being released may still be called off."""
        lease = self._seat.lease
        if lease is not None and lease.releasing:
            told = partial(self._tell_stopped, lease.called_off)
            self._ports.shut_then(lambda: self._mailbox.put(told))
        else:
            told = partial(self._tell_stopped, NO_LEASE)
            term = self._seat.state.last_term
            self._ports.shut_then(lambda: self._guarding.stopped(term, told))

    def _tell_stopped(self, called_off: int) -> None:
        if self._seat.voter is not None:
            self._seat.voter.take(Stopped(called_off))

    def _hand_over(self) -> None:
        """A resource does not get to run here."""
        declined = self._moves.hand_over()
        if declined:
            self._take(ev.HandOverDeclined(declined))

    def _hindrances(self) -> tuple[str, ...]:
        found = groups.hindrances(self._group, self._clock.now_ms())
        return (*found, *filter(None, (self._guarding.hindrance, self._disk.hindrance)))

    def _over(self, why: str) -> None:
        """Guard or storage saw the end of the lease: it is over, whatever the clocks say."""
        if self._seat.voter is not None and self._seat.lease is not None:
            self._seat.voter.take(ClockSuspect(why))

    def _watchdog_changed(self, armed: WatchdogArmed | None) -> None:
        self._readiness.armed(armed)

    def _judge_guard(self) -> None:
        """A node without a guard does not stand, and hands over if another one would take over."""
        self._readiness.judge()
        self._moves.hand_over_for(self._guarding.hindrance)

    # ---------------------------------------------------------------- Duties: status, end

    def report(self) -> Report:
        now_ms = self._clock.now_ms()
        return Report(
            serving_term=self._group.serving_term,
            hindrances=self._hindrances(),
            resources=self._showing.resources(self._group, now_ms),
            generation=max(0, self._group.generation),
            proofs=self._takeover.proofs,
            takeover=self._takeover.status(),
        )

    async def abandon(self) -> None:
        self._deadline.remove()  # nobody adopts what this run leaves behind
        await self._ports.shut()
        await self._drivers.kill_all()

    async def leave(self) -> None:
        """Stop and forget every resource; returns when nothing is left here."""
        self._declaration.end()
        board = self._membership.board
        try:
            async with asyncio.timeout(LEAVE_S):
                while self._group.cells:
                    await board.wait_past(board.seq, LEAVE_LOOK_S)
        except TimeoutError as error:
            names = ", ".join(self._group.cells)
            raise TransientError(
                f"{names} could not be stopped within {LEAVE_S:g} s, so this node stays",
                remedy="see what keeps it (standfast-agent status); it is tried again",
            ) from error

    async def close(self) -> None:
        await self._quiescing.close()
        await self._drivers.close()
        self._ports.close()


def _nothing() -> None:
    """Nobody waits for it."""


def _ignore(_: object) -> None:
    """Effects were performed; nobody asks for them here."""
