"""What the drivers of disks need to know of the resource they serve."""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Fsck(Enum):
    """What is done with a file system before it is mounted."""

    PREEN = "Preen"
    NEVER = "Never"


@dataclass(frozen=True, slots=True)
class FilesystemConfig:
    """A file system that one node has mounted.

    Args:
        name: Name of the resource.
        device: A path that stays the same (`/dev/disk/by-id/...`), or `UUID=...`, `LABEL=...`.
        mount_point: Where it is mounted.
        fs_type: `ext4` or `xfs`.
        options: Mount options beside `rw`.
        fsck: What is done before each mount.
        on_disks: Disks whose reservation lets it start, so it must be on one of them.
    """

    name: str
    device: str
    mount_point: Path
    fs_type: str
    options: tuple[str, ...] = ()
    fsck: Fsck = Fsck.PREEN
    on_disks: "tuple[SharedDiskConfig, ...]" = ()


@dataclass(frozen=True, slots=True)
class SharedDiskConfig:
    """A disk that is attached to one VM at a time.

    Args:
        name: Name of the resource.
        uuid: Of the disk, as vCenter shows it and as the guest's ids are made of.
        by_id: Where the guest's ids are.
    """

    name: str
    uuid: str
    by_id: Path = Path("/dev/disk/by-id")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Names under which the guest may know it, the usual one first."""
        plain = re.sub(r"[^0-9a-f]", "", self.uuid.lower())
        return (self.by_id / f"wwn-0x{plain}", self.by_id / f"scsi-3{plain}")


@dataclass(frozen=True, slots=True)
class ReservedDiskConfig:
    """A disk that is attached to all VMs, and reserved for one of them by its storage.

    Args:
        name: Name of the resource.
        uuid: Of the disk.
        by_id: Where the guest's ids are.
    """

    name: str
    uuid: str
    by_id: Path = Path("/dev/disk/by-id")

    @property
    def disk(self) -> SharedDiskConfig:
        """How it is found and used in the guest."""
        return SharedDiskConfig(self.name, self.uuid, self.by_id)
