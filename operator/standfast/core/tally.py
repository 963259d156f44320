"""Counting: majorities, the end of a lease, the newest version that a majority holds.

A majority is more than half of all voters, silent ones included; while a config is joint, every
figure here is the worst of its electorates.
"""

from collections.abc import Collection, Mapping
from enum import Enum

from standfast.core.ids import MemberUid, Version
from standfast.core.record import Config


class Tally(Enum):
    """How a round of asking stands."""

    WON = "Won"
    LOST = "Lost"
    PENDING = "Pending"


def needed(voters: Collection[object]) -> int:
    """How many make a majority of `voters`."""
    assert voters, "a vote needs voters: an empty set would elect anyone"
    return len(voters) // 2 + 1


def tally(config: Config, yes: Collection[MemberUid], no: Collection[MemberUid]) -> Tally:
    """Silence is neither yes nor no; one electorate that cannot be won any more loses all."""
    result = Tally.WON
    for electorate in config.electorates():
        granted = sum(member.uid in yes for member in electorate)
        refused = sum(member.uid in no and member.uid not in yes for member in electorate)
        majority = needed(electorate)
        if len(electorate) - refused < majority:
            return Tally.LOST
        if granted < majority:
            result = Tally.PENDING
    return result


def lease_until_ms(config: Config, assured: Mapping[MemberUid, int]) -> int | None:
    """Until when a majority of every electorate is assured; none when no majority is."""
    ends: list[int] = []
    for electorate in config.electorates():
        known = sorted((assured[m.uid] for m in electorate if m.uid in assured), reverse=True)
        majority = needed(electorate)
        if len(known) < majority:
            return None
        ends.append(known[majority - 1])
    return min(ends)


def committed_version(config: Config, acked: Mapping[MemberUid, Version]) -> Version | None:
    """Newest version that a majority of every electorate holds; none when no majority answers."""
    versions: list[Version] = []
    for electorate in config.electorates():
        known = sorted((acked[m.uid] for m in electorate if m.uid in acked), reverse=True)
        majority = needed(electorate)
        if len(known) < majority:
            return None
        versions.append(known[majority - 1])
    return min(versions)
