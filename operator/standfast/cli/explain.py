"""`kubectl standfast explain`: why a cluster is as it is, and what to do next."""

from datetime import UTC, datetime

import click

from standfast.api.cluster import HACluster
from standfast.api.resource import HAResource
from standfast.cli import options, text
from standfast.cli import output as data
from standfast.cli.client import Api
from standfast.cli.render_explain import explanation, explanation_data


@click.command(
    cls=options.Command,
    short_help="Say why a cluster is as it is.",
    examples=(
        ("Why it is as it is, and what to do", "explain web"),
        ("What is wrong, for a script", "explain web -o json | jq '.wrong'"),
    ),
)
@options.cluster
@options.output
@options.connected
def explain(api: Api, cluster: str, *, output: str | None) -> None:
    """Say why CLUSTER is as it is, in sentences, with what to do next.

    Who serves and since when, what the operator is doing or waits for, what is wrong with its
    remedy, what nobody knows, what holds, and what would happen next: if the active node died, by
    which proof a standby would start, where service goes by itself.
    """
    found = api.get(HACluster, cluster)
    resources, now = api.of_cluster(HAResource, cluster), datetime.now(UTC)
    if output:
        click.echo(data.dumped(explanation_data(found, now), output), nl=False)
    else:
        text.console().print(explanation(found, resources, now))
