"""Standing for a term: pre-vote, vote, win.

A pre-vote changes nothing at anybody; the candidate raises its own term only after a majority
said yes to it. Winning is permission to propose the first record of the term, nothing more.

Source: `docs/protocol.md`, sections "Standing", "Winning". Safety: S1, S4.
"""

from dataclasses import replace

from standfast.core.events import LeaseWon, Loss, Standing
from standfast.core.holding import beat, in_sync_required, prove_rebooted
from standfast.core.ids import MemberUid, Version
from standfast.core.messages import Ask, Consent, Envelope, Grant, Refusal, Refuse, VoteRequest
from standfast.core.record import (
    DataMode,
    Holder,
    Proof,
    Record,
    Suspect,
    former_holders,
    with_suspect,
)
from standfast.core.standing import give_up, retreat_ms
from standfast.core.state import Candidacy, Holding, State
from standfast.core.tally import Tally, lease_until_ms, tally
from standfast.core.turn import Turn
from standfast.core.voting import (
    first_config_confirmed,
    judge,
    on_fenced,
    on_release,
    promise,
)

_BY_THE_RECORD = frozenset({Refusal.NOT_IN_SYNC, Refusal.BEHIND})
"""What this node holds against itself by its own record, which need not be the newest."""


def may_stand(state: State) -> bool:
    """Whether this node has a reason and the right to stand, apart from the time."""
    holding = state.holding
    if holding is not None and (
        holding.releasing or (holding.renews and state.term_seen <= holding.term)
    ):
        return False
    if state.me not in state.record.config.data_nodes():
        return False
    adopting = holding is not None  # who holds stands to keep it, eligible or not
    return (
        (state.local.eligible or adopting)
        and state.must_stop is None
        and not state.durable.halted
        and state.candidacy is None
        and first_config_confirmed(state)
    )


def stand(turn: Turn) -> None:
    """Ask everybody whether a candidacy would succeed, oneself first."""
    state = turn.state
    holder = state.record.holder
    handover = state.releases.get(holder.member) if holder is not None else None
    ttl_ms = state.record.config.ttl_ms
    if state.holding is not None:
        ttl_ms = max(ttl_ms, state.holding.ttl_ms)
    ask = VoteRequest(
        pre=True,
        request=state.request + 1,
        term=1 + max(state.durable.term, state.term_seen),
        ttl_ms=ttl_ms,
        record=state.record,
        position=state.local.position,
        consent=_consent(turn),
        handover=handover,
    )
    refusal, retry_ms = judge(state, ask, turn.me, state.boot, turn.now_ms)
    if refusal is not None:
        wait_ms = retry_ms if retry_ms > 0 else retreat_ms(state)
        turn.state = replace(state, request=ask.request, stand_at_ms=turn.now_ms + wait_ms)
        if refusal in _BY_THE_RECORD:
            turn.broadcast(ask)  # somebody may have a newer record, which says otherwise
        return
    candidacy = Candidacy(ask, turn.now_ms, frozenset({turn.me}))
    turn.state = replace(state, request=ask.request, candidacy=candidacy, stand_at_ms=None)
    turn.emit(Standing(ask.term, pre=True))
    turn.broadcast(ask)
    _count(turn)


def _consent(turn: Turn) -> Consent | None:
    """A consent that has not expired: looked at with every question."""
    state = turn.state
    return state.consent if turn.now_ms < state.consent_until_ms else None


def ask_again(turn: Turn, member: MemberUid) -> None:
    """Repeat the open question to a member that has just become reachable: it may not have it.

    A restarted agent stands before its links are up, and has no time for a second candidacy.
    """
    candidacy = turn.state.candidacy
    if candidacy is not None and member not in candidacy.yes | candidacy.no:
        turn.send(member, candidacy.ask)


def _count(turn: Turn) -> None:
    candidacy = turn.state.candidacy
    assert candidacy is not None, "only a candidate counts"
    match tally(candidacy.ask.record.config, candidacy.yes, candidacy.no):
        case Tally.PENDING:
            return
        case Tally.LOST:
            give_up(turn, ())
        case Tally.WON if candidacy.ask.pre:
            _ask_for_votes(turn, candidacy)
        case Tally.WON:  # pragma: no branch - the last of a closed enum
            _win(turn, candidacy)


def _ask_for_votes(turn: Turn, candidacy: Candidacy) -> None:
    """Raise the own term and vote for oneself, durably; then ask the others."""
    ask = replace(
        candidacy.ask,
        pre=False,
        request=turn.state.request + 1,
        record=turn.record,
        consent=_consent(turn),
    )
    refusal, retry_ms = judge(turn.state, ask, turn.me, turn.state.boot, turn.now_ms)
    if refusal is not None or ask.term <= turn.durable.term:
        give_up(turn, () if refusal is None else (refusal,), retry_ms=retry_ms or None)
        return
    holding = turn.state.holding
    if holding is not None:
        turn.hold(replace(holding, renews=False))
    promise(turn, turn.me, turn.state.boot, ask.term, ask.ttl_ms)
    asking = Candidacy(ask, turn.now_ms, frozenset({turn.me}))
    turn.state = replace(turn.state, request=ask.request, candidacy=asking)
    turn.emit(Standing(ask.term, pre=False))
    turn.broadcast(ask)
    _count(turn)


