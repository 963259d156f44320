"""The systemd driver over a service manager in memory."""

import asyncio
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from standfast.adapters.checks import Checker
from standfast.adapters.checks.config import CheckConfig, CommandCheck, TcpCheck, knobs_of
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
from standfast.ports.resource import Change, Health, Presence, Verdict
from standfast.ports.units import AtBoot, UnitState
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched


def driver_over(
    units: FakeUnits,
    at_boot: AtBoot = AtBoot.REFUSE,
    check: CheckConfig | None = None,
    sink: RecordingSink | None = None,
) -> SystemdDriver:
    clock = FakeClock()
    machine = FakeMachine(clock, FakeWire(), ip_interface("10.0.0.1/24"))
    host = DriverHost(clock, sink or RecordingSink(), machine, machine, machine, machine, units)
    host = replace(host, at_boot=lambda: at_boot)
    return SystemdDriver(SystemdConfig("app", "web.service", check), host)


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
        ("activating", "auto-restart", Verdict.GONE),
        ("deactivating", "stop-sigterm", Verdict.GONE),
        ("failed", "failed", Verdict.GONE),
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


CHECK = CheckConfig(TcpCheck("127.0.0.1", 1), 1000)


class Application:
    """What asking it finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.verdict = Verdict.UP
        self.asked = 0
        self.units = FakeUnits(web=FakeUnit())
        self.asked_thrice = asyncio.Event()
        self.dies_at = 0

        async def look(_: Checker) -> Health:
            self.asked += 1
            if self.asked == 3:
                self.asked_thrice.set()
            if self.asked == self.dies_at:
                self.units.die("web.service")
            return Health(self.verdict, f"asked {self.asked}")

        monkeypatch.setattr(Checker, "look", look)
        monkeypatch.setattr("standfast.adapters.drivers.systemd.ASK_AGAIN_S", 0.01)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Application:
    return Application(monkeypatch)


async def test_f03_a_unit_that_runs_is_asked_whether_it_answers(application: Application) -> None:
    driver = driver_over(application.units, check=CHECK)
    await driver.start(None)
    application.verdict = Verdict.DOWN
    assert await driver.check() == Health(Verdict.DOWN, "asked 2")
    application.units.die("web.service")
    assert (await driver.check()).verdict is Verdict.GONE
    assert application.asked == 2, "what is dead is not asked"


async def test_a_start_ends_when_it_answers(application: Application) -> None:
    application.verdict = Verdict.DOWN
    driver = driver_over(application.units, check=CHECK)
    starting = asyncio.create_task(driver.start(None))
    await application.asked_thrice.wait()
    assert not starting.done()
    application.verdict = Verdict.UP
    await starting


async def test_a_unit_that_dies_before_it_answers_has_not_started(
    application: Application,
) -> None:
    application.verdict, application.dies_at = Verdict.DOWN, 2
    with pytest.raises(TransientError, match="did not start"):
        await driver_over(application.units, check=CHECK).start(None)


async def test_a_start_that_waits_for_an_answer_is_overtaken_by_a_stop(
    application: Application,
) -> None:
    application.verdict = Verdict.DOWN
    driver = driver_over(application.units, check=CHECK)
    starting = asyncio.create_task(driver.start(None))
    await application.asked_thrice.wait()
    await driver.kill()
    with pytest.raises(TransientError, match="overtaken by a stop"):
        await starting


async def test_a_check_that_cannot_be_made_is_told_and_holds_no_start_up(
    application: Application,
) -> None:
    application.verdict = Verdict.UNKNOWN
    sink = RecordingSink()
    driver = driver_over(application.units, check=CHECK, sink=sink)
    await driver.start(None)
    assert ("app", "CheckNotMade") in sink.alerts
    application.verdict = Verdict.DOWN
    await driver.check()
    assert ("app", "CheckNotMade") not in sink.alerts


async def test_how_it_is_asked_may_be_declared_anew_while_it_runs(
    application: Application,
) -> None:
    driver = driver_over(application.units)
    await driver.start(None)
    assert application.asked == 0
    driver.tune(knobs_of(CHECK))
    assert (await driver.check()).message == "asked 1"
    driver.tune(knobs_of(None))
    assert (await driver.check()).message == "web.service is active (running)"


async def test_a_standby_without_the_program_of_the_check_does_not_stand() -> None:
    """F13: what is missing here is found before it is needed."""
    check = CheckConfig(CommandCheck("orders"), 1000)
    said = await driver_over(FakeUnits(web=FakeUnit()), check=check).ready()
    assert len(said) == 1
    assert "[checks.orders]" in said[0]
