"""`standfast-lab vcenter …` and `standfast-lab kube …`: outages of the control side."""

import asyncio
from collections.abc import Awaitable, Callable

import click

from standfast.lab import installation, kube, vcenter
from standfast.lab.lab import Lab
from standfast.lab.rules import ms_from
from standfast.lab.vcenter import Control
from standfast.lab.verbs import lab_name


@click.group("vcenter")
def vcenter_verbs() -> None:
    """Stop, slow down or confuse the simulated vCenter."""


@vcenter_verbs.command("stop")
@lab_name
def stop_vcenter(name: str) -> None:
    """Stop vCenter; the VMs run on."""
    asyncio.run(vcenter.down(Lab.open(name).paths))


@vcenter_verbs.command("start")
@lab_name
def start_vcenter(name: str) -> None:
    """Start vCenter again, with what runs now."""
    lab = Lab.open(name)
    asyncio.run(installation.start_vcenter(lab.paths, lab.state))


@vcenter_verbs.command()
@lab_name
@click.argument("delay")
@click.option("--method", default="", help="Only this one: PowerOffVM_Task.")
def slow(name: str, delay: str, method: str) -> None:
    """Delay every call by DELAY, `2s`; `0s` ends it."""
    order(name, lambda control: control.slow(ms_from(delay), method))


@vcenter_verbs.command()
@lab_name
@click.argument("host")
def lose(name: str, host: str) -> None:
    """Let HOST, `esx-1.lab`, stop responding to vCenter; its VMs run on."""
    order(name, lambda control: control.lose_host(host))


@vcenter_verbs.command()
@lab_name
@click.argument("host")
def heal(name: str, host: str) -> None:
    """Let HOST respond to vCenter again."""
    order(name, lambda control: control.heal_host(host))


@click.group("kube")
def kube_verbs() -> None:
    """Stop or start the lab's Kubernetes."""


@kube_verbs.command("stop")
@lab_name
def stop_kube(name: str) -> None:
    """Stop the control plane; pods and VMs run on."""
    asyncio.run(kube.down(Lab.open(name).paths))


@kube_verbs.command("start")
@lab_name
def start_kube(name: str) -> None:
    """Start the control plane again, with all it knew."""
    lab = Lab.open(name)
    asyncio.run(kube.up(lab.paths, lab.state.control.address))


def order(name: str, give: Callable[[Control], Awaitable[None]]) -> None:
    """Gives vCenter one order."""

    async def once() -> None:
        async with Control(Lab.open(name).paths) as control:
            await give(control)

    asyncio.run(once())
