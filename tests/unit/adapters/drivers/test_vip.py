"""The VIP driver over machines in memory: takes, keeps, gives back, and says why not."""

import asyncio
from ipaddress import ip_interface

import pytest

from standfast.adapters.drivers import DriverHost, VipConfig, vip, vip_rival
from standfast.adapters.drivers.vip import NO_FILTER, VipDriver
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeUnits, FakeWire, RecordingSink
from standfast.errors import TransientError, UserError
from standfast.ports.network import Interface
from standfast.ports.resource import Change, Presence, Verdict
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched

VIP = ip_interface("10.0.0.100/24")
STRANGER = bytes.fromhex("02aabbccddee")


class Bench:
    """Two machines on one wire; the driver under test is on the first."""

    def __init__(self, **config: object) -> None:
        self.clock = FakeClock()
        self.sink = RecordingSink()
        self.wire = FakeWire()
        self.here = FakeMachine(self.clock, self.wire, ip_interface("10.0.0.1/24"))
        self.there = FakeMachine(self.clock, self.wire, ip_interface("10.0.0.2/24"))
        self.config = VipConfig("web-ip", VIP, **config)
        self.driver = self.driver_on(self.here)

    def driver_on(self, machine: FakeMachine) -> VipDriver:
        host = DriverHost(
            clock=self.clock,
            sink=self.sink,
            addresses=machine,
            address_events=machine,
            lease_filter=machine,
            neighbours=machine,
            units=FakeUnits(),
        )
        return VipDriver(self.config, host)

    def lease(self, left_ms: int) -> int:
        return self.clock.now_ms() + left_ms

    async def extend(self, left_ms: int) -> None:
        """Extend, and let the driver do what it has to."""
        self.driver.extend(self.lease(left_ms))
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


class TestVipDriver(DriverContract):
    @pytest.fixture
    async def subject(self, bench: Bench) -> Subject:
        async def end() -> None:
            bench.here.remove_by_hand(VIP.ip)

        async def begin() -> None:
            bench.here.add_by_hand(VIP)

        return Subject(bench.driver, bench.clock, end, begin)


async def test_it_is_cut_at_the_millisecond_and_gone_in_the_second_after(bench: Bench) -> None:
    await bench.driver.start(bench.lease(1500))
    bench.clock.advance(1499)
    assert bench.here.answers(VIP.ip)
    bench.clock.advance(1)
    assert not bench.here.answers(VIP.ip)
    assert bench.here.has(VIP.ip)
    bench.clock.advance(500)
    assert not bench.here.has(VIP.ip)


async def test_extending_moves_both_ends(bench: Bench) -> None:
    await bench.driver.start(bench.lease(800))
    for _ in range(50):
        bench.clock.advance(200)
        await bench.extend(800)
        assert bench.here.answers(VIP.ip)
    bench.clock.advance(799)
    assert bench.here.answers(VIP.ip)
    bench.clock.advance(1)
    assert not bench.here.answers(VIP.ip)


async def test_the_kernels_lifetime_is_touched_only_when_it_is_short(bench: Bench) -> None:
    await bench.driver.start(bench.lease(7000))
    for _ in range(20):
        bench.clock.advance(200)
        await bench.extend(7000)
    assert 2 <= len(bench.here.puts) <= 5


async def test_a_late_extension_revives_nothing(bench: Bench) -> None:
    await bench.driver.start(bench.lease(800))
    bench.clock.advance(800)
    await bench.extend(800)
    assert not bench.here.answers(VIP.ip)
    bench.clock.advance(200)
    assert not bench.here.has(VIP.ip)
    await bench.extend(800)
    assert not bench.here.has(VIP.ip)


async def test_an_earlier_end_is_honoured(bench: Bench) -> None:
    await bench.driver.start(bench.lease(5000))
    await bench.extend(300)
    bench.clock.advance(300)
    assert not bench.here.answers(VIP.ip)


async def test_expiry_is_reported_as_a_death_by_the_lease(bench: Bench) -> None:
    async with watched(bench.driver) as events:
        await bench.driver.start(bench.lease(1000))
        bench.clock.advance(2000)
        event = await next_event(events)
    assert event.change is Change.DIED
    assert "its lease ended" in event.message


