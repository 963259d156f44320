"""Mountinfo and fstab as they are written, blanks and all."""

from pathlib import Path

import pytest

from standfast.adapters.disks.mounts import Mount, at_or_below, fstab_line, parse

TABLE = """\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 24 8:16 / /srv/a\\040b rw,noatime shared:3 master:2 - xfs /dev/sdb rw,attr2
31 30 8:16 /sub /srv/a\\040b/deep rw - xfs /dev/sdb rw
40 24 8:32 / /srv/c rw - ext4 /dev/sdc ro
41 24 8:48 / /srv/d rw - ext4 /dev/sdd rw,shutdown
42 24 8:64 / /srv/cc rw - ext4 /dev/sde rw,emergency_ro
"""
MOUNTS = parse(TABLE)


def at(point: str) -> Mount:
    return next(mount for mount in MOUNTS if mount.point == point)


def test_every_field_is_read() -> None:
    assert at("/srv/a b") == Mount(
        "8:16", "/", "/srv/a b", "xfs", "/dev/sdb", frozenset({"rw", "noatime", "attr2"})
    )
    assert at("/srv/a b/deep").root == "/sub"


def test_read_only_and_given_up_are_not_writable() -> None:
    assert at("/srv/a b").is_writable
    for point in ("/srv/c", "/srv/d", "/srv/cc"):
        assert not at(point).is_writable


def test_the_system_is_known_by_where_it_is_mounted() -> None:
    assert at("/").is_systems
    assert not at("/srv/c").is_systems
    (efi,) = parse("60 24 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n")
    assert efi.is_systems, "all that is mounted of a disk whose rest is in a volume group"
    bound, whole = parse(
        "61 24 8:16 /people /home rw - ext4 /dev/sdb rw\n"
        "62 24 8:16 / /home rw - ext4 /dev/sdb rw\n"
    )
    assert not bound.is_systems
    assert whole.is_systems


@pytest.mark.parametrize("odd", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_path_that_looks_like_several_lines_is_one(odd: str) -> None:
    """The kernel escapes blanks and newlines only, and any user can mount at such a path."""
    row = f"50 24 0:60 / /home/u/{odd}{odd}x rw,nosuid - fuse.x x rw,user_id=1000\n"
    assert [m.point for m in parse(row + TABLE)][:2] == [f"/home/u/{odd}{odd}x", "/"]


def test_what_is_below_comes_first_and_names_that_begin_alike_are_others() -> None:
    assert [m.point for m in at_or_below("/srv/a b", MOUNTS)] == ["/srv/a b/deep", "/srv/a b"]
    assert [m.point for m in at_or_below("/srv/c", MOUNTS)] == ["/srv/c"]


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("/dev/sdb /mnt ext4 defaults 0 2", True),
        ("LABEL=x /srv/data ext4", True),
        ('UUID="1234" /mnt ext4 rw', True),
        ("/dev/sdb /mnt ext4 rw,noauto 0 0", False),
        ("# /dev/sdb /mnt ext4 defaults", False),
        ("/dev/sdc /mnt ext4 defaults", False),
        ("nonsense", False),
    ],
)
def test_a_mount_at_boot_is_found(tmp_path: Path, line: str, is_found: bool) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(f"\n{line}\n")
    found = fstab_line(["/dev/sdb", "UUID=1234", "/srv/data"], fstab)
    assert bool(found) == is_found


def test_without_fstab_nothing_is_mounted_at_boot(tmp_path: Path) -> None:
    assert fstab_line(["/dev/sdb"], tmp_path / "none") == ""
