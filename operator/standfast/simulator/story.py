"""A run told so that a person can follow it: one column per place, time going down.

Used for failing seeds by `tests/simulation` and for a user's own cluster by `kubectl standfast
simulate`.
"""

from collections.abc import Iterable, Sequence

from standfast.simulator.plan import Plan
from standfast.simulator.world import Note, Outcome

COLUMN = 34
"""Width of one column of the table."""


def tell(plan: Plan, outcome: Outcome, *, last: int | None = None) -> str:
    """The whole story: who takes part, what was done to them, what they did, how it ended.

    Args:
        plan: What was run.
        outcome: What came of it; its notes are there if the run was traced.
        last: Only so many notes before the end; all of them without it.
    """
    lines = [f"seed {plan.seed}", *_cast(plan), ""]
    notes = outcome.notes if last is None else outcome.notes[-last:]
    lines += table(notes, [machine.name for machine in (*plan.machines, *plan.spares)])
    lines += ["", _ending(outcome)]
    return "\n".join(lines)


def _cast(plan: Plan) -> Iterable[str]:
    timing = plan.timing
    yield (
        f"data {plan.data.value}, ttl {timing.ttl_ms} ms, guard {timing.guard_ms} ms, heartbeat "
        f"{timing.heartbeat_ms} ms, tick {timing.tick_ms} ms, stop budget "
        f"{timing.stop_budget_ms} ms, drift {timing.drift_ppm} ppm"
    )
    for name in plan.stores:
        yield f"  {name}: a store that votes by conditional writes"
    for machine in plan.machines:
        rate = machine.rate_ppm - 1_000_000
        clock = f"clock {rate:+d} ppm" + (", told of stuns" if machine.hypervisor_clock else "")
        watchdog = f", watchdog {machine.watchdog_ms} ms" if machine.watchdog_ms else ""
        yield f"  {machine.name} ({machine.kind.value}): {clock}{watchdog}"
    network = plan.network
    yield (
        f"  network: {network.delay_us_min} to {network.delay_us_min + network.delay_us_spread} "
        f"µs; per mille lost {network.lost_per_mille}, doubled {network.copied_per_mille}, late "
        f"{network.late_per_mille} (by up to {network.late_us_max // 1000} ms)"
    )
    yield f"  {len(plan.faults)} faults:"
    for fault in plan.faults:
        yield f"    {fault.text()}"


def table(notes: Sequence[Note], names: Sequence[str]) -> list[str]:
    """One row per moment and place; what does not belong to a machine spans all columns."""
    used = [name for name in names if any(note.who == name for note in notes)]
    used += sorted({n.who for n in notes if "~" in n.who})
    rows = ["".join(["ms".rjust(11), "  ", *(name.ljust(COLUMN) for name in used)]).rstrip()]
    for note in notes:
        stamp = f"{note.at_us / 1000:11.3f}  "
        if note.who not in used:
            rows.append(f"{stamp}--- {note.who}: {note.text}")
            continue
        indent = " " * (COLUMN * used.index(note.who))
        for number, part in enumerate(_wrapped(note.text, COLUMN - 2)):
            rows.append((stamp if number == 0 else " " * 13) + indent + part)
    return rows


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _ending(outcome: Outcome) -> str:
    if outcome.violation is not None:
        return f"BROKEN {outcome.violation.text()}"
    return (
        f"All was well {outcome.recovered_ms} ms after the last fault; {outcome.faults} faults in "
        f"{outcome.at_ms} ms."
    )
