"""One picture from three sources: members, infrastructure, status."""

from datetime import UTC, datetime
from typing import Any

from standfast.api.cluster import HACluster
from standfast.api.cluster_status import DataRecord, FenceStatus, HAClusterStatus, NodeStatus
from standfast.controller.authorities import Entry, Register
from standfast.controller.calling import Door
from standfast.controller.infrastructures import Connected
from standfast.controller.listening import Line
from standfast.controller.memory import Memory
from standfast.controller.observation import Sources, listeners, observe, wanted
from standfast.controller.store import Key
from standfast.core.fencing import SETTLED_MS, Contact, Power
from standfast.core.view import BootOf, FencePolicy, Role
from standfast.ports.hypervisor import Inventory, VmFacts
from standfast.wire import api
from tests.unit.controller.test_groups import NODES, cluster

NOW_MS = 1_000_000
UIDS = {"a": "uid-a", "b": "uid-b", "w": "uid-w"}
SIGNED = api.SignedConfig(payload="", signature="")
REGISTER = Register(
    members={name: Entry(uid=uid, enrolled=True) for name, uid in UIDS.items()}, config=SIGNED
)


def status(name: str, **changed: Any) -> api.MemberStatus:
    values: dict[str, Any] = {
        "seq": 1,
        "member_uid": UIDS[name],
        "name": name,
        "kind": "witness" if name == "w" else "data",
        "boot_id": f"boot-{name}",
        "run": f"run-{name}",
        "agent_version": "1",
        "role": "Standby",
        "term": 5,
        "record_version": (5, 1),
        "record_holder": api.HolderStatus(member="uid-a", boot="boot-a"),
        "config_id": "0.0",
        "in_sync": ("uid-a", "uid-b"),
        "eligible": True,
        "peers": tuple(
            api.PeerStatus(
                member=uid,
                name=other,
                reachable=True,
                boot=f"boot-{other}",
                paths=(
                    api.PathStatus(address=f"{other}:7380", up=True),
                    api.PathStatus(address="10.1.1.1", up=True),
                ),
            )
            for other, uid in UIDS.items()
            if other != name
        ),
    }
    return api.MemberStatus(**{**values, **changed})


def line(name: str, **changed: Any) -> Line:
    door = Door(f"{name}.x", (f"{name}:7380",), context=lambda: None, who=name)
    return Line(door, status=status(name, **changed), heard=True, heard_at_ms=NOW_MS)


def silent(name: str) -> Line:
    held = line(name)
    held.heard = False
    return held


class SpokenTo(Connected):
    """An infrastructure with these facts."""

    def __init__(self, *facts: VmFacts, **changed: Any) -> None:
        super().__init__(Key("Infrastructure", "ns", "i"))
        self.told = Inventory(
            endpoint="v",
            heard_at_ms=NOW_MS,
            vms={each.uuid: each for each in facts},
            **changed,
        )

    @property
    def inventory(self) -> Inventory:
        return self.told


def vm(at: int, **changed: Any) -> VmFacts:
    values: dict[str, Any] = {
        "uuid": NODES[at]["vm"]["instanceUUID"],
        "name": f"vm-{at}",
        "power": Power.ON,
        "contact": Contact.CONNECTED,
        "host": f"host-{at}",
        "host_name": f"esx-{at}",
        "host_contact": Contact.CONNECTED,
    }
    return VmFacts(**{**values, **changed})


def sources(*lines: Line, vms: Connected | None = None, of: HACluster | None = None) -> Sources:
    held = vms or SpokenTo(vm(0), vm(1))
    return Sources(
        cluster=of or cluster(witnesses=[{"name": "w"}]),
        register=REGISTER,
        lines={each.door.who: each for each in lines},
        infrastructures={"a": held, "b": held},
        critical=frozenset({"web"}),
    )


def well() -> Sources:
    return sources(line("a", role="Active"), line("b"), line("w"))


def test_what_is_declared_becomes_what_the_core_reads() -> None:
    want = wanted(
        cluster(
            witnesses=[{"name": "w"}],
            fencing={"policy": "Always", "afterFence": "LeaveOff"},
            placement={"failback": "WhenInSync"},
            timing={"profile": "Fast"},
        )
    )
    assert (want.fence, want.power_on, want.failback) == (FencePolicy.ALWAYS, False, True)
    assert want.timing.ttl_ms == 700
    assert want.majority == 2


def test_members_that_are_heard_are_what_they_say() -> None:
    seen = observe(well(), Memory(), NOW_MS)
    assert seen.active is not None
    assert seen.active.name == "a"
    b = seen.member("b")
    assert b is not None
    assert (b.role, b.heard_by, b.in_sync) == (Role.STANDBY, ("a", "w"), True)
    assert seen.holder == BootOf("a", "boot-a")
    assert [path.address for path in b.paths] == ["a:7380", "w:7380"], "declared ones only"
    assert (b.vm.power, b.vm.contact, b.vm.host_name) == (Power.ON, Contact.CONNECTED, "esx-1")


def test_what_a_silent_member_said_is_not_used() -> None:
    seen = observe(sources(silent("a"), line("b"), line("w")), Memory(), NOW_MS)
    a = seen.member("a")
    assert a is not None
    assert (a.heard, a.role, a.eligible) == (False, None, None)
    assert a.boot == "boot-a", "its peers still know the boot"


def test_the_newest_record_says_who_holds_and_who_is_in_sync() -> None:
    later = api.HolderStatus(member="uid-b", boot="boot-b")
    seen = observe(
        sources(
            line("a"),
            line("b", record_version=(6, 1), record_holder=later, in_sync=("uid-b",)),
            line("w"),
        ),
        Memory(),
        NOW_MS,
    )
    assert seen.holder == BootOf("b", "boot-b")
    a = seen.member("a")
    assert a is not None
    assert a.in_sync is False


