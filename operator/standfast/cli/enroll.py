"""`kubectl standfast enroll`: the bundle that a node joins with."""

import base64
import binascii
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import click

from standfast.api.cluster import HACluster
from standfast.api.cluster_status import Enrolment
from standfast.cli import options
from standfast.cli.client import Api
from standfast.errors import RefusedError, TransientError, UserError

_KEY = "bundle.json"
_PLACE = "/etc/standfast/bundle.json"
_EVERY_S = 0.5


@click.command(
    cls=options.Command,
    short_help="Print the bundle that a node joins with.",
    examples=(
        (
            "Straight onto the VM",
            "enroll web vm-a | ssh root@vm-a /opt/standfast/bin/standfast-agent enroll --bundle -",
        ),
        ("To a file", "enroll web vm-a -f bundle.json"),
    ),
)
@options.cluster
@options.node
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write it here (0600)."
)
@click.option(
    "--timeout", default=60, show_default=True, metavar="SECONDS", help="Wait so long for it."
)
@options.connected
def enroll(api: Api, cluster: str, node: str, *, file: Path | None, timeout: int) -> None:
    """Print the bundle that NODE of CLUSTER joins with.

    The operator makes it; it is good for one enrolment and one day. It is a credential: whoever
    has it can join as that node.
    """
    check(api.get(HACluster, cluster), node)
    bundle = _wait(api, cluster, node, timeout)
    if file is None:
        click.echo(bundle)
    else:
        _write(file, bundle)
    click.echo(next_steps(node, bundle, file), err=True)


def check(cluster: HACluster, node: str) -> None:
    """Refuse a node that is none, or that has joined already.

    Raises:
        UserError: The cluster has no such node.
        RefusedError: The node has an identity; another one could vote twice.
    """
    name = cluster.metadata.name
    nodes = [each.name for each in cluster.spec.nodes]
    if node not in nodes:
        raise UserError(
            f"{node} is not a node of {name}; its nodes are {', '.join(nodes)}",
            remedy=f"kubectl standfast enroll {name} {nodes[0]}",
        )
    for seen in cluster.status.nodes:
        if seen.name == node and seen.enrolment is Enrolment.ENROLLED:
            raise RefusedError(
                f"{node} has joined {name} already, as member {seen.member_uid}; a second "
                "identity would be a second vote",
                remedy=f"kubectl standfast status {name}; a VM that was made anew joins under a "
                "new node name",
            )


def bundle_of(secret: Mapping[str, str], name: str) -> str:
    """Return the bundle of a Secret's data.

    Raises:
        UserError: The Secret holds something else.
    """
    try:
        text = base64.b64decode(secret[_KEY], validate=True).decode()
        json.loads(text)
    except (KeyError, ValueError, binascii.Error) as error:
        raise UserError(
            f"Secret {name} has no bundle in its key {_KEY}",
            remedy=f"kubectl delete secret {name}; the operator makes it anew",
        ) from error
    return text


def next_steps(node: str, bundle: str, file: Path | None) -> str:
    """Return what to do with the bundle, and until when."""
    source = file or "the output"
    until = json.loads(bundle).get("notAfter", "an unknown moment")
    return (
        f"Good for one enrolment until {until}.\n"
        f"Next, on {node}: put {source} at {_PLACE}, then: standfast-agent install"
    )


def _wait(api: Api, cluster: str, node: str, timeout_s: int) -> str:
    name = f"{cluster}-{node}-bundle"
    ends = time.monotonic() + timeout_s
    while (secret := api.secret(name)) is None:
        if time.monotonic() > ends:
            raise TransientError(
                f"the operator has not made Secret {name} within {timeout_s} s",
                remedy=f"kubectl standfast explain {cluster}",
            )
        time.sleep(_EVERY_S)
    return bundle_of(secret, name)


def _write(file: Path, bundle: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        os.fchmod(descriptor, 0o600)
        opened.write(bundle + "\n")
