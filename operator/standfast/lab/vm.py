"""One VM of the lab: namespaces over an overlay of this machine, with a real systemd as PID 1.

Called by the hypervisor, which alone switches VMs on and off, and by commands that look into one.
Everything here blocks for as long as it takes. What a VM keeps between boots is its disk, the
overlay's upper directory; its network namespace and its boot id are new at each boot.

Rules. Power off is silent, as a real one is: the switch's ports lose their carrier before the
first process dies, because dying processes say goodbye to their peers. A process that is entered
into a VM joins its control group first, else it would be neither frozen nor killed with it.
"""

import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from standfast.errors import RefusedError, TransientError, UserError
from standfast.lab.cgroups import Cgroup
from standfast.lab.commands import enter_network
from standfast.lab.network import Switch, namespace_exists
from standfast.lab.paths import VmSpec

INIT: Final = Path(__file__).with_name("vminit.sh")
BOOT_S_MAX: Final = 20.0
LOOK_S: Final = 0.003
REBOOT_STATUS: Final = 128 + signal.SIGHUP
"""How the launcher of a VM ends when the VM asks its kernel for a reboot."""

APART: Final = 'setsid "$@" &'
"""Starts a program that is nobody's child: it outlives whoever switched the VM on."""

LAUNCH: Final = """
echo $$ > "$1/cgroup.procs"; shift
status=$1; shift
"$@" || code=$?
echo "${code:-0}" > "$status"
"""
"""Runs a VM to its end and notes how it ended."""

