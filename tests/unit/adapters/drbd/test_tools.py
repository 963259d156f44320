"""What is looked at without DRBD."""

from pathlib import Path

import pytest

from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.tools import Drbd, disk_problem
from standfast.adapters.linux.programs import Done, Programs


def test_only_a_block_device_is_a_disk(tmp_path: Path) -> None:
    config = DrbdConfig("data", Path("/dev/drbd0"), tmp_path / "none")
    assert "there is no disk" in disk_problem(config)
    (tmp_path / "none").touch()
    assert "not a block device" in disk_problem(config)


@pytest.mark.asyncio
async def test_options_stand_behind_their_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    """As drbdadm of 8.4 takes them: before it, they are options of drbdadm itself."""
    run = list[tuple[str, ...]]()

    async def recorded(_: Programs, *argv: str, budget_s: float | None = None) -> Done:
        del budget_s
        run.append(argv)
        return Done(0, "")

    monkeypatch.setattr(Programs, "run", recorded)
    drbd = Drbd(DrbdConfig("data", Path("/dev/drbd3"), Path("/dev/mapper/x")))
    await drbd.create()
    await drbd.order("connect", "--discard-my-data")
    await drbd.order_minor("detach", "--force")
    assert run == [
        ("drbdadm", "create-md", "--force", "standfast-data"),
        ("drbdadm", "connect", "--discard-my-data", "standfast-data"),
        ("drbdsetup", "detach", "3", "--force"),
    ]
