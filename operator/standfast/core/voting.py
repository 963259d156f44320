"""A voter's rules: whom to elect, whose renewals to accept, what frees a promise.

`judge` answers a pre-vote, a vote and the candidate's own vote for itself with the same text. A
refusal changes nothing at the voter, above all not its term.

Source: `docs/protocol.md`, sections "Voting", "Renewing", "Releasing". Safety: S1, S3, S4.
"""

from dataclasses import replace

from standfast.core.events import Loss
from standfast.core.ids import FIRST, BootId, MemberUid
from standfast.core.messages import (
    Ack,
    Ask,
    Envelope,
    Fenced,
    Grant,
    Refusal,
    Refuse,
    Release,
    Renew,
    VoteRequest,
)
from standfast.core.proof import known_proof
from standfast.core.record import DataMode, Proof, Record, Suspect
from standfast.core.standing import give_up, rank_delay_ms
from standfast.core.state import Durable, Heard, Promise, State, Window
from standfast.core.turn import Turn

YES = None
"""What `judge` answers when every rule holds."""


def is_fenced(durable: Durable, member: MemberUid, boot: BootId) -> bool:
    return any((f.member, f.boot) == (member, boot) for f in durable.fenced)


def promise_in_force(state: State, now_ms: int) -> Promise | None:
    """The promise that still binds: not run out, its holder neither fenced nor released."""
    promise = state.promise
    if promise is None or promise.until_ms <= now_ms:
        return None
    if is_fenced(state.durable, promise.holder, promise.boot):
        return None
    return promise


def judge(
    state: State, ask: VoteRequest, candidate: MemberUid, boot: BootId, now_ms: int
) -> tuple[Refusal | None, int]:
    """Rules 1 to 5 of voting.

    Returns:
        `YES`, or the first rule in the way, with how long it stays so where that is known (0
        otherwise).
    """
    durable = state.durable
    released = state.releases.get(candidate)
    if ask.term < durable.term:
        return Refusal.OLD_TERM, 0
    if ask.term == durable.term and durable.voted_for != candidate:
        return Refusal.VOTED_OTHERWISE, 0
    if released is not None and released.term >= ask.term:
        return Refusal.RELEASED_TERM, 0
    promise = promise_in_force(state, now_ms)
    if promise is not None and (promise.holder, promise.boot) != (candidate, boot):
        return Refusal.PROMISED, promise.until_ms - now_ms
    window = state.window
    if window is not None and now_ms < window.until_ms and window.successor != candidate:
        return Refusal.HANDOVER, window.until_ms - now_ms
    if now_ms < state.boot_hold_until_ms and durable.voted_for != candidate:
        return Refusal.BOOT_HOLD, state.boot_hold_until_ms - now_ms
    if ask.record.version < durable.record.version:
        return Refusal.OLD_RECORD, 0
    if candidate not in ask.record.config.data_nodes():
        return Refusal.NOT_A_DATA_NODE, 0
    if is_fenced(durable, candidate, boot):
        return Refusal.FENCED, 0
    if not ask.record.config.ttl_ms <= ask.ttl_ms <= ask.record.config.ttl_max_ms:
        return Refusal.TTL_OUT_OF_RANGE, 0
    if _consented(ask, candidate, boot):
        return YES, 0
    return may_lead(ask.record, candidate, ask.position), 0


def superseded(turn: Turn, record: Record) -> None:
    """A record of a higher term that another member wrote ends a lease at once, however learnt.

    Its writer won that term, so this lease was over before, whatever this node's clock says.
    """
    held, by = turn.state.holding, record.holder
    if held is None or record.version.term <= held.term or by is None or by.member == turn.me:
        return
    message = f"{by.member} won term {record.version.term}, above this node's term {held.term}"
    turn.lose(Loss.SUPERSEDED, message)


def may_lead(record: Record, candidate: MemberUid, position: int | None) -> Refusal | None:
    """Whether the data allow it, by the candidate's own record."""
    match record.config.data:
        case DataMode.NONE | DataMode.SHARED_DISK:
            return YES
        case DataMode.REPLICATED:
            return YES if candidate in record.in_sync else Refusal.NOT_IN_SYNC
        case DataMode.REPLICATED_ASYNC:  # pragma: no branch - the last of a closed enum
            if candidate in record.in_sync:
                return YES
            if record.position is None or position is None:
                return Refusal.BEHIND
            behind = record.position - position
            return YES if behind <= record.config.loss_max else Refusal.BEHIND


def _consented(ask: VoteRequest, candidate: MemberUid, boot: BootId) -> bool:
    consent = ask.consent
    return (
        consent is not None
        and (consent.candidate, consent.boot) == (candidate, boot)
        and ask.term >= consent.term_min
        and consent.record == ask.record.version
    )


