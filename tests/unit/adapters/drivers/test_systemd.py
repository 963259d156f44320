"""The systemd driver over a service manager in memory."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from standfast.adapters.drivers import DriverHost, SystemdConfig
from standfast.adapters.drivers.systemd import SystemdDriver
from standfast.adapters.fakes import (
    FakeClock,
    FakeMachine,
    FakeUnit,
    FakeUnits,
    FakeWire,
    RecordingSink,
)
from standfast.errors import TransientError, UserError
from standfast.ports.resource import Change, Presence, Verdict
from standfast.ports.units import AtBoot, UnitState
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched


def driver_over(units: FakeUnits, at_boot: AtBoot = AtBoot.REFUSE) -> SystemdDriver:
    clock = FakeClock()
    machine = FakeMachine(clock, FakeWire(), ip_interface("10.0.0.1/24"))
    host = DriverHost(clock, RecordingSink(), machine, machine, machine, machine, units)
    host = replace(host, at_boot=lambda: at_boot)
    return SystemdDriver(SystemdConfig("app", "web.service"), host)


class TestSystemdDriver(DriverContract):
    @pytest.fixture
    async def subject(self) -> Subject:
        units = FakeUnits(web=FakeUnit())

        async def end() -> None:
            units.die("web.service")

        async def begin() -> None:
            units.start_by_hand("web.service")

        return Subject(driver_over(units), FakeClock(), end, begin)


async def test_a_missing_unit_is_a_matter_for_a_person() -> None:
    driver = driver_over(FakeUnits())
    with pytest.raises(UserError, match=r"there is no systemd unit web\.service on this node"):
        await driver.start(None)
    assert "spec.systemd.unit" in (await driver.ready())[0]
    assert (await driver.probe()).presence is Presence.STOPPED


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"load": "masked"}, "is masked on this node"),
        ({"load": "bad-setting", "load_error": "Unknown key"}, "does not load .*Unknown key"),
        ({"kind": "oneshot"}, "Type=oneshot without RemainAfterExit=yes"),
    ],
)
async def test_units_that_cannot_be_resources(changes: dict[str, str], sentence: str) -> None:
    units = FakeUnits(web=FakeUnit())
    unit = units.units["web.service"]
    unit.facts = replace(unit.facts, **changes)
    with pytest.raises(UserError, match=sentence):
        await driver_over(units).start(None)
    assert len(await driver_over(units).ready()) == 1


async def test_what_starts_without_asking_is_a_concern() -> None:
    """Units that systemd would start at boot are found and reported."""
    units = FakeUnits(web=FakeUnit())
    unit = units.units["web.service"]
    unit.facts = replace(
        unit.facts, file="enabled", restart="always", triggered_by=("web.socket",)
    )
    driver = driver_over(units)
    assert [alert.reason for alert in await driver.concerns()] == [
        "UnitEnabled",
        "UnitRestartsItself",
        "UnitTriggered",
    ]


@pytest.mark.parametrize(
    ("policy", "sentence", "after"),
    [
        (AtBoot.REFUSE, "web.service is enabled: after a reboot it would run", "enabled"),
        (AtBoot.REPORT, "", "enabled"),
        (AtBoot.DISABLE, "", "disabled"),
    ],
)
async def test_a_unit_that_systemd_starts_at_boot(
    policy: AtBoot, sentence: str, after: str
) -> None:
    """A node that comes up starts nothing before it has asked; its administrator decides how."""
    units = FakeUnits(web=FakeUnit())
    unit = units.units["web.service"]
    unit.facts = replace(unit.facts, file="enabled")
    said = await driver_over(units, policy).ready()
    assert [sentence in found for found in said] == ([True] if sentence else [])
    assert unit.facts.file == after


async def test_a_start_that_fails_says_how() -> None:
    driver = driver_over(FakeUnits(web=FakeUnit(fails_to_start=True)))
    with pytest.raises(TransientError, match="result 'exit-code', exit status 1") as caught:
        await driver.start(None)
    assert caught.value.remedy == "journalctl -u web.service -n 50"


async def test_a_stop_beyond_its_budget_says_what_is_left_and_kill_takes_it() -> None:
    """F06: never "blocked"."""
    driver = driver_over(FakeUnits(web=FakeUnit(ignores_stop=True)))
    await driver.start(None)
    with pytest.raises(TransientError, match=r"not stopped within 10 ms: .* 1 process: 101 "):
        await driver.stop(10)
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_processes_left_behind_are_not_a_stop() -> None:
    driver = driver_over(FakeUnits(web=FakeUnit(leaves_behind=1)))
    await driver.start(None)
    with pytest.raises(TransientError, match=r"it is inactive \(dead\) with 1 process"):
        await driver.stop(10)
    assert (await driver.probe()).presence is Presence.RUNNING
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_an_unreachable_manager_is_unknown_and_not_down() -> None:
    units = FakeUnits(web=FakeUnit())
    driver = driver_over(units)
    await driver.start(None)
    units.is_reachable = False
    assert (await driver.check()).verdict is Verdict.UNKNOWN
    assert (await driver.probe()).presence is Presence.UNKNOWN
    assert len(await driver.ready()) == 1
    assert await driver.concerns() == []
    with pytest.raises(TransientError, match="does not answer"):
        await driver.stop(100)


@pytest.mark.parametrize(
    ("active", "sub", "verdict"),
    [
        ("reloading", "reload", Verdict.UP),
        ("activating", "start", Verdict.UNKNOWN),
        ("activating", "auto-restart", Verdict.DOWN),
        ("deactivating", "stop-sigterm", Verdict.DOWN),
        ("failed", "failed", Verdict.DOWN),
        ("maintenance", "x", Verdict.UNKNOWN),
    ],
)
async def test_states_read_as_verdicts(active: str, sub: str, verdict: Verdict) -> None:
    units = FakeUnits(web=FakeUnit())
    unit = units.units["web.service"]
    unit.facts = replace(unit.facts, state=UnitState(active, sub))
    assert (await driver_over(units).check()).verdict is verdict


async def test_a_lost_connection_is_told_and_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standfast.adapters.drivers.systemd.WATCH_AGAIN_AFTER_S", 0)
    units = FakeUnits(web=FakeUnit())
    driver = driver_over(units)
    async with watched(driver) as events:
        await driver.start(None)
        units.lose_connection()
        assert (await next_event(events)).change is Change.UNWATCHED
        assert (await next_event(events)).change is Change.WATCHED
        units.die("web.service")
        assert (await next_event(events)).change is Change.DIED
