"""The quorum member: one function from state and event to state and effects.

Agent, witness, operator tests and simulator all drive this. Its caller keeps three duties: call
with a clock that never goes back; perform effects in order, `Persist` before anything after it;
deliver `Tick` at `wake_at_ms` at the latest, and while holding at least every `config.tick_ms`.

Source: `docs/protocol.md`. Safety: `core.invariants`, asserted after every step.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from standfast.core import asking, changing, holding, identity, recovering, voting
from standfast.core.events import (
    ChangeRequested,
    ClockSuspect,
    Connected,
    ConsentGiven,
    Effect,
    EmergencyStop,
    Event,
    FencedReported,
    Halted,
    InSyncProposed,
    LocalChanged,
    Loss,
    Persist,
    PositionProposed,
    ProofHeld,
    Received,
    Recovered,
    ReleaseCancelled,
    ReleaseRequested,
    StandRequested,
    Stopped,
    Tick,
    TtlRequested,
)
from standfast.core.ids import FIRST, BootId, MemberUid, RunId
from standfast.core.messages import (
    Ack,
    Ask,
    Envelope,
    Fenced,
    Grant,
    Hello,
    Refuse,
    Release,
    Renew,
    VoteRequest,
)
from standfast.core.record import Config, MemberKind, Record, first_record
from standfast.core.standing import give_up, rank_delay_ms
from standfast.core.state import RUNS_KEPT, Durable, Holding, Run, State
from standfast.core.turn import Turn


@dataclass(frozen=True, slots=True)
class Adopted:
    """A lease that an earlier run in this boot held, from the deadline file."""

    term: int
    until_ms: int


def durable_for(config: Config, me: MemberUid, record: Record | None = None) -> Durable:
    """The disk of a member that has just accepted its first config.

    Args:
        config: The cluster's first config, or the present one for a member that joins later.
        me: This member.
        record: The cluster's present record, for a member that joins later.
    """
    known = record or first_record(config)
    return Durable(cluster=config.cluster, me=me, record=known, term=known.version.term)


def start(
    durable: Durable,
    boot: BootId,
    run: RunId,
    now_ms: int,
    adopted: Adopted | None = None,
    *,
    machine: str = "",
) -> tuple[State, tuple[Effect, ...]]:
    """Begin a run.

    A disk that wakes in another machine than it was written by, by the hypervisor's generation id
    or the machine's own, is a copy or was reverted: its member takes no part any more.

    A data node that adopts nothing stops everything first and asks questions later: an
    `EmergencyStop` comes first among the effects, and nothing is stood for before `Stopped`.
    """
    generation = durable.generation + 1
    runs = (*durable.runs, Run(run, generation))[-RUNS_KEPT:]
    halted = durable.halted or _copied(durable.machine, machine)
    written = replace(
        durable,
        generation=generation,
        runs=runs,
        halted=halted,
        machine=durable.machine or machine,
    )
    record = written.record
    has_promised = written.voted_for is not None or written.promised_ttl_ms > 0
    may_have_promised_ms = max(record.config.ttl_ms, written.promised_ttl_ms)
    hold_ms = may_have_promised_ms if has_promised else 0
    state = State(
        written, boot, run, boot_hold_until_ms=now_ms + hold_ms, fenced_at=written.generation
    )
    effects: list[Effect] = [Persist(written)]
    me = record.config.member(written.me)
    if written.halted:
        effects.append(Halted(written.halted))
    if me is None or me.kind is not MemberKind.DATA:
        return state, tuple(effects)
    mine = record.holder is not None and (record.holder.member, record.holder.boot) == (
        written.me,
        boot,
    )
    if voting.is_fenced(written, written.me, boot):
        adopted = None
    if adopted is not None and mine and now_ms < adopted.until_ms and not written.halted:
        lease = Holding(
            term=max(adopted.term, record.version.term),
            won_at_ms=now_ms,
            lease_until_ms=adopted.until_ms,
            kept_until_ms=adopted.until_ms,
            assured={},
            acked={},
            proposals=(record,),
            next_beat_at_ms=now_ms,
            ttl_ms=record.config.ttl_ms,
            renews=False,
        )
        state = replace(state, holding=lease, last_term=lease.term, stand_at_ms=now_ms)
        return state, tuple(effects)
    term = record.version.term if mine else 0
    first_at_ms = now_ms + rank_delay_ms(state)
    if written.voted_for != written.me:
        first_at_ms = max(first_at_ms, state.boot_hold_until_ms + rank_delay_ms(state))
    state = replace(state, must_stop=term, last_term=term, stand_at_ms=first_at_ms)
    message = "the agent started without a lease to adopt"
    return state, (EmergencyStop(term, Loss.RESTARTED, message), *effects)


def _copied(written_by: str, machine: str) -> str:
    """Why a disk that was written by one machine may not take part in another, or ""."""
    if not written_by or not machine or written_by == machine:
        return ""
    return (
        f"this member's disk was written by machine {written_by} and wakes in {machine}: it is a "
        "copy, or was reverted to an earlier state"
    )


def step(state: State, event: Event, now_ms: int) -> tuple[State, tuple[Effect, ...]]:
    """What `event` does to a member at `now_ms` on its own clock."""
    turn = Turn(state, now_ms)
    if state.durable.halted:
        if isinstance(event, Stopped):
            turn.state = replace(state, must_stop=None)
        return turn.finish()
    _look_at_the_clock(turn)
    _take(turn, event)
    _look_who_joined(turn, state)
    # A stop is told once, and a step whose write the disk refuses counts as lost: so what would be
    # written next, a candidacy, waits for a step of its own.
    if not isinstance(event, Stopped):
        _look_at_the_time(turn)
    return turn.finish()


def _look_at_the_clock(turn: Turn) -> None:
    """A lease that ended before this event is lost, whatever the event says."""
    lease = turn.state.holding
    if lease is not None and turn.now_ms >= lease.lease_until_ms:
        late_ms = turn.now_ms - lease.lease_until_ms
        turn.lose(Loss.EXPIRED, f"the lease of term {lease.term} ended {late_ms} ms ago")


def _look_who_joined(turn: Turn, before: State) -> None:
    """A data node that a config names at last begins as one that starts: what runs, stops."""
    me = turn.config.member(turn.me)
    was_named = before.record.config.member(before.me) is not None
    if me is None or me.kind is not MemberKind.DATA or was_named:
        return
    turn.stop_first("this node has just become a member, and nothing may run that never asked")


def _take(turn: Turn, event: Event) -> None:
    match event:
        case Tick():
            pass
        case Received(envelope):
            if identity.admit(turn, envelope):
                _receive(turn, envelope)
        case Connected(member):
            turn.send(member, _hello(turn, named=turn.config.member(member) is not None))
            asking.ask_again(turn, member)
        case LocalChanged():
            _local_changed(turn, event)
        case FencedReported(fenced):
            if voting.on_fenced(turn, fenced):
                turn.broadcast(fenced)
                holding.settle_suspects(turn)
        case ReleaseRequested():
            holding.on_release_requested(turn, event)
        case ReleaseCancelled():
            holding.on_release_cancelled(turn)
        case StandRequested():
            turn.state = replace(turn.state, stand_at_ms=turn.now_ms)
        case Stopped():
            holding.on_stopped(turn, event)
        case ClockSuspect():
            holding.on_clock_suspect(turn, event)
        case ProofHeld():
            holding.on_proof(turn, event)
        case ConsentGiven(consent, until_ms):
            turn.state = replace(turn.state, consent=consent, consent_until_ms=until_ms)
        case InSyncProposed() | PositionProposed():
            holding.on_proposal(turn, event)
        case ChangeRequested():
            changing.on_change_requested(turn, event)
        case TtlRequested():
            holding.on_ttl_requested(turn, event)
        case Recovered():
            recovering.on_recovered(turn, event)
        case _:
            assert_never(event)


def _receive(turn: Turn, envelope: Envelope) -> None:
    body = envelope.body
    match body:
        case VoteRequest():
            voting.on_vote_request(turn, envelope, body)
        case Grant():
            asking.on_grant(turn, envelope, body)
        case Refuse(ask=Ask.RENEW):
            holding.on_renewal_refused(turn, envelope, body)
        case Refuse():
            asking.on_vote_refused(turn, envelope, body)
        case Renew():
            voting.on_renew(turn, envelope, body)
        case Ack():
            holding.on_ack(turn, envelope, body)
        case Release():
            voting.on_release(turn, body)
        case Fenced():
            voting.on_fenced(turn, body)
        case Hello():
            _on_hello(turn, envelope, body)
        case _:
            assert_never(body)
    if turn.state.holding is not None:
        holding.settle_suspects(turn)


def _look_at_the_time(turn: Turn) -> None:
    """Do what is due: finish a change, beat, give up, stand, say hello."""
    changing.finish_change(turn)
    holding.keep_watchdog(turn)
    holding.look_at_watchdogs(turn)
    lease = turn.state.holding
    if lease is not None and lease.renews and turn.now_ms >= lease.next_beat_at_ms:
        holding.beat(turn)
    candidacy = turn.state.candidacy
    if candidacy is not None:
        give_up_at_ms = candidacy.asked_at_ms + turn.config.timing.give_up_ms
        if turn.now_ms >= give_up_at_ms:
            give_up(turn, ())
    if _due(turn.state, turn.now_ms):
        asking.stand(turn)
    if not _confirmed(turn.state) and turn.now_ms >= turn.state.hello_at_ms:
        hello_at_ms = turn.now_ms + turn.config.timing.heartbeat_ms
        turn.state = replace(turn.state, hello_at_ms=hello_at_ms)
        turn.broadcast(_hello(turn))


def _due(state: State, now_ms: int) -> bool:
    at_ms = state.stand_at_ms
    return at_ms is not None and now_ms >= at_ms and asking.may_stand(state)


def _confirmed(state: State) -> bool:
    return voting.first_config_confirmed(state)


def _hello(turn: Turn, *, named: bool = True) -> Hello:
    asks = not _confirmed(turn.state)
    return Hello(turn.record.version, turn.config.id, turn.config.digest, asks, named)


def _on_hello(turn: Turn, envelope: Envelope, hello: Hello) -> None:
    """Confirm the first config: the very same one, or any that came after it."""
    if hello.asks and _confirmed(turn.state):
        turn.send(envelope.sender, _hello(turn))  # this member does not ask any more, so answer
    same = hello.config == FIRST and hello.config_digest == turn.config.digest
    if same or hello.version > FIRST:
        confirmed = turn.state.confirmed | {envelope.sender}
        turn.state = replace(turn.state, confirmed=confirmed)


def _local_changed(turn: Turn, event: LocalChanged) -> None:
    state = turn.state
    newly = event.local.eligible and not state.local.eligible
    state = replace(state, local=event.local)
    if newly and state.stand_at_ms is None and state.holding is None:
        state = replace(state, stand_at_ms=turn.now_ms + rank_delay_ms(state))
    turn.state = state
    if state.candidacy is not None and state.holding is None and not event.local.eligible:
        give_up(turn, ())  # it may not stand any more, so it must not win either


def wake_at_ms(state: State) -> int | None:
    """When the next `Tick` is due; none while only a message can change anything."""
    if state.durable.halted:
        return None
    due: list[int] = []
    lease = state.holding
    if lease is not None:
        due.append(lease.lease_until_ms)
        due.extend(holding.watchdogs_due(state).values())
        if lease.renews:
            due.append(lease.next_beat_at_ms)
    if state.candidacy is not None:
        due.append(state.candidacy.asked_at_ms + state.record.config.timing.give_up_ms)
    if state.stand_at_ms is not None and asking.may_stand(state):
        due.append(state.stand_at_ms)
    if not _confirmed(state):
        due.append(state.hello_at_ms)
    return min(due, default=None)
