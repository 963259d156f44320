"""`python -m standfast.simulator`: the big run, and one seed told as a story.

`run --faults N --seed S --jobs J` runs seeds until so many faults were injected; its last line is
`faults=… seeds=… violations=…`, and it fails on a violation or on a rule that was never exercised.
`tell --seed S` replays one seed; `--shrink` makes it smaller first.
"""

import argparse
import statistics
import sys
import time

from standfast.simulator.campaign import Tally, campaign
from standfast.simulator.coverage import expected, missing
from standfast.simulator.draw import BEYOND, plan_for
from standfast.simulator.shrink import shrunk, traced
from standfast.simulator.story import tell
from standfast.simulator.world import World

STORIES_MAX = 3
"""How many failing seeds are told at the end of a run."""

STORY_LINES = 60
"""How much of the end of each of them."""

FULL_COVERAGE_FAULTS = 500_000
"""From so many faults on, a rule that was never exercised fails the run."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m standfast.simulator", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="many seeds")
    run.add_argument("--faults", type=int, default=100_000)
    run.add_argument("--seconds", type=float, default=None, help="stop after so long")
    run.add_argument("--seed", default=None, help="base of the seeds; drawn without it")
    run.add_argument("--beyond", action="store_true", help="clocks break their bound: what breaks")
    run.add_argument("--jobs", type=int, default=2)
    run.add_argument("--coverage", action="store_true", help="print every counter")
    one = verbs.add_parser("tell", help="one seed as a story")
    one.add_argument("--seed", required=True)
    one.add_argument("--shrink", action="store_true")
    one.add_argument("--last", type=int, default=None, help="only so many lines of the table")
    chosen = parser.parse_args(arguments)
    if chosen.verb == "tell":
        return tell_one(chosen.seed, shrink=chosen.shrink, last=chosen.last)
    base = chosen.seed if chosen.seed is not None else f"{time.time_ns():x}"
    base = f"{BEYOND}{base}" if chosen.beyond else base
    return run_many(base, chosen.faults, chosen.jobs, chosen.seconds, verbose=chosen.coverage)


def run_many(
    base: str, faults: int, jobs: int, seconds: float | None, *, verbose: bool = False
) -> int:
    """The big run."""
    say(f"seed {base}: {faults} faults on {jobs} cores")
    began = time.monotonic()
    total = Tally()
    running = campaign(base, jobs)
    next_word = began + 10
    told = 0
    for total in running:
        now = time.monotonic()
        for seed, violation in total.violations[told:]:
            say(f"  seed {seed}: {violation.text()}")
        told = len(total.violations)
        if total.faults >= faults or (seconds is not None and now - began > seconds):
            break
        if now > next_word:
            next_word = now + 10
            say(f"  {now - began:.0f} s: {total.last_line()}")
    took = time.monotonic() - began
    running.close()
    return report(total, took, faults, verbose=verbose)


def report(total: Tally, took: float, faults: int, *, verbose: bool) -> int:
    """Figures, what was never exercised, stories of what broke, and the last line."""
    say(
        f"{total.simulated_ms / 3_600_000:.1f} simulated hours, {total.events} events in "
        f"{took:.0f} s: {total.faults / took:.0f} faults/s, {total.events / took:.0f} events/s"
    )
    say(
        f"{total.planned} faults befell machines, disks, links, operators, or were asked for at a "
        f"bad moment; {total.faults - total.planned} messages were lost, late or doubled by chance"
    )
    if total.recovered_ms:
        ordered = sorted(total.recovered_ms)
        say(
            f"from calm to all well: median {statistics.median(ordered):.0f} ms, 99 of 100 within "
            f"{ordered[len(ordered) * 99 // 100]} ms, longest {ordered[-1]} ms"
        )
    shown = len(list(expected())) - len(missing(total.coverage))
    say(f"exercised: {shown} rules, transitions, refusals, proofs, events, effects and faults")
    if verbose:
        for (family, name), times in sorted(total.coverage.items()):
            say(f"  {family:12} {name:40} {times}")
    for (family, name), times in sorted(total.coverage.items()):
        if family == "beyond":
            say(f"clocks broke their bound, and in {times} of {total.seeds} runs {name}")
    never = missing(total.coverage)
    if never:
        say("never exercised: " + ", ".join(f"{family} {name}" for family, name in never))
    for seed, violation in total.violations[:STORIES_MAX]:
        say(f"\n=== seed {seed}: {violation.text()}")
        tell_one(seed, shrink=True, last=STORY_LINES)
    for seed, violation in total.violations:
        replay = f"python -m standfast.simulator tell --seed {seed} --shrink"
        say(f"violated: {replay}  # {violation.text()}")
    say(total.last_line())
    incomplete = bool(never) and faults >= FULL_COVERAGE_FAULTS
    return 1 if total.violations or incomplete else 0


def tell_one(seed: str, *, shrink: bool, last: int | None) -> int:
    """One seed as a story."""
    plan = plan_for(seed)
    if shrink:
        outcome = World(plan).run()
        if outcome.violation is not None:
            plan = shrunk(plan, outcome.violation.promise)
    outcome = traced(plan)
    say(tell(plan, outcome, last=last))
    return 1 if outcome.violation is not None else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
