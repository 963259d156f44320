"""What is looked at without DRBD."""

from pathlib import Path

from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.tools import disk_problem


def test_only_a_block_device_is_a_disk(tmp_path: Path) -> None:
    config = DrbdConfig("data", Path("/dev/drbd0"), tmp_path / "none")
    assert "there is no disk" in disk_problem(config)
    (tmp_path / "none").touch()
    assert "not a block device" in disk_problem(config)
