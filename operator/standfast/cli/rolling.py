"""`rolling`: maintenance of all nodes of a cluster, one after the other, the active one last.

The operator leads the round; a person, or a script, does the work. Each action is one small patch
of `spec.rolling`, printed so that it can be committed instead; `next` waits for the operator.
"""

import time
from collections.abc import Callable
from typing import Any

import click

from standfast.api.cluster import HACluster
from standfast.api.rolling import RollingMaintenance, RollingPhase, RollingStatus, WorkDone
from standfast.cli import options
from standfast.cli import output as data
from standfast.cli.client import Api
from standfast.cli.declaring import Patch, make_patch, print_only
from standfast.errors import RefusedError, TransientError, UserError

_EVERY_S = 0.5
_ACTIONS = ("show", "begin", "next", "done", "go-on", "end")


@click.command(
    cls=options.Command,
    short_help="Maintenance of all nodes, one after the other.",
    examples=(
        ("Begin a round", "rolling web begin os-2026-11"),
        ("Wait for the next node; prints its name, nothing when all are done", "rolling web next"),
        ("After the work on vm-b", "rolling web done vm-b"),
        ("A round that ends each turn by a reboot", "rolling web begin kernel --until Rebooted"),
        ("Agents to another version", "rolling web begin to-1-3 --agent-version 1.3.0"),
        ("It has stopped, and you know why", "rolling web go-on"),
    ),
)
@options.cluster
@click.argument("action", type=click.Choice(_ACTIONS), default="show")
@click.argument("name", required=False)
@click.option(
    "--until",
    type=click.Choice([each.value for each in WorkDone]),
    help="With begin: what ends the work on a node; Told when absent.",
)
@click.option("--agent-version", metavar="VERSION", help="With begin: until: AgentVersion.")
@click.option(
    "--return-within", metavar="DURATION", help="With begin: how long a node may take to be back."
)
@click.option(
    "--timeout",
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="With next: wait so long at most.",
)
@print_only
@options.output
@options.connected
def rolling(
    api: Api,
    cluster: str,
    action: str,
    name: str | None,
    *,
    until: str | None,
    agent_version: str | None,
    return_within: str | None,
    timeout: int,
    only_print: bool,
    output: str | None,
) -> None:
    r"""Take the nodes of CLUSTER out for work, one after the other.

    \b
    show            how far the round has come
    begin NAME      declare a round of that name
    next            wait until a node is out, and print its name
    done NODE       the work on NODE is done
    go-on           let a round go on that has stopped
    end             remove the round; a node that is out returns to service

    Standbys go first; then service moves once, and the node that was active has its turn. Nothing
    is taken out while anything is in doubt, and the round stops when a node does not come back, or
    service moves for another cause. `next` exits with 1 then, and says why.
    """
    found = api.get(HACluster, cluster)
    if action == "show":
        _show(found, output)
        return
    if action == "next":
        click.echo(_next(api, cluster, timeout))
        return
    patches: dict[str, Callable[[], Patch]] = {
        "begin": lambda: begin_patch(
            found, _needed(name, action), until, agent_version, return_within
        ),
        "done": lambda: done_patch(found, _needed(name, action)),
        "go-on": lambda: go_on_patch(found),
        "end": lambda: end_patch(found),
    }
    make_patch(api, cluster, patches[action](), only_print=only_print, output=output)


def begin_patch(
    cluster: HACluster,
    name: str,
    until: str | None = None,
    agent_version: str | None = None,
    return_within: str | None = None,
) -> Patch:
    """Return the merge patch that declares a round.

    Raises:
        RefusedError: Another round is under way.
    """
    status = cluster.status.rolling
    declared = cluster.spec.rolling
    own = cluster.metadata.name
    if declared is not None and declared.name == name:
        raise UserError(
            f"round {name} is declared already",
            remedy=f"kubectl standfast rolling {own}, or begin another name",
        )
    is_open = status is not None and status.phase is not RollingPhase.COMPLETED
    if declared is not None and (status is None or status.name != declared.name or is_open):
        raise RefusedError(
            f"round {declared.name} is under way",
            remedy=f"kubectl standfast rolling {own} end",
        )
    if until is None:
        until = (WorkDone.AGENT_VERSION if agent_version else WorkDone.TOLD).value
    spec: dict[str, Any] = {
        "name": name,
        "until": until,
        "agentVersion": agent_version,
        "done": None,
        "attempt": None,
        "returnWithin": return_within,
    }
    return {"spec": {"rolling": spec}}


