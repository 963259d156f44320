"""Changing the config: one voter added or removed at a time, and timers, through the holder.

In two committed steps, joint then new. While joint, votes, renewals and commits need a majority
of each electorate, voters promise the longer ttl, and the lease counts by the shorter hold.

Source: `docs/protocol.md`, section "Configuration"; Ongaro's dissertation, chapter 4. Safety: S1.
"""

from collections.abc import Sequence
from dataclasses import replace

from standfast.core.events import ChangeRequested, Declined
from standfast.core.holding import held, in_sync_required, may_propose, propose
from standfast.core.ids import MemberUid, Version
from standfast.core.record import Config, DataMode, Member
from standfast.core.tally import lease_until_ms
from standfast.core.turn import Turn


def on_change_requested(turn: Turn, event: ChangeRequested) -> None:
    """Begin a change, or say why not."""
    problem = change_problem(turn, event)
    if problem is not None:
        turn.emit(Declined(*problem))
        return
    old = turn.config
    same = (event.members, event.timing, event.loss_max)
    if same == (old.members, old.timing, old.loss_max):
        return
    joint = replace(
        old,
        members=event.members,
        timing=event.timing,
        loss_max=event.loss_max,
        leaving=old.members,
        leaving_timing=old.timing,
        id=_next(turn),
    )
    _enter(turn, joint, assured_until_ms=held(turn).lease_until_ms)


def finish_change(turn: Turn) -> None:
    """Once the joint config is committed, go on to the new one alone."""
    if not may_propose(turn) or turn.config.leaving is None:
        return
    holding = held(turn)
    if holding.committed is None or holding.committed < turn.config.id:
        return
    under_both_ms = lease_until_ms(turn.config, holding.assured)
    if under_both_ms is None:
        return  # the commit was counted, the promises under this config were not yet
    final = replace(turn.config, leaving=None, leaving_timing=None, id=_next(turn))
    _enter(turn, final, assured_until_ms=under_both_ms)


def _next(turn: Turn) -> Version:
    return turn.record.version._replace(seq=turn.record.version.seq + 1)


def _enter(turn: Turn, config: Config, assured_until_ms: int) -> None:
    """Cut the lease to what both configs assure, forget answers under the old one, propose."""
    old, now_ms = turn.config, turn.now_ms
    hold_ms = min(old.hold_ms(old.ttl_ms), config.hold_ms(config.ttl_ms))
    cut_ms = min(assured_until_ms, now_ms + hold_ms)
    turn.move_lease(cut_ms)
    ttl_ms = max(config.ttl_ms, min(held(turn).ttl_ms, config.ttl_max_ms))
    changed = replace(held(turn), kept_until_ms=cut_ms, assured={}, beats={}, ttl_ms=ttl_ms)
    turn.hold(changed)
    propose(turn, config=config)


def change_problem(turn: Turn, event: ChangeRequested) -> tuple[str, str] | None:
    """What forbids a change, with the remedy; none when it may begin."""
    old = turn.config
    if not may_propose(turn):
        return "this node does not serve", "ask the active node"
    if old.leaving is not None:
        return f"change {old.id} is not finished", "wait until it is"
    if event.base != old.id:
        return f"the change was made from config {event.base}, but {old.id} is in force", "redo it"
    problems = event.timing.problems()
    if problems:
        return problems[0], ""
    before = {member.uid for member in old.members}
    after = {member.uid for member in event.members}
    if len(after) != len(event.members):
        return "a member is listed twice", "list each member once"
    for member in turn.record.left_out:
        if member.uid in after:
            problem = f"{member.name} was left out when the cluster was recovered"
            return problem, "enrol it anew: it comes back as a new member"
    kinds = {member.uid: member.kind for member in old.members}
    for member in event.members:
        if kinds.get(member.uid, member.kind) is not member.kind:
            problem = f"{member.name} is a {kinds[member.uid].value} member and cannot change that"
            return problem, "remove it, then add it as a new member"
    if len(before ^ after) > 1:
        moved = ", ".join(sorted(before ^ after))
        problem = f"{len(before ^ after)} voters differ ({moved}), but only one at a time may"
        return problem, "add or remove one voter, wait until that is done, then the next"
    return _removal_problem(turn, old.members, before - after)


def _removal_problem(
    turn: Turn, members: Sequence[Member], gone: set[MemberUid]
) -> tuple[str, str] | None:
    names = {member.uid: member.name for member in members}
    replicated = turn.config.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}
    for uid in gone:
        if uid == turn.me:
            return f"{names[uid]} holds the lease", "switch over first"
        if replicated and uid in in_sync_required(turn.state):
            return f"{names[uid]} is in sync, and writes wait for it", "stop its replica first"
        if any(suspect.member == uid for suspect in turn.record.suspects):
            return (
                f"{names[uid]} held the lease and is not proven stopped",
                "power it off, or bring it back",
            )
    return None
