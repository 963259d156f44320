"""A recovery that some have taken and others can take no more: whether it may be made anew.

Pure. Whoever votes again in the old incarnation, because members that were called off came back,
has seen a later term than the order's and declines it for ever; and those who took it are no
majority of the new incarnation by themselves. Nobody of it can ever hold the lease then, so the
same order may be given a later term: for the same members, by the word of a person who vouches
anew for everybody else. Where those who took it are a majority they go on, and the others join
again as other members.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from standfast.core.ids import MemberUid
from standfast.core.record import Config, Record
from standfast.core.tally import needed
from standfast.wire.api import MemberStatus


def takers(ordered: Record, heard: Sequence[MemberStatus]) -> list[MemberStatus]:
    """Members that have taken the order."""
    incarnation = ordered.config.incarnation
    return [s for s in _named(ordered, heard) if s.incarnation == incarnation]


def late(ordered: Record, heard: Sequence[MemberStatus]) -> list[MemberStatus]:
    """Members that have seen a later term than the order's without having taken it."""
    return [
        status
        for status in _named(ordered, heard)
        if status.incarnation < ordered.config.incarnation
        and status.term >= ordered.version.term
        and not status.halted
    ]


def hindrance(
    ordered: Record,
    heard: Sequence[MemberStatus],
    before: Config,
    proven: AbstractSet[MemberUid],
    cluster: str,
) -> tuple[str, str] | None:
    """Why the order is not made anew, with what to do.

    Args:
        ordered: As it was given out.
        heard: Members that answer.
        before: The config of those who have not taken it.
        proven: Members that are proven to run nothing.
        cluster: Its name, for what to type.
    """
    took, behind = takers(ordered, heard), late(ordered, heard)
    members = ordered.config.members
    names = ", ".join(status.name for status in behind)
    if len(took) >= needed(members):
        going = ", ".join(status.name for status in took)
        said = (
            f"{going} go on in incarnation {ordered.config.incarnation}, and {names} has voted in "
            "the old one since, so it cannot follow"
        )
        return said, f"kubectl standfast replace {cluster} {behind[0].name}"
    # Two orders of one incarnation name the same members, or their majorities need not meet.
    removed = [member.name for member in members if before.member(member.uid) is None]
    if removed:
        listed = ", ".join(removed)
        return (
            f"{listed} was removed from the members that {names} goes by since the recovery began",
            f"kubectl standfast replace {cluster} {removed[0]}",
        )
    answer = {status.member_uid for status in heard if not status.halted}
    silent = [member.name for member in members if member.uid not in answer]
    if silent:
        return (
            f"{', '.join(silent)} does not answer, and may have taken the recovery",
            "bring it back: what it has taken decides",
        )
    if any(status.holder for status in heard if not status.halted):
        return "a node holds the lease: the cluster has a majority", "kubectl standfast status"
    version = (ordered.version.term, ordered.version.seq)
    if any(tuple(status.record_version) != version for status in took):
        said = "somebody has gone on from the recovery already"
        return said, f"kubectl standfast explain {cluster}"
    stopped = {s.member_uid for s in heard if s.halted or s.role == "Unconfigured"}
    named = {member.uid for member in members}
    open_ones = [
        member.name
        for member in before.everyone()
        if member.uid not in named | proven and member.uid not in stopped
    ]
    if open_ones:
        listed = ", ".join(open_ones)
        return (
            f"{listed} is not among those who go on, and not proven off: it could be serving",
            f"power {listed} off; or vouch for it (recover --attest MEMBER)",
        )
    return None


def _named(ordered: Record, heard: Sequence[MemberStatus]) -> list[MemberStatus]:
    return [s for s in heard if ordered.config.member(MemberUid(s.member_uid)) is not None]
