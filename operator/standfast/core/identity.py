"""Members that are not who they were: reverted to a snapshot, cloned, of an older incarnation.

The member itself compares what its peers have seen of it with its own disk, and stops. A peer
never judges by a late message: it merely drops it.

Source: `docs/protocol.md`, section "State of a member". Safety: S4.
"""

from dataclasses import replace

from standfast.core.ids import BootId, MemberUid
from standfast.core.messages import Envelope, Hello, Renew, VoteRequest
from standfast.core.record import Proof, Record, former_holders
from standfast.core.state import Peer
from standfast.core.turn import Turn


def admit(turn: Turn, envelope: Envelope) -> bool:
    """Whether a message may be looked at; notes what it shows of its sender.

    A message shows the receiver how far its peer has seen it: a counter above its own, or a run
    that is none of this disk's, means that this disk went back in time or is a copy.
    """
    durable = turn.durable
    if envelope.cluster != durable.cluster or envelope.to != durable.me:
        return False
    mine = turn.config.incarnation
    if envelope.incarnation > mine and _leaves_out(envelope):
        turn.halt(
            f"{envelope.sender} is of incarnation {envelope.incarnation} of this cluster, this "
            f"member of {mine}: it was left out when the cluster was recovered"
        )
        return False
    if envelope.incarnation != mine:
        return False  # who is named in a newer one waits for the order to take part in it
    if envelope.seen_generation > durable.generation:
        turn.halt(
            f"{envelope.sender} has seen generation {envelope.seen_generation} of this member, "
            f"its disk holds {durable.generation}: it was reverted to an earlier state"
        )
        return False
    if envelope.seen_run is not None and _is_foreign(turn, envelope):
        turn.halt(
            f"{envelope.sender} has seen run {envelope.seen_run} of this member, which is none of "
            "this disk's: this machine and another are copies of one"
        )
        return False
    return _note(turn, envelope)


def _leaves_out(envelope: Envelope) -> bool:
    """Whether a message shows that its sender's config does not name the receiver."""
    match envelope.body:
        case Hello(named=named):
            return not named
        case VoteRequest(record=record) | Renew(record=Record() as record):
            return record.config.member(envelope.to) is None
        case _:
            return False


def _is_foreign(turn: Turn, envelope: Envelope) -> bool:
    """Whether the run that a peer has seen is none of this disk's.

    Only runs since the oldest remembered one are judged: a peer that was away for longer may name
    one that was forgotten.
    """
    runs = turn.durable.runs
    known = any(run.id == envelope.seen_run for run in runs)
    return not known and bool(runs) and envelope.seen_generation >= runs[0].since


def _note(turn: Turn, envelope: Envelope) -> bool:
    """Remember what a message shows of its sender; whether it is none of the past."""
    seen = turn.state.peers.get(envelope.sender)
    if seen is not None and envelope.generation < seen.generation:
        return False
    before = None if seen is None else seen.before
    if seen is not None and seen.boot != envelope.boot:
        before = seen.boot
    if before is not None and envelope.clean:
        _boot_is_over(turn, envelope.sender, before)
        before = None
    peer = Peer(envelope.boot, envelope.run, envelope.generation, turn.now_ms, before)
    turn.state = replace(turn.state, peers={**turn.state.peers, envelope.sender: peer})
    _forget_power_offs(turn, envelope)
    return True


def _boot_is_over(turn: Turn, member: MemberUid, boot: BootId) -> None:
    """A later boot of a member was seen, and it is clean: the earlier one is gone for good."""
    for suspect in turn.record.suspects:
        if (suspect.member, suspect.boot) == (member, boot):
            turn.prove(suspect, Proof.REBOOTED)


def _forget_power_offs(turn: Turn, envelope: Envelope) -> None:
    """A power-off is of no use any more once a later boot of its member was seen.

    A boot is later when its message was sent after the power-off was on this disk: its sender has
    seen a generation that holds it. As long as the boot is suspected the entry is its proof.
    """
    durable = turn.durable
    if not durable.fenced or envelope.seen_generation < turn.state.fenced_at:
        return
    suspected = {(s.member, s.boot) for s in former_holders(turn.record)}
    left = tuple(
        fenced
        for fenced in durable.fenced
        if fenced.member != envelope.sender
        or fenced.boot == envelope.boot
        or (fenced.member, fenced.boot) in suspected
    )
    if left != durable.fenced:
        turn.save(fenced=left)
