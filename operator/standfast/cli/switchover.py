"""`kubectl standfast switchover`: asks for a planned move and follows it to its end."""

import sys
import time
from datetime import UTC, datetime

import click
from rich.live import Live

from standfast.api.base import LocalRef, ObjectMeta
from standfast.api.cluster import HACluster
from standfast.api.switchover import Switchover, SwitchoverSpec
from standfast.cli import options, text
from standfast.cli import output as data
from standfast.cli import render_switchover as render
from standfast.cli.client import Api
from standfast.errors import TransientError, UserError

_EVERY_S = 0.25
_TAKEN_UP_S = 30
_BEYOND_DEADLINE_S = 60


@click.command(
    cls=options.Command,
    short_help="Move service to another node, as planned.",
    examples=(
        ("Would it work, and how long would it take", "switchover web --dry-run"),
        ("Away from the active node", 'switchover web --reason "host maintenance"'),
        ("To a certain node, within ten minutes", "switchover web --to vm-b --deadline 10m"),
    ),
)
@options.cluster
@click.option(
    "--to",
    metavar="NODE",
    help="The node to move to; the most preferred when absent.",
    shell_complete=options.complete_node,
)
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--deadline", default="60s", show_default=True, help="Refused if not begun by then.")
@click.option("--dry-run", is_flag=True, help="Check only; nothing moves.")
@options.output
@options.connected
def switchover(
    api: Api,
    cluster: str,
    *,
    to: str | None,
    reason: str,
    deadline: str,
    dry_run: bool,
    output: str | None,
) -> None:
    """Move service of CLUSTER to another node, as planned.

    Creates a Switchover and follows it. Interrupting this command does not cancel it; deleting the
    Switchover while it is pending does. A refusal (exit code 3) has touched nothing.
    """
    _check_node(api.get(HACluster, cluster), to)
    asked = _asked(cluster, to, reason, deadline, dry_run=dry_run)
    made = api.create(asked)
    click.echo(render.summary(made, datetime.now(UTC)), err=True)
    ended = _follow(api, made)
    if output:
        click.echo(data.dumped(data.as_object(ended), output), nl=False)
        render.outcome(ended)
    else:
        click.echo(render.outcome(ended))


def _check_node(cluster: HACluster, to: str | None) -> None:
    nodes = [node.name for node in cluster.spec.nodes]
    if to is not None and to not in nodes:
        name = cluster.metadata.name
        raise UserError(
            f"{to} is not a node of {name}; its nodes are {', '.join(nodes)}",
            remedy=f"kubectl standfast switchover {name} --to {nodes[-1]}",
        )


def _asked(
    cluster: str, to: str | None, reason: str, deadline: str, *, dry_run: bool
) -> Switchover:
    try:
        spec = SwitchoverSpec(
            cluster_ref=LocalRef(name=cluster),
            to=to,
            reason=reason,
            deadline=deadline,
            dry_run=dry_run,
        )
    except ValueError as error:
        raise UserError(
            f"the deadline {deadline!r} cannot be used: it is a length of time between 5s and 1h"
            if "deadline" in str(error)
            else f"the switchover cannot be asked for: {error}",
            remedy=f"kubectl standfast switchover {cluster} --deadline 60s",
        ) from error
    return Switchover(metadata=ObjectMeta(generate_name=f"{cluster}-"), spec=spec)


def _follow(api: Api, made: Switchover) -> Switchover:
    """Return the switchover when it is final, having shown its steps.

    Raises:
        TransientError: It is not final long after its deadline, or nobody has taken it up.
    """
    started = time.monotonic()
    shown = _Shown()
    latest, before = made, None
    with shown:
        while not (latest.status.phase and latest.status.phase.final):
            shown.update(before, latest)
            waited_s = time.monotonic() - started
            if waited_s > _limit_s(latest):
                raise render.overdue(latest, int(waited_s * 1_000))
            time.sleep(_EVERY_S)
            before, latest = latest, _again(api, latest)
        shown.update(before, latest)
    return latest


def _limit_s(latest: Switchover) -> float:
    if latest.status.phase is None:
        return _TAKEN_UP_S
    return latest.spec.deadline_ms / 1_000 + _BEYOND_DEADLINE_S


def _again(api: Api, latest: Switchover) -> Switchover:
    """Read it again; an API server that does not answer just now leaves what was known."""
    try:
        return api.get(Switchover, latest.metadata.name)
    except TransientError:
        return latest


class _Shown:
    """Progress on standard error: redrawn in place on a terminal, a line each elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=text.console(sys.stderr)) if sys.stderr.isatty() else None

    def __enter__(self) -> "_Shown":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, before: Switchover | None, now: Switchover) -> None:
        if self._live:
            self._live.update(render.progress(now))
            return
        for line in render.new_lines(before, now):
            click.echo(line, err=True)
