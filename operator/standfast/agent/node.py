"""A data node's duties: the quorum says who may, the group says what next, drivers do it.

Effects of the quorum become events of the group, and the other way round. Neither ever steps
within a step of itself: what the group asks of the quorum goes through the mailbox.

Rules kept here: the deadline file is written before the lease is used longer and removed before
it is given back; guard and addresses are extended with every renewal; nothing starts before the
first record of a term is committed, and nothing that the guard has not taken on; a node says that
it would stand only when everything critical was tried and its guard answers.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import assert_never

from standfast.adapters.linux.deadline import Deadline, DeadlineFile
from standfast.agent import drivers as calling
from standfast.agent.allowed import OPEN
from standfast.agent.clockwatch import ClockWatch, Reading, Sign, realtime_ms
from standfast.agent.disk import DiskWatch
from standfast.agent.drivers import Drivers
from standfast.agent.guarding import Calls, Guarding
from standfast.agent.machine import Machine
from standfast.agent.quiescing import Quiescing
from standfast.agent.replicas import Replicas
from standfast.agent.specs import check_data_mode, specs_of
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
    LocalChanged,
    Loss,
    Persist,
    ProofFound,
    ProofHeld,
    RecordCommitted,
    ReleaseCancelled,
    Released,
    ReleaseRequested,
    Send,
    Standing,
    StandRequested,
    StopForRelease,
    Stopped,
)
from standfast.core.group_state import Cell, Group, Phase, Want
from standfast.core.ids import FIRST, MemberUid
from standfast.core.quorum import Adopted
from standfast.core.record import DataMode, Proof, Record, Suspect, WatchdogArmed
from standfast.core.state import Local
from standfast.core.state import State as QuorumState
from standfast.errors import RefusedError, TransientError
from standfast.member.chronicle import values
from standfast.member.duties import Report
from standfast.member.links import Links
from standfast.member.membership import Membership
from standfast.member.voter import Voter
from standfast.ports.events import Alert
from standfast.ports.resource import Claim
from standfast.wire.api import (
    Accepted,
    GroupRequest,
    QuiesceAnswer,
    QuiesceRequest,
    ReleaseRequest,
    ResourceStatus,
    StandRequest,
    State,
)
from standfast.wire.frames import Facts

ALLOWED = "allowed"
PREPARE_S = 10.0
"""How long a planned switchover may be prepared while the service goes on."""
LEAVE_S = 60.0
LEAVE_LOOK_S = 1.0
"""While it leaves: how long everything may take to stop, and how often that is looked at."""
NOBODY_MS = 3000
"""So long without any holder in sight means that a hand-over found no taker."""


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
        self._machine = machine
        self._guarding = Guarding(
            machine.make_guard,
            self._mailbox,
            self._chronicle,
            Calls(self._over, self._judge_guard, self._watchdog_changed),
        )
        self._disk = DiskWatch(
            machine.disk, self._chronicle, partial(self._mailbox.put, self._say_eligible)
        )
        self._drivers = Drivers(
            machine.make_drivers(self._clock, self._chronicle, self._guarding.plan),
            self._mailbox,
            self._chronicle,
            calling.Calls(
                report=lambda event: self._mailbox.put(lambda: self._take(event)),
                news=lambda: self._mailbox.put(self._look_at_copies),
                excluded=lambda disk, term: self._mailbox.put(lambda: self._excluded(disk, term)),
                ousted=lambda why: self._mailbox.put(partial(self._over, why)),
            ),
        )
        self._quiescing = Quiescing(membership, self._drivers)
        self._replicas = Replicas(lambda: self._drivers.replicas, self._clock, self._chronicle)
        self._group = Group()
        self._group_at_ms = self._clock.now_ms()
        self._shown = _shown(self._group)
        self._takeover = Takeover()
        self._clocks = ClockWatch()
        self._voter: Voter | None = None
        self._links: Links | None = None
        self._declared = GroupRequest(generation=-1)
        self._is_begun = False
        self._is_eligible = False
        self._watchdog: WatchdogArmed | None = None
        self._held_at_ms: int | None = None
        self._clocks_at_ms = 0
        self._release_id = ""
        self._is_preparing = False
        self._others = (False, True)
        self._sinces: dict[str, tuple[int, datetime]] = {}
        self._take_up_declaration()

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
        self._voter, self._links = voter, links
        self._guarding.begin(voter.state.me)
        self._mailbox.start(self._disk.run(), "watch disk")
        self._held_at_ms = self._clock.now_ms()
        if self._declared.generation >= 0:  # the data mode is known from now on
            self._declare(self._declared)

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
                gently = loss is Loss.RESTARTED and term == 0 and self._record.version == FIRST
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
                if self._state.holding is None:
                    heard_ms = self._holder_heard_ms(now_ms)
                    self._takeover.stood(now_ms, heard_ms, self._replicas.lacks(self._state))
            case GaveUp():
                self._takeover.gave_up()
            case Halted() | Declined() | Persist() | Send():
                pass
            case _:
                assert_never(effect)

    def on_step(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            lease = self._state.holding
            if lease is not None:
                self._drivers.claim(self._claim(lease.term, self._record))
                self._take(ev.Adopted(lease.term, lease.lease_until_ms))
        self._look_at_others()
        self._tell_copies()

    def on_links(self) -> None:
        self._look_at_others()
        self._tell_copies()

    def _holder_heard_ms(self, now_ms: int) -> int | None:
        """When the last word came from whoever wrote the newest record."""
        holder = self._record.holder
        if holder is None or self._links is None:
            return None
        peers = self._links.status(now_ms)
        ago_ms = next((p.last_heard_ms for p in peers if p.member == holder.member), None)
        return None if ago_ms is None else now_ms - ago_ms

    def _hold_until(self, term: int, until_ms: int) -> None:
        boot = self._membership.process.boot
        self._deadline.write(Deadline(boot, term, until_ms))
        self._guarding.extend(term, until_ms)
        self._take(ev.Extended(until_ms))
        self._drivers.extend(until_ms)

    def _committed(self, record: Record, *, first: bool) -> None:
        lease = self._state.holding
        if lease is None:
            return
        self._replicas.require(self._state)  # before anything starts, or as soon as it shrank
        if first:
            self._takeover.committed(record, self._clock.now_ms())
            self._drivers.claim(self._claim(lease.term, record))
            self._take(ev.Permitted(lease.term, lease.lease_until_ms, record.suspects))
        self._tell_proofs()

    def _claim(self, term: int, record: Record) -> Claim:
        """By what right disks are taken from the others: everybody who may still run is out."""
        me = self._state.me
        return Claim(
            cluster=self._state.durable.cluster,
            incarnation=record.config.incarnation,
            member=me,
            boot=self._membership.process.boot,
            term=term,
            suspected=any(suspect.member != me for suspect in record.suspects),
        )

    def _excluded(self, disk: str, term: int) -> None:
        """The storage of a disk shuts everybody else out: proof against every other suspect."""
        voter = self._voter
        lease = None if voter is None else voter.state.holding
        if voter is None or lease is None or lease.term != term:
            return
        for suspect in self._record.suspects:
            if suspect.member != voter.state.me:
                voter.take(ProofHeld(suspect, Proof.RESERVED, disk=disk))

    def _tell_proofs(self) -> None:
        state = self._state
        self._take(ev.ProofsChanged(self._record.suspects, dict(state.proofs), state.reserved))

    # ---------------------------------------------------------------- Duties: time

    def next_ms(self) -> int | None:
        now_ms = self._clock.now_ms()
        due = [groups.wake_at_ms(self._group, self._group_at_ms)]
        if self._voter is not None and self._state.holding is not None:
            due.append(self._clocks_at_ms + self._record.config.tick_ms)
            due.append(self._replicas.next_ms(self._state))
        elif self._held_at_ms is not None:
            gone_ms = self._held_at_ms + NOBODY_MS
            due.append(gone_ms if gone_ms > now_ms else None)
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def tick(self) -> None:
        self._look_at_clocks()
        self._look_at_others()
        due_ms = groups.wake_at_ms(self._group, self._group_at_ms)
        if due_ms is not None and self._clock.now_ms() >= due_ms:
            self._take(ev.Tick())
        if self._voter is not None and self._replicas.is_due(self._state):
            self._replicas.keep(self._voter)
            self._tell_facts()
        self._tell_again()

    def _tell_again(self) -> None:
        """A disk that refuses swallows the step, and with it what the quorum was told once."""
        if self._voter is None:
            return
        known = self._voter.state.local
        if (known.eligible, known.watchdog) != (self._is_eligible, self._watchdog):
            self._tell_local(eligible=self._is_eligible)

    def _tell_copies(self) -> None:
        if self._voter is not None and self._links is not None:
            self._replicas.tell(self._state, self._links)

    def _look_at_copies(self) -> None:
        """A copy has news: those that follow may have caught up, or there is one to be told."""
        self._tell_copies()
        if self._voter is not None:
            self._replicas.keep(self._voter)
            if self._voter.state.local.position != self._replicas.position(self._voter.state):
                self._tell_local(eligible=self._is_eligible)
        self._tell_facts()
        if self._replicas.has_news():
            self._membership.board.change()

    def _tell_facts(self) -> None:
        if self._links is not None:
            invitations = self._replicas.invitations()
            positions = self._replicas.positions()
            self._links.tell(Facts(self._is_eligible, invitations, positions))

    def _look_at_clocks(self) -> None:
        self._clocks_at_ms = self._clock.now_ms()
        voter = self._voter
        lease = None if voter is None else voter.state.holding
        if voter is None or lease is None or not lease.renews:
            return
        timing = self._record.config.timing
        reading = Reading(
            boottime_ms=self._clocks_at_ms,
            realtime_ms=realtime_ms(),
            lease_until_ms=lease.lease_until_ms,
            hold_ms=self._record.config.hold_ms(lease.ttl_ms),
            guard_ms=timing.guard_ms,
            heartbeat_ms=timing.heartbeat_ms,
        )
        match self._clocks.look(reading):
            case Sign.NONE:
                pass
            case Sign.JUMPED:
                self._membership.renew()
            case Sign.STEPPED:
                fields = values(took_ms=self._clocks.jump_ms)
                self._chronicle.note("ClockStepped", "The wall clock was set forward", fields)
            case Sign.SUSPECT:
                ahead_ms = self._clocks.jump_ms
                message = f"the wall clock ran {ahead_ms} ms ahead and no voter shows why"
                voter.take(ClockSuspect(message))

    def _look_at_others(self) -> None:
        """Whether somebody else would take over, and whether anybody holds."""
        voter, links = self._voter, self._links
        if voter is None or links is None:
            return
        now_ms = self._clock.now_ms()
        if voter.somebody_holds:
            self._held_at_ms = now_ms
        self._replicas.warn(voter.state, somebody_holds=voter.somebody_holds)
        since_ms = now_ms - (self._held_at_ms if self._held_at_ms is not None else now_ms)
        others = (self._successor() is not None, since_ms < NOBODY_MS)
        if others != self._others:
            self._others = others
            self._take(ev.OthersChanged(*others))
            self._mailbox.put(self._judge_guard)
        self._prove_own_runs()

    def _prove_own_runs(self) -> None:
        """An earlier run in this boot left nothing that this run has not stopped or adopted."""
        voter = self._voter
        if voter is None or voter.state.holding is None or not groups.is_settled(self._group):
            return
        for suspect in self._record.suspects:
            mine = (suspect.member, suspect.boot) == (voter.state.me, voter.boot)
            if mine and suspect not in voter.state.proofs:
                self._mailbox.put(partial(self._observed, suspect))

    def _observed(self, suspect: Suspect) -> None:
        if self._voter is not None:
            self._voter.take(ProofHeld(suspect, Proof.OBSERVED))

    def _successor(self) -> MemberUid | None:
        assert self._links is not None
        nodes = frozenset(self._record.config.data_nodes())
        if self._data_mode is DataMode.REPLICATED:
            nodes &= self._record.in_sync
        return next((uid for uid in self._links.eligible() if uid in nodes), None)

    # ---------------------------------------------------------------- Duties: the operator

    def declare(self, request: GroupRequest) -> None:
        if request.generation < self._declared.generation:
            raise RefusedError(
                f"declaration {request.generation} is older than {self._declared.generation}, "
                "which this node has accepted",
                remedy="send the newest declaration",
            )
        specs_of(request.resources, self._data_mode)
        if self._voter is not None:
            check_data_mode(request.resources, self._data_mode)
        self._check_allowed(request)
        if request != self._declared:
            self._membership.store.save_declared(request)
            self._declare(request)

    def _check_allowed(self, request: GroupRequest) -> None:
        """Refuse what this host's administrator does not allow; say what he should know."""
        allowed = self._machine.allowed()
        allowed.check(request.resources)
        concern = allowed.concern()
        if concern is None:
            self._chronicle.clear_alert(ALLOWED, OPEN)
        else:
            self._chronicle.raise_alert(ALLOWED, concern)

    def release(self, request: ReleaseRequest) -> Accepted:
        voter = self._voter_of("release")
        if request.request_id == self._release_id:
            return Accepted(accepted=True)
        successor = None if request.successor is None else MemberUid(request.successor)
        if successor is not None and successor in self._record.config.data_nodes():
            self._refuse_unready(voter, successor)
        fields = values(peer=successor or "", reason=request.reason)
        if self._drivers.replicas and voter.state.serves(self._clock.now_ms()):
            self._release_id, self._is_preparing = request.request_id, True
            self._chronicle.note("ReleaseRequested", "A planned switchover is prepared", fields)
            self._mailbox.start(self._prepare(request.request_id, successor), "prepare release")
            return Accepted(accepted=True)
        declined = voter.declined(ReleaseRequested(successor))
        if declined is not None:
            raise RefusedError(declined.problem, remedy=declined.remedy)
        self._release_id = request.request_id
        self._chronicle.note("ReleaseRequested", "A planned switchover begins", fields)
        return Accepted(accepted=True)

    async def _prepare(self, request_id: str, successor: MemberUid | None) -> None:
        """What would make the stop slow is done while everything still runs."""
        await self._drivers.prepare(PREPARE_S)
        self._mailbox.put(partial(self._release, request_id, successor))

    def _release(self, request_id: str, successor: MemberUid | None) -> None:
        """Prepared; the same request asked again is answered by what comes of this."""
        if self._voter is None or request_id != self._release_id:
            return
        self._is_preparing = False
        declined = self._voter.declined(ReleaseRequested(successor))
        if declined is not None:
            self._release_id = ""
            self._chronicle.note("Declined", "Not handed over", values(error=declined.problem))

    def _refuse_unready(self, voter: Voter, successor: MemberUid) -> None:
        """Do not stop a service for a node that would not take it over."""
        assert self._links is not None, "begun"
        if successor == voter.state.me or successor in self._links.eligible():
            return
        member = self._record.config.member(successor)
        name = successor if member is None else member.name
        raise RefusedError(
            f"{name} would not take over: it is not reachable from here, or says that it does not "
            "stand",
            remedy=f"see what is in its way (standfast-agent status on {name})",
        )

    def cancel_release(self, request_id: str) -> Accepted:
        voter = self._voter_of("cancel")
        lease = voter.state.holding
        is_under_way = lease is not None and (lease.releasing or self._is_preparing)
        if lease is None or not is_under_way or request_id != self._release_id:
            return Accepted(accepted=False)
        self._release_id, self._is_preparing = "", False
        if not lease.releasing:
            return Accepted(accepted=True)
        voter.take(ReleaseCancelled())
        if self._group.want is Want.RELEASE:
            self._take(ev.Resumed())
        else:  # everything was stopped already, and the quorum has not heard of it yet
            self._take(ev.Permitted(lease.term, lease.lease_until_ms, self._record.suspects))
        self._chronicle.note("ReleaseCancelled", "The planned switchover is called off")
        return Accepted(accepted=True)

    def stand(self, request: StandRequest) -> Accepted:
        voter = self._voter_of("stand")
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

    def _voter_of(self, what: str) -> Voter:
        if self._voter is None:
            raise RefusedError(
                f"this node has no config yet, so it cannot {what}",
                remedy="send it the first config (PUT /v1/config)",
            )
        return self._voter

    def _take_up_declaration(self) -> None:
        """What an earlier run accepted holds until the operator says otherwise."""
        kept = self._membership.store.declared()
        if kept is not None:
            self._declare(kept)

    def _declare(self, request: GroupRequest) -> None:
        self._declared = request
        hindrance = ""
        if request.maintenance:
            hindrance = "this node is in maintenance"
        elif not request.eligible:
            hindrance = request.ineligible_reason or "the operator does not let this node stand"
        specs = specs_of(request.resources, self._data_mode)
        self._take(ev.Declared(request.generation, specs, hindrance))
        self._drivers.tune(specs)
        self._membership.board.change()

    @property
    def _data_mode(self) -> DataMode:
        return DataMode.NONE if self._voter is None else self._record.config.data

    # ---------------------------------------------------------------- the group

    def _take(self, event: ev.GroupEvent) -> None:
        self._group_at_ms = self._clock.now_ms()
        self._group, effects = groups.step(self._group, event, self._group_at_ms)
        for effect in effects:
            self._perform(effect)
        shown = _shown(self._group)
        if shown != self._shown:
            self._shown = shown
            self._membership.board.change()
        self._say_eligible()

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
        lease = self._state.holding
        if lease is not None and lease.releasing:
            self._mailbox.put(partial(self._tell_stopped, lease.called_off))
        else:
            told = partial(self._tell_stopped, NO_LEASE)
            self._guarding.stopped(self._state.last_term, told)

    def _tell_stopped(self, called_off: int) -> None:
        if self._voter is not None:
            self._voter.take(Stopped(called_off))

    def _hand_over(self) -> None:
        """A resource does not get to run here: release the lease to another node, if one would."""
        voter = self._voter
        if voter is None:
            return
        successor = self._successor()
        if successor is None:
            self._take(ev.HandOverDeclined("no other node would stand"))
            return
        declined = voter.declined(ReleaseRequested(successor))
        if declined is not None:
            self._take(ev.HandOverDeclined(declined.problem))

    def _hindrances(self) -> tuple[str, ...]:
        found = groups.hindrances(self._group, self._clock.now_ms())
        return (*found, *filter(None, (self._guarding.hindrance, self._disk.hindrance)))

    def _over(self, why: str) -> None:
        """Guard or storage saw the end of the lease: it is over, whatever the clocks say."""
        if self._voter is not None and self._state.holding is not None:
            self._voter.take(ClockSuspect(why))

    def _watchdog_changed(self, armed: WatchdogArmed | None) -> None:
        self._watchdog = armed
        self._tell_local(eligible=self._is_eligible)

    def _tell_local(self, *, eligible: bool) -> None:
        if self._voter is not None:
            self._voter.take(LocalChanged(self._local(eligible=eligible)))

    def _local(self, *, eligible: bool) -> Local:
        position = None if self._voter is None else self._replicas.position(self._voter.state)
        return Local(eligible=eligible, position=position, watchdog=self._watchdog)

    def _judge_guard(self) -> None:
        """A node without a guard does not stand, and hands over if another one would take over."""
        self._say_eligible()
        voter, lease = self._voter, None if self._voter is None else self._state.holding
        if voter is None or lease is None or lease.releasing or not self._guarding.hindrance:
            return
        successor = self._successor()
        if successor is not None and voter.declined(ReleaseRequested(successor)) is None:
            fields = values(peer=successor, reason=self._guarding.hindrance)
            self._chronicle.note("HandingOver", "Handing over for want of a guard", fields)

    def _say_eligible(self) -> None:
        """Tell the quorum and the others when this node's readiness changes."""
        voter = self._voter
        if voter is None:
            return
        eligible = not self._hindrances()
        if eligible == self._is_eligible:
            return
        self._is_eligible = eligible
        self._membership.board.change()
        self._mailbox.put(partial(self._tell_local, eligible=eligible))
        self._tell_facts()

    # ---------------------------------------------------------------- Duties: status, end

    def report(self) -> Report:
        now_ms = self._clock.now_ms()
        return Report(
            serving_term=self._group.serving_term,
            hindrances=self._hindrances(),
            resources=tuple(self._status_of(cell, now_ms) for cell in self._group.cells.values()),
            generation=max(0, self._group.generation),
            proofs=self._takeover.proofs,
            takeover=self._takeover.status(),
        )

    def _status_of(self, cell: Cell, now_ms: int) -> ResourceStatus:
        failed = cell.fault is not None and cell.phase is Phase.STOPPED
        copy = self._replicas.status(cell.spec.name)
        state = "Failed" if failed else _STATES[cell.phase]
        if state == "Stopped" and copy is not None and copy.role == "Standby":
            state = "Standby"
        return ResourceStatus(
            name=cell.spec.name,
            type=cell.spec.kind,
            state=state,
            message=cell.fault.message if failed and cell.fault is not None else cell.message,
            reason=cell.fault.reason if cell.fault is not None else "",
            restarts=len(cell.failures),
            since=self._since(cell, now_ms),
            replication=copy,
        )

    def _since(self, cell: Cell, now_ms: int) -> datetime:
        """When its phase began, on the wall clock; stays the same whatever that clock does."""
        known = self._sinces.get(cell.spec.name)
        if known is None or known[0] != cell.since_ms:
            at = datetime.now(UTC) - timedelta(milliseconds=now_ms - cell.since_ms)
            known = self._sinces[cell.spec.name] = (cell.since_ms, at)
        return known[1]

    async def abandon(self) -> None:
        self._deadline.remove()  # nobody adopts what this run leaves behind
        await self._drivers.kill_all()

    async def leave(self) -> None:
        """Stop and forget every resource; returns when nothing is left here."""
        generation = self._declared.generation + 1
        self._declare(GroupRequest(generation=generation, maintenance=True))
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

    @property
    def _state(self) -> QuorumState:
        assert self._voter is not None, "effects come after the beginning"
        return self._voter.state

    @property
    def _record(self) -> Record:
        return self._state.record


def _shown(group: Group) -> tuple[object, ...]:
    """What of a group is news when it changes; that somebody looked is none."""
    cells = (
        (cell.spec, cell.phase, cell.fault, len(cell.failures), cell.message)
        for cell in group.cells.values()
    )
    return (group.serving_term, group.generation, *cells)


_STATES: dict[Phase, State] = {
    Phase.UNKNOWN: "Unknown",
    Phase.STOPPED: "Stopped",
    Phase.FOUND: "Running",
    Phase.STARTING: "Starting",
    Phase.RUNNING: "Running",
    Phase.STOPPING: "Stopping",
    Phase.KILLING: "Stopping",
}


def _nothing() -> None:
    """Nobody waits for it."""


def _ignore(_: object) -> None:
    """Effects were performed; nobody asks for them here."""
