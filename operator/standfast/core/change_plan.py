"""From the config in force to the declared one: the next legal step, or why there is none now.

The operator asks again after every step, from scratch, so that a plan survives its planner. One
voter at a time: new ones first, so that no step leaves fewer voters than before while others are
still to come; then those that leave, the lost first; timers, order and addresses last. A step is
proposed only if majorities of both electorates are heard, because a change that cannot be
committed ends the lease. The holder is never removed: it hands over first.

Source: `docs/protocol.md`, section "Configuration". Safety: `changing.change_problem`, which the
holder asks again.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from standfast.core.ids import MemberUid
from standfast.core.record import Config, Member, MemberKind
from standfast.core.tally import needed
from standfast.core.timing import Timing


@dataclass(frozen=True, slots=True)
class Target:
    """What is declared.

    Attributes:
        members: Declared members that could vote now, in order of preference.
        missing: Names of declared members that have not joined yet.
        lost: Members in force that will never answer again under that uid (a wiped disk).
    """

    members: tuple[Member, ...]
    timing: Timing
    loss_max: int = 0
    missing: tuple[str, ...] = ()
    lost: frozenset[MemberUid] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """What to ask of the holder: `config` carries the id that it is made from."""

    config: Config
    sentence: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The target is not reached, and nothing may be done just now.

    Attributes:
        is_stuck: Only a person can remove what is in the way.
    """

    sentence: str
    remedy: str = ""
    is_stuck: bool = False


def next_step(
    config: Config, holder: MemberUid | None, target: Target, heard: AbstractSet[MemberUid]
) -> Step | Waits | None:
    """The next thing to do; none when the target is in force.

    Args:
        config: In force, as the holder says.
        holder: Who serves; none when nobody does.
        target: What is declared.
        heard: Members that answer now.
    """
    problems = target.timing.problems()
    if problems:
        return Waits(problems[0], "correct spec.timing", is_stuck=True)
    if config.leaving is not None:
        return Waits(f"config {config.id} is joint: the members are finishing the change")
    found = _next_voters(config, holder, target)
    if isinstance(found, Waits):
        return found
    changed, sentence = found if found is not None else _next_facts(config, target)
    if changed == config:
        return _for_missing(target)
    if holder is None:
        return Waits(f"{sentence} waits until a node serves")
    problem = reach_problem(config, changed.members, heard | {holder})
    if problem is not None:
        return Waits(f"{sentence} waits: {problem}", "bring those members back")
    return Step(changed, sentence)


def reach_problem(
    config: Config, members: tuple[Member, ...], heard: AbstractSet[MemberUid]
) -> str | None:
    """Why a change to `members` could not be committed now; none when it could.

    Asked by the operator before it proposes, and by the holder before it begins: the lease is
    counted by both electorates from the moment a change is proposed.
    """
    for electorate in (members, config.members):
        silent = [member.name for member in electorate if member.uid not in heard]
        if len(electorate) - len(silent) < needed(electorate):
            return (
                f"{', '.join(silent)} of {len(electorate)} voters are not heard, and "
                f"{needed(electorate)} are needed"
            )
    return None


def _next_voters(
    config: Config, holder: MemberUid | None, target: Target
) -> tuple[Config, str] | Waits | None:
    """One voter more or one less; none when all declared that can vote do, and nobody else."""
    wanted = {member.uid for member in target.members} - target.lost
    present = {member.uid for member in config.members}
    if not any(m.uid in wanted and m.kind is MemberKind.DATA for m in target.members):
        return Waits("no declared node has joined", "bring a declared node back")
    gone = [member for member in config.members if member.uid not in wanted]
    lost = [member for member in gone if member.uid in target.lost and member.uid != holder]
    new = next((member for member in target.members if member.uid in wanted - present), None)
    if new is not None and not lost:
        return _with_voters(config, target, present | {new.uid}), f"adding {new.name}"
    leaving = lost or [member for member in gone if member.uid != holder]
    if leaving and (lost or not target.missing):
        left = leaving[0]
        return _with_voters(config, target, present - {left.uid}), f"removing {left.name}"
    if gone and not leaving:
        return Waits(
            f"{gone[0].name} holds the lease, so it hands over before it is removed",
            "make another node ready to serve",
        )
    return None if not gone else _for_missing(target)


def _next_facts(config: Config, target: Target) -> tuple[Config, str]:
    """The same voters by their declared order, addresses and timers."""
    ordered = _with_voters(config, target, {member.uid for member in config.members})
    changed = replace(ordered, timing=target.timing, loss_max=target.loss_max)
    if target.timing != config.timing:
        before, after = config.timing.ttl_ms, target.timing.ttl_ms
        return changed, f"changing timers from ttl {before} ms to ttl {after} ms"
    return changed, "changing the order or addresses of members"


def _with_voters(config: Config, target: Target, uids: AbstractSet[MemberUid]) -> Config:
    """These voters, the declared ones first, in their declared order; timers stay."""
    known = {member.uid: member for member in config.members}
    declared = {member.uid: member for member in target.members}
    order = [*declared, *(uid for uid in known if uid not in declared)]
    members = (declared.get(uid) or known[uid] for uid in order if uid in uids)
    return replace(config, members=tuple(members))


def _for_missing(target: Target) -> Waits | None:
    if not target.missing:
        return None
    return Waits(f"{', '.join(target.missing)} has not joined yet, so it does not vote")
