"""`standfast-witness`: run a witness."""

import asyncio
import sys
from pathlib import Path

import click

from standfast.errors import StandfastError
from standfast.member import logs
from standfast.member.process import make_punctual, refuse_optimised
from standfast.witness.witness import Settings, Witness


@click.group()
def cli() -> None:
    """A voter outside the nodes: decides with them who is active, and is never active itself."""


@cli.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/standfast-witness"),
    show_default=True,
    envvar="STANDFAST_STATE",
    help="Directory for the votes; must survive restarts.",
)
@click.option(
    "--listen",
    multiple=True,
    default=("0.0.0.0:7380",),
    show_default=True,
    envvar="STANDFAST_LISTEN",
    help="HOST:PORT for clusters and operator.",
)
@click.option(
    "--identity",
    type=click.Path(path_type=Path),
    default=Path("/etc/standfast/identity"),
    show_default=True,
    envvar="STANDFAST_IDENTITY",
    help="Directory with ca.crt, tls.crt, tls.key of this witness.",
)
@click.option(
    "--health",
    default="",
    envvar="STANDFAST_HEALTH",
    help="HOST:PORT for probes over plain HTTP; none by default.",
)
@click.option("--log-level", default="info", show_default=True, envvar="STANDFAST_LOG")
def run(state: Path, listen: tuple[str, ...], identity: Path, health: str, log_level: str) -> None:
    """Vote until stopped."""
    logs.set_up(log_level)
    refuse_optimised()
    make_punctual(real_time=False)
    asyncio.run(Witness(Settings(state, identity, listen, health)).run())


def main() -> None:
    """Entry point: errors are sentences, exit codes say what to do about them."""
    try:
        cli(prog_name="standfast-witness")
    except StandfastError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
