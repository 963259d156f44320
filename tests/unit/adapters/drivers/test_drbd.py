"""The DRBD driver with a device that is a text: what it lets go on, and what it takes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

import pytest
import pytest_asyncio

from standfast.adapters.drbd import reading
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.generations import Generations, read_generations
from standfast.adapters.drbd.handler import ask
from standfast.adapters.drbd.invitation import Invitation
from standfast.adapters.drbd.reading import Seen
from standfast.adapters.drivers.drbd import DrbdDriver
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.fakes import FakeClock, FakeMachine, FakeUnits, FakeWire, RecordingSink
from standfast.errors import TransientError, UserError
from standfast.ports.replication import Leader, Neighbour, Part, Place
from standfast.ports.resource import Presence, Verdict
from tests.unit.adapters.drbd import recorded

pytestmark = pytest.mark.asyncio

A, B = Neighbour("a", "vm-a", ("10.0.0.1",)), Neighbour("b", "vm-b", ("10.0.0.2",))
FIRST = Place("cluster", A, (B,), begins=True)
SECOND = Place("cluster", B, (A,), begins=False)
INVITED = Invitation(secret="s", generations=(0x6FFB30DDFFA0B345, 0xBBE6423E39DE08E0), port=7789)
LED = Leader(A, INVITED.encode(), 3)


@dataclass
class FakeDrbd:
    """What `tools.Drbd` shows of a device, changed by the orders it gets."""

    text: str = recorded.NOTHING
    gi: Generations | None = None
    blank: bool = True
    orders: list[str] = field(default_factory=list)
    on: dict[str, Callable[[], None]] = field(default_factory=dict)

    async def seen(self) -> Seen:
        return reading.read_proc(self.text, 0)

    async def generations(self) -> Generations | None:
        return self.gi

    async def is_blank(self) -> bool:
        return self.blank

    async def order(self, verb: str, *options: str) -> None:
        await self._done(" ".join((verb, *options)))

    async def order_minor(self, verb: str, *options: str) -> None:
        await self._done(" ".join((verb, *options)))

    async def attach(self, seen: Seen) -> None:
        del seen
        await self._done("attach")

    async def create(self) -> None:
        await self._done("create")

    async def dump(self, path: Path) -> None:
        await self._done(f"dump {path.name}")

    async def end(self) -> None:
        pass

    async def _done(self, order: str) -> None:
        self.orders.append(order)
        self.on.get(order, lambda: None)()

    def shows(self, text: str, gi: str = "") -> None:
        self.text = text
        self.gi = read_generations(gi) if gi else self.gi

    def then(self, order: str, text: str, gi: str = "") -> None:
        """After this order the device shows that."""
        self.on[order] = lambda: self.shows(text, gi)


@dataclass
class Desk:
    """One driver, its device, what it told."""

    driver: DrbdDriver
    drbd: FakeDrbd
    config: DrbdConfig
    sink: RecordingSink
    tend: "asyncio.Task[None] | None" = None

    def begin(self, place: Place) -> None:
        self.driver.settle(place)
        self.tend = asyncio.create_task(self.driver.tend(lambda: None))

    def has(self, reason: str) -> bool:
        return ("data", reason) in self.sink.alerts

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not claim():  # noqa: ASYNC110 a state, not an event
                await asyncio.sleep(0.01)

    def ask(self, *words: str) -> "asyncio.Task[tuple[int, str]]":
        return asyncio.create_task(
            asyncio.to_thread(ask, str(self.config.socket), list(words)), name="handler"
        )


@pytest_asyncio.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    clock = FakeClock()
    machine = FakeMachine(clock, FakeWire(), ip_interface("10.0.0.1/24"))
    sink = RecordingSink()
    host = DriverHost(clock, sink, machine, machine, machine, machine, FakeUnits())
    config = DrbdConfig(
        "data",
        Path("/dev/drbd0"),
        tmp_path / "disk",
        etc=tmp_path / "etc",
        state=tmp_path / "state",
        run=tmp_path / "run",
    )
    fake = FakeDrbd()
    monkeypatch.setattr("standfast.adapters.drbd.keeping.Drbd", lambda _: fake)
    monkeypatch.setattr("standfast.adapters.drbd.keeping.disk_problem", lambda _: "")
    made = Desk(DrbdDriver(config, host), fake, config, sink)
    yield made
    if made.tend is not None:
        made.tend.cancel()
        await asyncio.wait({made.tend})
    await made.driver.close()


async def serving(desk: Desk) -> None:
    """The first node serves a device that had data, in step with the other."""
    desk.drbd.shows(recorded.REJOINING, recorded.GI_OLD)
    desk.drbd.then("primary", recorded.IN_STEP)
    desk.driver.require(frozenset())
    desk.begin(FIRST)
    await desk.driver.start(0)
    desk.driver.require(frozenset({"b"}))
    await desk.until(lambda: bool(desk.driver.invitation()))


async def test_the_first_start_makes_the_data_of_the_first_node_those_of_the_cluster(
    desk: Desk,
) -> None:
    desk.drbd.then("attach", recorded.NEW, recorded.GI_NEW)
    desk.driver.settle(FIRST)
    assert await desk.driver.ready() == []
    await desk.driver.start(0)
    assert desk.drbd.orders[:3] == ["create", "attach", "primary --force"]
    assert desk.config.file.exists()
    assert desk.config.file.stat().st_mode & 0o077 == 0


async def test_another_node_never_begins_with_an_empty_copy(desk: Desk) -> None:
    desk.driver.settle(SECOND)
    (why,) = await desk.driver.ready()
    assert "no copy of the cluster's data" in why
    with pytest.raises(UserError, match="cannot serve"):
        await desk.driver.start(0)
    assert desk.drbd.orders == []


async def test_a_disk_with_something_on_it_is_not_taken(desk: Desk) -> None:
    desk.drbd.blank = False
    desk.begin(SECOND)
    desk.driver.follow(LED)
    await desk.until(lambda: desk.has("ReplicationTrouble"))
    assert desk.drbd.orders == []


async def test_writes_that_are_held_go_on_when_the_record_has_let_the_other_go(
    desk: Desk,
) -> None:
    await serving(desk)
    desk.drbd.shows(recorded.FROZEN)
    asked = desk.ask("fence-peer")
    await desk.until(lambda: any(f.is_lost for f in desk.driver.replication().followers))
    (follower,) = desk.driver.replication().followers
    assert not follower.holds_all, "nothing seen before the question counts any more"
    await asyncio.sleep(0.05)
    assert not asked.done(), "the record still counts the other node"
    desk.driver.require(frozenset())
    assert (await asked)[0] == 4


async def test_what_was_seen_before_the_question_is_not_told_after_it(desk: Desk) -> None:
    """The S3 race: a look that began while the copies were in step ends after the answer."""
    await serving(desk)
    seen, gate = desk.drbd.seen, asyncio.Event()
    looking = asyncio.Event()

    async def slow() -> Seen:
        found = await seen()
        looking.set()
        await gate.wait()
        return found

    desk.drbd.seen = slow
    desk.driver.require(frozenset())
    await looking.wait()
    asked = desk.ask("fence-peer")
    assert (await asked)[0] == 4
    desk.drbd.shows(recorded.ALONE)
    looking.clear()
    gate.set()
    desk.drbd.seen = seen
    for _ in range(20):
        assert not any(f.holds_all for f in desk.driver.replication().followers)
        await asyncio.sleep(0.01)


async def test_a_node_that_is_not_active_lets_no_write_go_on(desk: Desk) -> None:
    desk.begin(FIRST)
    await desk.until(desk.config.socket.exists)
    desk.driver.require(frozenset())
    assert (await desk.ask("fence-peer"))[0] == 1


async def test_a_question_that_was_broken_off_is_answered_all_the_same(desk: Desk) -> None:
    await serving(desk)
    desk.drbd.then("resume-io", recorded.ALONE)
    desk.drbd.shows(recorded.FROZEN)
    await desk.until(lambda: any(f.is_lost for f in desk.driver.replication().followers))
    assert "resume-io" not in desk.drbd.orders
    desk.driver.require(frozenset())
    await desk.until(lambda: "resume-io" in desk.drbd.orders)


async def test_a_start_waits_until_the_record_lets_a_lost_copy_go(desk: Desk) -> None:
    desk.drbd.shows(recorded.REJOINING, recorded.GI_OLD)
    desk.driver.require(frozenset({"b"}))
    desk.begin(FIRST)
    start = asyncio.create_task(desk.driver.start(0))
    await desk.until(lambda: desk.driver.replication().part is Part.ACTIVE)
    assert "primary" not in desk.drbd.orders
    desk.driver.require(frozenset())
    await start
    assert "primary" in desk.drbd.orders


async def test_an_old_active_that_is_still_primary_is_left_alone_first(desk: Desk) -> None:
    """It holds its writes from then on; a plain disconnect would mark this copy outdated."""
    both = recorded.IN_STEP.replace("ro:Primary/Secondary", "ro:Secondary/Primary")
    desk.drbd.shows(both, recorded.GI_OLD)
    desk.drbd.then("disconnect --force", recorded.REJOINING)
    desk.driver.require(frozenset())
    desk.driver.settle(FIRST)
    await desk.driver.start(0)
    assert desk.drbd.orders == ["disconnect --force", "primary"]


async def test_a_kill_under_held_writes_takes_the_disk_away_before_they_go_on(
    desk: Desk,
) -> None:
    await serving(desk)
    desk.drbd.shows(recorded.FROZEN)
    gone = recorded.TAKEN_AWAY.replace("ro:Secondary", "ro:Primary")
    desk.drbd.then("detach --force", gone.replace("C r", "C s"))
    desk.drbd.then("resume-io", gone)
    desk.drbd.then("secondary", recorded.TAKEN_AWAY)
    before = len(desk.drbd.orders)
    await desk.driver.kill()
    done = [order for order in desk.drbd.orders[before:] if order != "connect"]
    assert done == ["detach --force", "resume-io", "secondary"]
    assert (await desk.driver.probe()).presence is Presence.STOPPED


async def test_a_stop_that_is_refused_says_by_whom(desk: Desk) -> None:
    await serving(desk)

    def refuse() -> None:
        raise TransientError("Device is held open by someone")

    desk.drbd.on["secondary"] = refuse
    with pytest.raises(TransientError, match="held open"):
        await desk.driver.stop(200)
    desk.drbd.then("secondary", recorded.REJOINING)
    await desk.driver.stop(200)


async def test_copies_that_meet_while_they_are_judged_are_no_split_brain(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resync gives a copy a generation that the active node told nobody yet."""
    desk.drbd.shows(recorded.REJOINING, recorded.GI_OLD)
    unheard = Generations(0x36DB0274674219F0)
    raised: list[str] = []
    monkeypatch.setattr(
        RecordingSink, "raise_alert", lambda _, __, alert: raised.append(alert.reason)
    )

    async def slowly() -> Generations | None:
        desk.drbd.text = recorded.SYNC_TARGET
        return unheard

    monkeypatch.setattr(desk.drbd, "generations", slowly)
    desk.begin(SECOND)
    desk.driver.follow(LED)
    await desk.until(lambda: desk.driver.replication().part is Part.BUILDING)
    assert "SplitBrain" not in raised


