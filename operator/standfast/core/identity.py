"""Members that are not who they were: reverted to a snapshot, cloned, of an older incarnation.

The member itself compares what its peers have seen of it with its own disk, and stops. A peer
never judges by a late message: it merely drops it.

Source: `docs/protocol.md`, section "State of a member". Safety: S4.
"""

from dataclasses import replace

from standfast.core.messages import Envelope
from standfast.core.record import Proof
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
    if envelope.incarnation > mine:
        turn.halt(
            f"{envelope.sender} is of incarnation {envelope.incarnation} of this cluster, this "
            f"member of {mine}: it was left out when the cluster was recovered"
        )
        return False
    if envelope.incarnation < mine:
        return False
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


def _is_foreign(turn: Turn, envelope: Envelope) -> bool:
    """Whether the run that a peer has seen is none of this disk's.

    Only runs since the oldest remembered one are judged: a peer that was away for longer may name
    one that was forgotten.
    """
    runs = turn.durable.runs
    known = any(run.id == envelope.seen_run for run in runs)
    return not known and bool(runs) and envelope.seen_generation >= runs[0].since


def _note(turn: Turn, envelope: Envelope) -> bool:
    seen = turn.state.peers.get(envelope.sender)
    if seen is not None and envelope.generation < seen.generation:
        return False
    peer = Peer(envelope.boot, envelope.run, envelope.generation, turn.now_ms)
    turn.state = replace(turn.state, peers={**turn.state.peers, envelope.sender: peer})
    if seen is not None and seen.boot != envelope.boot:
        _boot_is_over(turn, envelope, seen)
    return True


def _boot_is_over(turn: Turn, envelope: Envelope, seen: Peer) -> None:
    """A later boot of the sender was seen: the earlier one is gone for good."""
    over = (envelope.sender, seen.boot)
    left = tuple(f for f in turn.durable.fenced if (f.member, f.boot) != over)
    if left != turn.durable.fenced:
        turn.save(fenced=left)
    for suspect in turn.record.suspects:
        if (suspect.member, suspect.boot) == over:
            turn.prove(suspect, Proof.REBOOTED)
