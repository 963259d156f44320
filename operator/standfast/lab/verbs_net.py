"""`standfast-lab net …`: cuts, losses and delays, on the switch."""

import click

from standfast.lab import screen
from standfast.lab.lab import Lab
from standfast.lab.rules import Shape, loss_from, ms_from
from standfast.lab.verbs import lab_name


@click.group("net")
def net_verbs() -> None:
    """Cut, heal or spoil the network of a VM, a pod, the client or the host."""


network = click.option("--network", type=int, help="Only on this network; else on all.")


@net_verbs.command()
@lab_name
@click.argument("owner", metavar="NAME")
@network
@click.option("--from", "other", metavar="OTHER", help="Only from this one; else from everybody.")
@click.option("--one-way", is_flag=True, help="Drop what NAME sends; what it receives arrives.")
def cut(name: str, owner: str, network: int | None, other: str | None, one_way: bool) -> None:
    """Drop what passes between NAME and others."""
    Lab.open(name).net.cut(owner, network=network, other=other, one_way=one_way)


@net_verbs.command()
@lab_name
@click.argument("owner", metavar="[NAME]", required=False)
def heal(name: str, owner: str | None) -> None:
    """End the cuts, losses and delays of NAME, or all of them."""
    Lab.open(name).net.heal(owner)


@net_verbs.command()
@lab_name
@click.argument("owner", metavar="NAME")
@network
@click.option("--loss", default="0", show_default=True, help="Part that is dropped: 5%.")
@click.option("--delay", default="0ms", show_default=True, help="How late frames arrive: 20ms.")
def shape(name: str, owner: str, network: int | None, loss: str, delay: str) -> None:
    """Make NAME's network lose frames, or deliver them late."""
    wanted = Shape(loss_from(loss), ms_from(delay))
    Lab.open(name).net.shape(owner, wanted, network=network)


@net_verbs.command()
@lab_name
def show(name: str) -> None:
    """Show what is cut."""
    for line in screen.describe_rules(Lab.open(name).net) or ["nothing is cut"]:
        click.echo(line)
