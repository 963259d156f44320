"""What `standfast-lab` shows: progress, status, and what to export.

Called by its commands. On a terminal a line lives while something takes time; elsewhere (a log, a
pipe) each new thing is a line of its own.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.table import Table

from standfast.lab.network import Switch
from standfast.lab.orders import ShownVm
from standfast.lab.state import LabState
from standfast.lab.tools import Progress

console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
log = Console(stderr=True, highlight=False)


class Status(msgspec.Struct, frozen=True):
    """A lab and what it is doing.

    Args:
        lab: What it consists of.
        running: Program -> whether it runs.
        vms: VM -> what it is doing; empty when the hypervisor does not run.
        ports: Port of the switch -> whose it is.
        cut: What the switch drops, in words.
        outdated: VMs that were booted with the agent of other sources.
    """

    lab: LabState
    running: dict[str, bool]
    vms: dict[str, ShownVm]
    ports: dict[str, str]
    cut: list[str]
    outdated: list[str]


@contextmanager
def progressing(title: str) -> Iterator[Progress]:
    """A callback to report progress with, shown while the block lasts."""
    if not log.is_terminal:
        told: set[str] = set()

        def tell_once(what: str, _elapsed_s: float) -> None:
            if what not in told:
                told.add(what)
                log.print(f"{what} …")

        yield tell_once
        return
    with log.status(title) as status:

        def tell(what: str, elapsed_s: float) -> None:
            took = f" {elapsed_s:.0f} s" if elapsed_s >= 1 else ""
            status.update(f"{what} …{took}")

        yield tell


def print_json(shown: object) -> None:
    """Prints a structure as JSON, for programs."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n")


def print_exports(lab: LabState) -> None:
    """Prints what to type so that `kubectl` and the next commands mean this lab."""
    if lab.kubeconfig:
        console.print(f"export KUBECONFIG={shlex.quote(lab.kubeconfig)}")
    console.print(f"export STANDFAST_LAB={shlex.quote(lab.name)}")


def print_status(status: Status) -> None:
    """Prints a lab for people."""
    lab = status.lab
    console.print(f"[bold]{lab.name}[/] · {lab.addressing.cidr} · control {lab.control.address}")
    if lab.vcenter is not None:
        console.print(f"vCenter https://{lab.vcenter.server}/sdk as {lab.vcenter.username}")
    for name, running in status.running.items():
        console.print(f"  {_light(running)} {name}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("VM", "POWER", "ADDRESSES", "HOST", "INSTANCE UUID", "BOOT"):
        table.add_column(head)
    for vm in lab.vms:
        now = status.vms.get(vm.name)
        table.add_row(
            vm.name,
            _power(now),
            ", ".join(vm.addresses),
            vm.host,
            vm.instance_uuid,
            now.boot[:8] if now else "",
        )
    console.print(table)
    for outdated in status.outdated:
        console.print(f"  {outdated} has an older agent: standfast-lab vm {outdated} reset")
    for line in status.cut or ["nothing is cut"]:
        console.print(f"  network: {line}")


def describe_rules(switch: Switch) -> list[str]:
    """What the switch drops, a line each."""
    rules = switch.rules()
    lines = [f"{cut.source} -> {cut.target} is cut" for cut in sorted(rules.cuts)]
    lines += [f"{port} is stunned" for port in sorted(rules.stunned)]
    lines += [f"{port} loses {shape.loss:.1%}" for port, shape in rules.shapes if shape.loss]
    return lines + [f"{port} delays {ms} ms" for port, ms in sorted(rules.delays().items())]


def _power(now: ShownVm | None) -> str:
    if now is None:
        return "[yellow]unknown[/]"
    if now.stunned:
        return "[cyan]frozen[/]"
    colour = {"on": "green", "off": "red"}.get(now.power, "yellow")
    return f"[{colour}]{now.power}[/]"


def _light(on: bool) -> str:
    return "[green]●[/]" if on else "[red]○[/]"
