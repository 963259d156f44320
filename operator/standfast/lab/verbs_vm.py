"""`standfast-lab vm NAME …`: power, stuns and kills."""

from dataclasses import dataclass

import click

from standfast.lab.lab import Lab, LabVm
from standfast.lab.rules import ms_from
from standfast.lab.verbs import lab_name


@dataclass(frozen=True, slots=True)
class _Chosen:
    vm: LabVm


@click.group("vm")
@lab_name
@click.argument("vm")
@click.pass_context
def vm_verbs(context: click.Context, name: str, vm: str) -> None:
    """Do something to a VM: `vm vm-a off`."""
    context.obj = _Chosen(Lab.open(name).vm(vm))


unseen = click.option("--unseen", is_flag=True, help="vCenter goes on showing what was before.")


@vm_verbs.command()
@unseen
@click.pass_obj
def off(chosen: _Chosen, unseen: bool) -> None:
    """Pull the plug: peers hear nothing more, not even a goodbye."""
    chosen.vm.off(seen=not unseen)


@vm_verbs.command()
@unseen
@click.pass_obj
def on(chosen: _Chosen, unseen: bool) -> None:
    """Switch it on, and wait until its units are started."""
    chosen.vm.on(seen=not unseen)


@vm_verbs.command()
@click.pass_obj
def reset(chosen: _Chosen) -> None:
    """Pull the plug and put it back."""
    chosen.vm.reset()


@vm_verbs.command()
@click.option("--for", "length", metavar="TIME", help="Thaw it after that long: 3s.")
@click.pass_obj
def freeze(chosen: _Chosen, length: str | None) -> None:
    """Stun it: cut off, and every process stands still."""
    chosen.vm.freeze(None if length is None else ms_from(length))


@vm_verbs.command()
@click.pass_obj
def thaw(chosen: _Chosen) -> None:
    """Let a frozen VM go on."""
    chosen.vm.thaw()


@vm_verbs.command()
@click.argument("process")
@click.pass_obj
def kill(chosen: _Chosen, process: str) -> None:
    """Kill the processes of that name in it, with SIGKILL."""
    chosen.vm.kill(process)
