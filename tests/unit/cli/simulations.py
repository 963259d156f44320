"""Findings of a few real runs of the example pair, made once for all tests of what is shown."""

import functools
from pathlib import Path

from standfast.cli.simulate_input import Told, case_of, choose, read
from standfast.cli.simulate_runs import Report, simulate
from standfast.simulator.scenario import Case, DeclaredFault, Verb

EXAMPLE = Path(__file__).parents[3] / "examples" / "01-web-pair"
SEED, RUNS = "unit", 3

CRASH = DeclaredFault(1_000, Verb.CRASH, "active")
LOST = (DeclaredFault(1_000, Verb.LOSE, "third"), DeclaredFault(2_000, Verb.CRASH, "vm-a"))


@functools.cache
def example() -> Case:
    declared = read([str(EXAMPLE)])
    return case_of(declared, choose(declared, None), Told({}, {}))


@functools.cache
def report(*scenarios: tuple[DeclaredFault, ...]) -> Report:
    """What the command would show of these scenarios."""
    findings = tuple(
        simulate(example(), faults, SEED, RUNS, lambda _: None) for faults in scenarios
    )
    return Report(example(), SEED, RUNS, ("Witness third is taken to exist.",), findings)
