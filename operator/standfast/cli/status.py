"""`kubectl standfast status`: one cluster on one screen, or all of them as a table."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import click
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from standfast.api.cluster import HACluster
from standfast.api.resource import HAResource
from standfast.cli import options, output, text
from standfast.cli.client import Api
from standfast.cli.render_status import cluster_screen, clusters_table
from standfast.errors import TransientError

_EVERY_S = 1.0


@click.command(
    cls=options.Command,
    short_help="Show clusters, or one on one screen.",
    examples=(
        ("All clusters of this namespace", "status"),
        ("One of them, redrawn in place", "status web -w"),
        ("For a script", "status web -o json | jq -r '.items[0].status.active'"),
    ),
)
@options.cluster_or_none
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Clusters of all namespaces.")
@options.output
@options.connected
def status(
    api: Api, cluster: str | None, *, watch: bool, all_namespaces: bool, output: str | None
) -> None:
    """Show CLUSTER on one screen, or all clusters as a table.

    With -w it is redrawn in place on a terminal, as much of it as there is room for. Into a pipe,
    or where nothing can be redrawn (TERM=dumb), it is written again when something has changed.
    """
    if output:
        click.echo(_data(api, cluster, everywhere=all_namespaces, form=output), nl=False)
    elif watch:
        _follow(lambda: _screen(api, cluster, everywhere=all_namespaces))
    else:
        text.console().print(_screen(api, cluster, everywhere=all_namespaces))


def _screen(api: Api, name: str | None, *, everywhere: bool) -> RenderableType:
    now = datetime.now(UTC)
    if name is None:
        clusters = api.all_of(HACluster, everywhere=everywhere)
        if not clusters:
            where = "any namespace" if everywhere else f"namespace {api.namespace}"
            return Text(f"No clusters in {where}.")
        return clusters_table(clusters, now, wide=everywhere)
    cluster = api.get(HACluster, name)
    return cluster_screen(cluster, api.of_cluster(HAResource, name), now)


def _data(api: Api, name: str | None, *, everywhere: bool, form: str) -> str:
    if name is None:
        return output.dumped(output.as_list(api.all_of(HACluster, everywhere=everywhere)), form)
    cluster = api.get(HACluster, name)
    return output.dumped(output.as_list([cluster, *api.of_cluster(HAResource, name)]), form)


def _follow(screen: Callable[[], RenderableType]) -> None:
    """Show the screen again and again; an API server that does not answer is said and awaited."""
    console = text.console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        _follow_in_pipe(screen)
        return
    # What does not fit is cut off: from above the screen no cursor brings a line back.
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            live.update(_or_fault(screen), refresh=True)
            time.sleep(_EVERY_S)


def _follow_in_pipe(screen: Callable[[], RenderableType]) -> None:
    before = ""
    while True:
        shown = text.plain(_or_fault(screen))
        if shown != before:
            click.echo(("---\n" if before else "") + shown, nl=False)
            before = shown
        time.sleep(_EVERY_S)


def _or_fault(screen: Callable[[], RenderableType]) -> RenderableType:
    try:
        return screen()
    except TransientError as error:
        return Text(str(error), style="warn")
