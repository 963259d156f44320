"""One cluster as it is to be provided for, and what a pass over that came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from standfast.api.cluster import HACluster
from standfast.controller.authorities import Office
from standfast.controller.calling import Door
from standfast.controller.groups import Group
from standfast.controller.listening import Line
from standfast.controller.memory import Memory
from standfast.controller.store import Key
from standfast.core.explain import Claim
from standfast.core.record import MemberKind


@dataclass(frozen=True, slots=True)
class Place:
    """One declared member: where it is, and how it is met before it has joined.

    Attributes:
        first: None while nobody knows where it is (a witness without an address).
        problem: Why it cannot be met, as a claim; none when it can.
    """

    name: str
    kind: MemberKind
    addresses: tuple[str, ...]
    first: Door | None
    problem: Claim | None = None


@dataclass(frozen=True, slots=True)
class Provision:
    """What a pass came to.

    Attributes:
        stalled: A person must change something first.
        converging: What is under way.
    """

    stalled: Claim | None = None
    converging: Claim | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster as it is to be provided for.

    Attributes:
        cluster: With members that are leaving (`seats.effective`).
        declared: As it is declared.
        leaving: Names of members that are declared no more, or are being replaced.
        places: All members: nodes in order of preference, then witnesses.
        lines: Of those that are enrolled.
        off: Nodes whose VM the infrastructure proves off in the boot they were known in.
        group: None when what is declared does not hold together.
    """

    memory: Memory
    key: Key
    cluster: HACluster
    declared: HACluster
    leaving: frozenset[str]
    office: Office
    places: Sequence[Place]
    lines: Mapping[str, Line]
    group: Group | None
    off: frozenset[str] = frozenset()
