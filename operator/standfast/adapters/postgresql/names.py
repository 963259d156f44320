"""`synchronous_standby_names`: for whom writes wait, written so that its effect can be seen.

Writes wait for every name of the set. Each change of the set is one *issue*; some names that
nobody bears come first, another number of them in each issue, so that the priority which a
walsender shows tells which issue it has read. They never count: the set asks for as many
confirmations as it has real names, and only connected standbys are counted.

Source: PostgreSQL 15 documentation, 20.6.2; src/backend/replication/syncrep.c.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ISSUES = 3
"""Issues told apart: a walsender is never further behind than the reload before the last."""


@dataclass(frozen=True, slots=True)
class Names:
    """One issue of the set.

    Args:
        members: Application names that writes wait for.
        issue: Number of the issue.
    """

    members: frozenset[str] = frozenset()
    issue: int = 0

    @property
    def text(self) -> str:
        """The value of the setting."""
        if not self.members:
            return ""
        gaps = [f"standfast-{number}" for number in range(self.issue % ISSUES)]
        quoted = ", ".join(f'"{name}"' for name in (*gaps, *sorted(self.members)))
        return f"FIRST {len(self.members)} ({quoted})"

    @property
    def priorities(self) -> Mapping[str, int]:
        """`sync_priority` of each member's walsender once it has read this issue."""
        first = self.issue % ISSUES + 1
        return {name: first + place for place, name in enumerate(sorted(self.members))}

    def next(self, members: frozenset[str]) -> "Names":
        """The issue after this one."""
        return Names(members, self.issue + 1)


def read_names(text: str) -> Names:
    """The issue that a value of ours says; one that is not ours counts by its quoted names."""
    words = text.split('"')[1::2]
    gaps = [word for word in words if word.startswith("standfast-")]
    return Names(frozenset(words) - frozenset(gaps), len(gaps))


@dataclass(frozen=True, slots=True)
class InForce:
    """What is known of the effect of an issue.

    Args:
        names: The issue.
        since: Position of the log at which it was seen to be in force; None: not seen yet. What
            was acknowledged without waiting for it ends before.
    """

    names: Names = field(default_factory=Names)
    since: int | None = None
