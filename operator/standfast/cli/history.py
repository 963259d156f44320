"""`kubectl standfast history`: switchovers and failovers of a cluster, newest first."""

import click

from standfast.api.cluster import HACluster
from standfast.api.record import FailoverRecord
from standfast.api.switchover import Switchover
from standfast.cli import options, text
from standfast.cli import output as data
from standfast.cli.client import Api
from standfast.cli.render_history import history_table, moves, timelines


@click.command(
    cls=options.Command,
    short_help="List when and why service moved.",
    examples=(("A table", "history web"), ("Each with its steps", "history web --steps")),
)
@options.cluster
@click.option("--steps", is_flag=True, help="Each with its steps and their times.")
@options.output
@options.connected
def history(api: Api, cluster: str, *, steps: bool, output: str | None) -> None:
    """List when and why service of CLUSTER moved: switchovers and failovers."""
    api.get(HACluster, cluster)
    switchovers = api.of_cluster(Switchover, cluster)
    records = api.of_cluster(FailoverRecord, cluster)
    if output:
        click.echo(data.dumped(data.as_list([*switchovers, *records]), output), nl=False)
        return
    moved = moves(switchovers, records)
    if not moved:
        click.echo(f"Service of {cluster} has not moved since records are kept.")
        return
    text.console().print(timelines(moved) if steps else history_table(moved))
