"""A candidate's rules: when to stand, how to ask, when to give up.

Source: `docs/protocol.md`, section "Standing". Safety: S4 (a term is stood in once, by one run).
"""

import zlib
from dataclasses import replace

from standfast.core.events import GaveUp
from standfast.core.ids import MemberUid
from standfast.core.messages import Refusal, Release
from standfast.core.record import DataMode
from standfast.core.state import State
from standfast.core.turn import Turn

RANK_HEARTBEATS = 3
"""Delay between two ranks: long enough for the better one to win first."""

ATTEMPTS_COUNTED = 8
"""Failed candidacies after which the back-off no longer grows."""


def rank_delay_ms(state: State) -> int:
    """How long this node lets better placed ones stand first.

    Order is the config's; the last holder comes last, because it is the one that fell silent, and
    nodes that may not lead do not count. Rank 0 stands at once.
    """
    record = state.record
    nodes = record.config.data_nodes()
    if record.config.data is DataMode.REPLICATED:
        nodes = tuple(uid for uid in nodes if uid in record.in_sync or uid == state.me)
    last = record.holder.member if record.holder is not None else None
    ranked = sorted(nodes, key=lambda uid: (uid == last, nodes.index(uid)))
    rank = ranked.index(state.me) if state.me in ranked else len(ranked)
    if rank == 0:
        return 0
    heartbeat_ms = record.config.timing.heartbeat_ms
    return rank * RANK_HEARTBEATS * heartbeat_ms + jitter_ms(state, heartbeat_ms)


def jitter_ms(state: State, below_ms: int) -> int:
    """A fixed scatter by member, term and attempt: rivals do not collide twice the same way."""
    seed = f"{state.me}/{state.durable.term}/{state.attempts}"
    return zlib.crc32(seed.encode()) % max(below_ms, 1)


def retreat_ms(state: State) -> int:
    """How long to wait after a failed candidacy."""
    heartbeat_ms = state.record.config.timing.heartbeat_ms
    tries = min(state.attempts, ATTEMPTS_COUNTED)
    return heartbeat_ms + jitter_ms(state, heartbeat_ms * (1 + tries))


def give_up(turn: Turn, reasons: tuple[Refusal, ...], *, retry_ms: int | None = None) -> None:
    """End a candidacy; its term is never counted again.

    While an older lease of this node still runs it frees nobody, neither its promise to itself nor
    its voters. Otherwise a vote asked for is taken back, so that its voters are free.
    """
    candidacy = turn.state.candidacy
    assert candidacy is not None, "only a candidate can give up"
    state = replace(turn.state, candidacy=None, attempts=turn.state.attempts + 1)
    wait_ms = retreat_ms(state) if retry_ms is None else retry_ms
    turn.state = replace(state, stand_at_ms=turn.now_ms + wait_ms)
    turn.emit(GaveUp(candidacy.ask.term, reasons))
    if candidacy.ask.pre or turn.state.holds(turn.now_ms):
        return
    release = Release(turn.me, turn.state.boot, candidacy.ask.term, stopped=False)
    promised = turn.state.promise
    mine = promised is not None and (promised.holder, promised.boot) == (turn.me, turn.state.boot)
    if mine:
        turn.state = replace(turn.state, promise=None)
    releases = {**turn.state.releases}
    known = releases.get(turn.me)
    if known is None or known.term < release.term:
        releases[turn.me] = release
        turn.state = replace(turn.state, releases=releases)
    turn.broadcast(release)


def successor_problem(state: State, successor: MemberUid) -> str | None:
    """What stands between a member and being named successor, or none."""
    record = state.record
    member = record.config.member(successor)
    if member is None or successor not in record.config.data_nodes():
        return f"{successor} is not a data node of this cluster"
    if successor == state.me:
        return f"{member.name} holds the lease already"
    if record.config.data is DataMode.REPLICATED and successor not in record.in_sync:
        return f"{member.name} does not hold every acknowledged write"
    return None
