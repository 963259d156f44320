"""The VIP driver on a real kernel: the promises of the port, and what holds without the agent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path

import pytest

from standfast.adapters.drivers import DriverHost, VipConfig, linux_host, vip_rival
from standfast.adapters.drivers.vip import VipDriver
from standfast.adapters.fakes import RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.errors import TransientError
from standfast.ports.resource import Change
from tests.integration.linux_parts import (
    Client,
    Machine,
    echo,
    inside,
    needs_root,
    now_ms,
    shell,
    told,
    wire,
)
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched

pytestmark = needs_root
VIPS = [ip_interface("10.9.0.100/24"), ip_interface("fd09::100/64")]
Vip = IPv4Interface | IPv6Interface


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    """Two nodes and a client; the test itself is on the first."""
    with wire(3) as found, inside(found[0].namespace):
        yield found


@pytest.fixture(params=VIPS, ids=str)
def vip(request: pytest.FixtureRequest) -> Vip:
    found: Vip = request.param
    return found


@pytest.fixture
async def host(machines: list[Machine]) -> AsyncIterator[DriverHost]:
    found = linux_host(BootClock(), RecordingSink())
    yield found
    await found.close()


@pytest.fixture
async def driver(vip: Vip, host: DriverHost) -> AsyncIterator[VipDriver]:
    found = VipDriver(VipConfig("web-ip", vip), host)
    yield found
    await found.close()


class TestVipDriver(DriverContract):
    @pytest.fixture
    async def subject(self, vip: Vip, machines: list[Machine], driver: VipDriver) -> Subject:
        inner = machines[0].namespace

        async def end() -> None:
            await asyncio.to_thread(shell, f"ip -n {inner} addr del {vip} dev eth0")

        async def begin() -> None:
            await asyncio.to_thread(shell, f"ip -n {inner} addr add {vip} dev eth0 nodad")

        return Subject(driver, BootClock(), end, begin)


async def test_a_client_is_served_while_it_is_extended_and_not_after(
    vip: Vip, machines: list[Machine], host: DriverHost, driver: VipDriver
) -> None:
    with echo(machines[0]), Client(machines[2], vip.ip) as client:
        async with watched(driver) as events:
            await driver.start(host.clock.now_ms() + 800)
            end = 0
            for _ in range(10):
                await asyncio.sleep(0.2)
                end = host.clock.now_ms() + 800
                driver.extend(end)
            event = await next_event(events)
    answered = [asked for asked, _, _ in client.answers]
    assert max(answered) > end - 200
    assert not [at for at in answered if at > end + 100], "answered after the lease"
    assert event.change is Change.DIED
    assert "its lease ended" in event.message
    assert host.sink.alerts == {}


async def test_a_stranger_is_refused_by_its_mac(
    vip: Vip, machines: list[Machine], host: DriverHost, driver: VipDriver
) -> None:
    """F47."""
    shell(f"ip -n {machines[1].namespace} addr add {vip} dev eth0 nodad")
    with pytest.raises(TransientError, match=machines[1].mac):
        await driver.start(host.clock.now_ms() + 60_000)
    assert not machines[0].holds(vip.ip)


async def an_alert_of(sink: RecordingSink) -> None:
    """Returns when an alert is raised."""
    async with asyncio.timeout(5):
        while not sink.alerts:  # noqa: ASYNC110 the sink is a plain dictionary
            await asyncio.sleep(0.01)


async def test_a_stranger_that_comes_later_is_told_by_its_mac(
    vip: Vip,
    machines: list[Machine],
    host: DriverHost,
    driver: VipDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F47, after the take-over."""
    monkeypatch.setattr(vip_rival, "ASK_EVERY_S", 0.1)
    await driver.start(host.clock.now_ms() + 60_000)
    await asyncio.sleep(0.5)
    assert host.sink.alerts == {}
    shell(f"ip -n {machines[1].namespace} addr add {vip} dev eth0 nodad")
    await an_alert_of(host.sink)
    assert machines[1].mac in host.sink.alerts["web-ip", vip_rival.CONFLICT].message
    await driver.stop(1000)
    assert host.sink.alerts == {}


