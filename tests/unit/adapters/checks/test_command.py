"""Asking by a program, with a stand-in for systemd-run that runs it at once."""

import asyncio

import pytest

from standfast.adapters.checks import Checker, checker
from standfast.adapters.checks import command as module
from standfast.adapters.checks.config import CheckConfig, CommandCheck, Program
from standfast.adapters.fakes import FakeUnit, FakeUnits
from standfast.adapters.linux.programs import Done, Programs
from standfast.errors import UserError
from standfast.ports.resource import Health, Verdict

PROGRAM = Program(("/usr/local/bin/look", "--cost", "5$"), "orders")
UNIT = "standfast-check-web.service"


class Bench:
    """What systemd-run answers, and how it was called."""

    def __init__(self) -> None:
        self.units = FakeUnits()
        self.programs: dict[str, Program] = {"orders": PROGRAM}
        self.done: Done | None = Done(0, "")
        self.argv: tuple[str, ...] = ()
        self.begun = asyncio.Event()

    async def look(self, timeout_ms: int = 4000) -> Health:
        return await self.checker(timeout_ms).look()

    def checker(self, timeout_ms: int = 4000) -> Checker:
        config = CheckConfig(CommandCheck("orders"), timeout_ms)
        return checker("web", config, self.units, self.programs.get)

    async def run(self, *argv: str) -> Done:
        self.argv = argv
        self.begun.set()
        if self.done is None:
            await asyncio.Event().wait()
        assert self.done is not None
        return self.done


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()

    async def run(_: Programs, *argv: str) -> Done:
        return await made.run(*argv)

    monkeypatch.setattr(Programs, "run", run)
    return made


async def test_status_zero_is_well_and_runs_what_the_host_names_as_its_user(bench: Bench) -> None:
    bench.done = Done(0, "12 orders")
    health = await bench.look()
    assert (health.verdict, health.message) == (Verdict.UP, "check orders passes: 12 orders")
    assert bench.argv[0] == "systemd-run"
    assert {f"--unit={UNIT}", "--uid=orders", "--property=RuntimeMaxSec=5.800"} <= {*bench.argv}
    assert bench.argv[-4:] == ("--", "/usr/local/bin/look", "--cost", "5$$")


async def test_any_other_status_is_down_with_its_last_words(bench: Bench) -> None:
    bench.done = Done(2, "no order for an hour")
    health = await bench.look()
    assert health.verdict is Verdict.DOWN
    assert health.message == "check orders ended with status 2: no order for an hour"


@pytest.mark.parametrize(
    "done",
    [
        Done(203, "Failed at step EXEC"),
        Done(217, ""),
        Done(1, "Failed to find executable /usr/local/bin/look: No such file or directory"),
        Done(1, "Failed to start transient service unit: Unit was already loaded"),
    ],
)
async def test_what_was_not_even_begun_says_nothing_of_the_application(
    bench: Bench, done: Done
) -> None:
    bench.done = done
    health = await bench.look()
    assert health.verdict is Verdict.UNKNOWN
    assert "/usr/local/bin/look as orders" in health.message


async def test_f04_a_program_that_hangs_is_down_in_time_and_is_ended(bench: Bench) -> None:
    bench.done = None
    bench.units.units[UNIT] = FakeUnit()
    looking = asyncio.create_task(bench.look(200))
    await bench.begun.wait()
    bench.units.start_by_hand(UNIT)
    health = await looking
    assert (health.verdict, health.message) == (
        Verdict.DOWN,
        "check orders: no answer within 0.18 s",
    )
    assert await bench.units.processes(UNIT) == []


async def test_what_is_left_of_an_earlier_run_is_ended_first(bench: Bench) -> None:
    bench.units.units[UNIT] = FakeUnit(ignores_stop=True)
    bench.units.start_by_hand(UNIT)
    assert (await bench.look()).verdict is Verdict.UP
    assert await bench.units.processes(UNIT) == []


async def test_an_earlier_run_that_cannot_be_ended_is_a_failed_check(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "END_S", 0.1)
    bench.units.units[UNIT] = FakeUnit(ignores_stop=True)
    bench.units.start_by_hand(UNIT)

    async def in_vain(_: str) -> None:
        """A process that waits for a dead disk."""

    monkeypatch.setattr(bench.units, "kill", in_vain)
    health = await bench.look()
    assert (health.verdict, bench.argv) == (Verdict.DOWN, ())
    assert "an earlier run cannot be ended" in health.message


async def test_a_name_that_the_host_does_not_have_is_said_and_nothing_runs(bench: Bench) -> None:
    del bench.programs["orders"]
    health = await bench.look()
    assert (health.verdict, bench.argv) == (Verdict.UNKNOWN, ())
    assert health.message == "this node has no program for check orders"
    assert "[checks.orders]" in await bench.checker().obstacle()
    bench.programs["orders"] = PROGRAM
    assert await bench.checker().obstacle() == ""


async def test_a_manager_that_cannot_be_reached_says_nothing_of_the_application(
    bench: Bench,
) -> None:
    bench.units.is_reachable = False
    assert (await bench.look()).verdict is Verdict.UNKNOWN


async def test_a_file_that_does_not_read_says_nothing_of_the_application(bench: Bench) -> None:
    def unreadable(_: str) -> Program | None:
        raise UserError("the file does not read", remedy="correct it")

    config = CheckConfig(CommandCheck("orders"), 4000)
    asking = checker("web", config, bench.units, unreadable)
    assert (await asking.look()).verdict is Verdict.UNKNOWN
    assert await asking.obstacle() == "the file does not read (correct it)"
