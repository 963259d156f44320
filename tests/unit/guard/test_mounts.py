"""What is mounted where, read from text; what may not be unmounted."""

from pathlib import Path

import pytest

from standfast.guard.mounts import mounted, objection

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 8:16 / /srv/data rw,relatime shared:20 - xfs /dev/sdb rw
41 40 0:44 / /srv/data rw shared:21 - tmpfs tmpfs rw
42 22 8:32 /sub /srv/with\\040space rw - ext4 /dev/sdc rw
"""


def test_mount_points_are_found_as_often_as_they_are_stacked(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTINFO)
    wanted = ["/srv/data", "/srv/with space", "/srv", "/srv/data/below"]
    assert mounted(wanted, file) == ["/srv/data", "/srv/data", "/srv/with space"]


def test_nothing_is_read_for_nothing() -> None:
    assert mounted([], Path("/nonexistent")) == []


@pytest.mark.parametrize("path", ["", "/", "data", "/srv/../etc", "/srv/data/", "//srv/data"])
def test_what_is_no_mount_point(path: str) -> None:
    assert "is not the path of a mount point" in objection(path)


@pytest.mark.parametrize("path", ["/var", "/run", "/usr", "/proc"])
def test_what_belongs_to_the_system(path: str) -> None:
    assert objection(path) == f"{path} belongs to the system"


def test_a_directory_of_an_application_may_be_unmounted() -> None:
    assert objection("/var/lib/postgresql") == ""


def test_a_carriage_return_in_somebodys_path_is_part_of_it(tmp_path: Path) -> None:
    """The kernel escapes blanks and newlines only, and any user can mount at such a path."""
    file = tmp_path / "mountinfo"
    file.write_bytes(
        b"50 24 0:60 / /home/u/\r\r rw,nosuid - fuse.x x rw\n"
        b"51 24 8:16 / /srv/data rw - ext4 /dev/sdb rw\n"
    )
    assert mounted(["/srv/data"], file) == ["/srv/data"]
