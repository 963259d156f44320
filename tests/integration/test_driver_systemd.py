"""The systemd driver against a real systemd: a VM of the lab, its D-Bus reached from outside."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface

import pytest

from standfast.adapters.checks import checker
from standfast.adapters.checks.command import CommandAsk
from standfast.adapters.checks.config import CheckConfig, CommandCheck, Program
from standfast.adapters.drivers import DriverHost, SystemdConfig
from standfast.adapters.drivers.systemd import SystemdDriver
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeWire, RecordingSink
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.linux.units import SystemdUnits
from standfast.errors import TransientError, UserError
from standfast.lab.lab import LabVm
from standfast.ports.resource import Change, Health, Presence, Verdict
from standfast.ports.units import AtBoot
from tests.integration.lab_bed import bare_lab
from tests.unit.adapters.contracts import DriverContract, Subject, next_event, watched

pytestmark = [pytest.mark.root, pytest.mark.lab]

PLAIN = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n"
UNITS = {
    "plain": PLAIN,
    "again": PLAIN + "Restart=always\nRestartSec=50ms\n[Install]\nWantedBy=multi-user.target\n",
    "booted": PLAIN + "[Install]\nWantedBy=multi-user.target\n",
    "deaf": "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n",
    "leaver": "[Service]\nKillMode=process\nExecStart=/bin/sh -c 'sleep 99 & exec sleep 9'\n",
    "hangs": PLAIN + "ExecStop=/bin/sleep infinity\nTimeoutStopSec=infinity\n",
    "broken": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'exit 7'\n",
    "brief": "[Service]\nExecStart=/bin/true\nType=oneshot\n",
    "nonsense": "[Service]\nExecStart=relative/path\n",
    "slow": PLAIN + "ExecStartPre=/bin/sleep 2\n",
}


@dataclass(frozen=True)
class Systemd:
    """The VM and the units in it."""

    vm: LabVm

    @property
    def bus(self) -> str:
        return f"unix:path={self.vm.machine.root()}/run/dbus/system_bus_socket"

    def ctl(self, *words: str) -> str:
        return self.vm.exec(["systemctl", *words], check=False).strip()


@pytest.fixture(scope="module")
def systemd() -> Iterator[Systemd]:
    with bare_lab("unit", vms=1, networks=1) as lab:
        vm = lab.vm("vm-a")
        for name, text in UNITS.items():
            place = vm.machine.root() / f"etc/systemd/system/{name}.service"
            place.write_text(f"[Unit]\nDescription={name}\n{text}")
        found = Systemd(vm)
        found.ctl("daemon-reload")
        found.ctl("enable", "again.service", "booted.service")
        found.ctl("mask", "--runtime", "hidden.service")
        yield found


@pytest.fixture
async def units(systemd: Systemd) -> AsyncIterator[SystemdUnits]:
    found = SystemdUnits(systemd.bus)
    yield found
    for name in UNITS:
        await found.ask_stop(f"{name}.service")
        while await found.processes(f"{name}.service"):
            await found.kill(f"{name}.service")
    await found.close()


@pytest.fixture
def driver_of(units: SystemdUnits) -> Callable[[str], SystemdDriver]:
    def make(name: str) -> SystemdDriver:
        machine = FakeMachine(FakeClock(), FakeWire(), ip_interface("10.0.0.1/24"))
        host = DriverHost(BootClock(), RecordingSink(), machine, machine, machine, machine, units)
        return SystemdDriver(SystemdConfig("app", f"{name}.service"), host)

    return make


async def verdict_that(driver: SystemdDriver, fits: Callable[[Verdict], bool]) -> Verdict:
    """The first verdict that fits; looks every few milliseconds."""
    async with asyncio.timeout(10):
        while True:
            verdict = (await driver.check()).verdict
            if fits(verdict):
                return verdict
            await asyncio.sleep(0.01)


class TestSystemdDriver(DriverContract):
    @pytest.fixture
    async def subject(
        self, systemd: Systemd, driver_of: Callable[[str], SystemdDriver]
    ) -> Subject:
        async def end() -> None:
            await asyncio.to_thread(systemd.ctl, "kill", "--signal=KILL", "plain.service")

        async def begin() -> None:
            await asyncio.to_thread(systemd.ctl, "start", "plain.service")

        return Subject(driver_of("plain"), BootClock(), end, begin)


async def test_measured_death_start_stop_and_kill(
    systemd: Systemd,
    units: SystemdUnits,
    driver_of: Callable[[str], SystemdDriver],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the signal to the main process until the event is here."""
    driver = driver_of("plain")
    took: dict[str, list[float]] = {"death seen": [], "start": [], "stop": [], "kill": []}
    took |= {"check": [], "facts": []}

    async def timed(what: str, work: Callable[[], object]) -> None:
        begin = time.perf_counter()
        await work()
        took[what].append((time.perf_counter() - begin) * 1000)

    async with watched(driver) as events:
        for _ in range(10):
            await timed("start", lambda: driver.start(None))
            await timed("check", driver.check)
            await timed("facts", lambda: units.facts("plain.service"))
            (process,) = await units.processes("plain.service")
            assert process.command == "/bin/sleep infinity"
            begin = time.perf_counter()
            await units.kill("plain.service")
            assert (await next_event(events)).change is Change.DIED
            took["death seen"].append((time.perf_counter() - begin) * 1000)
            await driver.start(None)
            await timed("stop", lambda: driver.stop(5000))
            await driver.start(None)
            await timed("kill", driver.kill)
    with capsys.disabled():
        for what, values in took.items():
            print(
                f"\n  unit {what}: min {min(values):.1f} ms, median "
                f"{statistics.median(values):.1f} ms, max {max(values):.1f} ms",
                end="",
            )


