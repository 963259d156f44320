"""Driver calls: outcomes as events, no overlap, kills that wait for nothing, faults contained."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from standfast.adapters.fakes import FakeClock, FakeDriver, RecordingSink
from standfast.agent.drivers import Calls, Drivers
from standfast.core import group_events as ev
from standfast.core.group_spec import Spec
from standfast.errors import StandfastError, TransientError, UserError
from standfast.member.mailbox import Mailbox
from standfast.ports.events import Alert
from standfast.ports.resource import Claim, Presence, Verdict

WEB = Spec("web", "systemd", "{}")


@dataclass
class Stage:
    drivers: Drivers
    events: "asyncio.Queue[ev.GroupEvent]"
    sink: RecordingSink
    made: list[FakeDriver]
    mailbox: Mailbox

    @property
    def driver(self) -> FakeDriver:
        return self.made[-1]

    async def outcome(self) -> ev.GroupEvent:
        return await asyncio.wait_for(self.events.get(), 1)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    events: asyncio.Queue[ev.GroupEvent] = asyncio.Queue()
    made: list[FakeDriver] = []
    mailbox, sink, clock = Mailbox(), RecordingSink(), FakeClock()

    def make(spec: Spec) -> FakeDriver:
        made.append(FakeDriver(spec.name, clock))
        return made[-1]

    calls = Calls(events.put_nowait, lambda: None, lambda *_: None, lambda _: None)
    drivers = Drivers(make, mailbox, sink, calls)
    drivers.make(WEB)
    await asyncio.sleep(0)
    yield Stage(drivers, events, sink, made, mailbox)
    await drivers.close()
    await mailbox.close()


class Excluder(FakeDriver):
    """A driver whose storage keeps others out."""

    disk = "6000c298"

    def __init__(self, name: str, clock: FakeClock) -> None:
        super().__init__(name, clock)
        self.claims: list[Claim] = []
        self.answers: list[bool | StandfastError] = []
        self.asked = asyncio.Event()

    def claim(self, claim: Claim) -> None:
        self.claims.append(claim)

    async def exclude(self) -> bool:
        self.asked.set()
        if not self.answers:
            await asyncio.sleep(3600)
        answer = self.answers.pop(0)
        if isinstance(answer, StandfastError):
            raise answer
        return answer


@dataclass
class Storeroom:
    """Drivers of which one has a disk."""

    drivers: Drivers
    sink: RecordingSink
    excluder: Excluder
    out: "asyncio.Queue[tuple[str, int]]"
    ousted: list[str]


CLAIM = Claim("cluster", 1, "me", "boot", 7, suspected=True)
DISK = Spec("disk", "reservedDisk", "{}")


@pytest.fixture
async def storeroom(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storeroom]:
    monkeypatch.setattr("standfast.agent.drivers.EXCLUDE_AGAIN_S", 0.01)
    monkeypatch.setattr("standfast.agent.drivers.REFUSED_AGAIN_S", 0.01)
    out: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    ousted: list[str] = []
    mailbox, sink = Mailbox(), RecordingSink()
    excluder = Excluder("disk", FakeClock())
    calls = Calls(
        lambda _: None,
        lambda: None,
        lambda disk, term: out.put_nowait((disk, term)),
        ousted.append,
    )
    drivers = Drivers(lambda _: excluder, mailbox, sink, calls)
    yield Storeroom(drivers, sink, excluder, out, ousted)
    await drivers.close()
    await mailbox.close()


async def test_a_claim_shuts_everybody_out_and_says_so(storeroom: Storeroom) -> None:
    storeroom.excluder.answers = [True]
    storeroom.drivers.make(DISK)
    assert storeroom.excluder.claims == []
    storeroom.drivers.claim(CLAIM)
    assert storeroom.excluder.claims == [CLAIM], "before anything could start"
    assert await asyncio.wait_for(storeroom.out.get(), 1) == ("6000c298", 7)


async def test_a_disk_that_is_declared_while_the_lease_is_held_is_taken_too(
    storeroom: Storeroom,
) -> None:
    storeroom.excluder.answers = [True]
    storeroom.drivers.claim(CLAIM)
    storeroom.drivers.make(DISK)
    assert await asyncio.wait_for(storeroom.out.get(), 1) == ("6000c298", 7)


async def test_what_does_not_last_is_no_proof(storeroom: Storeroom) -> None:
    storeroom.excluder.answers = [False]
    storeroom.drivers.make(DISK)
    storeroom.drivers.claim(CLAIM)
    await asyncio.wait_for(storeroom.excluder.asked.wait(), 1)
    await asyncio.sleep(0.05)
    assert storeroom.out.empty()


@pytest.mark.parametrize("kind", [UserError, TransientError])
async def test_a_disk_that_cannot_be_reserved_is_an_alert_until_it_can(
    storeroom: Storeroom, kind: type[UserError] | type[TransientError]
) -> None:
    storeroom.excluder.answers = [kind("no reservations", remedy="do"), True]
    storeroom.drivers.make(DISK)
    storeroom.drivers.claim(CLAIM)
    await asyncio.wait_for(storeroom.excluder.asked.wait(), 1)
    assert storeroom.sink.alerts == {
        ("disk", "DiskNotReserved"): Alert("DiskNotReserved", "no reservations", "do")
    }
    assert await asyncio.wait_for(storeroom.out.get(), 1) == ("6000c298", 7)
    assert storeroom.sink.alerts == {}


async def test_without_the_lease_nobody_is_shut_out_any_more(storeroom: Storeroom) -> None:
    storeroom.drivers.make(DISK)
    storeroom.drivers.claim(CLAIM)
    await asyncio.wait_for(storeroom.excluder.asked.wait(), 1)
    storeroom.drivers.claim(None)
    storeroom.excluder.asked.clear()
    storeroom.excluder.answers = [True]
    storeroom.drivers.make(DISK)
    await asyncio.sleep(0.05)
    assert not storeroom.excluder.asked.is_set()
    assert storeroom.out.empty()


async def test_a_node_that_was_thrown_out_hears_it_at_once(storeroom: Storeroom) -> None:
    storeroom.drivers.make(DISK)
    await asyncio.sleep(0)
    storeroom.excluder.oust("taken in term 8 by another node")
    assert storeroom.ousted == ["taken in term 8 by another node"]


async def test_each_call_comes_back_as_its_event(stage: Stage) -> None:
    stage.drivers.begin(ev.Look("web", 1, ready=True))
    assert await stage.outcome() == ev.Looked("web", 1, ev.Seen.STOPPED, "web is Stopped", ())
    stage.drivers.begin(ev.Start("web", 2, 5000))
    assert await stage.outcome() == ev.Started("web", 2)
    stage.drivers.extend(9000)
    assert stage.driver.lease_until_ms == 9000
    stage.drivers.begin(ev.Check("web", 3))
    assert await stage.outcome() == ev.Checked("web", 3, ev.Verdict.UP, "web is Up")
    stage.driver.verdict = Verdict.DOWN
    stage.drivers.begin(ev.Check("web", 4))
    assert await stage.outcome() == ev.Checked("web", 4, ev.Verdict.DOWN, "web is Down")
    stage.drivers.begin(ev.Stop("web", 5, 100))
    assert await stage.outcome() == ev.StopEnded("web", 5)
    stage.drivers.begin(ev.Kill("web", 6))
    assert await stage.outcome() == ev.StopEnded("web", 6)


async def test_what_a_driver_raises_is_an_outcome(stage: Stage) -> None:
    stage.driver.start_error = TransientError("in use", remedy="free it")
    stage.drivers.begin(ev.Start("web", 1, 5000))
    assert await stage.outcome() == ev.StartFailed("web", 1, "in use", "free it", lasting=False)
    stage.driver.start_error = UserError("no such unit", remedy="make it")
    stage.drivers.begin(ev.Start("web", 2, 5000))
    assert await stage.outcome() == ev.StartFailed(
        "web", 2, "no such unit", "make it", lasting=True
    )


async def test_a_stop_out_of_time_is_an_outcome(stage: Stage) -> None:
    stage.driver.presence = Presence.RUNNING
    stage.driver.holds_stop = True
    stage.drivers.begin(ev.Stop("web", 1, 10))
    outcome = await stage.outcome()
    assert isinstance(outcome, ev.StopEnded)
    assert "not stopped within 10 ms" in outcome.problem


async def test_a_fault_of_ours_fails_the_call_and_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("oops")

    for name, call, kind in (
        ("probe", ev.Look("web", 1, ready=False), ev.Looked),
        ("check", ev.Check("web", 2), ev.Checked),
        ("kill", ev.Kill("web", 3), ev.StopEnded),
    ):
        monkeypatch.setattr(stage.driver, name, broken)
        stage.drivers.begin(call)
        outcome = await stage.outcome()
        assert isinstance(outcome, kind)
        assert "ZeroDivisionError: oops" in str(outcome)


async def test_a_cancelled_call_reports_nothing_and_the_next_waits_for_it(stage: Stage) -> None:
    stage.driver.holds_start = True
    stage.drivers.begin(ev.Start("web", 1, 5000))
    await asyncio.sleep(0)
    stage.drivers.cancel("web", 1)
    stage.drivers.begin(ev.Stop("web", 2, 100))
    assert await stage.outcome() == ev.StopEnded("web", 2)
    assert stage.driver.calls == ["start", "stop"]
    assert stage.events.empty()


async def test_a_kill_waits_for_no_other_call(stage: Stage) -> None:
    stage.driver.holds_start = True
    stage.drivers.begin(ev.Start("web", 1, 5000))
    await asyncio.sleep(0)
    stage.drivers.begin(ev.Kill("web", 2))
    assert await stage.outcome() == ev.StopEnded("web", 2)


async def test_the_look_after_a_kill_sees_what_a_start_still_did_while_it_unwound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that is in the kernel when its program is killed comes all the same."""
    let_go = asyncio.Event()

    async def start(lease_until_ms: int | None) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await let_go.wait()
            stage.driver.presence = Presence.RUNNING

    monkeypatch.setattr(stage.driver, "start", start)
    stage.drivers.begin(ev.Start("web", 1, 5000))
    await asyncio.sleep(0)
    stage.drivers.cancel("web", 1)
    stage.drivers.begin(ev.Kill("web", 2))
    assert await stage.outcome() == ev.StopEnded("web", 2)
    stage.drivers.begin(ev.Look("web", 3, ready=False))
    await asyncio.sleep(0.01)
    let_go.set()
    outcome = await stage.outcome()
    assert isinstance(outcome, ev.Looked)
    assert outcome.seen is ev.Seen.RUNNING


