"""Which VMs are followed: at once when one cluster names them, together when many do."""

import asyncio
from typing import cast

import pytest

from standfast.adapters.fakes.clock import FakeClock
from standfast.adapters.vsphere import vcenter
from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.feed import Feed
from standfast.adapters.vsphere.vcenter import Vcenter


class Follower:
    """Takes what the feed would follow."""

    def __init__(self) -> None:
        self.asked: list[frozenset[str]] = []
        self.all_of: asyncio.Event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def watch(self, uuids: frozenset[str]) -> None:
        self.asked.append(uuids)
        if len(uuids) == 3:
            self._loop.call_soon_threadsafe(self.all_of.set)

    def stop(self, _timeout_s: float) -> None:
        """It never started."""


async def test_vms_that_many_clusters_name_in_one_moment_are_looked_up_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vcenter, "WATCH_SETTLE_S", 0.05)
    access = Access(server="127.0.0.1:1", username="u", password="p", ca_pem="", secret="ns/s")
    made = Vcenter(access, FakeClock(), lambda _inventory: None)
    follower = Follower()
    made._feed = cast("Feed", follower)
    for count in (1, 2, 3):
        made.watch(frozenset(f"vm-{at}" for at in range(count)))
    async with asyncio.timeout(5):
        await follower.all_of.wait()
    assert [len(uuids) for uuids in follower.asked] == [1, 3]
    assert len(made.watched) == 3
    await made.close()
