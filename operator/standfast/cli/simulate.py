"""`kubectl standfast simulate`: what would happen to one's own cluster, without a machine.

Reads manifests, not the API server: it needs neither a cluster nor a kubeconfig. The members run
the real core; see `standfast.simulator`.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from standfast.api.scalars import duration_ms
from standfast.cli import options, text
from standfast.cli.output import dumped
from standfast.errors import RefusedError, StandfastError, UserError

if TYPE_CHECKING:
    from standfast.cli.simulate_runs import Report
    from standfast.simulator.scenario import Case

RUNS, RUNS_EACH = 1_000, 100
"""Of the declared faults; of each fault of the standard set."""

_FAULTS_HELP = """\b
Faults, each with [at TIME] and, where it lasts, [for TIME]:
  crash MEMBER            its guest dies; vCenter shows it powered on
  power-off NODE          somebody powers its VM off; vCenter tells
  host-down NODE          its host dies; vCenter loses contact with it
  reboot NODE             it restarts in order
  stun NODE for TIME      its hypervisor stops it, as for a snapshot
  isolate MEMBER          it loses every network
  cut MEMBER MEMBER       two members do not hear each other
  kill RESOURCE           it dies on the active node
  kill-agent NODE         its agent dies and is restarted
  lose NAME               a witness, vcenter or operator is gone
  switchover [to NODE]    a planned move
  heal                    what lasts ends; what is down boots
NODE may be active or standby: whoever that is at that moment. A MEMBER is
a node or a witness. Several --fault happen in the same run, 5 s apart
unless they say when. Without --fault, one each of a standard set is
simulated. TIME is 500ms, 5s, 1m30s.

\b
Exit codes: 0 service came back in every run; 1 it did not, or later than
--outage-max, or a promise was broken; 2 wrong input; 3 the members would
refuse a declared switchover.
"""


@click.command(
    cls=options.Command,
    short_help="Say what faults would do to a manifest, without machines.",
    epilog=_FAULTS_HELP,
    examples=(("The pair of the examples", "simulate -f examples/01-web-pair"),),
)
@click.option("-f", "--filename", "files", metavar="FILE", multiple=True, required=True,
              help="Manifest, directory, or - for standard input; may be repeated.")  # fmt: skip
@click.option("--fault", "faults", metavar="FAULT", multiple=True,
              help="What happens: 'crash orders-a at 5s'; may be repeated.")  # fmt: skip
@click.option("--cluster", metavar="NAME", help="Which, when the files hold several.")
@click.option("--runs", type=click.IntRange(1, 1_000_000),
              help=f"How often; {RUNS} of the declared faults, {RUNS_EACH} of each of the "
              "standard set when absent.")  # fmt: skip
@click.option("--seed", help="Chance; the same seed gives the same runs. Drawn when absent.")
@click.option("--start-time", "starts", metavar="NAME=TIME", multiple=True,
              help="How long a resource takes to start: web=800ms, web=500ms-2s.")  # fmt: skip
@click.option("--stop-time", "stops", metavar="NAME=TIME", multiple=True,
              help="How long it takes to stop.")  # fmt: skip
@click.option("--outage-max", metavar="TIME", help="Exit 1 when an outage is longer than this.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Draw the typical run of each fault as a timeline.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text",
              show_default=True, help="Data instead of text, for programs.")  # fmt: skip
def simulate(
    *,
    files: tuple[str, ...],
    faults: tuple[str, ...],
    cluster: str | None,
    runs: int | None,
    seed: str | None,
    starts: tuple[str, ...],
    stops: tuple[str, ...],
    outage_max: str | None,
    picture: Path | None,
    output: str,
) -> None:
    """Say what faults would do to the cluster of a manifest, how long, and what would be lost.

    What members, resources and operator decide is what the real ones would, with the declared
    timers; machines and network are simulated. Nothing is touched and no cluster is needed.
    """
    from standfast.cli import simulate_input as given

    limit_ms = _length("--outage-max", outage_max)
    _check_picture(picture)
    declared = given.read(files)
    chosen = given.choose(declared, cluster)
    told = given.Told(given.spans(starts, "--start-time"), given.spans(stops, "--stop-time"))
    case = given.case_of(declared, chosen, told)
    report = _simulated(case, faults, runs, seed or secrets.token_hex(3))
    report = replace(report, remarks=tuple(given.remarks(declared, chosen)))
    _show(report, output)
    _draw(report, picture)
    _judge(report, limit_ms)


def _simulated(case: "Case", faults: tuple[str, ...], runs: int | None, seed: str) -> "Report":
    """Run the declared faults together, or each of the standard set by itself."""
    from standfast.cli.simulate_faults import parse_faults
    from standfast.cli.simulate_runs import Report, simulate
    from standfast.simulator.scenario import standard

    scenarios = [parse_faults(faults, case)] if faults else [(f,) for f in standard(case)]
    each = runs or (RUNS if faults else RUNS_EACH)
    with _progress(len(scenarios) * each) as advance:
        findings = tuple(simulate(case, scenario, seed, each, advance) for scenario in scenarios)
    return Report(case, seed, each, (), findings)


def _length(option: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return duration_ms(value)
    except ValueError as error:
        raise UserError(f"{option}: {error}", remedy=f"{option} 3s") from error


def _check_picture(picture: Path | None) -> None:
    if picture is None or picture.suffix == ".svg":
        return
    raise UserError(
        f"--picture {picture}: a picture is written as .svg; other formats would need a program "
        "to draw the letters",
        remedy=f"--picture {picture.with_suffix('.svg')}, then rsvg-convert or any browser",
    )


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, on standard error; nothing anywhere else."""
    said = text.console(sys.stderr)
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=said, transient=True, disable=not said.is_terminal) as bar:
        task = bar.add_task("runs", total=runs)
        yield lambda done: bar.advance(task, done)