async def test_a_unit_that_does_not_exist(driver_of: Callable[[str], SystemdDriver]) -> None:
    driver = driver_of("ghost")
    with pytest.raises(UserError, match=r"there is no systemd unit ghost\.service"):
        await driver.start(None)
    assert len(await driver.ready()) == 1
    assert (await driver.probe()).presence is Presence.STOPPED
    await driver.stop(1000)
    await driver.kill()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hidden", "is masked on this node"),
        ("nonsense", "does not load nonsense"),
        ("brief", "Type=oneshot without"),
    ],
)
async def test_units_that_cannot_be_resources(
    name: str, sentence: str, driver_of: Callable[[str], SystemdDriver]
) -> None:
    with pytest.raises(UserError, match=sentence):
        await driver_of(name).start(None)


async def test_a_start_that_fails_says_how(driver_of: Callable[[str], SystemdDriver]) -> None:
    driver = driver_of("broken")
    for _ in range(8):  # systemd's own limit of starts does not come in between
        with pytest.raises(TransientError, match=r"'failed'.*'exit-code', exit status 7"):
            await driver.start(None)


async def test_a_unit_deaf_to_stopping_is_killed(
    driver_of: Callable[[str], SystemdDriver],
) -> None:
    """F06."""
    driver = driver_of("deaf")
    await driver.start(None)
    with pytest.raises(TransientError, match=r"not stopped within 300 ms: it is deactivating"):
        await driver.stop(300)
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_hanging_stop_command_is_killed_with_the_rest(
    driver_of: Callable[[str], SystemdDriver],
) -> None:
    driver = driver_of("hangs")
    await driver.start(None)
    with pytest.raises(TransientError, match="2 processes"):
        await driver.stop(300)
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_processes_left_behind_are_found_and_killed(
    driver_of: Callable[[str], SystemdDriver],
) -> None:
    """KillMode=process: systemd calls the unit inactive while a child of it goes on."""
    driver = driver_of("leaver")
    await driver.start(None)
    with pytest.raises(TransientError, match=r"it is inactive \(dead\) with 1 process"):
        await driver.stop(300)
    assert (await driver.probe()).presence is Presence.RUNNING
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_kill_outlasts_restart_always(
    driver_of: Callable[[str], SystemdDriver],
) -> None:
    driver = driver_of("again")
    assert [alert.reason for alert in await driver.concerns()] == [
        "UnitEnabled",
        "UnitRestartsItself",
    ]
    await driver.start(None)
    await driver.kill()
    assert (await driver.probe()).presence is Presence.STOPPED
    async with watched(driver) as events:
        await driver.start(None)
        assert events.empty()
    await driver.stop(5000)


async def test_a_unit_enabled_at_boot_is_refused_or_disabled_by_policy(
    systemd: Systemd, units: SystemdUnits
) -> None:
    """A node that comes up starts nothing before it has asked."""
    machine = FakeMachine(FakeClock(), FakeWire(), ip_interface("10.0.0.1/24"))
    sink = RecordingSink()
    host = DriverHost(BootClock(), sink, machine, machine, machine, machine, units)
    config = SystemdConfig("app", "booted.service")
    (said,) = await SystemdDriver(config, host).ready()
    assert said.startswith("booted.service is enabled: after a reboot it would run")
    driver = SystemdDriver(config, replace(host, at_boot=lambda: AtBoot.DISABLE))
    assert await driver.ready() == []
    assert systemd.ctl("is-enabled", "booted.service") == "disabled"
    assert await driver.ready() == []
    assert await driver.concerns() == []


async def test_a_restart_by_systemd_is_a_death(
    systemd: Systemd, driver_of: Callable[[str], SystemdDriver]
) -> None:
    driver = driver_of("again")
    async with watched(driver) as events:
        await driver.start(None)
        systemd.ctl("kill", "--signal=KILL", "again.service")
        assert (await next_event(events)).change is Change.DIED