def test_f38_a_newer_record_that_was_heard_of_says_who_is_in_sync() -> None:
    """a and the witness let b go, and died; b's record calls it in sync."""
    for version, expected in (("5.2", False), ("5.0", True)):
        noted = HAClusterStatus(data_record=DataRecord(version=version, in_sync=("a",)))
        declared = cluster(witnesses=[{"name": "w"}]).model_copy(update={"status": noted})
        seen = observe(sources(silent("a"), line("b"), of=declared), Memory(), NOW_MS)
        assert {m.name: m.in_sync for m in seen.members}["b"] is expected


def test_a_feed_that_is_silent_leaves_power_unknown() -> None:
    old = SpokenTo(vm(0), vm(1))
    old.told = Inventory(endpoint="v", heard_at_ms=NOW_MS - 60_000, vms=old.told.vms)
    seen = observe(sources(line("a"), line("b"), line("w"), vms=old), Memory(), NOW_MS)
    a = seen.member("a")
    assert a is not None
    assert a.vm.power is Power.UNKNOWN
    assert a.vm.contact is Contact.UNKNOWN


def test_a_vm_that_is_not_shown_is_a_mistake_to_be_named() -> None:
    uuid = NODES[0]["vm"]["instanceUUID"]
    held = SpokenTo(vm(1), missing={uuid: "no such VM"})
    seen = observe(sources(line("a"), line("b"), line("w"), vms=held), Memory(), NOW_MS)
    a = seen.member("a")
    assert a is not None
    assert (a.vm.unknown, a.vm.problem) == (True, "no such VM")


def test_a_right_that_lacks_makes_the_fence_impossible() -> None:
    held = SpokenTo(vm(0), vm(1))
    held.lacking = {"VirtualMachine.Interact.PowerOff": ("vm-0",)}
    seen = observe(sources(line("a"), line("b"), line("w"), vms=held), Memory(), NOW_MS)
    a, b = seen.member("a"), seen.member("b")
    assert a is not None
    assert b is not None
    assert "VirtualMachine.Interact.PowerOff" in a.vm.fence_problem
    assert b.vm.fence_problem == ""


def off(at_ms: int) -> SpokenTo:
    gone = vm(0, power=Power.OFF, power_since_ms=at_ms, on_from_ms=1)
    return SpokenTo(gone, vm(1))


def test_the_boot_that_a_vm_went_off_in_is_over_when_it_was_known_well_before() -> None:
    memory = Memory()
    observe(well(), memory, NOW_MS)
    went_ms = NOW_MS + SETTLED_MS
    held = off(went_ms)
    held.told = Inventory(endpoint="v", heard_at_ms=went_ms, vms=held.told.vms)
    seen = observe(sources(silent("a"), line("b"), line("w"), vms=held), memory, went_ms + 100)
    assert seen.over == {BootOf("a", "boot-a")}
    assert seen.told == frozenset()


def test_a_boot_that_was_first_heard_of_after_the_news_is_not_over() -> None:
    """The VM was reset: its new boot reports, then the news of the power-off arrives late."""
    memory = Memory()
    observe(well(), memory, NOW_MS)
    held = off(NOW_MS + SETTLED_MS)
    held.told = Inventory(endpoint="v", heard_at_ms=NOW_MS + SETTLED_MS, vms=held.told.vms)
    newer = api.HolderStatus(member="uid-a", boot="boot-a-2")
    picture = sources(
        silent("a"), line("b", record_holder=newer), line("w", record_holder=newer), vms=held
    )
    assert observe(picture, memory, NOW_MS + SETTLED_MS + 100).over == frozenset()


def test_who_was_told_is_counted_by_run() -> None:
    memory = Memory()
    picture = sources(silent("a"), line("b"), line("w"))
    memory.told[("a", "boot-a")] = {("b", "run-b"), ("w", "run-w")}
    assert observe(picture, memory, NOW_MS).told == {BootOf("a", "boot-a")}
    restarted = sources(silent("a"), line("b", run="another"), line("w"))
    assert observe(restarted, memory, NOW_MS).told == frozenset()
    assert listeners(restarted.lines, "a") == {("b", "another"), ("w", "run-w")}


def test_since_when_a_node_is_ready_survives_a_pass_and_ends_with_readiness() -> None:
    memory = Memory()
    assert ready_since(observe(well(), memory, NOW_MS)) == NOW_MS
    assert ready_since(observe(well(), memory, NOW_MS + 500)) == NOW_MS
    busy = sources(line("a", role="Active"), line("b", eligible=False), line("w"))
    assert ready_since(observe(busy, memory, NOW_MS + 600)) is None
    assert ready_since(observe(well(), memory, NOW_MS + 700)) == NOW_MS + 700


def ready_since(seen: Any) -> int | None:
    member = seen.member("b")
    assert member is not None
    since: int | None = member.ready_since_ms
    return since


def test_an_ordered_power_off_is_remembered_by_the_status() -> None:
    fence = FenceStatus(
        boot_id="boot-a", term=6, proven=True, ordered_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    of = cluster(witnesses=[{"name": "w"}]).model_copy(
        update={"status": HAClusterStatus(nodes=(NodeStatus(name="a", fence=fence),))}
    )
    seen = observe(sources(line("a"), line("b"), line("w"), of=of), Memory(), NOW_MS)
    a = seen.member("a")
    assert a is not None
    assert a.fence is not None
    assert (a.fence.boot, a.fence.proven, a.fence.term) == ("boot-a", True, 6)
