"""A resource as the group sees it, and the graph of who depends on whom.

What the thing is (an address, a unit) stays outside: the group knows a fingerprint of it, because
a change of the thing itself needs a stop and a start, while a change of policy needs neither.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter

from standfast.core.record import Proof


class Then(Enum):
    """What to do when restarts in place are used up."""

    FAILOVER = "Failover"
    KEEP_TRYING = "KeepTrying"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class Spec:
    """One declared resource.

    Attributes:
        name: Unique in the group.
        kind: `vip`, `systemd`, ...: for people.
        fingerprint: Of everything that makes it this thing; another one means stop and start.
        knobs: What of it is changed while it runs; the driver is told, and nothing stops.
        depends_on: Start after these, stop before them.
        critical: Whether its failure counts for the decision to hand over.
        rides_out: Goes on while what it depends on is restarted: true for what holds no state of
            the application, like an address.
        suffices: Proofs any one of which, against each suspect, lets it start; `Reserved` only
            where it names `disk`.
        disk: The disk whose reservation is proof for this resource; "" for none.
        start_ms: Budget of a start, after which it is killed and counts as failed.
        stop_ms: Budget of a graceful stop, after which it is killed.
        check_every_ms: Between two checks while it runs.
        check_ms: Budget of a check; a check that hangs is a failed check.
        failures_max: It has failed once so many checks did, of the newest `checks_seen`.
        checks_seen: How many are remembered; not fewer than `failures_max`.
        restarts: In place, within `window_ms`.
        window_ms: How long a failure is remembered.
        then: What follows when restarts are used up.
    """

    name: str
    kind: str
    fingerprint: str
    depends_on: tuple[str, ...] = ()
    critical: bool = True
    rides_out: bool = False
    suffices: frozenset[Proof] = frozenset(Proof)
    disk: str = ""
    start_ms: int = 60_000
    stop_ms: int = 20_000
    check_every_ms: int = 5000
    check_ms: int = 4000
    failures_max: int = 1
    checks_seen: int = 1
    restarts: int = 3
    window_ms: int = 600_000
    then: Then = Then.FAILOVER
    knobs: str = ""


def problems(specs: Sequence[Spec]) -> tuple[str, ...]:
    """Why these cannot be one group, each as a sentence; empty when they can."""
    found: list[str] = []
    names = [spec.name for spec in specs]
    found += [
        f"resource {name} is declared {names.count(name)} times, but a name means one resource"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    found += [
        f"resource {spec.name} depends on {wanted}, which is not declared in this cluster "
        f"(declared: {', '.join(sorted(names))})"
        for spec in specs
        for wanted in spec.depends_on
        if wanted not in names
    ]
    if found:
        return tuple(found)
    try:
        TopologicalSorter({spec.name: spec.depends_on for spec in specs}).prepare()
    except CycleError as error:
        # The sorter lists predecessors first; read backwards each one depends on the next.
        path = " -> ".join(reversed(error.args[1]))
        found.append(f"resources depend on each other in a circle, so none can start: {path}")
    return tuple(found)


def dependents(specs: Mapping[str, Spec], name: str) -> Iterator[str]:
    """Those that depend directly on `name`."""
    return (other for other, spec in specs.items() if name in spec.depends_on)


def shaken_by(specs: Mapping[str, Spec], name: str) -> frozenset[str]:
    """Those that must be stopped and started again when `name` is restarted.

    Its dependents and theirs, except what rides a restart out, and what stands on that.
    """
    found: set[str] = set()
    waiting = [name]
    while waiting:
        near = dependents(specs, waiting.pop())
        fresh = {other for other in near if not specs[other].rides_out} - found
        found |= fresh
        waiting += fresh
    return frozenset(found)
