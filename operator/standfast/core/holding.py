"""A holder's rules: renewing, committing the record, proving suspects stopped, releasing.

The lease is counted from when a request was sent, never from when its answer came, and only by
answers that name the present config. When its end is seen, or could have been, it is lost for
good.

Source: `docs/protocol.md`, sections "Time", "Renewing", "Holding", "Releasing". Safety: S1, S3.
"""

from dataclasses import replace
from typing import TypedDict, Unpack

from standfast.core.events import (
    NO_LEASE,
    ClockSuspect,
    Declined,
    InSyncProposed,
    Loss,
    PositionProposed,
    ProofHeld,
    RecordCommitted,
    Released,
    ReleaseRequested,
    StopForRelease,
    Stopped,
    TtlRequested,
)
from standfast.core.ids import MemberUid
from standfast.core.messages import Ack, Envelope, Refusal, Refuse, Release, Renew
from standfast.core.proof import FULL, known_proof, watchdog_wait_ms
from standfast.core.record import (
    Cleared,
    Config,
    Proof,
    Record,
    Suspect,
    WatchdogArmed,
    former_holders,
    with_cleared,
)
from standfast.core.standing import give_up, successor_problem
from standfast.core.state import Beat, Holding, State, VoterClock
from standfast.core.tally import committed_version, lease_until_ms
from standfast.core.turn import Turn
from standfast.core.voting import is_fenced, on_fenced, on_release, promise


class RecordChanges(TypedDict, total=False):
    """Fields of a record that its holder may propose to change."""

    config: Config
    in_sync: frozenset[MemberUid]
    position: int | None
    watchdog: WatchdogArmed | None
    suspects: tuple[Suspect, ...]
    cleared: tuple[Cleared, ...]


def held(turn: Turn) -> Holding:
    """The lease that a rule of this file works on."""
    holding = turn.state.holding
    assert holding is not None, "only a holder has a lease"
    return holding


def beat(turn: Turn) -> None:
    """Renew: extend the own promise first, then ask everybody else."""
    holding = held(turn)
    number = holding.beat + 1
    hold_ms = turn.config.hold_ms(holding.ttl_ms)
    promise(turn, turn.me, turn.state.boot, holding.term, holding.ttl_ms)
    fresh_after_ms = turn.now_ms - holding.ttl_ms
    beats = {n: b for n, b in holding.beats.items() if b.sent_at_ms > fresh_after_ms}
    beats[number] = Beat(turn.now_ms, hold_ms)
    turn.hold(
        replace(
            holding,
            beat=number,
            beats=beats,
            assured={**holding.assured, turn.me: turn.now_ms + hold_ms},
            acked={**holding.acked, turn.me: turn.record.version},
            next_beat_at_ms=turn.now_ms + turn.config.heartbeat_ms,
        )
    )
    for member in turn.config.everyone():
        if member.uid != turn.me:
            turn.send(member.uid, _renewal(turn, holding, number, member.uid))
    _count(turn)


def _renewal(turn: Turn, holding: Holding, number: int, to: MemberUid) -> Renew:
    version = turn.record.version
    known = holding.acked.get(to) == version
    return Renew(
        term=holding.term,
        beat=number,
        ttl_ms=holding.ttl_ms,
        version=version,
        record=None if known else turn.record,
    )


def on_ack(turn: Turn, envelope: Envelope, ack: Ack) -> None:
    """Count an answer: for this run, this term, a beat still remembered, and this config."""
    holding = turn.state.holding
    if holding is None or ack.run != turn.state.run or ack.term != holding.term:
        return
    answered = holding.beats.get(ack.beat)
    if answered is None or not holding.renews:
        return
    if _clock_stood_still(turn, envelope, ack, answered):
        message = f"{envelope.sender}'s clock moved on further than this node's own"
        turn.lose(Loss.CLOCK, message)
        return
    prove_rebooted(turn, envelope)
    clock = VoterClock(envelope.run, ack.clock_ms, answered.sent_at_ms)
    clocks = {**holding.clocks, envelope.sender: clock}
    acked = {**holding.acked, envelope.sender: ack.version}
    assured = dict(holding.assured)
    if ack.config == turn.config.id:
        until_ms = answered.sent_at_ms + answered.hold_ms
        assured[envelope.sender] = max(until_ms, assured.get(envelope.sender, until_ms))
    turn.hold(replace(holding, clocks=clocks, acked=acked, assured=assured))
    _count(turn)


def _clock_stood_still(turn: Turn, envelope: Envelope, ack: Ack, answered: Beat) -> bool:
    """Whether a voter's clock moved further between two answers than ours around both.

    Ours is measured from before the first was asked to after the second arrived, so that no delay
    on the way can explain the difference.
    """
    before = held(turn).clocks.get(envelope.sender)
    if before is None or before.run != envelope.run or before.sent_at_ms > answered.sent_at_ms:
        return False
    timing = turn.config.timing
    mine_ms = turn.now_ms - before.sent_at_ms
    theirs_ms = ack.clock_ms - before.theirs_ms
    fast_ppm, slow_ppm = 1_000_000 + timing.drift_ppm, 1_000_000 - timing.drift_ppm
    allowed_ms = mine_ms * fast_ppm // slow_ppm + timing.tick_ms
    return theirs_ms > allowed_ms


