"""Where a lab keeps its files, and what a VM of it is called: shared by every module of `lab`.

Several labs run side by side under different names, so every path hangs below the lab's own root
and nothing here is a global. A directory is made by whoever writes into it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from standfast.errors import UserError

NAME_RULE = re.compile(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?")
"""A lab's name is the first part of interface names, which Linux limits to 15 characters."""


@dataclass(frozen=True, slots=True)
class LabPaths:
    """The files of one lab.

    Args:
        name: The lab's name.
        root: Its directory, `/var/lib/standfast-lab/<name>`.
    """

    name: str
    root: Path

    @classmethod
    def named(cls, name: str, base: Path | None = None) -> Self:
        """The paths of the lab of that name.

        Args:
            name: Lower-case letters, digits and dashes, 10 at most.
            base: Directory that holds all labs; `/var/lib/standfast-lab` for root and
                `$XDG_STATE_HOME/standfast-lab` for others when it is not given.

        Raises:
            UserError: The name would not fit where it is used.
        """
        if not NAME_RULE.fullmatch(name):
            raise UserError(
                f"a lab cannot be called {name!r}: its name becomes part of interface names and"
                " takes at most 10 lower-case letters, digits and dashes",
                remedy="--name lab",
            )
        return cls(name, (base or _default_base()) / name)

    @property
    def state_file(self) -> Path:
        """What other tools need to know, as JSON."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the command that changes the lab."""
        return self.root / "lock"

    @property
    def log_dir(self) -> Path:
        """One file per program: `etcd.log`, `kube-apiserver.log`, `vcsim.log`, ..."""
        return self.root / "log"

    @property
    def run_dir(self) -> Path:
        """One file per running program, `<program>.json`: its pid and when it started."""
        return self.root / "run"

    @property
    def kube_dir(self) -> Path:
        """Control plane: certificates, etcd's data, ports."""
        return self.root / "kube"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def pods_dir(self) -> Path:
        """The pod runner's: one directory per pod."""
        return self.root / "pods"

    @property
    def volumes_dir(self) -> Path:
        """The contents of persistent volumes, one directory each; they outlive pods."""
        return self.root / "volumes"

    @property
    def pod_log_dir(self) -> Path:
        """What containers print: `<namespace>_<pod>_<container>.log`."""
        return self.log_dir / "pods"

    @property
    def vcenter_dir(self) -> Path:
        """The simulated vCenter: certificates, inventory, control socket."""
        return self.root / "vcenter"

    @property
    def vcenter_control(self) -> Path:
        """Unix socket on which the simulated vCenter takes the lab's orders (HTTP)."""
        return self.vcenter_dir / "control.sock"

    @property
    def hypervisor_socket(self) -> Path:
        """Unix socket on which the lab's hypervisor takes power orders from vCenter (HTTP)."""
        return self.root / "hypervisor.sock"

    @property
    def vms_dir(self) -> Path:
        """One directory per VM; what is in it is `vm`'s business."""
        return self.root / "vms"


@dataclass(frozen=True, slots=True)
class VmSpec:
    """A VM as the inventory of vCenter names it.

    Args:
        name: Its name in vCenter and in the lab, `vm-a`.
        instance_uuid: `config.instanceUuid`: what `HACluster` names a node by.
        bios_uuid: `config.uuid`: what the guest sees as its product UUID.
        host: The ESXi host it runs on, `esx-1.lab`; several hosts may exist.
    """

    name: str
    instance_uuid: str
    bios_uuid: str
    host: str


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk of the lab that may move from VM to VM.

    Args:
        path: In vCenter's datastore.
        uuid: What the guest knows it by.
        size: In bytes; it has an ext4 file system from the beginning.
    """

    path: str
    uuid: str
    size: int = 64 << 20

    @property
    def link(self) -> str:
        """Its name below /dev/disk/by-id, as a guest with disk.EnableUUID has it."""
        return f"wwn-0x{self.uuid.replace('-', '')}"


DISKS = (DiskSpec("[shared] files/data.vmdk", "6000c298-595b-f457-5739-e9105b2c0c2d"),)
"""Every lab has these; a disk that nothing attaches costs nothing."""


def _default_base() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/standfast-lab")
    state_home = os.environ.get("XDG_STATE_HOME", "") or str(Path.home() / ".local/state")
    return Path(state_home) / "standfast-lab"