def _show(report: "Report", output: str) -> None:
    from standfast.cli import render_simulate as render
    from standfast.cli.render_simulate_data import as_data

    if output != "text":
        click.echo(dumped(as_data(report), output), nl=False)
        return
    text.console().print(render.report(report))
    if len(report.findings) == 1:
        click.echo("\n" + render.story(report.findings[0], report.case), nl=False)
    else:
        click.echo("\nAs a story: the same command with --fault 'crash active'")


def _draw(report: "Report", picture: Path | None) -> None:
    from standfast.cli.render_simulate_svg import drawn

    if picture is None:
        return
    try:
        picture.write_text(drawn(report), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--picture {picture} cannot be written: {error.strerror}",
            remedy="--picture FILE.svg in a directory that exists and is yours",
        ) from error
    click.echo(f"picture: {picture}", err=True)


def _judge(report: "Report", limit_ms: int | None) -> None:
    """End with what a pipeline must not pass over.

    Raises:
        RefusedError: A declared switchover would be refused.
        StandfastError: A promise was broken, service stays away, or it stays away too long.
    """
    if report.violations:
        raise StandfastError(
            f"a promise was broken in {report.violations} runs: this is a fault of Standfast",
            remedy="report it with the manifest and the seed",
        )
    away = [found for found in report.findings if found.back < found.runs]
    if away:
        named = "; ".join(f"{f.title} ({f.runs - f.back} of {f.runs} runs)" for f in away)
        raise StandfastError(f"service does not come back after: {named}")
    slow = [f for f in report.findings if f.outage and limit_ms and f.outage.max_ms > limit_ms]
    if slow:
        named = "; ".join(f"{f.title} ({f.outage.max_ms} ms)" for f in slow if f.outage)
        raise StandfastError(f"the outage is longer than {limit_ms} ms after: {named}")
    refused = next((f.refused for f in report.findings if f.refused), None)
    if refused is not None:
        raise RefusedError(f"the switchover is refused: {refused.message}", remedy=refused.remedy)
