"""When a disk moves: the node that leads waits for it, says so again, and nobody else uses it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from standfast.api.resource import HAResource, SharedDisk
from standfast.controller.authorities import Declared
from standfast.controller.disks import (
    WHAT,
    DiskMover,
    Move,
    claim_of,
    disks_of,
    waited_for,
)
from standfast.controller.execution import Field
from standfast.controller.groups import declared_group
from standfast.controller.listening import Line
from standfast.controller.memory import Memory
from standfast.controller.store import Key
from standfast.core.reasons import Reason
from standfast.errors import TransientError
from standfast.ports.hypervisor import DiskMoved
from standfast.wire import api
from tests.unit.controller.test_groups import DISK, NODES, cluster, resource
from tests.unit.controller.test_observation import UIDS, line, silent

VMS = {node["name"]: node["vm"]["instanceUUID"] for node in NODES}
KEY = Key("HACluster", "ns", "orders")


def disk() -> HAResource:
    return resource("disk", sharedDisk=DISK)


def has(state: str) -> tuple[api.ResourceStatus, ...]:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    return (api.ResourceStatus(name="disk", type="sharedDisk", state=state, since=since),)


def waiting(name: str = "b", **changed: Any) -> Line:
    values = {"role": "Holding", "term": 6, "resources": has("Starting"), **changed}
    return line(name, **values)


class World:
    """What a mover works with; the members answer with what their lines say unless told."""

    def __init__(self, *lines: Line) -> None:
        self.lines = {each.door.who: each for each in lines}
        self.answers = {name: each.now for name, each in self.lines.items()}
        self.wanted: list[tuple[str, ...]] = []
        self.moved: list[tuple[str, frozenset[str]]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.mover = DiskMover(self, self, self)

    def want(self, key: Key, name: tuple[str, ...], act: Any, retry_ms_max: int) -> bool:
        self.wanted.append(name)
        self.act = act
        return True

    def must_lead(self) -> None:
        """It does."""

    async def get(self, door: Any, path: str, kind: Any) -> api.MemberStatus:
        return self.answers[door.who]

    async def move_disk(
        self,
        vmdk: str,
        uuid: str,
        to: str,
        others: frozenset[str],
        budget_ms: int,
        *,
        still: Callable[[], Awaitable[None]],
    ) -> DiskMoved:
        self.meanwhile()
        await still()
        self.moved.append((to, others))
        return DiskMoved(vmdk, (), to, attached=True, took_ms=1)

    def step(self) -> None:
        self.mover.step(
            Field(
                key=KEY,
                lines=self.lines,
                uids=UIDS,
                vms=VMS,
                infrastructures=dict.fromkeys(VMS, SimpleNamespace(vcenter=self)),
                memory=Memory(),
                persist=lambda: None,
            ),
            [disk(), resource("web")],
            {},
        )


async def test_the_node_that_waits_gets_it_and_the_others_lose_it() -> None:
    world = World(silent("a"), waiting("b"))
    world.step()
    assert world.wanted == [(WHAT, "disk", "b")]
    await world.act()
    assert world.moved == [(VMS["b"], frozenset({VMS["a"]}))]


@pytest.mark.parametrize(
    "changed",
    [
        {"resources": has("Stopped")},  # no lease, or no proof yet
        {"resources": has("Running")},
        {"resources": ()},
        {"role": "Standby"},
        {"role": "Candidate"},
    ],
)
def test_nobody_else_gets_it(changed: dict[str, Any]) -> None:
    assert waited_for(disks_of([disk()], {}), {"b": waiting("b", **changed)}) == []


def test_the_newest_term_counts_and_two_in_one_term_never() -> None:
    old, new = waiting("a", term=5), waiting("b", term=6)
    found = waited_for(disks_of([disk()], {}), {"a": old, "b": new})
    assert [(each.resource, each.to) for each in found] == [("disk", "b")]
    assert waited_for(disks_of([disk()], {}), {"a": waiting("a"), "b": waiting("b")}) == []
    stale = waiting("a", term=7, resources=has("Stopped"))
    assert waited_for(disks_of([disk()], {}), {"a": stale, "b": new}) == []


def test_a_node_that_fell_silent_gets_nothing() -> None:
    gone = waiting("b")
    gone.heard = False
    assert waited_for(disks_of([disk()], {}), {"b": gone}) == []


async def test_it_is_asked_again_before_the_act() -> None:
    world = World(silent("a"), waiting("b"))
    world.step()
    world.answers["b"] = waiting("b", role="Standby").now
    with pytest.raises(TransientError, match="b does not wait for disk any more"):
        await world.act()
    assert world.moved == []


async def test_it_is_asked_once_more_when_vcenter_took_its_time() -> None:
    """Its lease ended, and the node that has the disk serves again: the disk stays there."""
    world = World(silent("a"), waiting("b"))
    world.step()

    def lost() -> None:
        world.answers["b"] = waiting("b", role="Standby").now

    world.meanwhile = lost
    with pytest.raises(TransientError, match="b does not wait for disk any more"):
        await world.act()
    assert world.moved == []


@pytest.mark.parametrize("state", ["Starting", "Running", "Stopping"])
async def test_a_node_that_uses_it_keeps_it(state: str) -> None:
    world = World(line("a", resources=has(state)), waiting("b"))
    world.step()
    with pytest.raises(TransientError, match=f"a says that disk is {state} there"):
        await world.act()
    assert world.moved == []


def test_why_it_was_not_moved_is_a_condition_with_vcenters_words() -> None:
    error = TransientError("the host is lost", remedy="wait for it")
    claim = claim_of({(WHAT, "disk", "b"): error}, "disk", "b")
    assert claim is not None
    assert (claim.holds, claim.reason, claim.remedy) == (
        False,
        Reason.DISK_NOT_MOVED,
        "wait for it",
    )
    assert "the host is lost" in claim.message
    assert claim_of({(WHAT, "disk", "b"): error}, "disk", "a") is None
    assert claim_of({}, "disk", "b") is None


def test_a_move_names_all_that_it_is() -> None:
    (found,) = waited_for(disks_of([disk()], {}), {"b": waiting("b")})
    spec = disk().spec.shared_disk
    assert spec is not None
    assert found == Move("disk", spec, "b")


def test_a_disk_that_is_reserved_is_never_moved() -> None:
    reserved = resource("disk", sharedDisk={**DISK, "mode": "Reserved"})
    assert disks_of([reserved], {}) == {}
    group = declared_group(cluster(data="SharedDisk", witnesses=[{"name": "w"}]), [reserved], {})
    assert disks_of([], group.declared) == {}


def test_a_disk_whose_object_is_gone_moves_on_while_the_agents_keep_it() -> None:
    group = declared_group(cluster(data="SharedDisk", witnesses=[{"name": "w"}]), [disk()], {})
    found = disks_of([resource("web")], group.declared)
    assert found == {"disk": SharedDisk(vmdk=DISK["vmdk"], uuid=DISK["uuid"].lower())}
    (move,) = waited_for(found, {"b": waiting("b")})
    assert (move.resource, move.to) == ("disk", "b")
    unknown = Declared(spec='{"type": "tomorrow", "name": "disk"}', target="disk [d] x.vmdk")
    assert disks_of([], {"disk": unknown}) == {}