async def test_copies_that_parted_wait_for_a_person(desk: Desk) -> None:
    mine = recorded.GI_OLD.replace("BBE6423E39DE08E0:0000000000000000", "A0:BBE6423E39DE08E0")
    desk.drbd.shows(recorded.REJOINING, mine)
    desk.begin(SECOND)
    desk.driver.follow(LED)
    await desk.until(lambda: desk.has("SplitBrain"))
    assert not {"connect", "attach"} & set(desk.drbd.orders)
    status, said = await desk.ask("discard", "BBE6423E39DE08E0")
    assert status == 1
    assert "generation is 00000000000000A0" in said
    status, said = await desk.ask("discard", "00000000000000a0")
    assert status == 0, said
    assert "given up: 16777216 bytes" in said
    orders = [order for order in desk.drbd.orders if order != "connect"]
    assert orders[:4] == [
        "down",
        "dump data-given-up-00000000000000A0.md",
        "attach",
        "connect --discard-my-data",
    ]


async def test_a_device_that_is_not_primary_is_down(desk: Desk) -> None:
    desk.drbd.shows(recorded.REJOINING)
    assert (await desk.driver.check()).verdict is Verdict.GONE
    desk.drbd.shows(recorded.IN_STEP)
    assert (await desk.driver.check()).verdict is Verdict.UP
    desk.drbd.shows(recorded.FROZEN.replace("ds:UpToDate/", "ds:Diskless/"))
    assert (await desk.driver.check()).verdict is Verdict.DOWN


