"""When a VIP is announced, and when no more."""

import asyncio
from ipaddress import ip_interface
from itertools import islice, pairwise

import pytest

from standfast.adapters.drivers import vip_announcer
from standfast.adapters.drivers.config import VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.vip_announcer import ANNOUNCED_AT_MS, Announcer
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeUnits, FakeWire, RecordingSink

VIP = ip_interface("10.0.0.100/24")


class Bench:
    def __init__(self) -> None:
        self.clock, self.sink, self.wire = FakeClock(), RecordingSink(), FakeWire()
        machine = FakeMachine(self.clock, self.wire, ip_interface("10.0.0.1/24"))
        self.machine = machine
        self.until_ms = self.clock.now_ms() + 1000
        host = DriverHost(self.clock, self.sink, machine, machine, machine, machine, FakeUnits())
        config = VipConfig("web-ip", VIP, announce_every_ms=0)
        self.announcer = Announcer(config, host, lambda: self.until_ms)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One whose schedule takes no time."""
    monkeypatch.setattr(vip_announcer, "ANNOUNCED_AT_MS", (0, 0, 0))
    return Bench()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_schedule_is_a_burst_and_then_a_steady_pace() -> None:
    moments = [0, *islice(vip_announcer._schedule(60_000), 8)]
    assert tuple(moments[:6]) == ANNOUNCED_AT_MS == (0, 100, 500, 1000, 2000, 5000)
    assert {later - earlier for earlier, later in pairwise(moments[5:])} == {60_000}


async def test_the_first_goes_out_at_once_and_others_follow(bench: Bench) -> None:
    bench.announcer.begin(bench.machine.interface)
    assert bench.wire.heard == [(VIP.ip, bench.machine.interface.mac)]
    await settle()
    assert len(bench.wire.heard) >= 3
    bench.announcer.end()


async def test_nothing_is_announced_past_the_lease(bench: Bench) -> None:
    bench.announcer.begin(bench.machine.interface)
    await settle()
    bench.clock.advance(1000)
    heard = len(bench.wire.heard)
    await settle()
    assert len(bench.wire.heard) == heard
    bench.announcer.end()


async def test_nothing_is_announced_after_the_end(bench: Bench) -> None:
    bench.announcer.begin(bench.machine.interface)
    bench.announcer.end()
    bench.announcer.end()
    await settle()
    assert len(bench.wire.heard) == 1


async def test_a_frame_that_was_not_taken_is_noted_and_the_next_is_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.announcer.begin(bench.machine.interface)

    def refuse(*_: object) -> None:
        raise OSError(100, "Network is down")

    with monkeypatch.context() as patch:
        patch.setattr(bench.machine, "announce", refuse)
        await settle()
    assert {note.kind for note in bench.sink.notes} == {"NotAnnounced"}
    await settle()
    assert len(bench.wire.heard) > 1
    bench.announcer.end()