def done_patch(cluster: HACluster, node: str) -> Patch:
    """Return the merge patch that says that the work on a node is done.

    Raises:
        UserError: There is no such round, or it is not that node's turn.
    """
    declared = _declared(cluster)
    own, status = cluster.metadata.name, cluster.status.rolling
    if declared.until is not WorkDone.TOLD:
        raise UserError(
            f"round {declared.name} sees by itself when the work is done: until is "
            f"{declared.until.value}",
            remedy=f"kubectl standfast rolling {own}",
        )
    if status is None or status.name != declared.name or status.node != node:
        turn = status.node if status is not None and status.name == declared.name else None
        raise UserError(
            f"it is not the turn of {node}" + (f", but of {turn}" if turn else ""),
            remedy=f"kubectl standfast rolling {own} next",
        )
    return {"spec": {"rolling": {"done": [*dict.fromkeys((*declared.done, node))]}}}


def go_on_patch(cluster: HACluster) -> Patch:
    """Return the merge patch that lets a round go on.

    Raises:
        UserError: It has not stopped.
    """
    declared, status = _declared(cluster), cluster.status.rolling
    if status is None or status.phase is not RollingPhase.STOPPED:
        raise UserError(
            f"round {declared.name} has not stopped",
            remedy=f"kubectl standfast rolling {cluster.metadata.name}",
        )
    return {"spec": {"rolling": {"attempt": status.attempt + 1}}}


def end_patch(cluster: HACluster) -> Patch:
    """Return the merge patch that removes the round."""
    _declared(cluster)
    return {"spec": {"rolling": None}}


def told(cluster: HACluster) -> str | None:
    """What `next` prints: a node that may be worked on, "" when all are done; None: not yet.

    Raises:
        TransientError: The round has stopped.
    """
    declared, status = _declared(cluster), cluster.status.rolling
    if status is None or status.name != declared.name or status.attempt < declared.attempt:
        return None
    if status.phase is RollingPhase.STOPPED:
        raise TransientError(f"round {status.name} {status.message}", remedy=status.remedy)
    if status.phase is RollingPhase.COMPLETED:
        return ""
    is_told = declared.until is WorkDone.TOLD and status.node in declared.done
    return status.node if status.phase is RollingPhase.WORKING and not is_told else None


def _declared(cluster: HACluster) -> RollingMaintenance:
    if cluster.spec.rolling is None:
        name = cluster.metadata.name
        raise UserError(
            f"no round of maintenance is declared for {name}",
            remedy=f"kubectl standfast rolling {name} begin NAME",
        )
    return cluster.spec.rolling


def _needed(name: str | None, action: str) -> str:
    if name is None:
        what = "the name of the round" if action == "begin" else "the node"
        raise UserError(f"{action} needs {what}", remedy=f"rolling CLUSTER {action} NAME")
    return name


def _next(api: Api, cluster: str, timeout_s: int) -> str:
    ends = time.monotonic() + timeout_s
    why = "the API server does not answer"
    while True:
        try:
            found = api.get(HACluster, cluster)
        except TransientError:
            found = None
        if found is not None:
            node = told(found)
            if node is not None:
                return node
            status = found.status.rolling
            why = status.message if status is not None else "the operator has not looked at it yet"
        if time.monotonic() > ends:
            raise TransientError(
                f"no node is out after {timeout_s} s: {why}",
                remedy=f"kubectl standfast explain {cluster}",
            )
        time.sleep(_EVERY_S)


def _show(cluster: HACluster, output: str | None) -> None:
    _declared(cluster)
    status = cluster.status.rolling
    if output:
        shown = status.to_object() if status is not None else {}
        click.echo(data.dumped({"rolling": shown}, output), nl=False)
        return
    for line in lines(status):
        click.echo(line)


def lines(status: RollingStatus | None) -> list[str]:
    """How far a round has come, for people."""
    if status is None:
        return ["the operator has not looked at it yet"]
    width = max((len(each.name) for each in status.nodes), default=0)
    shown = [f"{status.name}  {status.phase.value}: {status.message}"]
    shown += [f"  {each.name:{width}}  {each.turn.value}" for each in status.nodes]
    if status.remedy:
        shown.append(f"  fix: {status.remedy}")
    return shown