async def test_what_happens_by_itself_is_reported(stage: Stage) -> None:
    stage.drivers.begin(ev.Start("web", 1, 5000))
    await stage.outcome()
    stage.driver.die("segfault")
    assert await stage.outcome() == ev.Changed("web", ev.Turned.DIED, "segfault")
    stage.driver.sight(is_there=False)
    assert await stage.outcome() == ev.Changed("web", ev.Turned.UNSURE, "signals")
    stage.driver.appear("by hand")
    assert await stage.outcome() == ev.Changed("web", ev.Turned.APPEARED, "by hand")


async def test_concerns_are_alerts_until_they_are_gone(stage: Stage) -> None:
    stage.driver.obstacles = ["no such unit"]
    stage.driver.alerts = [Alert("UnitEnabled", "it is enabled", "disable it")]
    stage.drivers.begin(ev.Look("web", 1, ready=True))
    outcome = await stage.outcome()
    assert isinstance(outcome, ev.Looked)
    assert outcome.obstacles == ("no such unit",)
    assert list(stage.sink.alerts) == [("web", "UnitEnabled")]
    stage.driver.alerts = []
    stage.drivers.begin(ev.Look("web", 2, ready=True))
    await stage.outcome()
    assert stage.sink.alerts == {}


async def test_a_driver_is_replaced_and_dropped(stage: Stage) -> None:
    stage.driver.alerts = [Alert("UnitEnabled", "it is enabled", "disable it")]
    stage.drivers.begin(ev.Look("web", 1, ready=True))
    await stage.outcome()
    stage.drivers.make(WEB)
    await asyncio.sleep(0.01)
    assert stage.made[0].calls == ["close"]
    assert stage.sink.alerts == {}
    stage.drivers.drop("web")
    stage.drivers.drop("web")
    stage.drivers.cancel("web", 7)
    await asyncio.sleep(0.01)
    assert stage.made[1].calls == ["close"]