def on_grant(turn: Turn, envelope: Envelope, grant: Grant) -> None:
    """Count a yes: of this run, to this request, under this config, for long enough."""
    candidacy = turn.state.candidacy
    if candidacy is None or grant.run != turn.state.run:
        return
    ask = candidacy.ask
    if (grant.request, grant.pre, grant.term) != (ask.request, ask.pre, ask.term):
        return
    if not ask.pre and (grant.config != ask.record.config.id or grant.ttl_ms < ask.ttl_ms):
        return
    counted = replace(candidacy, yes=candidacy.yes | {envelope.sender})
    turn.state = replace(turn.state, candidacy=counted)
    prove_rebooted(turn, envelope)
    _count(turn)


def on_vote_refused(turn: Turn, envelope: Envelope, refuse: Refuse) -> None:
    """Learn what the refusal knows; give up the term first, then store a newer record."""
    if refuse.run != turn.state.run:
        return
    seen = max(turn.state.term_seen, refuse.term)
    turn.state = replace(turn.state, term_seen=seen)
    for fenced in refuse.fenced:
        on_fenced(turn, fenced)
    if refuse.release is not None:
        on_release(turn, refuse.release)
    candidacy = turn.state.candidacy
    pre = refuse.ask is Ask.PRE_VOTE
    newer = refuse.record
    if candidacy is None:
        _learn(turn, newer)
        return
    if (refuse.request, pre) != (candidacy.ask.request, candidacy.ask.pre):
        return
    prove_rebooted(turn, envelope)
    if newer is not None and newer.version > turn.record.version:
        give_up(turn, (refuse.reason,), retry_ms=0)
        take_record(turn, newer)
        return
    if pre and 0 < refuse.retry_after_ms <= turn.config.timing.give_up_ms:
        give_up(turn, (refuse.reason,), retry_ms=refuse.retry_after_ms + 1)
        return
    counted = replace(candidacy, no=candidacy.no | {envelope.sender})
    turn.state = replace(turn.state, candidacy=counted)
    _count(turn)


def _learn(turn: Turn, newer: Record | None) -> None:
    """Take over a newer record while no question is open; it may say that this node may lead."""
    if turn.state.holding is None and newer is not None and newer.version > turn.record.version:
        take_record(turn, newer)
        turn.state = replace(turn.state, stand_at_ms=turn.now_ms)


def take_record(turn: Turn, record: Record) -> None:
    """Store a newer record; one of a higher term from another holder ends a lease at once."""
    holding = turn.state.holding
    if holding is not None and record.version.term > holding.term:
        message = f"term {record.version.term} was won by another, above term {holding.term}"
        turn.lose(Loss.SUPERSEDED, message)
    turn.store_record(record)


def _win(turn: Turn, candidacy: Candidacy) -> None:
    """The majority is complete: propose the first record of the term."""
    ask = candidacy.ask
    state = turn.state
    until_ms = candidacy.asked_at_ms + turn.config.hold_ms(ask.ttl_ms)
    assured = dict.fromkeys(candidacy.yes, until_ms)
    old = state.holding
    kept_until_ms = until_ms if old is None else old.lease_until_ms
    counted_ms = lease_until_ms(turn.config, assured)
    assert counted_ms is not None, "a majority granted"
    lease_ms = max(counted_ms, kept_until_ms) if old is not None else counted_ms
    if turn.now_ms >= lease_ms:
        give_up(turn, ())
        return
    before = turn.record
    record = _first_record(turn, ask, continues=old is not None)
    proposals = (record,) if old is None else (*_uncommitted(old, before), record)
    holding = Holding(
        term=ask.term,
        won_at_ms=turn.now_ms,
        lease_until_ms=lease_ms,
        kept_until_ms=kept_until_ms,
        assured=assured,
        acked={},
        proposals=proposals,
        next_beat_at_ms=turn.now_ms,
        ttl_ms=ask.ttl_ms,
    )
    turn.store_record(record)
    proofs = {s: p for s, p in state.proofs.items() if s in record.suspects}
    turn.state = replace(
        turn.state,
        holding=holding,
        candidacy=None,
        consent=None if ask.consent is not None else state.consent,
        attempts=0,
        stand_at_ms=None,
        last_term=ask.term,
        proofs=proofs,
    )
    turn.emit(LeaseWon(ask.term, lease_ms))
    beat(turn)


def _uncommitted(old: Holding, before: Record) -> tuple[Record, ...]:
    """Records that a write must still satisfy while the lease goes on under a new term."""
    return old.proposals or (before,)


def _first_record(turn: Turn, ask: VoteRequest, *, continues: bool) -> Record:
    state = turn.state
    before = state.record
    suspects: tuple[Suspect, ...] = ()
    for suspect in former_holders(before):
        suspects = with_suspect(suspects, suspect)
    in_sync = before.in_sync
    if before.config.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}:
        in_sync = frozenset({turn.me})
        if continues:
            in_sync |= before.in_sync & in_sync_required(state) if state.holding else in_sync
    return Record(
        version=Version(ask.term, 1),
        config=before.config,
        holder=Holder(turn.me, state.boot),
        in_sync=in_sync,
        position=state.local.position if state.local.position is not None else before.position,
        watchdog=state.local.watchdog,
        suspects=suspects,
        cleared=tuple(entry for entry in before.cleared if entry.proof is Proof.ATTESTED),
        consented=ask.consent is not None or before.consented,
        left_out=before.left_out,
    )
