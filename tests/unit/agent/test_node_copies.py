"""A node whose resource keeps a copy on every node: who may write, when, and how it hands over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

from standfast.adapters.fakes import FakeClock, FakeDriver
from standfast.core.group_spec import Spec
from standfast.core.record import DataMode
from standfast.errors import UserError
from standfast.ports.replication import Leader, Part, Place, Replica, Replication
from standfast.wire import api
from standfast.wire.resources import Postgresql
from tests.unit.agent.test_node import House
from tests.unit.member.parts import alone, drain

PG = Postgresql(name="pg", unit="pg.service", data_directory="/srv/pg")


class CopyDriver(FakeDriver):
    """A driver that keeps a copy, and remembers what it was told and knew at its start."""

    def __init__(self, name: str, clock: FakeClock) -> None:
        super().__init__(name, clock)
        self.place: Place | None = None
        self.required: frozenset[str] | None = None
        self.required_at_start: frozenset[str] | None = None
        self.leaders: list[Leader | None] = []
        self.preparing = asyncio.Event()
        self.prepared = asyncio.Event()
        assert isinstance(self, Replica)

    @override
    async def start(self, lease_until_ms: int | None) -> None:
        self.required_at_start = self.required
        await super().start(lease_until_ms)

    def settle(self, place: Place) -> None:
        self.place = place

    def follow(self, leader: Leader | None) -> None:
        self.leaders.append(leader)

    def require(self, members: frozenset[str]) -> None:
        self.required = members

    async def prepare(self) -> None:
        self.preparing.set()
        await self.prepared.wait()

    def invitation(self) -> bytes:
        return b""

    def replication(self) -> Replication:
        return Replication(Part.STANDBY, "following vm-x", position=7)

    async def tend(self, news: Callable[[], None]) -> None:
        await asyncio.Event().wait()


@dataclass
class CopyHouse(House):
    """One machine with such a resource."""

    drivers: dict[str, CopyDriver] = field(default_factory=dict)

    @override
    def make(self, spec: Spec) -> FakeDriver:
        made = CopyDriver(spec.name, self.clock)
        if spec.name in self.things:
            made.presence = self.things[spec.name].presence
        self.things[spec.name] = self.drivers[spec.name] = made
        return made

    async def join(self, data: DataMode = DataMode.REPLICATED) -> None:
        self.enroller.certify(self.membership)
        self.membership.take_config(self.enroller.signed(alone(self.membership, data)))
        await drain(self.membership)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[CopyHouse]:
    made = CopyHouse(tmp_path)
    await made.boot()
    yield made
    await made.crash()


async def test_a_copy_knows_its_place_and_whom_writes_wait_for_before_it_starts(
    house: CopyHouse,
) -> None:
    await house.join()
    house.declare(PG)
    await house.live(3000)
    driver = house.drivers["pg"]
    assert house.status().role == "Active"
    assert driver.place is not None
    assert driver.place.begins
    assert driver.required_at_start == frozenset()
    assert set(driver.leaders) == {None}


async def test_a_copy_in_a_cluster_that_does_not_ask_who_has_every_write_is_refused(
    house: CopyHouse,
) -> None:
    await house.join(DataMode.NONE)
    with pytest.raises(UserError, match="data: None"):
        house.declare(PG)
    assert house.status().resources == ()


async def test_a_declaration_is_taken_up_before_the_data_mode_is_known(house: CopyHouse) -> None:
    await house.join()
    house.declare(PG)
    await house.live(3000)
    await house.crash()
    await house.boot()
    await house.live(3000)
    assert house.status().role == "Active"
    assert house.drivers["pg"].required == frozenset()


async def test_a_standby_is_shown_as_one(house: CopyHouse) -> None:
    house.declare(PG)
    await house.live(100)
    (resource,) = house.status().resources
    assert resource.state == "Standby"
    assert resource.replication is not None
    assert (resource.replication.role, resource.replication.position) == ("Standby", 7)


async def serve(house: CopyHouse) -> CopyDriver:
    await house.join()
    house.declare(PG)
    await house.live(3000)
    return house.drivers["pg"]


async def test_a_planned_stop_is_prepared_while_the_service_goes_on(house: CopyHouse) -> None:
    driver = await serve(house)
    duties = house.membership.duties
    assert duties.release(api.ReleaseRequest(request_id="r1")).accepted
    assert duties.release(api.ReleaseRequest(request_id="r1")).accepted
    await house.live(100)
    assert driver.preparing.is_set()
    assert (house.running, house.status().releasing) == ({"pg"}, False)
    driver.prepared.set()
    await house.live(100)
    assert "Released" in house.kinds()


async def test_a_planned_stop_is_called_off_while_it_is_prepared(house: CopyHouse) -> None:
    driver = await serve(house)
    duties = house.membership.duties
    duties.release(api.ReleaseRequest(request_id="r1"))
    await house.live(100)
    assert duties.cancel_release("r1").accepted
    driver.prepared.set()
    await house.live(1000)
    assert (house.running, house.status().role) == ({"pg"}, "Active")
    assert not duties.cancel_release("r1").accepted