async def test_a_slow_start_can_be_killed_in_the_middle(
    driver_of: Callable[[str], SystemdDriver],
) -> None:
    """F08."""
    driver = driver_of("slow")
    start = asyncio.create_task(driver.start(None))
    await verdict_that(driver, lambda verdict: verdict is Verdict.UNKNOWN)
    await driver.kill()
    with pytest.raises(TransientError, match="overtaken by a stop"):
        await start
    assert (await driver.probe()).presence is Presence.STOPPED


async def test_a_restart_of_the_bus_is_survived(
    systemd: Systemd, driver_of: Callable[[str], SystemdDriver]
) -> None:
    driver = driver_of("plain")
    async with watched(driver) as events:
        await driver.start(None)
        await asyncio.to_thread(systemd.ctl, "restart", "dbus.service")
        assert (await next_event(events)).change is Change.UNWATCHED
        assert (await next_event(events)).change is Change.WATCHED
        assert (await driver.check()).verdict is Verdict.UP
        await asyncio.to_thread(systemd.ctl, "kill", "--signal=KILL", "plain.service")
        assert (await next_event(events)).change is Change.DIED


async def test_a_new_life_of_systemd_is_survived(
    systemd: Systemd, driver_of: Callable[[str], SystemdDriver]
) -> None:
    """A package upgrade lets systemd execute itself anew; the unit goes on, and so do signals."""
    driver = driver_of("plain")
    async with watched(driver) as events:
        await driver.start(None)
        await asyncio.to_thread(systemd.ctl, "daemon-reexec")
        found = await verdict_that(driver, lambda verdict: verdict is not Verdict.UNKNOWN)
        assert found is Verdict.UP
        await asyncio.to_thread(systemd.ctl, "kill", "--signal=KILL", "plain.service")
        seen = await next_event(events)
        while seen.change is not Change.DIED:
            seen = await next_event(events)


async def test_no_bus_is_unknown() -> None:
    units = SystemdUnits("unix:path=/nonexistent")
    with pytest.raises(TransientError, match="systemd does not answer over D-Bus"):
        await units.state("x.service")
    await units.close()


PROGRAMS = {
    "well": 'echo "one word"; echo "all $(id -un) $1 is well"',
    "ill": "echo the queue is full >&2; exit 3",
    "hangs": "trap '' TERM HUP INT; setsid sleep 98 & echo begun; sleep 99; sleep 99",
}


@pytest.fixture
async def ask(
    systemd: Systemd, units: SystemdUnits, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Awaitable[Health]]:
    """The verdict of a program in the VM, whose systemd runs it."""
    for name, text in PROGRAMS.items():
        place = systemd.vm.machine.root() / f"usr/local/bin/check-{name}"
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)
    plain = CommandAsk._argv

    def there(self: CommandAsk, program: Program, limit_s: float) -> Sequence[str]:
        return systemd.vm.machine.command(plain(self, program, limit_s))

    monkeypatch.setattr(CommandAsk, "_argv", there)

    async def asked(name: str, timeout_ms: int = 5000) -> Health:
        config = CheckConfig(CommandCheck(name), timeout_ms)
        program = Program((f"/usr/local/bin/check-{name}", "$HOME"), "daemon")
        return await checker("app", config, units, lambda _: program).look()

    return asked


async def test_a_program_is_run_as_its_user_and_judged_by_its_status(
    ask: Callable[[str], Awaitable[Health]],
) -> None:
    began = time.monotonic()
    well = await ask("well")
    print(f"\na check by a program took {time.monotonic() - began:.3f} s")
    assert well == Health(Verdict.UP, "check well passes: one word; all daemon $HOME is well")
    assert await ask("ill") == Health(
        Verdict.DOWN, "check ill ended with status 3: the queue is full"
    )
    missing = await ask("missing")
    assert missing.verdict is Verdict.UNKNOWN, missing
    assert "could not be run (/usr/local/bin/check-missing as daemon)" in missing.message


async def until_empty(units: SystemdUnits, unit: str) -> None:
    """The end of a process that is nobody's has no signal: look, and look again."""
    while True:
        if not await units.processes(unit):
            return
        await asyncio.sleep(0.01)


async def test_f04_a_program_that_hangs_is_ended_with_all_that_it_began(
    systemd: Systemd, units: SystemdUnits, ask: Callable[..., Awaitable[Health]]
) -> None:
    for _ in range(2):  # the second one finds nothing in its way
        began = time.monotonic()
        health = await ask("hangs", 1000)
        print(f"\na check that hung was over after {time.monotonic() - began:.3f} s")
        assert health == Health(Verdict.DOWN, "check hangs: no answer within 0.9 s")
        await until_empty(units, "standfast-check-app.service")
    assert (await ask("well")).verdict is Verdict.UP
    assert "sleep 9" not in systemd.vm.exec(["ps", "ax", "-o", "args"])
