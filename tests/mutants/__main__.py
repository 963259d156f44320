"""Plant every bug, see what catches it, print the table.

Each bug lives in a process of its own, in memory: the checkout is never changed. Its directed unit
tests look first, then all of the protocol, then the simulator. `--full` measures the simulator for
every bug, also where a unit test caught it already; `--only` names some.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue import ALL
from tests.mutants.hunting import Catch, Hunt, directed_tests, hunt, prepare

SEEDS_MAX = 400
"""How many seeds the simulator may use for one bug."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="names of bugs")
    parser.add_argument("--full", action="store_true", help="measure the simulator for all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX)
    parser.add_argument("--table", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--no-unit", action="store_true", help="the simulator alone")
    chosen = parser.parse_args(arguments)
    mutants = [m for m in ALL if chosen.only is None or m.name in chosen.only]
    directed = directed_tests()
    orders = [
        Hunt(m, directed.get(m.name, ()), chosen.seeds, chosen.full, not chosen.no_unit)
        for m in mutants
    ]
    prepare()
    catches: list[Catch] = []
    with multiprocessing.get_context("fork").Pool(chosen.jobs, maxtasksperchild=1) as pool:
        for catch in pool.imap(hunt, orders, chunksize=1):
            tell(catch)
            catches.append(catch)
    if chosen.table is not None:
        chosen.table.write_text(table(catches, chosen.seeds))
    for catch in catches:
        if not catch.caught:
            why = catch.stale or "nothing noticed it"
            sys.stdout.write(f"NOT CAUGHT: {catch.mutant.name} ({catch.mutant.rule}): {why}\n")
    sys.stdout.write(f"caught {sum(c.caught for c in catches)} of {len(catches)}\n")
    return 0 if all(catch.caught for catch in catches) else 1


def table(catches: Sequence[Catch], seeds: int) -> str:
    """What caught each bug, as Markdown."""
    rows = [
        "# Planted bugs, and what catches them",
        "",
        "Written by `python -m tests.mutants --full --table FILE`; the entries",
        "are in `catalogue.py`. † marks rules that an earlier text of the protocol lacked. A dash",
        f"under the simulator means: nothing in {seeds} seeds, most often because members that",
        "keep the other rules never get into the situation, or because another rule covers for",
        "this one.",
        "",
        "| bug | rule | in | unit test | simulator: broken promise, seeds needed |",
        "|---|---|---|---|---|",
    ]
    for catch in catches:
        mutant = catch.mutant
        dagger = " †" if mutant.dagger else ""
        found = f"{catch.simulator}, {catch.seeds}" if catch.simulator else "-"
        unit = f"`{catch.unit}`" if catch.unit else "-"
        rows.append(
            f"| {mutant.name}{dagger} | {mutant.rule} | `{mutant.module}` | {unit} | {found} |"
        )
    by_unit = sum(bool(catch.unit) for catch in catches)
    by_simulator = sum(bool(catch.simulator) for catch in catches)
    by_nothing = sum(not catch.caught for catch in catches)
    total = f"{len(catches)} bugs: {by_unit} caught by unit tests, {by_simulator} by the simulator"
    rows += ["", f"{total}, {by_nothing} by nothing.", ""]
    return "\n".join(rows)


def tell(catch: Catch) -> None:
    unit = catch.unit or "-"
    if catch.unit and not catch.directed:
        unit += " (not by its row's tests)"
    simulator = f"{catch.simulator} after {catch.seeds}" if catch.simulator else "-"
    if catch.seeds and not catch.simulator:
        simulator = f"nothing in {catch.seeds}"
    dagger = "†" if catch.mutant.dagger else " "
    took = f"{catch.took_s:.1f} s"
    sys.stdout.write(
        f"{dagger} {catch.mutant.name:44} {took:>7} simulator: {simulator:20} unit: {unit}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
