"""Many seeds, on several cores: the big run, its figures and its last line.

Called by `python -m standfast.simulator run` and by `tests/simulation`. A failing seed is shrunk
and told as a story; the run goes on to its end, so that one look shows all that is broken.
"""

import itertools
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from standfast.simulator.checkers import Violation
from standfast.simulator.coverage import watched
from standfast.simulator.draw import plan_for
from standfast.simulator.world import World

CHUNK = 16
"""Seeds per piece of work handed to a process."""

WATCHED_EVERY = 8
"""One run of so many counts which rules it asks, and takes a little longer for it."""


@dataclass(slots=True)
class Tally:
    """Figures of many runs, added up; `planned` faults are those that befell no mere message."""

    seeds: int = 0
    faults: int = 0
    planned: int = 0
    events: int = 0
    simulated_ms: int = 0
    recovered_ms: list[int] = field(default_factory=list)
    lost_writes: int = 0
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[tuple[str, Violation]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.seeds += other.seeds
        self.faults += other.faults
        self.planned += other.planned
        self.events += other.events
        self.simulated_ms += other.simulated_ms
        self.recovered_ms += other.recovered_ms
        self.lost_writes += other.lost_writes
        self.coverage.update(other.coverage)
        self.violations += other.violations

    def last_line(self) -> str:
        return f"faults={self.faults} seeds={self.seeds} violations={len(self.violations)}"


def run_seeds(seeds: list[str]) -> Tally:
    """Run these, one after the other."""
    tally = Tally()
    for number, seed in enumerate(seeds):
        if number % WATCHED_EVERY:
            outcome = World(plan_for(seed)).run()
        else:
            with watched(tally.coverage):
                outcome = World(plan_for(seed)).run()
        tally.seeds += 1
        tally.planned += outcome.planned
        tally.faults += outcome.faults
        tally.events += outcome.events
        tally.simulated_ms += outcome.at_ms
        tally.lost_writes += outcome.lost_writes
        tally.coverage.update(outcome.coverage.total())
        if outcome.recovered_ms is not None:
            tally.recovered_ms.append(outcome.recovered_ms)
        if outcome.violation is not None:
            tally.violations.append((seed, outcome.violation))
    return tally


def seeds_of(base: str, seeds_max: int | None = None) -> Iterator[list[str]]:
    """`base-0`, `base-1` and so on, in pieces; without end, or this many."""
    numbers = itertools.count() if seeds_max is None else iter(range(seeds_max))
    while piece := [f"{base}-{number}" for number in itertools.islice(numbers, CHUNK)]:
        yield piece


def campaign(base: str, jobs: int, seeds_max: int | None = None) -> Generator[Tally, None, None]:
    """Run the seeds of a base; yields what has come together after each piece.

    The order in which pieces end depends on the machine, their contents do not. Closing the
    iterator ends it.

    Args:
        base: What the seeds are drawn from.
        jobs: Processes.
        seeds_max: How many; for ever when it is None.
    """
    total = Tally()
    pieces = seeds_of(base, seeds_max)
    if jobs == 1:
        for piece in pieces:
            total.add(run_seeds(piece))
            yield total
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[Tally]] = {
            pool.submit(run_seeds, piece) for piece in itertools.islice(pieces, jobs)
        }
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    total.add(future.result())
                    waiting |= {
                        pool.submit(run_seeds, piece) for piece in itertools.islice(pieces, 1)
                    }
                yield total
        finally:
            for future in waiting:
                future.cancel()
