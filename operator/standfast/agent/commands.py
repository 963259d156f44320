"""The commands of `standfast-agent` besides `run`."""

import contextlib
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from standfast.adapters import pki
from standfast.adapters.drbd import handler as asking
from standfast.agent import install as installing
from standfast.agent import local
from standfast.agent.agent import Settings
from standfast.agent.unit import NAME, PATH
from standfast.errors import RefusedError, StandfastError, TransientError
from standfast.member.store import Store, replace_file
from standfast.wire.api import QUIESCE_PATH, MemberStatus, QuiesceAnswer, QuiesceRequest


@click.group()
def cli() -> None:
    """The agent of one node: runs its resources while the members of its cluster let it."""


@cli.command()
def run() -> None:
    """Run the agent (what the systemd unit does)."""
    raise AssertionError("`main` runs it before this is loaded")


@cli.command()
def install() -> None:
    """Write, enable and start the systemd unit. Again after an upgrade."""
    installing.install()
    click.echo(f"{PATH} is enabled; the node now waits for its bundle (standfast-agent enroll)")


@cli.command()
@click.option("--purge", is_flag=True, help="Forget identity, votes and /etc/standfast too.")
def uninstall(*, purge: bool) -> None:
    """Stop and remove the units; what is protected goes on running, without its address."""
    settings = Settings.from_environment()
    installing.uninstall(settings.state, settings.run, purge=purge)


@cli.command()
@click.option(
    "--bundle",
    type=click.File("rb"),
    required=True,
    help="The file that `kubectl standfast enroll CLUSTER NODE` wrote, or - for standard input.",
)
@click.option("--anew", is_flag=True, help="Leave the present cluster: become a new member.")
def enroll(bundle: BinaryIO, *, anew: bool) -> None:
    """Give this node its first identity; the agent takes it from there."""
    settings = Settings.from_environment()
    text = bundle.read()
    parsed = pki.parse_bundle(text, datetime.now(UTC))
    known = Store(settings.state).enrolment() if settings.state.exists() else None
    if known is not None and (settings.state / "identity").exists():
        if not anew:
            raise RefusedError(
                f"this node is enrolled in {known.cluster or known.cluster_uid} already",
                remedy="standfast-agent enroll --anew --bundle FILE makes it a new member",
            )
        _leave(settings.state)
    replace_file(settings.bundle, text)
    click.echo(f"{settings.bundle}: {parsed.node} awaits enrolment in {parsed.cluster}")


def _leave(state: Path) -> None:
    """Become nobody: the old state is kept aside, and the agent is stopped while it is moved."""
    with contextlib.suppress(StandfastError):
        installing.systemctl("stop", NAME)
    aside = state.with_name(f"{state.name}.{time.time_ns() // 1_000_000_000}")
    shutil.move(state, aside)
    click.echo(f"the old identity is in {aside}")
    with contextlib.suppress(StandfastError):
        installing.systemctl("start", NAME)


@cli.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(output: str) -> None:
    """What the agent on this machine says of itself."""
    body = local.ask(Settings.from_environment().socket)
    if output == "json":
        click.echo(body)
    else:
        click.echo(local.render(msgspec.json.decode(body, type=MemberStatus)))


@cli.command()
@click.option(
    "--for",
    "seconds",
    default=60.0,
    metavar="SECONDS",
    help="It is over after so long, whoever has forgotten to thaw.",
)
@click.option(
    "--stun",
    "stun_s",
    default=10.0,
    metavar="SECONDS",
    help="For how long the VM may stand still; a death is missed for as long.",
)
@click.option(
    "--freeze",
    is_flag=True,
    help="Hold the file systems of the protected data still too, for 30 s at most. Not with "
    "VMware Tools, which does that itself and refuses what is frozen already.",
)
def quiesce(*, seconds: float, stun_s: float, freeze: bool) -> None:
    """A snapshot of this VM is about to be made: prepare, so that it is no failover.

    On the active node a stun of seconds ends no lease then, and databases have written out what
    they had. A node that dies meanwhile is missed for as long: thaw when the snapshot is made.
    """
    wish = QuiesceRequest(for_ms=int(seconds * 1000), stun_ms=int(stun_s * 1000), freeze=freeze)
    path = Settings.from_environment().socket
    body = local.ask(
        path,
        QUIESCE_PATH,
        method="POST",
        body=msgspec.json.encode(wish),
        timeout_s=local.QUIESCE_TIMEOUT_S,
    )
    answer = msgspec.json.decode(body, type=QuiesceAnswer)
    if answer.active:
        click.echo(f"ready: the VM may stand still for {answer.stun_ms / 1000:.1f} s")
    for directory in answer.frozen:
        click.echo(f"frozen: {directory}")
    for note in answer.notes:
        click.echo(f"note: {note}")


@cli.command()
def thaw() -> None:
    """The snapshot is made, or will not be: as it was before."""
    path = Settings.from_environment().socket
    local.ask(path, QUIESCE_PATH, method="DELETE", timeout_s=local.QUIESCE_TIMEOUT_S)


@cli.group()
def drbd() -> None:
    """A person's word on a DRBD device of this node."""


@drbd.command()
@click.argument("resource")
@click.argument("generation")
def discard(resource: str, generation: str) -> None:
    """Give up what only this node's copy of RESOURCE has.

    GENERATION is the copy's own, as the SplitBrain alert and `drbdadm get-gi` show it: it says
    that this copy is meant, as it is now. Every block that differs is named in a file first; then
    the active node's data are copied over.
    """
    click.echo(_drbd(resource, "discard", generation))


@drbd.command()
@click.argument("resource")
def verify(resource: str) -> None:
    """Compare all blocks of both copies of RESOURCE now; to be said on the active node."""
    click.echo(_drbd(resource, "verify"))


def _drbd(resource: str, *words: str) -> str:
    path = Settings.from_environment().run / f"drbd-{resource}.sock"
    try:
        status, said = asking.ask(str(path), list(words))
    except OSError as error:
        raise TransientError(
            f"no agent answers for {resource} at {path}: {error.strerror or error}",
            remedy="standfast-agent status shows the resources of this node",
        ) from error
    if status != 0:
        raise RefusedError(said)
    return said


def command_line() -> None:
    """Errors are sentences, exit codes say what to do about them."""
    try:
        cli(prog_name="standfast-agent")
    except StandfastError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(0)
