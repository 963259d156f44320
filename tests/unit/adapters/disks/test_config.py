"""The names of a disk in the guest."""

from pathlib import Path

from standfast.adapters.disks.config import SharedDiskConfig


def test_the_guest_knows_a_disk_by_the_digits_of_its_uuid() -> None:
    config = SharedDiskConfig("disk", "6000C298-595b-f457-5739-e9105b2c0c2d")
    assert config.paths == (
        Path("/dev/disk/by-id/wwn-0x6000c298595bf4575739e9105b2c0c2d"),
        Path("/dev/disk/by-id/scsi-36000c298595bf4575739e9105b2c0c2d"),
    )