def _count(turn: Turn) -> None:
    """Take stock of the answers: the lease's new end, and what a majority has committed."""
    holding = held(turn)
    assured_ms = lease_until_ms(turn.config, holding.assured)
    if assured_ms is not None:
        turn.move_lease(max(assured_ms, holding.kept_until_ms, holding.lease_until_ms))
    holding = held(turn)
    mine = {uid: v for uid, v in holding.acked.items() if v.term == holding.term}
    version = committed_version(turn.config, mine)
    if version is None or (holding.committed is not None and version <= holding.committed):
        return
    first = holding.committed is None
    proposals = tuple(r for r in holding.proposals if r.version >= version)
    turn.hold(replace(holding, committed=version, proposals=proposals))
    turn.emit(RecordCommitted(proposals[0], first))
    settle_suspects(turn)


def propose(turn: Turn, **changes: Unpack[RecordChanges]) -> Record:
    """Propose the next record of this term: durable here first, sent at once."""
    version = turn.record.version._replace(seq=turn.record.version.seq + 1)
    record = replace(turn.record, version=version, **changes)
    turn.store_record(record)
    holding = held(turn)
    turn.hold(replace(holding, proposals=(*holding.proposals, record)))
    if holding.renews:
        beat(turn)
    return record


def may_propose(turn: Turn) -> bool:
    """Whether this node serves and renews: an unrenewed lease proposes nothing any more."""
    holding = turn.state.holding
    return holding is not None and holding.committed is not None and holding.renews


def in_sync_required(state: State) -> frozenset[MemberUid]:
    """Nodes that a write must reach before it is acknowledged.

    Those of the committed record and of every record proposed since: a proposal that may have
    left is withdrawn only by a later committed one.
    """
    if state.holding is None:
        return frozenset()
    return frozenset().union(*(record.in_sync for record in state.holding.proposals))


def on_proposal(turn: Turn, event: InSyncProposed | PositionProposed) -> None:
    """A driver wants the record changed."""
    if not may_propose(turn):
        turn.emit(Declined("this node does not serve, so it proposes no record", ""))
        return
    match event:
        case InSyncProposed(in_sync):
            nodes = frozenset(turn.config.data_nodes())
            wanted = (in_sync & nodes) | {turn.me}
            if wanted != turn.record.in_sync:
                propose(turn, in_sync=wanted)
        case PositionProposed(position):  # pragma: no branch - the last of a closed union
            if position != turn.record.position:
                propose(turn, position=position)


def keep_watchdog(turn: Turn) -> None:
    """The record says of the holder's watchdog what its guard says, as soon as it may.

    Others rest on it after this node has fallen silent. What could not be proposed when it changed
    (before the first commit, while the lease is unrenewed) is not forgotten.
    """
    if may_propose(turn) and turn.record.watchdog != turn.state.local.watchdog:
        propose(turn, watchdog=turn.state.local.watchdog)


def on_proof(turn: Turn, event: ProofHeld) -> None:
    """Somebody outside shows that a suspect cannot write any more, or not to one disk."""
    if event.suspect not in turn.record.suspects:
        return
    if event.proof is not Proof.RESERVED:
        if event.approver:
            vouched = {**turn.state.vouched, event.suspect: event.approver}
            turn.state = replace(turn.state, vouched=vouched)
        turn.prove(event.suspect, event.proof)
        settle_suspects(turn)
    elif not event.disk or turn.state.holding is None:
        problem = "a reservation is good for one named disk, and for whoever holds the lease"
        turn.emit(Declined(problem, "name the disk, reserve it after the lease is won"))
    else:
        turn.reserve(event.suspect, event.disk)


def settle_suspects(turn: Turn) -> None:
    """Look for proofs that this member can see, and take the proven off the record."""
    for suspect in turn.record.suspects:
        proof = known_proof(turn.state, suspect)
        if proof is not None:
            turn.prove(suspect, proof)
    if not may_propose(turn):
        return
    proven = tuple(
        Cleared(suspect, turn.state.proofs[suspect], turn.state.vouched.get(suspect, ""))
        for suspect in turn.record.suspects
        if turn.state.proofs.get(suspect) in FULL
    )
    if proven:
        gone = {cleared.suspect for cleared in proven}
        left = tuple(s for s in turn.record.suspects if s not in gone)
        propose(turn, suspects=left, cleared=with_cleared(turn.record.cleared, proven))


def look_at_watchdogs(turn: Turn) -> None:
    """Suspects whose armed watchdog has reset them by now."""
    for suspect, at_ms in watchdogs_due(turn.state).items():
        if turn.now_ms >= at_ms:
            turn.prove(suspect, Proof.WATCHDOG)


