"""`maintenance`, `pause` and `resume`: changes of what is declared, one small patch each.

Each prints the patch that it makes, so that who keeps manifests in Git can commit it instead
(`--print` changes nothing). A patch of a node names the node that it expects at that place: when
somebody reorders the list meanwhile, it fails and nothing is changed.
"""

import json
import time
from typing import Any

import click

from standfast.api.cluster import HACluster
from standfast.cli import options
from standfast.cli import output as data
from standfast.cli.client import Api
from standfast.errors import RefusedError, TransientError, UserError

Patch = dict[str, Any] | list[dict[str, Any]]

_EVERY_S = 0.5

print_only = click.option(
    "--print", "only_print", is_flag=True, help="Print the patch; change nothing."
)


@click.command(
    cls=options.Command,
    short_help="Take a node out of service for work, and back.",
    examples=(
        ("Before the work on vm-a; returns when vm-b serves", "maintenance web vm-a on --wait"),
        ("After it", "maintenance web vm-a off"),
        ("For a manifest in Git", "maintenance web vm-a on --print"),
    ),
)
@options.cluster
@options.node
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--wait", is_flag=True, help="Return when the node no longer serves.")
@click.option(
    "--timeout", default=120, show_default=True, metavar="SECONDS", help="Wait so long at most."
)
@click.option("--force", is_flag=True, help="Even if nobody is left who could take over.")
@print_only
@options.output
@options.connected
def maintenance(
    api: Api,
    cluster: str,
    node: str,
    state: str,
    *,
    wait: bool,
    timeout: int,
    force: bool,
    only_print: bool,
    output: str | None,
) -> None:
    """Say that a person works on NODE of CLUSTER, or that the work is done.

    A node in maintenance votes, and is not chosen to be active. If it is active now, it hands over
    first, as soon as another node can serve; `--wait` returns when the work may begin. Refused
    (exit code 3) when no other node would be left to take over.
    """
    found = api.get(HACluster, cluster)
    patch = maintenance_patch(found, node, on=state == "on")
    if state == "on" and not force:
        refuse_last(found, node)
    make_patch(api, cluster, patch, only_print=only_print, output=output)
    if wait and not only_print and state == "on":
        _wait_until_free(api, cluster, node, timeout)


@click.command(
    cls=options.Command,
    short_help="Let the operator watch and not act.",
    examples=(("Before work on vCenter", "pause web"), ("Its patch", "pause web --print")),
)
@options.cluster
@print_only
@options.output
@options.connected
def pause(api: Api, cluster: str, *, only_print: bool, output: str | None) -> None:
    """Let the operator only watch CLUSTER: it hands nothing out, fences and moves nothing.

    The agents still fail over by themselves. The condition Paused says since when.
    """
    api.get(HACluster, cluster)
    make_patch(api, cluster, paused_patch(on=True), only_print=only_print, output=output)


@click.command(
    cls=options.Command,
    short_help="Let the operator act again.",
    examples=(("After the work", "resume web"),),
)
@options.cluster
@print_only
@options.output
@options.connected
def resume(api: Api, cluster: str, *, only_print: bool, output: str | None) -> None:
    """Let the operator act on CLUSTER again: the end of `pause`."""
    api.get(HACluster, cluster)
    make_patch(api, cluster, paused_patch(on=False), only_print=only_print, output=output)


def paused_patch(*, on: bool) -> Patch:
    """Return the merge patch of spec.paused."""
    return {"spec": {"paused": on}}


def maintenance_patch(cluster: HACluster, node: str, *, on: bool) -> Patch:
    """Return the JSON patch of one node's maintenance.

    Raises:
        UserError: The cluster has no such node.
    """
    names = [each.name for each in cluster.spec.nodes]
    if node not in names:
        name = cluster.metadata.name
        raise UserError(
            f"{node} is not a node of {name}; its nodes are {', '.join(names)}",
            remedy=f"kubectl standfast maintenance {name} {names[0]} {'on' if on else 'off'}",
        )
    place = f"/spec/nodes/{names.index(node)}"
    return [
        {"op": "test", "path": f"{place}/name", "value": node},
        {"op": "add", "path": f"{place}/maintenance", "value": on},
    ]


def refuse_last(cluster: HACluster, node: str) -> None:
    """Refuse to take away the last node that could take over.

    Raises:
        RefusedError: Every other node is in maintenance.
    """
    others = [each for each in cluster.spec.nodes if each.name != node]
    if others and all(each.maintenance for each in others):
        name = cluster.metadata.name
        names = ", ".join(each.name for each in others)
        raise RefusedError(
            f"{names} is in maintenance already: with {node} too, nobody could take over",
            remedy=f"kubectl standfast maintenance {name} {others[0].name} off; or --force",
        )


def as_command(cluster: str, namespace: str, patch: Patch) -> str:
    """Return the kubectl command that makes the same patch."""
    kind = "json" if isinstance(patch, list) else "merge"
    said = json.dumps(patch, separators=(",", ":"))
    return f"kubectl patch hacluster {cluster} -n {namespace} --type={kind} -p '{said}'"


def make_patch(
    api: Api, cluster: str, patch: Patch, *, only_print: bool, output: str | None
) -> None:
    """Make a patch of a cluster, or print it."""
    shown = as_command(cluster, api.namespace, patch)
    if only_print:
        click.echo(data.dumped({"patch": patch}, output) if output else shown, nl=not output)
        return
    changed = api.patch(HACluster, cluster, patch)
    click.echo(shown, err=True)
    if output:
        click.echo(data.dumped(data.as_object(changed), output), nl=False)


def _wait_until_free(api: Api, cluster: str, node: str, timeout_s: int) -> None:
    ends = time.monotonic() + timeout_s
    while True:
        try:
            found = api.get(HACluster, cluster)
        except TransientError:
            found = None
        if found is not None and is_free(found, node):
            click.echo(f"{node} does not serve: {found.status.active} does.", err=True)
            return
        if time.monotonic() > ends:
            why = found.status.message if found is not None else "the API server does not answer"
            raise TransientError(
                f"{node} still serves after {timeout_s} s: {why}",
                remedy=f"kubectl standfast explain {cluster}",
            )
        time.sleep(_EVERY_S)


def is_free(cluster: HACluster, node: str) -> bool:
    """Whether the operator has seen this spec, and another node serves."""
    status = cluster.status
    is_seen = status.observed_generation >= cluster.metadata.generation
    return is_seen and status.active is not None and status.active != node