def on_vote_request(turn: Turn, envelope: Envelope, ask: VoteRequest) -> None:
    """Answer a pre-vote or a vote."""
    candidate, boot = envelope.sender, envelope.boot
    if ask.handover is not None:
        on_release(turn, ask.handover)
    superseded(turn, ask.record)
    refusal, retry_after_ms = judge(turn.state, ask, candidate, boot, turn.now_ms)
    if refusal is not YES:
        _refuse_vote(turn, envelope, ask, refusal, retry_after_ms)
        return
    if not ask.pre:
        _end_candidacy(turn)
        if ask.record.version > turn.record.version:
            turn.store_record(ask.record)
        promise(turn, candidate, boot, ask.term, ask.ttl_ms)
    grant = Grant(
        pre=ask.pre,
        request=ask.request,
        run=envelope.run,
        term=ask.term,
        config=turn.config.id,
        ttl_ms=ask.ttl_ms,
    )
    turn.send(candidate, grant)


def _refuse_vote(
    turn: Turn, envelope: Envelope, ask: VoteRequest, reason: Refusal, retry_after_ms: int
) -> None:
    mine = turn.record
    refuse = Refuse(
        ask=Ask.PRE_VOTE if ask.pre else Ask.VOTE,
        request=ask.request,
        run=envelope.run,
        asked_term=ask.term,
        term=turn.durable.term,
        reason=reason,
        record=mine if mine.version > ask.record.version else None,
        release=_release_to_tell(turn.state, envelope.sender),
        fenced=turn.durable.fenced,
        retry_after_ms=retry_after_ms,
    )
    turn.send(envelope.sender, refuse)


def _release_to_tell(state: State, asker: MemberUid) -> Release | None:
    holder = state.record.holder
    if holder is not None and holder.member in state.releases:
        return state.releases[holder.member]
    return state.releases.get(asker)


def promise(turn: Turn, holder: MemberUid, boot: BootId, term: int, ttl_ms: int) -> None:
    """Promise, durably where it must be: who in which term, and a longer ttl than usual."""
    durable = turn.durable
    beyond = ttl_ms if ttl_ms > turn.config.ttl_ms else 0
    if durable.voted_for == holder:
        beyond = max(beyond, durable.promised_ttl_ms)
    if (durable.term, durable.voted_for, durable.promised_ttl_ms) != (term, holder, beyond):
        turn.save(term=term, voted_for=holder, promised_ttl_ms=beyond)
    until_ms = turn.now_ms + ttl_ms
    old = turn.state.promise
    if old is not None and (old.holder, old.boot) == (holder, boot):
        until_ms = max(until_ms, old.until_ms)
    turn.state = replace(turn.state, promise=Promise(holder, boot, term, until_ms))
    if holder != turn.me:
        stand_at_ms = until_ms + rank_delay_ms(turn.state)
        turn.state = replace(turn.state, stand_at_ms=stand_at_ms, attempts=0)


def _end_candidacy(turn: Turn) -> None:
    if turn.state.candidacy is not None:
        give_up(turn, ())


def on_renew(turn: Turn, envelope: Envelope, renew: Renew) -> None:
    """Accept a holder's renewal: it won a majority, so rules 2 and 3 of voting do not apply."""
    holder, boot = envelope.sender, envelope.boot
    heard = turn.state.heard
    if (
        heard is not None
        and (heard.run, heard.term) == (envelope.run, renew.term)
        and renew.beat <= heard.beat
    ):
        return  # a late copy; the newer one was answered
    reason = _renewal_refusal(turn, envelope, renew)
    if reason is not None:
        _refuse_renewal(turn, envelope, renew, reason)
        return
    held = turn.state.holding
    if held is not None and held.term < renew.term:
        message = f"{holder} won term {renew.term}, above this node's term {held.term}"
        turn.lose(Loss.SUPERSEDED, message)
    _end_candidacy(turn)
    if renew.record is not None and renew.record.version > turn.record.version:
        turn.store_record(renew.record)
    promise(turn, holder, boot, renew.term, renew.ttl_ms)
    turn.state = replace(turn.state, heard=Heard(envelope.run, renew.term, renew.beat))
    ack = Ack(
        beat=renew.beat,
        run=envelope.run,
        term=renew.term,
        version=turn.record.version,
        config=turn.config.id,
        ttl_ms=renew.ttl_ms,
        clock_ms=turn.now_ms,
    )
    turn.send(holder, ack)
    _tell_proofs(turn, holder)


