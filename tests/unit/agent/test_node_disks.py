"""A node whose disk is kept for it by the storage: by what right, against whom, and until when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from typing_extensions import override

from standfast.adapters.fakes import FakeClock, FakeDriver
from standfast.core.group_spec import Spec
from standfast.core.ids import BootId, MemberUid
from standfast.core.record import DataMode, Proof, Suspect
from standfast.ports.resource import Claim, Excluding
from standfast.wire.resources import ReservedDisk
from tests.unit.agent.test_node import House
from tests.unit.member.parts import alone, drain

UUID = "6000c298-595b-f457-5739-e9105b2c0c2d"
DISK = ReservedDisk(name="disk", uuid=UUID)
OLD = Suspect(MemberUid("f" * 32), BootId("boot-9"), 1)


class DiskDriver(FakeDriver):
    """A driver whose storage shuts everybody else out as soon as it is asked."""

    disk = UUID

    def __init__(self, name: str, clock: FakeClock) -> None:
        super().__init__(name, clock)
        self.claims: list[Claim] = []
        self.claims_at_start: list[int] = []
        self.shuts_out = asyncio.Event()
        self.shuts_out.set()
        assert isinstance(self, Excluding)

    def claim(self, claim: Claim) -> None:
        self.claims.append(claim)

    async def exclude(self) -> bool:
        await self.shuts_out.wait()
        return True

    @override
    async def start(self, lease_until_ms: int | None) -> None:
        self.claims_at_start.append(len(self.claims))
        await super().start(lease_until_ms)


@dataclass
class DiskHouse(House):
    """One machine with such a disk."""

    drivers: dict[str, DiskDriver] = field(default_factory=dict)
    allowed: str = f'[allow]\ndevices = ["{UUID}"]\n'

    @override
    def make(self, spec: Spec) -> FakeDriver:
        made = DiskDriver(spec.name, self.clock)
        if spec.name in self.things:
            made.presence = self.things[spec.name].presence
        self.things[spec.name] = self.drivers[spec.name] = made
        return made

    async def serve(self) -> DiskDriver:
        self.enroller.certify(self.membership)
        config = alone(self.membership, DataMode.SHARED_DISK)
        self.membership.take_config(self.enroller.signed(config))
        await drain(self.membership)
        self.declare(DISK)
        await self.live(3000)
        assert self.running == {"disk"}
        return self.drivers["disk"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[DiskHouse]:
    made = DiskHouse(tmp_path)
    await made.boot()
    yield made
    await made.crash()


async def test_a_disk_is_claimed_by_the_lease_before_it_starts(house: DiskHouse) -> None:
    driver = await house.serve()
    (claim,) = driver.claims
    assert driver.claims_at_start == [1]
    assert (claim.term, claim.boot, claim.suspected) == (1, "boot-1", False)
    assert claim.member == house.status().member_uid


async def test_who_is_shut_out_is_proven_against_for_that_disk(house: DiskHouse) -> None:
    driver = await house.serve()
    voter = house.membership.voter
    driver.shuts_out.clear()
    suspicious = replace(voter.state.record, suspects=(OLD,))
    voter.state = replace(voter.state, durable=replace(voter.state.durable, record=suspicious))
    node = house.membership.duties
    node._drivers.claim(node._proving.claim(1, voter.state.record))
    assert driver.claims[-1].suspected
    await drain(house.membership)
    assert voter.state.reserved == {}
    driver.shuts_out.set()
    await drain(house.membership)
    assert voter.state.reserved == {UUID: frozenset({OLD})}
    (proof,) = house.status().proofs
    assert (proof.proof, proof.suspect.boot) == (Proof.RESERVED.value, "boot-9")


async def test_an_agent_that_restarts_claims_by_the_lease_that_it_adopts(
    house: DiskHouse,
) -> None:
    """By the same term, hence the same key: what runs goes on."""
    await house.serve()
    await house.crash()
    await house.boot()
    driver = house.drivers["disk"]
    assert [claim.term for claim in driver.claims][:1] == [1]
    await house.live(3000)
    assert driver.claims_at_start[0] >= 1, "never without a right"
    assert "stop" not in driver.calls
    assert house.running == {"disk"}


async def test_a_proof_of_an_earlier_term_comes_too_late(house: DiskHouse) -> None:
    await house.serve()
    voter = house.membership.voter
    suspicious = replace(voter.state.record, suspects=(OLD,))
    voter.state = replace(voter.state, durable=replace(voter.state.durable, record=suspicious))
    house.membership.duties._proving.excluded(UUID, 0)
    assert voter.state.reserved == {}


async def test_a_node_that_was_thrown_out_stops_and_stands_anew_by_a_later_term(
    house: DiskHouse,
) -> None:
    driver = await house.serve()
    driver.oust("the disk was taken in term 7 by another node")
    await drain(house.membership)
    assert "LeaseLost" in house.kinds()
    await house.live(3000)
    assert house.status().role == "Active"
    assert [claim.term for claim in driver.claims] == [1, driver.claims[-1].term]
    assert driver.claims[-1].term > 1
