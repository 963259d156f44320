"""What follows from the guard's state, and that everything stopped is seen by the guard too."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from standfast.adapters.fakes import FakeGuard, RecordingSink
from standfast.agent import guarding
from standfast.agent.guarding import Calls, Guarding
from standfast.core.ids import MemberUid
from standfast.errors import TransientError
from standfast.guard.protocol import Stage
from standfast.guard.status import WatchdogStatus
from standfast.member.mailbox import Mailbox
from standfast.ports.guard import MountTarget

ME = MemberUid("me")


@dataclass
class Bed:
    guard: FakeGuard = field(default_factory=FakeGuard)
    mailbox: Mailbox = field(default_factory=Mailbox)
    sink: RecordingSink = field(default_factory=RecordingSink)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        calls = Calls(
            self.told.append,
            lambda: self.told.append("changed"),
            lambda armed: self.told.append(f"watchdog {armed and armed.timeout_ms}"),
        )
        self.guarding = Guarding(self._make, self.mailbox, self.sink, calls)

    def _make(self, member: MemberUid) -> FakeGuard:
        assert member == ME
        return self.guard

    async def live(self) -> None:
        """Let everything happen that waits."""
        for _ in range(20):
            await asyncio.sleep(0)
            while not self.mailbox._queue.empty():
                (await self.mailbox.get())()

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not seen():
                await self.live()
                await asyncio.sleep(0.001)

    def stopped(self, term: int) -> None:
        self.guarding.stopped(term, lambda: self.told.append("stopped"))


@pytest.fixture
async def bed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    monkeypatch.setattr(guarding, "DISARM_AGAIN_S", 0.001)
    made = Bed()
    made.guarding.begin(ME)
    await made.live()
    made.told.clear()
    yield made
    await made.mailbox.close()


async def test_before_there_is_a_lease_nothing_starts_and_everything_may_stop() -> None:
    bed = Bed()
    with pytest.raises(TransientError, match="no lease yet"):
        await bed.guarding.plan("web", [MountTarget("/srv/x")])
    await bed.guarding.plan("web", ())
    bed.guarding.extend(1, 5)
    bed.guarding.strike(1)
    bed.stopped(0)
    await bed.live()
    assert bed.told == ["stopped"]
    assert bed.guard.calls == []


async def test_everything_stopped_is_seen_by_the_guard_before_anybody_is_told(bed: Bed) -> None:
    bed.guarding.extend(3, 1000)
    bed.stopped(3)
    assert bed.told == []
    await bed.live()
    assert bed.told == ["stopped"]
    assert bed.guard.stage is Stage.IDLE


async def test_what_the_guard_still_sees_holds_the_word_back(bed: Bed) -> None:
    bed.guarding.extend(3, 1000)
    bed.guard.left = "web.service has processes"
    bed.stopped(3)
    await bed.until(lambda: bed.guard.calls.count("disarm 3") >= 3)
    assert bed.told == []
    bed.guard.left = ""
    await bed.until(lambda: bed.told != [])
    assert bed.told == ["stopped"]


async def test_what_does_not_go_is_struck(bed: Bed) -> None:
    """Never "blocked"."""
    bed.guarding.extend(3, 1000)
    bed.guard.left = "web.service has processes"
    bed.stopped(3)
    await bed.until(lambda: "strike 3" in bed.guard.calls)
    assert bed.guard.stage is Stage.FIRED
    bed.guard.left = ""
    await bed.until(lambda: "stopped" in bed.told)


async def test_a_guard_that_is_gone_is_not_waited_for(bed: Bed) -> None:
    bed.guarding.extend(3, 1000)
    bed.guard.die()
    await bed.live()
    bed.stopped(3)
    await bed.live()
    assert bed.told == ["stopped"]


async def test_a_short_absence_is_an_alert_and_no_hindrance(bed: Bed) -> None:
    bed.guard.die()
    await bed.live()
    assert bed.guarding.hindrance == ""
    assert ("guard", "GuardGone") in bed.sink.alerts
    bed.guard.come_back()
    await bed.live()
    assert bed.sink.alerts == {}


async def test_a_lost_guard_is_a_hindrance(bed: Bed) -> None:
    bed.guard.die(for_good=True)
    await bed.live()
    assert bed.guarding.hindrance == "no guard for more than 1 s"
    assert bed.told == ["changed"]
    bed.guard.come_back()
    await bed.live()
    assert (bed.guarding.hindrance, bed.told) == ("", ["changed", "changed"])
    assert bed.sink.alerts == {}


async def test_a_guard_that_leaves_is_a_hindrance(bed: Bed) -> None:
    bed.guard.leave()
    await bed.live()
    assert bed.guarding.hindrance == "the guard was told to stop"
    assert bed.told == ["changed"]


async def test_a_guard_that_fired_ends_the_lease(bed: Bed) -> None:
    bed.guarding.extend(3, 1000)
    bed.guard.fire()
    await bed.live()
    assert bed.told == ["the lease of term 3 ended"]


async def test_a_refusal_is_noted(bed: Bed) -> None:
    bed.guarding.extend(3, 1000)
    bed.guarding.extend(2, 2000)
    await bed.live()
    assert [note.kind for note in bed.sink.notes] == ["GuardRefuses"]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "LOOK_EVERY_S", 0.001)


@pytest.mark.usefixtures("often")
async def test_a_watchdog_counts_when_it_is_armed_and_was_tested() -> None:
    bed = Bed()
    bed.guard.watchdog = WatchdogStatus("/dev/watchdog", "softdog", 10_000)
    bed.guarding.begin(ME)
    await bed.until(lambda: ("guard", "WatchdogNotProven") in bed.sink.alerts)
    assert "not armed" in bed.sink.alerts["guard", "WatchdogNotProven"].message
    bed.guard.watchdog = replace(bed.guard.watchdog, armed=True)
    await bed.until(lambda: "never seen" in bed.sink.alerts["guard", "WatchdogNotProven"].message)
    bed.guard.watchdog = replace(bed.guard.watchdog, tested="2026-01-02T03:04:05Z")
    await bed.until(lambda: "watchdog 10000" in bed.told)
    assert bed.sink.alerts == {}
    bed.guard.watchdog = replace(bed.guard.watchdog, armed=False)
    await bed.until(lambda: "watchdog None" in bed.told)
    await bed.mailbox.close()


async def test_a_guard_that_is_gone_claims_no_watchdog() -> None:
    """One that was told to stop while no lease ran has disarmed it, and said nothing of it."""
    bed = Bed()
    bed.guard.watchdog = WatchdogStatus("/dev/watchdog", "softdog", 10_000, armed=True, tested="x")
    bed.guarding.begin(ME)
    await bed.until(lambda: "watchdog 10000" in bed.told)
    bed.told.clear()
    bed.guard.die()
    await bed.live()
    assert bed.told == ["watchdog None"]
    bed.guard.come_back()
    await bed.until(lambda: "watchdog 10000" in bed.told)  # looked at once, not after a while
    bed.guard.watchdog = replace(bed.guard.watchdog, armed=False)
    bed.guard.die()
    bed.guard.come_back()
    await bed.live()
    assert bed.told[-2:] == ["watchdog None", "changed"]
    await bed.mailbox.close()


@pytest.mark.usefixtures("often")
async def test_a_guard_that_could_act_late_is_reported() -> None:
    bed = Bed()
    bed.guard.weakness = "the guard's memory is not locked"
    bed.guarding.begin(ME)
    await bed.until(lambda: ("guard", "GuardWeak") in bed.sink.alerts)
    assert bed.sink.alerts["guard", "GuardWeak"].message == bed.guard.weakness
    bed.guard.weakness = ""
    await bed.until(lambda: bed.sink.alerts == {})
    await bed.mailbox.close()
