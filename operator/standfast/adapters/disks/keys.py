"""The key under which a node is registered with a disk: whose it is, and of which term.

Eight bytes, and the disk compares nothing but equality. So a key names what it stands for: one
cluster, one incarnation of it, one member in one boot, one term. A term has one holder, hence one
key; a command that was given late names a key that is gone, and the disk refuses it. That is what
keeps a node that wakes up in the middle of a takeover from undoing a later one.

    5f | cluster 16 bits | incarnation 8 | member and boot 8 | term 24
"""

import hashlib
from dataclasses import dataclass

from standfast.errors import UserError
from standfast.ports.resource import Claim

MARK = 0x5F
_TERM_BITS = 24
_MARK_AT, _CLUSTER_AT, _INCARNATION_AT, _RUN_AT = 56, 40, 32, 24


@dataclass(frozen=True, slots=True)
class Key:
    """A key of ours.

    Attributes:
        cluster: Whose disk it is; a digest.
        incarnation: Of the cluster.
        run: Member and boot; a digest.
        term: Under whose lease it was registered.
    """

    cluster: int
    incarnation: int
    run: int
    term: int

    @property
    def value(self) -> int:
        return (
            MARK << _MARK_AT
            | self.cluster << _CLUSTER_AT
            | self.incarnation << _INCARNATION_AT
            | self.run << _RUN_AT
            | self.term
        )

    @property
    def rank(self) -> tuple[int, int]:
        """A higher one holds the disk by right."""
        return self.incarnation, self.term

    @property
    def text(self) -> str:
        return text(self.value)


def key_of(claim: Claim) -> Key:
    """The key of whoever may take the disk.

    Raises:
        UserError: No key can say so high a term.
    """
    if claim.term >= 1 << _TERM_BITS:
        raise UserError(
            f"term {claim.term} is more than a key of a disk can say",
            remedy="make the HACluster anew: its terms begin again",
        )
    return Key(
        cluster=_digest(16, claim.cluster),
        incarnation=claim.incarnation & 0xFF,
        run=_digest(8, claim.member, claim.boot),
        term=claim.term,
    )


def parse(value: int) -> Key | None:
    """A key as the disk tells it; none when it is not one of ours."""
    if value >> _MARK_AT != MARK:
        return None
    return Key(
        cluster=value >> _CLUSTER_AT & 0xFFFF,
        incarnation=value >> _INCARNATION_AT & 0xFF,
        run=value >> _RUN_AT & 0xFF,
        term=value & (1 << _TERM_BITS) - 1,
    )


def text(value: int) -> str:
    return f"0x{value:016x}"


def _digest(bits: int, *words: str) -> int:
    whole = hashlib.sha256("\0".join(words).encode()).digest()
    return int.from_bytes(whole[:4], "big") >> (32 - bits)