async def test_measured_take_over(
    vip: Vip,
    machines: list[Machine],
    host: DriverHost,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The other node fell silent; from `start` to the first answer, without and with the probe."""
    here, there, far = machines
    lines = []
    for probe_ms in (0, 100):
        driver = VipDriver(replace(VipConfig("web-ip", vip), probe_ms=probe_ms), host)
        took, kills, extends = [], [], []
        with echo(here), echo(there), Client(far, vip.ip) as client:
            for _ in range(5):
                shell(f"ip -n {there.namespace} addr add {vip} dev eth0 nodad")
                shell(f"ip -n {far.namespace} neigh flush to {vip.ip} dev eth0")
                client.wait_for_answer(number=2, after_ms=now_ms())
                shell(f"ip -n {there.namespace} addr del {vip} dev eth0")
                begin = now_ms()
                await driver.start(host.clock.now_ms() + 60_000)
                answered = await asyncio.to_thread(
                    client.wait_for_answer, number=1, after_ms=begin
                )
                took.append(answered - begin)
                begin = now_ms()
                driver.extend(host.clock.now_ms() + 60_000)
                extends.append(now_ms() - begin)
                begin = now_ms()
                await driver.kill()
                kills.append(now_ms() - begin)
        lines.append(told(f"{vip.ip} started with a probe of {probe_ms} ms, first answer", took))
    lines += [told(f"{vip.ip} extended", extends), told(f"{vip.ip} killed", kills)]
    with capsys.disabled():
        print("\n" + "\n".join(lines), end="")


HOLD = """
import asyncio, sys
from ipaddress import ip_interface
from standfast.adapters.drivers import VipConfig, linux_host
from standfast.adapters.drivers.vip import VipDriver
from standfast.adapters.fakes import RecordingSink
from standfast.adapters.linux.clock import BootClock

async def hold():
    clock = BootClock()
    host = linux_host(clock, RecordingSink())
    driver = VipDriver(VipConfig("web-ip", ip_interface(sys.argv[1])), host)
    await driver.start(clock.now_ms() + 800)
    while True:
        await asyncio.sleep(0.1)
        end = clock.now_ms() + 800
        driver.extend(end)
        await asyncio.sleep(0.02)
        print(end, flush=True)

asyncio.run(hold())
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=lambda blow: blow.name)
def test_a_dead_or_stopped_agent_loses_the_address_at_the_end_of_the_lease(
    blow: signal.Signals,
    vip: Vip,
    machines: list[Machine],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F48, F89: nobody is there to remove it, and it is gone all the same."""
    agent = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(vip)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path("operator").resolve())},
    )
    assert agent.stdout is not None
    try:
        with closing(agent.stdout), echo(machines[0]), Client(machines[2], vip.ip) as client:
            for _ in range(5):
                last = int(agent.stdout.readline())
            client.wait_for_answer(number=1)
            agent.send_signal(blow)
            if blow is signal.SIGKILL:
                last = max([last, *map(int, agent.stdout.read().split())])
            else:  # it may have extended once more before it stood still
                last += 100
            patience = now_ms() + 10_000
            while machines[0].holds(vip.ip):
                assert now_ms() < patience, "the kernel still holds the address"
            gone = now_ms() - last
    finally:
        agent.kill()
        agent.wait()
    asked = [asked for asked, _, _ in client.answers]
    assert not [at for at in asked if at > last + 200], "answered after the lease"
    with capsys.disabled():
        print(
            f"\n  {vip.ip} after {blow.name}: last answered question {max(asked) - last:.0f} ms "
            f"from the end of the lease, address removed {gone:.0f} ms after it",
            end="",
        )
