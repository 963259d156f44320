"""Which VM held which address when: what the hypervisor records, and what follows from it.

The kernel of the lab is one, and so is its clock: moments of different VMs can be compared, which
no product code may ever do. The record is a file of one JSON line per event. Reading it is pure.

Rules. An address is held from the kernel's word that it was added until its word that it went, or
until the VM fell silent. What a stunned VM holds counts for nothing while the stun lasts, because
its ports are cut. The reader wakes some tenths of a millisecond after the kernel spoke, so an
overlap shorter than a millisecond may be missed and none is invented that is longer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path

import msgspec


class Event(Enum):
    """What happened to a VM."""

    ON = "on"
    SILENT = "silent"
    STUNNED = "stunned"
    THAWED = "thawed"
    ADDED = "added"
    REMOVED = "removed"


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event.

    Args:
        at_ns: When, on CLOCK_BOOTTIME.
        vm: To whom.
        event: What.
        address: Which one was added or removed.
    """

    at_ns: int
    vm: str
    event: Event
    address: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time on CLOCK_BOOTTIME.

    Args:
        begin_ns: Its beginning.
        end_ns: Its end.
    """

    begin_ns: int
    end_ns: int

    def shared_ns(self, other: "Interval") -> int:
        """How long both last at once."""
        return max(0, min(self.end_ns, other.end_ns) - max(self.begin_ns, other.begin_ns))


def append(file: Path, observation: Observation) -> None:
    """Adds an event to a record."""
    with file.open("ab") as record:
        record.write(msgspec.json.encode(observation) + b"\n")


def load(file: Path) -> list[Observation]:
    """The events of a record, oldest first; none when there is no record."""
    if not file.exists():
        return []
    rows = file.read_bytes().splitlines()
    found = [msgspec.json.decode(row, type=Observation) for row in rows]
    return sorted(found, key=lambda observation: observation.at_ns)


def tenures(
    observations: Sequence[Observation], address: str, now_ns: int
) -> Mapping[str, list[Interval]]:
    """When each VM held an address and could be heard.

    Args:
        observations: Oldest first.
        address: Without its prefix length.
        now_ns: Where tenures end that have not ended.

    Returns:
        VM -> its intervals; a VM that never held the address is missing.
    """
    found: dict[str, list[Interval]] = {}
    for vm in {observation.vm for observation in observations}:
        own = [observation for observation in observations if observation.vm == vm]
        intervals = _tenures_of(own, address, now_ns)
        if intervals:
            found[vm] = intervals
    return found


def overlap_ns(held: Mapping[str, Iterable[Interval]]) -> int:
    """How long two VMs held the address at once, summed over all pairs of VMs."""
    return sum(
        one.shared_ns(other)
        for first, second in combinations(held.values(), 2)
        for one in first
        for other in second
    )


def _tenures_of(own: Iterable[Observation], address: str, now_ns: int) -> list[Interval]:
    held, heard = False, True
    since_ns: int | None = None
    intervals: list[Interval] = []
    for observation in own:
        match observation.event:
            case Event.ON:
                held, heard = False, True
            case Event.SILENT:
                held = False
            case Event.STUNNED:
                heard = False
            case Event.THAWED:
                heard = True
            case Event.ADDED:
                held = held or observation.address == address
            case Event.REMOVED:
                held = held and observation.address != address
        if held and heard and since_ns is None:
            since_ns = observation.at_ns
        elif not (held and heard) and since_ns is not None:
            intervals.append(Interval(since_ns, observation.at_ns))
            since_ns = None
    return intervals if since_ns is None else [*intervals, Interval(since_ns, now_ns)]