async def test_a_stranger_with_the_address_is_named(bench: Bench) -> None:
    """F47."""
    bench.wire.strangers[VIP.ip] = STRANGER
    with pytest.raises(TransientError, match="MAC 02:aa:bb:cc:dd:ee"):
        await bench.driver.start(bench.lease(1000))
    assert not bench.here.has(VIP.ip)
    assert bench.wire.heard == []


async def test_the_other_node_still_answering_is_a_conflict_too(bench: Bench) -> None:
    other = bench.driver_on(bench.there)
    await other.start(bench.lease(1000))
    with pytest.raises(TransientError, match="two machines must not answer"):
        await bench.driver.start(bench.lease(1000))
    bench.clock.advance(1000)
    await bench.driver.start(bench.lease(1000))
    assert bench.wire.owners(VIP.ip) == [bench.here.interface.mac]


async def test_a_look_beside_the_start_of_others_saves_the_probe(bench: Bench) -> None:
    bench.driver.foresee()
    await settle()
    bench.wire.strangers[VIP.ip] = STRANGER  # as one that comes just after a probe
    await bench.driver.start(bench.lease(1000))
    assert bench.here.answers(VIP.ip)
    await bench.driver.kill()
    with pytest.raises(TransientError, match="is in use"):
        await bench.driver.start(bench.lease(1000))  # a look is used once


async def test_a_look_counts_for_a_moment_only_and_only_when_nothing_was_in_the_way(
    bench: Bench,
) -> None:
    bench.driver.foresee()
    await settle()
    bench.clock.advance(vip.SEEN_MS + 1)
    bench.wire.strangers[VIP.ip] = STRANGER
    with pytest.raises(TransientError, match="is in use"):
        await bench.driver.start(bench.lease(1000))

    bench.driver.foresee()
    await settle()
    del bench.wire.strangers[VIP.ip]
    await bench.driver.start(bench.lease(1000))
    bench.driver.foresee()  # it is here already: nothing to ask
    assert bench.here.answers(VIP.ip)
    await bench.driver.close()


async def test_the_probe_can_be_left_out() -> None:
    bench = Bench(probe_ms=0)
    bench.wire.strangers[VIP.ip] = STRANGER
    await bench.driver.start(bench.lease(1000))
    assert bench.here.answers(VIP.ip)


async def test_an_extension_during_the_probe_counts(bench: Bench) -> None:
    start = asyncio.create_task(bench.driver.start(bench.lease(100)))
    await asyncio.sleep(0)
    bench.driver.extend(bench.lease(2000))
    bench.clock.advance(500)
    await start
    assert bench.here.answers(VIP.ip)


async def test_a_lease_that_ends_during_the_probe_takes_nothing(bench: Bench) -> None:
    start = asyncio.create_task(bench.driver.start(bench.lease(100)))
    await asyncio.sleep(0)
    bench.clock.advance(100)
    with pytest.raises(TransientError, match="the lease ended before"):
        await start
    assert not bench.here.has(VIP.ip)


async def test_a_kill_during_the_probe_wins(bench: Bench) -> None:
    start = asyncio.create_task(bench.driver.start(bench.lease(1000)))
    await asyncio.sleep(0)
    await bench.driver.kill()
    with pytest.raises(TransientError, match="overtaken by a stop"):
        await start
    assert not bench.here.has(VIP.ip)


async def test_it_is_announced_on_taking(bench: Bench) -> None:
    await bench.driver.start(bench.lease(1000))
    assert bench.wire.heard == [(VIP.ip, bench.here.interface.mac)]


async def test_a_missing_filter_is_an_alert_and_not_an_obstacle(bench: Bench) -> None:
    bench.here.filter_trouble = "the kernel's packet filter does not hold the lease: no such file"
    await bench.driver.start(bench.lease(1000))
    alert = bench.sink.alerts["web-ip", NO_FILTER]
    assert "could outlive the lease by up to 1.6 s" in alert.message
    assert await bench.driver.concerns() == [alert]
    bench.here.filter_trouble = ""
    await bench.extend(1000)
    assert bench.sink.alerts == {}


