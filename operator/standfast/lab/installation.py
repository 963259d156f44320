"""Brings a whole lab up and takes it down again; both may be called at any time, and twice.

Called by `standfast-lab` and by `lab.Lab`. `up` converges: what is there and right stays as it is,
what is missing is added, and the remains of an `up` that did not get to its end are removed first.
`down` needs no state file: it finds what belongs to a lab by its name.
"""

import asyncio
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standfast.errors import UserError
from standfast.lab import (
    agents,
    kube,
    layer,
    pods,
    prerequisites,
    program,
    state,
    tools,
    vcenter,
)
from standfast.lab.cgroups import lab_cgroup
from standfast.lab.commands import NETNS_DIR, run
from standfast.lab.disks import Shelf
from standfast.lab.network import Switch, delete_ports
from standfast.lab.orders import Hypervisor
from standfast.lab.paths import LabPaths
from standfast.lab.pods import Attachment
from standfast.lab.power import rules_file, virtual_machines
from standfast.lab.program import Program
from standfast.lab.state import LabState, VCenterState
from standfast.lab.tools import Progress, silent
from standfast.lab.vm import Power

HYPERVISOR = "hypervisor"
PROGRAMS = (HYPERVISOR, vcenter.NAME, *kube.PROGRAMS, pods.NAME)
READY_S = 20.0
CARRIED_VARIABLES = ("HOME", "LANG", "PATH", "UV")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a lab is to consist of.

    Args:
        vms: How many VMs.
        networks: How many networks join them.
        kubernetes: With a control plane.
        vcenter: With a vCenter.
        agent: With the agent installed in every VM.
        index: The address range it must have, 0 for 10.77.0.0/16, which `examples/` use; any free
            one when it is None.
    """

    vms: int = 2
    networks: int = 2
    kubernetes: bool = True
    vcenter: bool = True
    agent: bool = True
    index: int | None = None


async def up(paths: LabPaths, wanted: Wanted, progress: Progress = silent) -> LabState:
    """Brings a lab up.

    Returns:
        What it consists of now; the same is in its `state.json`.

    Raises:
        UserError: This machine lacks something, or the lab exists in other sizes.
    """
    prerequisites.require(paths.name)
    with _locked(paths):
        lab = state.load(paths)
        if lab is not None:
            _require_same_sizes(lab, wanted)
        if lab is None or not lab.complete:
            await _remove(paths)
        lab = lab or state.register(paths, wanted.vms, wanted.networks, wanted.index)
        state.store(paths, lab)
        lab = await _converge(paths, lab, wanted, progress)
        lab = msgspec.structs.replace(lab, complete=True)
        state.store(paths, lab)
    return lab


async def down(paths: LabPaths) -> None:
    """Removes a lab and all of it: processes, namespaces, mounts, control groups, files."""
    if paths.root.exists():
        with _locked(paths):
            await _remove(paths)
    shutil.rmtree(paths.root, ignore_errors=True)


async def _converge(
    paths: LabPaths, lab: LabState, wanted: Wanted, progress: Progress
) -> LabState:
    switch = Switch(lab.addressing, rules_file(paths))
    progress("Making the switch", 0)
    await asyncio.to_thread(switch.create)
    machines = _start_machines(paths, lab, progress)
    if wanted.kubernetes:
        progress("Starting Kubernetes", 0)
        lab, boot_layer = await asyncio.gather(start_kubernetes(paths, lab, progress), machines)
    else:
        boot_layer = await machines
    lab = msgspec.structs.replace(lab, agent=boot_layer.name if wanted.agent else "")
    if wanted.vcenter:
        progress("Starting vCenter", 0)
        lab = await start_vcenter(paths, lab, progress)
    if wanted.agent:
        progress("Installing the agent", 0)
        await asyncio.gather(
            *(asyncio.to_thread(agents.install, vm) for vm in virtual_machines(paths, lab))
        )
    return lab


async def _start_machines(paths: LabPaths, lab: LabState, progress: Progress) -> Path:
    """Starts the hypervisor and the VMs, and returns the layer with which they boot."""
    progress("Building the agent", 0)
    boot_layer = await asyncio.to_thread(layer.prepare, paths)
    await _start_hypervisor(paths)
    progress("Switching the VMs on", 0)
    await boot_all(paths, lab)
    return boot_layer


async def boot_all(paths: LabPaths, lab: LabState) -> None:
    """Switches on what is off, and returns when every VM has started its units."""
    hypervisor = Hypervisor(paths.hypervisor_socket, lab.name)
    vms = virtual_machines(paths, lab)
    report = lab.vcenter is not None
    await asyncio.gather(
        *(
            asyncio.to_thread(hypervisor.power, vm.name, "on", report=report)
            for vm in vms
            if vm.power is Power.OFF
        )
    )
    await asyncio.gather(*(asyncio.to_thread(vm.wait_ready) for vm in vms))


async def _start_hypervisor(paths: LabPaths) -> None:
    argv = (sys.executable, "-m", "standfast.lab.power", "--lab", paths.name)
    env = {name: os.environ[name] for name in CARRIED_VARIABLES if name in os.environ}
    wanted = Program(paths, HYPERVISOR, (*argv, "--base", str(paths.root.parent)), env)
    process = await program.start(wanted)
    hypervisor = Hypervisor(paths.hypervisor_socket, paths.name)

    async def answers() -> bool:
        return await asyncio.to_thread(hypervisor.answers)

    await program.until(answers, wanted, process, READY_S)


async def start_kubernetes(
    paths: LabPaths, lab: LabState, progress: Progress = silent
) -> LabState:
    """Starts the control plane and the pod runner; returns the lab with what is known of them."""
    info = await kube.up(paths, lab.control.address, progress=progress)
    attachment = Attachment(lab.addressing, str(rules_file(paths)))
    await pods.up(paths, info, Path(sys.executable).parent, attachment)
    programs = await tools.provide(progress)
    return msgspec.structs.replace(
        lab,
        kubeconfig=str(info.kubeconfig),
        kubectl=str(programs.kubectl),
        helm=str(programs.helm),
    )


async def start_vcenter(paths: LabPaths, lab: LabState, progress: Progress = silent) -> LabState:
    """Starts vCenter, and returns the lab with what is to be known about it."""
    info = await vcenter.up(
        paths,
        lab.control.address,
        [vm.spec for vm in lab.vms],
        paths.hypervisor_socket,
        progress=progress,
    )
    shown = VCenterState(info.server, info.username, info.password, str(info.ca_file))
    return msgspec.structs.replace(lab, vcenter=shown)


async def _remove(paths: LabPaths) -> None:
    """Ends and removes everything of a lab but its directory."""
    await vcenter.down(paths)
    await pods.down(paths)
    await kube.down(paths)
    await program.stop(paths, HYPERVISOR)
    group = lab_cgroup(paths.name)
    await asyncio.to_thread(group.kill)
    await asyncio.to_thread(group.remove)
    group.remove_parent()
    for namespace in namespaces(paths):
        delete_ports(namespace)
        run(["ip", "netns", "del", namespace])
    Shelf(paths).put_away()
    layer.remove(paths)
    _unmount(paths.root)
    for entry in paths.root.iterdir():
        if entry not in {paths.state_file, paths.lock_file, paths.log_dir}:
            _delete(entry)


def _unmount(directory: Path) -> None:
    """Whatever is mounted below a directory, a VM's disk of its own for example."""
    rows = Path("/proc/self/mounts").read_text().splitlines()
    below = [place for row in rows if Path(place := row.split()[1]).is_relative_to(directory)]
    for place in sorted(below, key=len, reverse=True):
        if Path(place) != directory:
            run(["umount", "--lazy", place])


def namespaces(paths: LabPaths) -> list[str]:
    """The network namespaces of a lab, and of no other whose name begins like its own."""
    others = [f"lab-{name}-" for name in state.names(paths.root.parent) if name != paths.name]
    own = f"lab-{paths.name}-"
    found = [entry.name for entry in NETNS_DIR.glob(f"{own}*")]
    return sorted(
        name
        for name in found
        if not any(len(other) > len(own) and name.startswith(other) for other in others)
    )


def _require_same_sizes(lab: LabState, wanted: Wanted) -> None:
    there = (len(lab.vms), len(lab.networks))
    if there != (wanted.vms, wanted.networks):
        raise UserError(
            f"lab {lab.name} exists with {there[0]} VMs and {there[1]} networks, and was asked to"
            f" have {wanted.vms} and {wanted.networks}: its addresses cannot be changed",
            remedy=f"standfast-lab down --name {lab.name}, or use another --name",
        )


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(paths: LabPaths) -> Iterator[None]:
    paths.root.mkdir(parents=True, exist_ok=True)
    with paths.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
