"""A lab in the hand of a test, the benchmark or the demo: `with` it, do things to it, look at it.

    lab = Lab.up("lab", vms=2, networks=2)
    with lab.probe_vip("10.77.1.100") as probe:
        lab.vm("vm-a").off()
        probe.wait_for("vm-b")
    assert probe.summary.both_s == 0

Everything here is synchronous and returns when it is so. Times are CLOCK_BOOTTIME of this machine.
"""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from standfast.errors import TransientError
from standfast.lab import (
    agents,
    installation,
    kube,
    observe,
    operators,
    power,
    state,
    vcenter,
)
from standfast.lab.commands import enter_network, run
from standfast.lab.installation import Wanted
from standfast.lab.network import Switch
from standfast.lab.observe import Interval
from standfast.lab.orders import Hypervisor, ShownVm
from standfast.lab.paths import LabPaths
from standfast.lab.probing import RunningProbe, sql_probe, vip_probe
from standfast.lab.state import LabState
from standfast.lab.tools import Progress, silent
from standfast.lab.vcenter import Control
from standfast.lab.vm import Vm
from standfast.lab.writing import RunningWriter, writer


@dataclass(frozen=True, slots=True)
class LabVm:
    """One VM of a lab.

    Args:
        machine: The VM itself.
        hypervisor: Who switches it.
        addresses: One per network.
    """

    machine: Vm
    hypervisor: Hypervisor
    addresses: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def instance_uuid(self) -> str:
        return self.machine.spec.instance_uuid

    def off(self, *, seen: bool = True) -> None:
        """Pulls its plug: its peers hear nothing more, not even a goodbye.

        Args:
            seen: Whether vCenter comes to know; without it vCenter shows the VM as running.
        """
        self.hypervisor.power(self.name, "off", report=seen)

    def on(self, *, seen: bool = True) -> None:
        """Switches it on, and returns when its units have been started."""
        self.hypervisor.power(self.name, "on", report=seen)
        self.machine.wait_ready()

    def reset(self, *, seen: bool = True) -> None:
        """Pulls its plug and puts it back; returns when its units have been started."""
        self.hypervisor.power(self.name, "reset", report=seen)
        self.machine.wait_ready()

    def freeze(self, ms: int | None = None) -> None:
        """Stuns it until `thaw`, or for so long; returns when it goes on in that case."""
        self.hypervisor.stun(self.name, ms)

    def thaw(self) -> None:
        """Lets it go on."""
        self.hypervisor.thaw(self.name)

    def kill(self, process: str) -> None:
        """Kills the processes of that name in it."""
        self.machine.kill(process)

    def exec(self, argv: Sequence[str], *, check: bool = True, timeout_s: float = 30) -> str:
        """Runs a program in it, as root.

        Returns:
            What it printed on standard output.

        Raises:
            TransientError: With `check`, when it ends with another status than 0.
        """
        done = self.machine.run(argv, timeout_s=timeout_s)
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise TransientError(
                f"`{' '.join(argv)}` in {self.name} ended with status {done.returncode}: {said}"
            )
        return done.stdout.decode(errors="replace")

    def install_agent(self) -> None:
        """Installs the agent as a user does."""
        agents.install(self.machine)

    def enroll(self, bundle: bytes) -> None:
        """Puts an enrolment bundle where its agent reads it."""
        agents.put_bundle(self.machine, bundle)

    def logs(self, unit: str | None = None) -> str:
        """Its journal, of earlier boots too, whether it is on or off.

        Args:
            unit: Only of this unit.
        """
        chosen = [] if unit is None else [f"--unit={unit}"]
        where = f"--directory={self.machine.journal}"
        return run(["journalctl", where, "--no-pager", "--output=short-precise", *chosen])

    def now(self) -> ShownVm:
        """What it is doing."""
        return self.hypervisor.vms()[self.name]


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up.

    Args:
        paths: Its files.
        state: What it consists of.
    """

    paths: LabPaths
    state: LabState

    @classmethod
    def up(
        cls,
        name: str = "lab",
        wanted: Wanted | None = None,
        *,
        base: Path | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Brings a lab up, or adopts the one of that name."""
        paths = LabPaths.named(name, base)
        return cls(paths, asyncio.run(installation.up(paths, wanted or Wanted(), progress)))

    @classmethod
    def open(cls, name: str = "lab", base: Path | None = None) -> Self:
        """The lab of that name, as it is.

        Raises:
            UserError: There is none.
        """
        paths = LabPaths.named(name, base)
        return cls(paths, state.existing(paths))

    def down(self) -> None:
        """Removes it."""
        asyncio.run(installation.down(self.paths))

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def net(self) -> Switch:
        """Its switch: `cut`, `heal`, `shape`."""
        return Switch(self.state.addressing, power.rules_file(self.paths))

    @property
    def hypervisor(self) -> Hypervisor:
        return Hypervisor(self.paths.hypervisor_socket, self.name)

    def vms(self) -> list[LabVm]:
        """Its VMs, in the order of their addresses."""
        addresses = {vm.name: vm.addresses for vm in self.state.vms}
        machines = power.virtual_machines(self.paths, self.state)
        return [LabVm(vm, self.hypervisor, addresses[vm.name]) for vm in machines]

    def vm(self, name: str) -> LabVm:
        """One VM.

        Raises:
            UserError: It has no VM of that name.
        """
        self.state.addressing.vm_interfaces(name)  # says which there are
        return next(vm for vm in self.vms() if vm.name == name)

    def client_command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program in the client namespace."""
        return [*enter_network(self.state.addressing.client_namespace), *argv]

    def client_exec(
        self, argv: Sequence[str], timeout_s: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program in the client namespace, whatever its status."""
        return subprocess.run(
            self.client_command(argv),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def stop_kubernetes(self) -> None:
        """Stops the control plane; pods and VMs run on."""
        asyncio.run(kube.down(self.paths))

    def start_kubernetes(self) -> None:
        """Starts the control plane again, with all it knew."""
        asyncio.run(installation.start_kubernetes(self.paths, self.state))

    def stop_vcenter(self) -> None:
        """Stops vCenter; the VMs run on."""
        asyncio.run(vcenter.down(self.paths))

    def start_vcenter(self) -> None:
        """Starts vCenter again; it shows what runs now."""
        asyncio.run(installation.start_vcenter(self.paths, self.state))

    def kill_operator(self) -> None:
        """Kills all replicas of the operator; they are restarted, as a kubelet would."""
        operators.kill(self.paths)

    def stop_operator(self) -> None:
        """Scales the operator to nothing."""
        operators.stop(self.state)

    def start_operator(self, replicas: int = 2) -> None:
        """Scales the operator up again."""
        operators.start(self.state, replicas)

    def start_control(self) -> None:
        """Starts what does not run of the control side that this lab has."""
        if self.state.kubeconfig:
            self.start_kubernetes()
        if self.state.vcenter is not None:
            self.start_vcenter()

    def pods(self, word: str) -> list[str]:
        """The pods whose name has this word between its dashes: a witness's, the operator's."""
        owners = {owner for port, owner in self.net.ports().items() if port.startswith("pod-")}
        return sorted(owner for owner in owners if f"-{word}-" in f"-{owner}-")

    def cut_witness(self, name: str) -> None:
        """Cuts a managed witness off from everybody, until `net.heal`.

        Raises:
            UserError: No pod of that witness is plugged in.
        """
        for pod in self.pods(name) or [name]:
            self.net.cut(pod)

    def order_vcenter(self, give: Callable[[Control], Awaitable[None]]) -> None:
        """Gives vCenter one order: `lab.order_vcenter(lambda it: it.lose_host("esx-1.lab"))`."""

        async def once() -> None:
            async with Control(self.paths) as control:
                await give(control)

        asyncio.run(once())

    def probe_vip(self, address: str, port: int = 80) -> RunningProbe:
        """Connects to an address every 20 ms while the `with` block lasts."""
        return RunningProbe(self.client_command(vip_probe(address, port)))

    def probe_sql(self, dsn: str) -> RunningProbe:
        """Connects to a database every 50 ms while the `with` block lasts."""
        return RunningProbe(self.client_command(sql_probe(dsn)))

    def write_sql(self, dsn: str, first: int = 1) -> RunningWriter:
        """Writes numbers from `first` on into the table `written` while the block lasts."""
        return RunningWriter(self.client_command(writer(dsn, first)))

    def holders(self, address: str, since_ns: int = 0) -> Mapping[str, list[Interval]]:
        """When each VM held an address, as the kernel reported it from inside the VM.

        Args:
            address: Without prefix length.
            since_ns: Only what lasted beyond this moment.
        """
        seen = observe.load(power.observations(self.paths))
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        held = observe.tenures(seen, address, now_ns)
        return {
            vm: late
            for vm, intervals in held.items()
            if (late := [interval for interval in intervals if interval.end_ns > since_ns])
        }

    def both_held_s(self, address: str, since_ns: int = 0) -> float:
        """For how long two VMs held an address at once."""
        return observe.overlap_ns(self.holders(address, since_ns)) / 1e9