async def test_no_subnet_is_a_matter_for_a_person() -> None:
    bench = Bench()
    bench.config = VipConfig("web-ip", ip_interface("10.9.9.9/24"))
    driver = bench.driver_on(bench.here)
    with pytest.raises(UserError, match=r"whose subnet contains 10\.9\.9\.9"):
        await driver.start(bench.lease(1000))
    assert "whose subnet contains" in (await driver.ready())[0]


async def test_an_unknown_interface_lists_the_known_ones() -> None:
    bench = Bench(interface="eth7")
    with pytest.raises(UserError, match="there is no interface eth7 on this node; it has eth0"):
        await bench.driver.start(bench.lease(1000))
    assert "spec.vip.interface" in (await bench.driver.ready())[0]


async def test_no_carrier_is_down_and_not_ready(bench: Bench) -> None:
    await bench.driver.start(bench.lease(1000))
    up = bench.here.interface
    bench.here.interface = Interface(up.index, up.name, up.mac, True, False, False)
    assert (await bench.driver.check()).verdict is Verdict.DOWN
    assert (await bench.driver.ready())[0].endswith("but it has no carrier")
    await bench.driver.kill()
    with pytest.raises(TransientError, match="it has no carrier"):
        await bench.driver.start(bench.lease(1000))


async def test_a_kernel_that_refuses_is_a_sentence(bench: Bench) -> None:
    bench.here.refusal = OSError(13, "Permission denied")
    with pytest.raises(TransientError, match=r"eth0 does not take 10\.0\.0\.100/24"):
        await bench.driver.start(bench.lease(1000))


async def test_trouble_while_extending_is_noted(bench: Bench) -> None:
    await bench.driver.start(bench.lease(1000))
    bench.clock.advance(900)
    bench.here.refusal = OSError(19, "No such device")
    await bench.extend(2000)
    assert bench.sink.notes[-1].kind == "AddressNotExtended"


async def test_a_stop_that_the_kernel_refuses_is_not_verified(bench: Bench) -> None:
    await bench.driver.start(bench.lease(1000))
    bench.here.refusal = OSError(16, "busy")
    with pytest.raises(TransientError, match="could not be removed"):
        await bench.driver.stop(1000)
    assert not bench.here.answers(VIP.ip)
    kill = asyncio.create_task(bench.driver.kill())
    await asyncio.sleep(0)
    assert not kill.done()
    bench.here.refusal = None
    await kill
    assert (await bench.driver.probe()).presence is Presence.STOPPED


async def test_losing_the_event_source_is_told_and_mended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standfast.adapters.drivers.vip.WATCH_AGAIN_AFTER_S", 0)
    async with watched(bench.driver) as events:
        await bench.driver.start(bench.lease(1000))
        bench.here.lose_events()
        assert (await next_event(events)).change is Change.UNWATCHED
        assert (await next_event(events)).change is Change.WATCHED
        bench.here.remove_by_hand(VIP.ip)
        assert (await next_event(events)).change is Change.DIED


@pytest.fixture
def asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vip_rival, "ASK_EVERY_S", 0)


@pytest.mark.usefixtures("asks_at_once")
async def test_a_stranger_that_comes_later_is_told_until_it_is_gone(bench: Bench) -> None:
    """F47, after the take-over: we go on, and a person hears from which machine to take it."""
    await bench.driver.start(bench.lease(60_000))
    bench.wire.strangers[VIP.ip] = STRANGER
    await settle()
    alert = bench.sink.alerts["web-ip", vip_rival.CONFLICT]
    assert alert.message.startswith("the machine with MAC 02:aa:bb:cc:dd:ee")
    assert (await bench.driver.check()).verdict is Verdict.UP
    del bench.wire.strangers[VIP.ip]
    await settle()
    assert bench.sink.alerts == {}
    await bench.driver.stop(1000)


@pytest.mark.usefixtures("asks_at_once")
async def test_what_is_no_longer_ours_is_nobodys_conflict(bench: Bench) -> None:
    await bench.driver.start(bench.lease(60_000))
    bench.wire.strangers[VIP.ip] = STRANGER
    await settle()
    assert ("web-ip", vip_rival.CONFLICT) in bench.sink.alerts
    await bench.driver.stop(1000)
    assert bench.sink.alerts == {}
