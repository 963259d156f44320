"""`standfast-lab`: the lab from the command line.

Entry point. Every verb takes `--name` (or `STANDFAST_LAB`) for a lab other than `lab`; what a verb
does is one call of `lab.Lab`. The verbs stand in `verbs_*`, by what they act on.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import BinaryIO

import click

from standfast.errors import StandfastError
from standfast.lab import installation, program, screen
from standfast.lab.installation import PROGRAMS, Wanted
from standfast.lab.lab import Lab
from standfast.lab.paths import LabPaths
from standfast.lab.screen import Status
from standfast.lab.verbs import lab_name, verbatim
from standfast.lab.verbs_control import kube_verbs, operator_verbs, vcenter_verbs
from standfast.lab.verbs_net import net_verbs
from standfast.lab.verbs_probe import probe_verbs
from standfast.lab.verbs_vm import vm_verbs
from standfast.lab.vm import Power


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="standfast")
def cli() -> None:
    """A whole installation on one machine, of real parts."""


@cli.command()
@lab_name
@click.option("--vms", type=int, default=2, show_default=True, help="How many VMs.")
@click.option("--networks", type=int, default=2, show_default=True, help="How many networks.")
@click.option("--kubernetes/--no-kubernetes", default=True, help="With a control plane.")
@click.option("--vcenter/--no-vcenter", default=True, help="With a simulated vCenter.")
@click.option("--agent/--no-agent", default=True, help="With the agent in every VM.")
def up(
    *, name: str, vms: int, networks: int, kubernetes: bool, vcenter: bool, agent: bool
) -> None:
    """Bring a lab up; one that is up already stays as it is."""
    wanted = Wanted(vms, networks, kubernetes, vcenter, agent)
    with screen.progressing(f"Bringing up {name}") as progress:
        lab = Lab.up(name, wanted, progress=progress)
    screen.print_exports(lab.state)


@cli.command()
@lab_name
def down(name: str) -> None:
    """Remove a lab with everything in it."""
    with screen.progressing(f"Removing {name}"):
        asyncio.run(installation.down(LabPaths.named(name)))


@cli.command()
@lab_name
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(name: str, output: str) -> None:
    """Show what a lab consists of and what it is doing."""
    shown = look(Lab.open(name))
    if output == "json":
        screen.print_json(shown)
    else:
        screen.print_status(shown)


@cli.command("exec", context_settings={"ignore_unknown_options": True})
@lab_name
@click.argument("vm")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, vm: str, command: tuple[str, ...]) -> None:
    """Run COMMAND inside a VM, as root: `exec vm-a -- journalctl -u standfast-agent`."""
    machine = Lab.open(name).vm(vm).machine
    verbatim(machine.command(["env", f"TERM={os.environ.get('TERM', 'dumb')}", *command]))


@cli.command(context_settings={"ignore_unknown_options": True})
@lab_name
@click.argument("vm")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def logs(name: str, vm: str, options: tuple[str, ...]) -> None:
    """Show a VM's journal, of earlier boots too, on or off: `logs vm-a -- -u standfast-agent`."""
    journal = Lab.open(name).vm(vm).machine.journal
    verbatim(["journalctl", f"--directory={journal}", *options])


@cli.command(context_settings={"ignore_unknown_options": True})
@lab_name
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def client(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in the client namespace, on network 1."""
    verbatim(Lab.open(name).client_command(command))


@cli.command()
@lab_name
@click.argument("vm")
@click.argument("file", type=click.File("rb"))
def enroll(name: str, vm: str, file: BinaryIO) -> None:
    """Give a VM's agent an enrolment bundle; FILE may be `-`."""
    Lab.open(name).vm(vm).enroll(file.read())


@cli.command()
@click.option("--name", default="demo", show_default=True, help="The lab to use.")
@click.option("--keep", is_flag=True, help="Leave the lab up, to try things by hand.")
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw what was printed, for the README.",
)
def demo(name: str, keep: bool, svg: Path | None) -> None:
    """Tell the main job step by step, on real parts, with measured times."""
    from standfast.lab import demo as story
    from standfast.lab import recording

    console = recording.recorder() if svg is not None else screen.console
    story.tell(name, console, keep=keep)
    if svg is not None:
        recording.save(console, svg)


def look(lab: Lab) -> Status:
    """What a lab is doing."""
    alive = {each: program.running(lab.paths, each) is not None for each in PROGRAMS}
    machines = [vm.machine for vm in lab.vms()]
    return Status(
        lab=lab.state,
        running=alive,
        vms=lab.hypervisor.vms() if alive["hypervisor"] else {},
        ports=lab.net.ports(),
        cut=screen.describe_rules(lab.net),
        outdated=[
            vm.name
            for vm in machines
            if lab.state.agent and vm.power is Power.ON and vm.layer() != lab.state.agent
        ],
    )


for verbs in (vm_verbs, net_verbs, vcenter_verbs, kube_verbs, operator_verbs, probe_verbs):
    cli.add_command(verbs)


def main() -> None:
    """Runs the command; a problem is one sentence and an exit status."""
    try:
        cli()
    except StandfastError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
