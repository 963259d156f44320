"""A key names cluster, incarnation, node and boot, and term."""

from dataclasses import replace

import pytest

from standfast.adapters.disks.keys import key_of, parse
from standfast.errors import UserError
from standfast.ports.resource import Claim

CLAIM = Claim("cluster-1", 1, "node-a", "boot-1", 7, suspected=False)


def test_a_key_reads_back() -> None:
    key = key_of(CLAIM)
    assert parse(key.value) == key
    assert key.value.bit_length() <= 64
    assert key.text.startswith("0x5f")
    assert (key.term, key.incarnation) == (7, 1)


@pytest.mark.parametrize(
    "other",
    [
        replace(CLAIM, cluster="cluster-2"),
        replace(CLAIM, incarnation=2),
        replace(CLAIM, member="node-b"),
        replace(CLAIM, boot="boot-2"),
        replace(CLAIM, term=8),
    ],
)
def test_whatever_differs_gives_another_key(other: Claim) -> None:
    assert key_of(other) != key_of(CLAIM)


def test_a_later_term_and_a_later_incarnation_rank_higher() -> None:
    first = key_of(CLAIM)
    assert key_of(replace(CLAIM, term=8)).rank > first.rank
    assert key_of(replace(CLAIM, incarnation=2, term=1)).rank > first.rank


def test_what_somebody_else_registers_is_no_key_of_ours() -> None:
    assert parse(0) is None
    assert parse(0x1) is None
    assert parse(0xABCD_5F00_0000_0001) is None


def test_a_term_that_no_key_can_say_is_refused() -> None:
    with pytest.raises(UserError, match="more than a key"):
        key_of(replace(CLAIM, term=1 << 24))