def watchdogs_due(state: State) -> dict[Suspect, int]:
    """When each watchdog that is still waited for has done its work; only a holder waits."""
    holding = state.holding
    if holding is None:
        return {}
    drift_ppm = state.record.config.timing.drift_ppm
    waits = {s: watchdog_wait_ms(s, drift_ppm) for s in state.record.suspects}
    return {
        suspect: holding.won_at_ms + wait_ms
        for suspect, wait_ms in waits.items()
        if wait_ms is not None and suspect not in state.proofs
    }


def on_renewal_refused(turn: Turn, envelope: Envelope, refuse: Refuse) -> None:
    """A voter does not renew: learn why; a valid lease is not ended by a higher term."""
    holding = turn.state.holding
    if holding is None or refuse.run != turn.state.run or refuse.asked_term != holding.term:
        return
    for fenced in refuse.fenced:
        on_fenced(turn, fenced)
    if is_fenced(turn.durable, turn.me, turn.state.boot) or turn.state.holding is None:
        return
    if refuse.reason is Refusal.RECORD_UNKNOWN:
        acked = {uid: v for uid, v in holding.acked.items() if uid != envelope.sender}
        turn.hold(replace(held(turn), acked=acked))
    elif refuse.term > holding.term:
        seen = max(turn.state.term_seen, refuse.term)
        stand_at_ms = turn.state.stand_at_ms
        if stand_at_ms is None:
            stand_at_ms = turn.now_ms
        turn.state = replace(turn.state, term_seen=seen, stand_at_ms=stand_at_ms)


def on_release_requested(turn: Turn, event: ReleaseRequested) -> None:
    """Begin a planned hand-over, or say why not."""
    holding = turn.state.holding
    if not may_propose(turn) or holding is None:
        turn.emit(Declined("this node does not serve", "ask the active node to release"))
        return
    if event.successor is not None:
        problem = successor_problem(turn.state, event.successor)
        if problem is not None:
            turn.emit(Declined(problem, "name a standby that is in sync"))
            return
    if turn.state.candidacy is not None:
        give_up(turn, ())  # or it would win a lease that knows nothing of the release
    turn.hold(replace(holding, releasing=True, successor=event.successor))
    turn.emit(StopForRelease(holding.term, event.successor))


def on_release_cancelled(turn: Turn) -> None:
    holding = turn.state.holding
    if holding is not None and holding.releasing:
        called_off = holding.called_off + 1
        turn.hold(replace(holding, releasing=False, successor=None, called_off=called_off))


def on_stopped(turn: Turn, event: Stopped) -> None:
    """Everything is verified stopped: give up what was held, and only then say so."""
    holding = turn.state.holding
    if holding is not None:
        if holding.releasing and event.called_off in {None, holding.called_off}:
            _release(turn, holding.term, holding.successor)
        return
    term = turn.state.must_stop
    if term is None or event.called_off not in {None, NO_LEASE}:
        return  # verified under a lease that ended since: its emergency stop has a word of its own
    if term > 0:
        _release(turn, term, None)
    heartbeat_ms = turn.config.timing.heartbeat_ms
    turn.state = replace(turn.state, must_stop=None)
    if turn.state.stand_at_ms is None and turn.is_data_node:
        turn.state = replace(turn.state, stand_at_ms=turn.now_ms + heartbeat_ms)


def _release(turn: Turn, term: int, successor: MemberUid | None) -> None:
    """Drop the lease and every answer counted, then let the others know."""
    turn.emit(Released(term))
    turn.state = replace(
        turn.state,
        holding=None,
        candidacy=None,
        reserved={},
        must_stop=None,
        last_term=max(term, turn.state.last_term),
    )
    release = Release(turn.me, turn.state.boot, term, stopped=True, successor=successor)
    on_release(turn, release)
    turn.broadcast(release)


def on_clock_suspect(turn: Turn, event: ClockSuspect) -> None:
    turn.lose(Loss.CLOCK, event.message)


def on_ttl_requested(turn: Turn, event: TtlRequested) -> None:
    """Ask for longer promises for a while, within what the config allows."""
    holding = turn.state.holding
    if holding is None or not holding.renews:
        turn.emit(Declined("this node does not hold the lease", ""))
        return
    ttl_ms = min(max(event.ttl_ms, turn.config.ttl_ms), turn.config.ttl_max_ms)
    turn.hold(replace(holding, ttl_ms=ttl_ms))
    beat(turn)


def prove_rebooted(turn: Turn, envelope: Envelope) -> None:
    """A fresh answer from another, clean boot than a suspect's proves that boot over.

    Fresh means: to a question of this run that was asked when the suspect was on record already.
    The order of two boots that were never seen one after the other cannot be told otherwise.
    Clean means: what began with the new boot is verified stopped, for it may write as well.
    """
    if not envelope.clean:
        return
    for suspect in former_holders(turn.record):
        if suspect.member == envelope.sender and suspect.boot != envelope.boot:
            turn.prove(suspect, Proof.REBOOTED)
