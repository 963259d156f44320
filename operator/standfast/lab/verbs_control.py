"""`standfast-lab vcenter …`, `kube …` and `operator …`: outages of the control side."""

import click

from standfast.lab.lab import Lab
from standfast.lab.rules import ms_from
from standfast.lab.verbs import lab_name


@click.group("vcenter")
def vcenter_verbs() -> None:
    """Stop, slow down or confuse the simulated vCenter."""


@vcenter_verbs.command("stop")
@lab_name
def stop_vcenter(name: str) -> None:
    """Stop vCenter; the VMs run on."""
    Lab.open(name).stop_vcenter()


@vcenter_verbs.command("start")
@lab_name
def start_vcenter(name: str) -> None:
    """Start vCenter again, with what runs now."""
    Lab.open(name).start_vcenter()


@vcenter_verbs.command()
@lab_name
@click.argument("delay")
@click.option("--method", default="", help="Only this one: PowerOffVM_Task.")
def slow(name: str, delay: str, method: str) -> None:
    """Delay every call by DELAY, `2s`; `0s` ends it."""
    Lab.open(name).order_vcenter(lambda control: control.slow(ms_from(delay), method))


@vcenter_verbs.command()
@lab_name
@click.argument("host")
def lose(name: str, host: str) -> None:
    """Let HOST, `esx-1.lab`, stop responding to vCenter; its VMs run on."""
    Lab.open(name).order_vcenter(lambda control: control.lose_host(host))


@vcenter_verbs.command()
@lab_name
@click.argument("host")
def heal(name: str, host: str) -> None:
    """Let HOST respond to vCenter again."""
    Lab.open(name).order_vcenter(lambda control: control.heal_host(host))


@click.group("kube")
def kube_verbs() -> None:
    """Stop or start the lab's Kubernetes."""


@kube_verbs.command("stop")
@lab_name
def stop_kube(name: str) -> None:
    """Stop the control plane; pods and VMs run on."""
    Lab.open(name).stop_kubernetes()


@kube_verbs.command("start")
@lab_name
def start_kube(name: str) -> None:
    """Start the control plane again, with all it knew."""
    Lab.open(name).start_kubernetes()


@click.group("operator")
def operator_verbs() -> None:
    """Stop, start or kill the installed operator."""


@operator_verbs.command("stop")
@lab_name
def stop_operator(name: str) -> None:
    """Scale it to nothing."""
    Lab.open(name).stop_operator()


@operator_verbs.command("start")
@lab_name
@click.option("--replicas", type=int, default=2, show_default=True)
def start_operator(name: str, replicas: int) -> None:
    """Scale it up again."""
    Lab.open(name).start_operator(replicas)


@operator_verbs.command("kill")
@lab_name
def kill_operator(name: str) -> None:
    """Kill its processes; they are restarted."""
    Lab.open(name).kill_operator()
