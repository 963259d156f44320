"""`standfast-lab probe …`: a client that connects again and again, in the client namespace."""

import click

from standfast.lab.lab import Lab
from standfast.lab.probing import sql_probe, vip_probe
from standfast.lab.verbs import lab_name, verbatim

seconds = click.option("--for", "seconds", type=float, help="Seconds; else until Ctrl-C.")


@click.group("probe")
def probe_verbs() -> None:
    """Print a line of JSON per answer, and at the end the outages."""


@probe_verbs.command()
@lab_name
@click.argument("address")
@click.option("--port", type=int, default=80, show_default=True)
@seconds
def vip(name: str, address: str, port: int, seconds: float | None) -> None:
    """Connect to a TCP service behind an address, every 20 ms."""
    verbatim(Lab.open(name).client_command([*vip_probe(address, port), *_limit(seconds)]))


@probe_verbs.command()
@lab_name
@click.argument("dsn")
@seconds
def sql(name: str, dsn: str, seconds: float | None) -> None:
    """Connect to a PostgreSQL service, every 50 ms."""
    verbatim(Lab.open(name).client_command([*sql_probe(dsn), *_limit(seconds)]))


def _limit(seconds: float | None) -> list[str]:
    return [] if seconds is None else ["--for", str(seconds)]
