"""`kubectl standfast explain`: why a cluster is as it is, and what to do next."""

import click

from standfast.api.cluster import HACluster
from standfast.api.resource import HAResource
from standfast.cli import options, text
from standfast.cli.client import Api
from standfast.cli.render_explain import explanation


@click.command(short_help="Say why a cluster is as it is.")
@click.argument("cluster")
@options.connected
def explain(api: Api, cluster: str) -> None:
    """Say why CLUSTER is as it is, in sentences, with what to do next."""
    found = api.get(HACluster, cluster)
    text.console().print(explanation(found, api.of_cluster(HAResource, cluster)))
