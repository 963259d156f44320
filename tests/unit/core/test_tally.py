"""Counting: exhaustive over every electorate of up to five voters, joint ones included."""

import itertools

import pytest

from standfast.core.ids import FIRST, ClusterUid, MemberUid, Version
from standfast.core.record import Config, Member, MemberKind
from standfast.core.tally import Tally, committed_version, lease_until_ms, needed, tally
from standfast.core.timing import Profile

UIDS = tuple(MemberUid(name) for name in "abcde")


def config_of(uids: tuple[MemberUid, ...], leaving: tuple[MemberUid, ...] | None = None) -> Config:
    def members(of: tuple[MemberUid, ...]) -> tuple[Member, ...]:
        return tuple(Member(uid, uid, MemberKind.DATA) for uid in of)

    return Config(
        ClusterUid("c"),
        members(uids),
        Profile.NORMAL.timing,
        id=FIRST,
        leaving=None if leaving is None else members(leaving),
        leaving_timing=None if leaving is None else Profile.FAST.timing,
    )


SINGLE = [config_of(UIDS[:count]) for count in range(1, 6)]
JOINT = [
    config_of(UIDS[:new], UIDS[:old])
    for new, old in itertools.product(range(1, 5), repeat=2)
    if abs(new - old) == 1
]


def wins(config: Config, yes: set[MemberUid]) -> bool:
    """The definition, as a sentence: more than half of every electorate."""
    return all(
        2 * sum(member.uid in yes for member in electorate) > len(electorate)
        for electorate in config.electorates()
    )


@pytest.mark.parametrize("config", SINGLE + JOINT, ids=lambda c: str(len(c.everyone())))
def test_a_round_is_won_lost_or_pending_as_the_definition_says(config: Config) -> None:
    voters = [member.uid for member in config.everyone()]
    for answers in itertools.product("yn-", repeat=len(voters)):
        yes = {uid for uid, answer in zip(voters, answers, strict=True) if answer == "y"}
        no = {uid for uid, answer in zip(voters, answers, strict=True) if answer == "n"}
        best = set(voters) - no
        want = Tally.WON if wins(config, yes) else Tally.PENDING
        if not wins(config, best):
            want = Tally.LOST
        assert tally(config, yes, no) is want


def test_two_majorities_of_one_electorate_share_a_voter() -> None:
    for config in SINGLE:
        voters = [member.uid for member in config.members]
        for size in range(1, len(voters) + 1):
            for one in itertools.combinations(voters, size):
                rest = set(voters) - set(one)
                assert not (wins(config, set(one)) and wins(config, rest))


def test_a_joint_majority_meets_every_majority_of_both_configs() -> None:
    """Which is what makes a change safe: old and new can never decide apart."""
    for config in JOINT:
        voters = [member.uid for member in config.everyone()]
        assert config.leaving is not None
        for size in range(1, len(voters) + 1):
            for one in itertools.combinations(voters, size):
                if not wins(config, set(one)):
                    continue
                rest = set(voters) - set(one)
                for electorate in (config.members, config.leaving):
                    alone = config_of(tuple(member.uid for member in electorate))
                    assert not wins(alone, rest)


def test_a_vote_without_voters_is_a_programmers_mistake() -> None:
    with pytest.raises(AssertionError, match="a vote needs voters"):
        needed(())


@pytest.mark.parametrize("config", SINGLE + JOINT, ids=lambda c: str(len(c.everyone())))
def test_the_lease_ends_when_a_majority_of_any_electorate_is_no_longer_assured(
    config: Config,
) -> None:
    voters = [member.uid for member in config.everyone()]
    for ends in itertools.product((None, 10, 20, 30), repeat=len(voters)):
        assured = {uid: e for uid, e in zip(voters, ends, strict=True) if e is not None}
        until = lease_until_ms(config, assured)
        good = [
            at for at in (10, 20, 30) if wins(config, {u for u, e in assured.items() if e >= at})
        ]
        assert until == max(good, default=None)


@pytest.mark.parametrize("config", SINGLE[2:4] + JOINT[:2], ids=lambda c: str(len(c.everyone())))
def test_a_version_is_committed_when_a_majority_of_every_electorate_holds_it(
    config: Config,
) -> None:
    voters = [member.uid for member in config.everyone()]
    versions = (None, Version(1, 9), Version(2, 1), Version(2, 2))
    for held in itertools.product(versions, repeat=len(voters)):
        acked = {uid: v for uid, v in zip(voters, held, strict=True) if v is not None}
        good = [v for v in versions[1:] if wins(config, {u for u, h in acked.items() if h >= v})]
        assert committed_version(config, acked) == max(good, default=None)
