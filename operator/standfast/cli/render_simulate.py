"""A simulation for people: outages of each fault, what becomes of data, one run told. Pure.

The story of a run is the simulator's own table (`simulator.story`), so that a failing seed of the
test suite and a person's own cluster read alike.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from standfast.cli import text
from standfast.cli.simulate_runs import Ending, Findings, Report
from standfast.core.record import DataMode
from standfast.simulator.scenario import Case, Run, Span, Thing
from standfast.simulator.story import table

PROMISES = "S1 to S4"
"""What the checkers watch: one holder, nothing twice, no acknowledged write lost, terms."""

BROKEN_SHOWN = 5
"""How many broken runs of one fault are named."""

STANDING_STILL = (
    "A node that its hypervisor had stopped answers until its kernel and agent have run again: "
    "clients that reach it in that moment are sent away."
)


def report(shown: Report) -> RenderableType:
    """Everything except the story."""
    parts: list[RenderableType] = [_head(shown), "", _distribution(shown.findings)]
    for found in shown.findings:
        parts += _particulars(found, alone=len(shown.findings) == 1)
    parts += ["", Text(_data(shown)), _promises(shown)]
    parts += [Text(f"Assumed: {said}", style="quiet") for said in assumptions(shown.case)]
    parts += [Text(remark, style="warn") for remark in shown.remarks]
    return Group(*parts)


def story(found: Findings, case: Case) -> str:
    """The typical run, line by line; wider than a narrow screen."""
    run = found.typical
    lines = [
        f"A typical run (seed {run.seed}; {length(run)}):",
        *table(run.notes, case.member_names()),
    ]
    if run.violation is not None:
        lines.append(f"BROKEN {run.violation.text()}")
    return "\n".join(lines) + "\n"


def length(run: Run) -> str:
    """How long a run was without service, in words."""
    if run.outage_ms is None:
        return "service does not come back"
    return f"{outage(run.outage_ms)} without service" if run.outage_ms else "no outage"


def outage(ms: int) -> str:
    """A length of an outage, to the hundredth of a second."""
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1_000:.2f} s"


def assumptions(case: Case) -> Iterator[str]:
    """What the manifests do not say, each as a sentence with how to say it."""
    for thing in case.things:
        start, stop = _between(thing.start), _between(thing.stop)
        yield f"{thing.spec.name} starts in {start} and stops in {stop}{_hint(thing)}."
    assumed = case.assumed
    network = assumed.network
    fastest = network.delay_us_min / 1_000
    slowest = (network.delay_us_min + network.delay_us_spread) / 1_000
    yield f"a message takes {fastest:g} to {slowest:g} ms, and clocks drift as far as is allowed."
    told, off = _between(assumed.vcenter), _between(assumed.fence)
    yield f"vCenter tells of power after {told} and powers off in {off}."
    yield f"a VM boots in {_between(assumed.boot)}."


def _between(span: Span) -> str:
    unit, size = ("ms", 1) if span.high_ms < 1_000 else ("s", 1_000)
    if span.low_ms == span.high_ms:
        return f"{span.low_ms / size:g} {unit}"
    return f"{span.low_ms / size:g} to {span.high_ms / size:g} {unit}"


def _hint(thing: Thing) -> str:
    return "" if thing.is_address else f" (--start-time {thing.spec.name}=TIME)"


def _head(shown: Report) -> RenderableType:
    want = shown.case.want
    timing = want.timing
    witnesses = len(want.witnesses)
    voters = f"{len(want.nodes)} nodes, {witnesses} witness{'' if witnesses == 1 else 'es'}"
    each = f"{shown.runs} run{'' if shown.runs == 1 else 's'} of each fault"
    if len(shown.findings) == 1:
        each = f"{shown.runs} run{'' if shown.runs == 1 else 's'}"
    return Text.assemble(
        (want.name, "name"),
        f"  {voters}, data {want.data.value}, ttl {text.length(timing.ttl_ms)}, guard "
        f"{text.length(timing.guard_ms)}, heartbeat {text.length(timing.heartbeat_ms)}\n"
        f"{each}, seed {shown.seed}",
    )


def _distribution(findings: Sequence[Findings]) -> Table:
    titles = ("FAULT", "MIN", "MEDIAN", "P99", "MAX", "THEN")
    shown = text.columns(*titles, folding=frozenset({"FAULT", "THEN"}))
    for found in findings:
        figures = found.outage
        lengths = ["-"] * 4
        if figures is not None:
            every = (figures.min_ms, figures.median_ms, figures.p99_ms, figures.max_ms)
            lengths = [outage(ms) for ms in every]
        shown.add_row(found.title, *lengths, _then(found))
    return shown


def _then(found: Findings) -> Text:
    """Who has it in the end, and by which proof; with counts when it differs."""
    if found.broken and not found.endings:
        return Text("a promise is broken", style="bad")
    said = Text()
    for ending in found.endings:
        if said.plain:
            said.append(", ")
        said.append(_ending(found, ending), style="bad" if ending.node is None else "")
        if len(found.endings) > 1:
            said.append(f" ({ending.runs})")
    return said


def _ending(found: Findings, ending: Ending) -> str:
    if ending.node is None:
        return f"nobody: {ending.why.reason.value}" if ending.why is not None else "nobody"
    if ending.moved:
        return f"{ending.node} by {ending.proof}" if ending.proof else ending.node
    untouched = found.outage is not None and found.outage.max_ms == 0
    return f"{ending.node} goes on" if untouched else f"{ending.node} again"


def _particulars(found: Findings, *, alone: bool) -> Iterator[RenderableType]:
    """Why nobody serves, why a move is refused, what was broken; alone, how safe it is after."""
    for ending in found.endings:
        if ending.why is not None:
            told = f"\nAfter {found.title} nobody serves: {ending.why.message}."
            yield Text.assemble((told, "bad"), _fix(ending.why.remedy))
    if found.refused is not None:
        yield Text(f"\nThe switchover is refused: {found.refused.message}.", style="warn")
    if found.both_ms_max:
        yield Text(
            f"\nAfter {found.title} two nodes answered at once for up to {found.both_ms_max} ms. "
            f"{STANDING_STILL}"
        )
    if alone and found.typical.afterwards:
        yield Text(f"\nAfterwards: {found.typical.afterwards}")


def _fix(remedy: str) -> str:
    return f"\n  fix: {remedy}" if remedy else ""


def _data(shown: Report) -> str:
    """What becomes of acknowledged writes."""
    losing = sum(found.losing for found in shown.findings)
    match shown.case.want.data:
        case DataMode.NONE:
            return (
                "Data: None is declared, so nothing is carried over: what the application writes "
                "on a node's own disk stays on that node."
            )
        case DataMode.SHARED_DISK:
            return (
                "Data: both nodes use one disk, so what was written stays. A takeover waits until "
                "the old node is proven stopped."
            )
        case DataMode.REPLICATED | DataMode.REPLICATED_ASYNC:
            if not losing:
                return "Data: no acknowledged write was lost in any run."
            most = max(found.lost_writes_max for found in shown.findings)
            return (
                f"Data: acknowledged writes were lost in {losing} of {shown.runs_total} runs, up "
                f"to {most} in one."
            )


def _promises(shown: Report) -> Text:
    if not shown.violations:
        return Text(f"Promises: {PROMISES} held in all {shown.runs_total} runs.", style="good")
    lines = [f"Promises: BROKEN in {shown.violations} of {shown.runs_total} runs; please report:"]
    for found in shown.findings:
        lines += [
            f"  {found.title}, seed {run.seed}: {run.violation.text()}"
            for run in found.broken[:BROKEN_SHOWN]
            if run.violation is not None
        ]
    return Text("\n".join(lines), style="bad")
