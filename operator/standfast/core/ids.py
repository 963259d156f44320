"""Names of things: identifiers, terms and versions, as distinct types.

Identifiers are opaque strings compared for equality only. A `Version` orders records: first the
term that wrote them, then the count within it.
"""

from typing import NamedTuple, NewType

ClusterUid = NewType("ClusterUid", str)
"""The cluster, for life: the `metadata.uid` of its `HACluster`."""

MemberUid = NewType("MemberUid", str)
"""A voter's identity, drawn once at enrolment; a wiped disk is a new member."""

BootId = NewType("BootId", str)
"""One boot of a machine, as the kernel draws it."""

RunId = NewType("RunId", str)
"""One run of an agent or witness process."""


class Version(NamedTuple):
    """Order of records: `term` that wrote it, `seq` within the term."""

    term: int
    seq: int

    # The standard library has no `override` before Python 3.12, and the core has nothing else.
    def __str__(self) -> str:  # type: ignore[explicit-override]
        return f"{self.term}.{self.seq}"


FIRST = Version(0, 0)
"""The version of the signed first config, before anybody ever held a lease."""
