"""Many runs of each scenario, and what they say together: outages, takeovers, losses, promises.

A run is told by its seed; the same seed gives the same run, so that any of them can be looked at
again. Figures are counted, never estimated: of 100 runs the 99th percentile is the second longest.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from standfast.simulator.directed import play
from standfast.simulator.scenario import Case, DeclaredFault, Run, Why

Progress = Callable[[int], None]
"""Told how many more runs are done."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A distribution of outages, in milliseconds."""

    min_ms: int
    median_ms: int
    p99_ms: int
    max_ms: int

    @classmethod
    def of(cls, outages: Sequence[int]) -> "Figures | None":
        if not outages:
            return None
        ordered = sorted(outages)
        rank = max(math.ceil(len(ordered) * 0.99) - 1, 0)
        return cls(ordered[0], int(statistics.median(ordered)), ordered[rank], ordered[-1])


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which runs ended.

    Attributes:
        node: Who serves in the end; none: nobody.
        moved: Whether that is another node than before.
        proof: What the takeover rested on.
        why: Why nobody serves, in the words of the first such run.
        runs: How many ended so.
    """

    node: str | None
    moved: bool
    proof: str
    why: Why | None
    runs: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All runs of one scenario.

    Attributes:
        faults: What was done, in order.
        outage: Of the runs in which service came back.
        back: How many those are.
        endings: How runs ended, the most frequent first.
        refused: Why a switchover was refused, in any run.
        broken: Runs in which a promise was broken.
        losing: Runs in which acknowledged writes were lost.
        typical: The run in the middle, with its story and picture.
        worst: Seed of the longest outage, or of a run without return.
    """

    faults: tuple[DeclaredFault, ...]
    runs: int
    outage: Figures | None
    back: int
    endings: tuple[Ending, ...]
    refused: Why | None
    broken: tuple[Run, ...]
    losing: int
    lost_writes_max: int
    both_ms_max: int
    typical: Run
    worst: str

    @property
    def title(self) -> str:
        return ", then ".join(str(fault) for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Report:
    """All scenarios of one cluster."""

    case: Case
    seed: str
    runs: int
    remarks: tuple[str, ...]
    findings: tuple[Findings, ...]

    @property
    def violations(self) -> int:
        return sum(len(found.broken) for found in self.findings)

    @property
    def runs_total(self) -> int:
        return sum(found.runs for found in self.findings)


def seeds(base: str, runs: int) -> list[str]:
    """`base-0`, `base-1` and so on; a single run is the base itself, to look at one again."""
    return [base] if runs == 1 else [f"{base}-{number}" for number in range(runs)]


def simulate(
    case: Case, faults: Sequence[DeclaredFault], base: str, runs: int, progress: Progress
) -> Findings:
    """Run one scenario so often."""
    done: list[Run] = []
    for seed in seeds(base, runs):
        done.append(play(case, faults, seed))
        progress(1)
    return gathered(case, tuple(faults), done)


def gathered(case: Case, faults: tuple[DeclaredFault, ...], done: Sequence[Run]) -> Findings:
    """What these runs say together."""
    outages = [run.outage_ms for run in done if run.outage_ms is not None]
    return Findings(
        faults=faults,
        runs=len(done),
        outage=Figures.of(outages),
        back=len(outages),
        endings=_endings([run for run in done if run.violation is None]),
        refused=next((run.refused for run in done if run.refused is not None), None),
        broken=tuple(run for run in done if run.violation is not None),
        losing=sum(run.lost_writes > 0 for run in done),
        lost_writes_max=max(run.lost_writes for run in done),
        both_ms_max=max(run.both_ms for run in done),
        typical=play(case, faults, _typical(done).seed, traced=True),
        worst=max(done, key=_length).seed,
    )


def _length(run: Run) -> float:
    return math.inf if run.outage_ms is None else run.outage_ms


def _typical(done: Sequence[Run]) -> Run:
    """The run in the middle; the first broken one where a promise was broken."""
    broken = next((run for run in done if run.violation is not None), None)
    ordered = sorted(done, key=lambda run: (_length(run), run.seed))
    return broken or ordered[len(ordered) // 2]


def _endings(done: Sequence[Run]) -> tuple[Ending, ...]:
    kinds: dict[tuple[object, ...], list[Run]] = {}
    for run in done:
        reason = run.nobody.reason if run.nobody is not None else None
        kinds.setdefault((run.after, run.after != run.before, run.proof, reason), []).append(run)
    found = [
        Ending(
            node=runs[0].after,
            moved=runs[0].after is not None and runs[0].after != runs[0].before,
            proof=runs[0].proof,
            why=runs[0].nobody,
            runs=len(runs),
        )
        for runs in kinds.values()
    ]
    return tuple(sorted(found, key=lambda ending: -ending.runs))
