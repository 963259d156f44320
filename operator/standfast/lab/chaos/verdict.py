"""What the observers saw in one run, judged: S2 for address and processes, S3 for writes. Pure.

Called by `campaign`. Times are CLOCK_BOOTTIME of this machine, on which all VMs run.

Rules. Two VMs spoke at once when a stretch of the one touches a stretch of the other, however
short; nothing excuses that, not even a stun. Processes and addresses in the kernel are judged for
as long as the guard of that node could act: a node whose guard was stopped has only the kernel's
own lease, which silences the address and ends no process, and what a stunned VM holds counts
again when it has been awake for `WAKE_NS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from standfast.lab.observe import Event, Interval, Observation

WAKE_NS = 250_000_000


@dataclass
class Seen:
    """What an observer saw.

    Args:
        spoke: VM -> when it spoke in the name of the address.
        ran: VM -> when processes of the unit were alive.
        asks: How often it asked.
        late: How often more than two milliseconds after the time before.
        worst_gap_ns: The longest time in which it did not look.
    """

    spoke: dict[str, list[Interval]] = field(default_factory=dict)
    ran: dict[str, list[Interval]] = field(default_factory=dict)
    asks: int = 0
    late: int = 0
    worst_gap_ns: int = 0


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two VMs did the same at once.

    Args:
        first: A VM.
        second: The other one.
        at: From when to when.
    """

    first: str
    second: str
    at: Interval

    def told(self) -> str:
        length_ms = (self.at.end_ns - self.at.begin_ns) / 1e6
        return f"{self.first} and {self.second} for {length_ms:.3f} ms from {self.at.begin_ns}"


def overlaps(found: Mapping[str, Iterable[Interval]]) -> list[Overlap]:
    """Every touch of two VMs' stretches, one of no length included."""
    touches = [
        Overlap(one, other, Interval(max(a.begin_ns, b.begin_ns), min(a.end_ns, b.end_ns)))
        for (one, mine), (other, theirs) in combinations(sorted(found.items()), 2)
        for a in mine
        for b in theirs
        if a.begin_ns <= b.end_ns and b.begin_ns <= a.end_ns
    ]
    return sorted(touches, key=lambda touch: touch.at)


def frozen(
    observations: Sequence[Observation], vm: str, now_ns: int, wake_ns: int = WAKE_NS
) -> list[Interval]:
    """When a VM stood still, and so long after that nobody blames it.

    Args:
        observations: Oldest first.
        vm: Its name.
        now_ns: The end of a stun that has not ended.
        wake_ns: How long it may take to notice that it was stunned.
    """
    found: list[Interval] = []
    since_ns: int | None = None
    for one in observations:
        if one.vm != vm:
            continue
        if one.event is Event.STUNNED:
            since_ns = one.at_ns if since_ns is None else since_ns
        elif since_ns is not None and one.event in {Event.THAWED, Event.SILENT, Event.ON}:
            found.append(Interval(since_ns, one.at_ns + wake_ns))
            since_ns = None
    if since_ns is not None:
        found.append(Interval(since_ns, now_ns + wake_ns))
    return found


def without(stretches: Iterable[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """What is left of some stretches without what lies in the holes."""
    left = list(stretches)
    for hole in holes:
        cut: list[Interval] = []
        for one in left:
            if hole.end_ns < one.begin_ns or one.end_ns < hole.begin_ns:
                cut.append(one)
                continue
            if one.begin_ns < hole.begin_ns:
                cut.append(Interval(one.begin_ns, hole.begin_ns - 1))
            if hole.end_ns < one.end_ns:
                cut.append(Interval(hole.end_ns + 1, one.end_ns))
        left = cut
    return left


def woke_ns(
    ran: Mapping[str, Iterable[Interval]], observations: Sequence[Observation]
) -> list[int]:
    """How long each unit lived on after its VM woke, where it then ended while another ran.

    Only where the other VM had begun meanwhile: one that was stunned for a moment goes on.
    """
    lived: list[int] = []
    for one in observations:
        if one.event is not Event.THAWED:
            continue
        others = [i for vm, all_ in ran.items() if vm != one.vm for i in all_]
        for stretch in ran.get(one.vm, ()):
            taken = any(o.begin_ns < one.at_ns < o.end_ns for o in others)
            if taken and stretch.begin_ns < one.at_ns < stretch.end_ns:
                lived.append(stretch.end_ns - one.at_ns)
    return lived


def judge(
    seen: Seen,
    held: Mapping[str, list[Interval]],
    observations: Sequence[Observation],
    *,
    hampered: frozenset[str],
    exclusive_processes: bool,
    now_ns: int,
    stays: str = "",
) -> list[str]:
    """What was wrong in a run, as sentences.

    Args:
        seen: By the observer.
        held: VM -> when its kernel had the address.
        observations: What happened to the VMs in the run, oldest first.
        hampered: VMs whose guard was stopped, frozen or killed.
        exclusive_processes: Whether the unit may run on one node only.
        now_ns: The end of the run.
        stays: Who was active, where nothing happened that needs a take-over; empty where it did.
    """
    wrong = [f"two spoke: {touch.told()}" for touch in overlaps(seen.spoke)]
    holes = {vm: frozen(observations, vm, now_ns) for vm in (*seen.ran, *held)}
    kept = {vm: without(rows, holes[vm]) for vm, rows in held.items() if vm not in hampered}
    wrong += [f"two kernels held the address: {touch.told()}" for touch in overlaps(kept)]
    if exclusive_processes:
        ran = {vm: without(rows, holes[vm]) for vm, rows in seen.ran.items() if vm not in hampered}
        wrong += [f"two ran: {touch.told()}" for touch in overlaps(ran)]
    if stays:
        moved = sorted(vm for vm, words in seen.spoke.items() if vm != stays and words)
        wrong += [f"taken over without need: {vm} spoke, and {stays} was active" for vm in moved]
    return wrong