def _tell_proofs(turn: Turn, holder: MemberUid) -> None:
    """Tell a holder what is known here against its suspects, until its record is rid of them.

    A release or a power-off may have reached this member only; and a former holder that was cut
    off when it had stopped is heard now. Without this a lost message would leave a suspect for
    ever.
    """
    for suspect in turn.record.suspects:
        if _stopped_here(turn.state, suspect):
            turn.send(holder, Release(turn.me, suspect.boot, suspect.term, stopped=True))
            continue
        match known_proof(turn.state, suspect):
            case Proof.RELEASED:
                told = Release(suspect.member, suspect.boot, suspect.term, stopped=True)
                turn.send(holder, told)
            case Proof.POWERED_OFF:
                turn.send(holder, Fenced(suspect.member, suspect.boot, f"told by {turn.me}"))
            case _:
                pass


def _stopped_here(state: State, suspect: Suspect) -> bool:
    """Whether this very boot is suspected, holds nothing and has verified that all is stopped."""
    return (
        (suspect.member, suspect.boot) == (state.me, state.boot)
        and state.holding is None
        and state.must_stop is None
    )


def _renewal_refusal(turn: Turn, envelope: Envelope, renew: Renew) -> Refusal | None:
    state = turn.state
    if renew.term < turn.durable.term:
        return Refusal.OLD_TERM
    if is_fenced(turn.durable, envelope.sender, envelope.boot):
        return Refusal.FENCED
    released = state.releases.get(envelope.sender)
    if released is not None and released.term >= renew.term:
        return Refusal.RELEASED_TERM
    if renew.record is None and renew.version > turn.record.version:
        return Refusal.RECORD_UNKNOWN
    newer = renew.record is not None and renew.record.version > turn.record.version
    config = renew.record.config if renew.record is not None and newer else turn.config
    if not config.ttl_ms <= renew.ttl_ms <= config.ttl_max_ms:
        return Refusal.TTL_OUT_OF_RANGE
    return YES


def _refuse_renewal(turn: Turn, envelope: Envelope, renew: Renew, reason: Refusal) -> None:
    refuse = Refuse(
        ask=Ask.RENEW,
        request=renew.beat,
        run=envelope.run,
        asked_term=renew.term,
        term=turn.durable.term,
        reason=reason,
        release=turn.state.releases.get(envelope.sender),
        fenced=turn.durable.fenced,
    )
    turn.send(envelope.sender, refuse)


def on_release(turn: Turn, release: Release) -> None:
    """Learn of a release: it frees a promise to that member and boot, of that term or older."""
    state = turn.state
    known = state.releases.get(release.member)
    newer = known is None or (release.term, release.stopped) > (known.term, known.stopped)
    if newer:
        state = replace(state, releases={**state.releases, release.member: release})
    last = state.stopped.get(release.member)
    if release.stopped and (last is None or release.term > last.term):
        state = replace(state, stopped={**state.stopped, release.member: release})
    promised = state.promise
    freed = (
        promised is not None
        and (promised.holder, promised.boot) == (release.member, release.boot)
        and promised.term <= release.term
    )
    if freed:
        state = replace(state, promise=None, stand_at_ms=turn.now_ms + rank_delay_ms(state))
        if release.stopped and release.successor is not None:
            window = Window(release.successor, release, turn.now_ms + turn.config.ttl_ms)
            mine = release.successor == turn.me
            stand_at_ms = turn.now_ms if mine else window.until_ms + rank_delay_ms(state)
            state = replace(state, window=window, stand_at_ms=stand_at_ms)
    turn.state = state
    if release.stopped:
        for suspect in turn.record.suspects:
            same = (suspect.member, suspect.boot) == (release.member, release.boot)
            if same and suspect.term <= release.term:
                turn.prove(suspect, Proof.RELEASED)


def on_fenced(turn: Turn, fenced: Fenced) -> bool:
    """Learn that a boot is powered off: durable, frees what was promised to it.

    Returns:
        Whether it was news.
    """
    is_known = is_fenced(turn.durable, fenced.member, fenced.boot)
    if is_known or turn.config.member(fenced.member) is None:
        return False
    turn.save(fenced=(*turn.durable.fenced, fenced))
    state = replace(turn.state, fenced_at=turn.durable.generation + 1)
    promised = state.promise
    if promised is not None and (promised.holder, promised.boot) == (fenced.member, fenced.boot):
        state = replace(state, promise=None, stand_at_ms=turn.now_ms + rank_delay_ms(state))
    if state.window is not None and state.window.successor == fenced.member:
        state = replace(state, window=None)
    turn.state = state
    if (fenced.member, fenced.boot) == (turn.me, state.boot):
        turn.lose(Loss.FENCED, f"this boot is attested powered off: {fenced.evidence}")
    for suspect in turn.record.suspects:
        if (suspect.member, suspect.boot) == (fenced.member, fenced.boot):
            turn.prove(suspect, Proof.POWERED_OFF)
    return True


def first_config_confirmed(state: State) -> bool:
    """Nobody stands before every member of a first config has confirmed it."""
    if state.record.version > FIRST:
        return True
    everyone = {member.uid for member in state.record.config.everyone()}
    return everyone <= state.confirmed | {state.me}