ENTER: Final = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
WITHOUT: Final = "--bounding-set=-sys_module,-sys_rawio,-sys_time"
"""What no program in a VM may do, however it got there: the clock and the kernel are shared."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Power(Enum):
    """What vCenter calls the power state."""

    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Vm:
    """One VM.

    Args:
        spec: Its name and identities.
        directory: Its own: disk, console, notes about its state.
        cgroup: The control group of everything in it.
        switch: What its cards are plugged into.
    """

    spec: VmSpec
    directory: Path
    cgroup: Cgroup
    switch: Switch

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def namespace(self) -> str:
        return self.switch.addressing.namespace(self.name)

    @property
    def power(self) -> Power:
        """Seen, not remembered: whether anything of it is alive."""
        if not self.cgroup.populated:
            return Power.OFF
        return Power.SUSPENDED if self._suspended.exists() else Power.ON

    @property
    def stunned(self) -> bool:
        """Whether it is on and stopped in its tracks."""
        return self.cgroup.frozen and not self._suspended.exists()

    @property
    def pid1(self) -> int | None:
        """Its systemd, as this machine numbers processes; None when it has none."""
        for pid in self.cgroup.pids():
            if is_first_of_its_namespace(pid):
                return pid
        return None

    @property
    def console(self) -> Path:
        """What its first process printed before it was systemd."""
        return self.directory / "console.log"

    @property
    def journal(self) -> Path:
        """What its journald wrote, of earlier boots too; readable whether it is on or off."""
        return self.directory / "journal"

    @property
    def wants_reboot(self) -> bool:
        """Whether it ended because it asked for a reboot."""
        status = self.directory / "status"
        return status.exists() and status.read_text().strip() == str(REBOOT_STATUS)

    def boot_id(self) -> str:
        """The boot id that its programs see.

        Raises:
            RefusedError: It is off.
        """
        return Path(f"{self.root()}/proc/sys/kernel/random/boot_id").read_text().strip()

    def root(self) -> Path:
        """Its file system, seen from this machine while it is on.

        Raises:
            RefusedError: It is off.
        """
        return Path(f"/proc/{self._alive()}/root")

    def layer(self) -> str:
        """Name of the layer that it has booted with: which sources its agent is made of.

        Raises:
            RefusedError: It is off.
        """
        mounts = Path(f"/proc/{self._alive()}/mountinfo").read_text()
        found = re.search(r" / .*lowerdir=([^:,]+):", mounts)
        return Path(found[1]).name if found else ""

    def make_disk(self) -> None:
        """Gives it a disk with its identity on it, if it has none."""
        if (self.directory / "upper").exists():
            return
        fresh = self.directory / "upper.new"
        (fresh / "etc").mkdir(parents=True, exist_ok=True)
        seed = f"{self.switch.addressing.lab}/{self.name}/{self.spec.instance_uuid}"
        identity = hashlib.sha256(seed.encode()).hexdigest()[:32]
        (fresh / "etc/machine-id").write_text(identity + "\n")
        (fresh / "etc/hostname").write_text(self.name + "\n")
        (fresh / "etc/hosts").write_text(self._hosts())
        for name in ("work", "root", "journal"):
            (self.directory / name).mkdir(exist_ok=True)
        fresh.rename(self.directory / "upper")

    def boot(self, layer: Path) -> None:
        """Powers it on, and returns when its systemd runs.

        Args:
            layer: The lower directory between its disk and this machine's root.

        Raises:
            RefusedError: It is on.
            TransientError: It did not come up; the console's last words are in the message.
        """
        if self.power is not Power.OFF:
            raise RefusedError(f"{self.name} is {self.power.value} already")
        self.clear()
        self.make_disk()
        cards = self.switch.addressing.vm_interfaces(self.name)
        self.switch.plug(self.namespace, cards)
        self.cgroup.create()
        self._launch(layer)
        self._wait_for_systemd()

    def cut_power(self) -> int:
        """Powers it off as a pulled plug would: nothing reaches a peer. It may be off already.

        Nothing of it lives on return; what it leaves behind is for `clear`.

        Returns:
            When it fell silent, in nanoseconds of CLOCK_BOOTTIME.
        """
        if namespace_exists(self.namespace):
            present = self.switch.ports()
            cards = self.switch.addressing.vm_interfaces(self.name)
            self.switch.silence([card for card in cards if card.port in present])
        silent_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.cgroup.kill()
        return silent_ns

    def clear(self) -> None:
        """Removes what a dead VM leaves behind: control groups, network namespace, notes."""
        self.cgroup.kill()
        self.cgroup.remove()
        cards = self.switch.addressing.vm_interfaces(self.name)
        self.switch.unplug(self.namespace, cards)
        self.switch.unstun(cards)
        self._suspended.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stops it as a long stun would: cut off first, then every process of it stands still.

        Kinder than a real stun in one way: the kernel is this machine's and goes on, so addresses
        with a lifetime still end.

        Raises:
            RefusedError: It is off.
        """
        self._alive()
        self.switch.stun(self.switch.addressing.vm_interfaces(self.name))
        self.cgroup.freeze()

    def thaw(self) -> None:
        """Lets a frozen VM go on, and connects it again.

        Raises:
            RefusedError: It is off.
        """
        self._alive()
        self.cgroup.thaw()
        self._suspended.unlink(missing_ok=True)
        self.switch.unstun(self.switch.addressing.vm_interfaces(self.name))

    def suspend(self) -> None:
        """Freezes it, and shows it as suspended."""
        self.freeze()
        self._suspended.touch()

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program inside, as root, with nothing of this environment.

        Raises:
            RefusedError: It is off.
        """
        pid = self._alive()
        scope = self.cgroup.path / "init.scope"
        group = scope if scope.is_dir() else self.cgroup.path
        return [
            *("sh", "-c", ENTER, "enter", str(group)),
            *("nsenter", "--all", f"--target={pid}", "--", "setpriv", "--pdeathsig=KILL", WITHOUT),
            *("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "container=lab"),
            *argv,
        ]

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program inside, to its end.

        Raises:
            RefusedError: It is off.
            TransientError: The program did not end in time; it is killed then.
        """
        command = self.command(argv)
        try:
            return subprocess.run(
                command, input=stdin, capture_output=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TransientError(
                f"`{' '.join(argv)}` in {self.name} did not end within {timeout_s:g} s"
            ) from error

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Returns when its systemd has started all units of its target, failed ones included.

        Raises:
            RefusedError: It is off.
            TransientError: It is not so far within `timeout_s`.
        """
        until = time.monotonic() + timeout_s
        while not (self.root() / "run/systemd/private").exists():
            if time.monotonic() > until:
                raise TransientError(f"{self.name} has no systemd after {timeout_s:g} s")
            time.sleep(LOOK_S)
        self.run(["systemctl", "is-system-running", "--wait"], timeout_s=timeout_s)

    def kill(self, process: str) -> list[int]:
        """Kills the processes of that name inside, with SIGKILL.

        Args:
            process: As `ps` names the command: the program's file name.

        Returns:
            Their process ids on this machine.

        Raises:
            UserError: Nothing of that name runs in it.
        """
        self._alive()
        named = {pid: process_names(pid) for pid in self.cgroup.pids()}
        found = [pid for pid, names in named.items() if process in names]
        if not found:
            running = sorted({min(names, key=len) for names in named.values() if names})
            raise UserError(
                f"no process called {process} runs in {self.name}",
                remedy=f"name one of {', '.join(running)}",
            )
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return found

    @property
    def _suspended(self) -> Path:
        return self.directory / "suspended"

    def _alive(self) -> int:
        pid = self.pid1
        if pid is None:
            raise RefusedError(f"{self.name} is off", remedy=f"standfast-lab vm {self.name} on")
        return pid

    def _launch(self, layer: Path) -> None:
        directory, addressing = self.directory, self.switch.addressing
        status = directory / "status"
        status.unlink(missing_ok=True)
        with self.console.open("wb") as console:
            subprocess.run(
                [
                    *("sh", "-c", APART, "apart"),
                    *("sh", "-eu", "-c", LAUNCH, f"vm-{addressing.lab}-{self.name}"),
                    *(str(self.cgroup.path), str(status)),
                    *enter_network(self.namespace),
                    *("unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup"),
                    *("--fork", "--kill-child", "sh", str(INIT), str(directory / "root")),
                    *(str(layer), str(directory), self.name, self.spec.bios_uuid, WITHOUT),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
                env={"PATH": PATH},
                check=True,
            )

    def _wait_for_systemd(self) -> None:
        until = time.monotonic() + BOOT_S_MAX
        while time.monotonic() < until:
            pid = self.pid1
            if pid is not None and "systemd" in process_names(pid):
                return
            if (self.directory / "status").exists():
                break
            time.sleep(LOOK_S)
        words = self.console.read_text(errors="replace").strip().replace("\n", "; ")
        self.cut_power()
        raise TransientError(
            f"{self.name} did not boot: {words or 'its console is empty'}",
            remedy=f"read {self.console}",
        )

    def _hosts(self) -> str:
        addressing = self.switch.addressing
        rows = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
        for vm in addressing.vms:
            first, *others = addressing.vm_addresses(vm)
            rows.append(f"{first} {vm}")
            rows += [f"{address} {vm}-{n}" for n, address in enumerate(others, start=2)]
        return "\n".join(rows) + "\n"


def is_first_of_its_namespace(pid: int) -> bool:
    """Whether a process is PID 1 of a PID namespace below this one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((row for row in status.splitlines() if row.startswith("NSpid:")), "").split()
    return len(numbers) > 2 and numbers[-1] == "1"


def process_names(pid: int) -> frozenset[str]:
    """What a process may be called: its `comm`, and the file names of its program and script."""
    try:
        comm = Path(f"/proc/{pid}/comm").read_text().strip()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return frozenset()
    shown = [Path(word.decode(errors="replace")).name for word in words[:2]]
    return frozenset(name for name in (comm, *shown) if name and not name.startswith("-"))
