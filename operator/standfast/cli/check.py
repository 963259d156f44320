"""`kubectl standfast check`: everything that can be verified before it is needed."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Group, RenderableType
from rich.text import Text

from standfast.api.cluster import HACluster
from standfast.api.infrastructure import Infrastructure
from standfast.api.resource import HAResource
from standfast.api.witness import Witness
from standfast.cli import checks, options, simulate_input, text
from standfast.cli import output as data
from standfast.cli.checks import Finding, Level
from standfast.cli.client import Api
from standfast.errors import TransientError, UserError

_STYLE = {Level.OK: "good", Level.WARNING: "warn", Level.UNKNOWN: "warn", Level.FAILED: "bad"}


@click.command(
    cls=options.Command,
    short_help="Verify what can be verified before it is needed.",
    examples=(
        ("Manifests, before they are applied; needs no cluster", "check -f examples/01-web-pair"),
        ("A running cluster: rights, paths, votes, certificates", "check web"),
        ("For a script", "check web -o json"),
    ),
)
@options.cluster_or_none
@click.option(
    "-f", "--file", "files", multiple=True, metavar="FILE", help="Manifests, a directory, or -."
)
@options.output
@options.connected_later
def check(
    api: options.Connect, cluster: str | None, *, files: Sequence[str], output: str | None
) -> None:
    """Verify CLUSTER, or what files declare, before it is needed.

    From files: each object as the API server would admit it, and what it cannot see in one object:
    references, order, votes, timers. Of a running cluster: rights, paths, votes, proofs,
    certificates, versions, as its members and its infrastructure say now. A claim that nothing has
    measured fails: unknown is not good.
    """
    if bool(files) == (cluster is not None):
        raise UserError(
            "check needs one of CLUSTER and -f FILE",
            remedy="kubectl standfast check web; or kubectl standfast check -f FILE",
        )
    found = _of_files(files) if cluster is None else {cluster: _of_cluster(api(), cluster)}
    if output:
        click.echo(data.dumped(as_data(found), output), nl=False)
    else:
        text.console().print(screen(found))
    failed = [name for name, findings in found.items() if checks.has_failed(findings)]
    if failed:
        raise TransientError(f"{', '.join(failed)} did not pass", remedy="see what failed above")


def _of_files(files: Sequence[str]) -> dict[str, list[Finding]]:
    read = simulate_input.read(files)
    if not read.clusters:
        raise UserError(
            f"{', '.join(files)} declares no HACluster, so there is nothing to check",
            remedy="-f the directory with all manifests of the cluster",
        )
    return {
        cluster.metadata.name: checks.declared(
            cluster,
            [r for r in read.resources if r.spec.cluster_ref.name == cluster.metadata.name],
            [witness.metadata.name for witness in read.witnesses],
            [each.metadata.name for each in read.infrastructures],
        )
        for cluster in read.clusters
    }


def _of_cluster(api: Api, name: str) -> list[Finding]:
    cluster = api.get(HACluster, name)
    witnesses, infrastructures = api.all_of(Witness), api.all_of(Infrastructure)
    votes = {ref.name for ref in cluster.spec.witnesses}
    refs = [cluster.spec.infrastructure_ref, *(n.infrastructure_ref for n in cluster.spec.nodes)]
    used = {ref.name for ref in refs if ref is not None}
    return [
        *checks.declared(
            cluster,
            api.of_cluster(HAResource, name),
            [each.metadata.name for each in witnesses],
            [each.metadata.name for each in infrastructures],
        ),
        *checks.running(
            cluster,
            [each for each in infrastructures if each.metadata.name in used],
            [each for each in witnesses if each.metadata.name in votes],
            datetime.now(UTC),
        ),
    ]


def screen(found: dict[str, list[Finding]]) -> RenderableType:
    """Return what was found as text: one table for each cluster, remedies below what failed."""
    parts: list[RenderableType] = []
    for name, findings in found.items():
        table = text.columns("RESULT", "CHECK", "FOUND", folding=frozenset({"CHECK", "FOUND"}))
        for each in findings:
            said = f"{each.message}\nfix: {each.remedy}" if each.remedy else each.message
            table.add_row(Text(each.level.value, style=_STYLE[each.level]), each.what, said)
        parts += [Text(name, style="name"), table, ""]
    return Group(*parts[:-1])


def as_data(found: dict[str, list[Finding]]) -> dict[str, object]:
    """Return what was found for programs."""
    return {
        name: {
            "passed": not checks.has_failed(findings),
            "findings": [
                {
                    "result": each.level.value,
                    "check": each.what,
                    "message": each.message,
                    "remedy": each.remedy,
                }
                for each in findings
            ],
        }
        for name, findings in found.items()
    }