async def test_a_resync_is_paused_and_goes_on_by_declaration(desk: Desk) -> None:
    await serving(desk)
    desk.drbd.shows(recorded.SYNC_SOURCE)
    desk.drbd.then("pause-sync", recorded.PAUSED)
    desk.drbd.then("resume-sync", recorded.SYNC_SOURCE)
    desk.driver.tune({"resyncMibS": 5, "isPaused": True, "verifyEveryS": None})
    await desk.until(lambda: "pause-sync" in desk.drbd.orders)
    assert "adjust" in desk.drbd.orders, "the rate is in the file"
    desk.driver.tune({"resyncMibS": 5, "isPaused": False, "verifyEveryS": None})
    await desk.until(lambda: "resume-sync" in desk.drbd.orders)


async def test_a_standby_in_step_belongs_to_the_cluster_from_then_on(desk: Desk) -> None:
    both = recorded.IN_STEP.replace("ro:Primary/Secondary", "ro:Secondary/Primary")
    desk.drbd.shows(both, recorded.GI_OLD)
    desk.begin(SECOND)
    desk.driver.follow(LED)
    await desk.until(lambda: desk.driver.replication().part is Part.STANDBY)
    assert desk.drbd.orders == ["adjust"], "the file was new"
    assert await desk.driver.ready() == []
