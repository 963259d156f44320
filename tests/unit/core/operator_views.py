"""A small cluster as the operator sees it, for the tests of `placement` and `explain`."""

from dataclasses import replace

from standfast.core.fencing import Contact, Power
from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Profile
from standfast.core.view import (
    BootOf,
    MemberSeen,
    Observed,
    ResourceSeen,
    Role,
    VmSeen,
    Wanted,
    WantedNode,
)

A, B, W = "orders-a", "orders-b", "tokyo-c"
NOW_MS = 1_000_000

VM_ON = VmSeen(name="vm", power=Power.ON, contact=Contact.CONNECTED)
WEB = ResourceSeen("web", "systemd", "Running")
VIP = ResourceSeen("web-vip", "vip", "Running")


def wanted(**changed: object) -> Wanted:
    want = Wanted(
        name="orders",
        nodes=(WantedNode(A), WantedNode(B)),
        witnesses=(W,),
        data=DataMode.NONE,
        timing=Profile.NORMAL.timing,
    )
    return replace(want, **changed)


def node(name: str, **changed: object) -> MemberSeen:
    """An eligible standby, heard by everybody."""
    member = MemberSeen(
        name=name,
        kind=MemberKind.DATA,
        enrolled=True,
        heard=True,
        heard_by=tuple(other for other in (A, B, W) if other != name),
        role=Role.STANDBY,
        term=5,
        boot=f"boot-{name}",
        eligible=True,
        in_sync=True,
        ready_since_ms=0,
        vm=replace(VM_ON, name=name, host=f"host-{name}", host_name=f"esx-{name}"),
    )
    return replace(member, **changed)


def active(name: str, **changed: object) -> MemberSeen:
    return node(name, role=Role.ACTIVE, resources=(WEB, VIP), ready_since_ms=None, **changed)


def lost(name: str, **changed: object) -> MemberSeen:
    """Heard by nobody."""
    return node(
        name,
        **{"heard": False, "heard_by": (), "role": None, "eligible": None, **changed},
    )


def witness(**changed: object) -> MemberSeen:
    return replace(node(W), kind=MemberKind.WITNESS, eligible=False, vm=VmSeen(), **changed)


def seen(*members: MemberSeen, **changed: object) -> Observed:
    picture = Observed(now_ms=NOW_MS, members=members, holder=BootOf(A, f"boot-{A}", 5))
    return replace(picture, **changed)


def well() -> Observed:
    return seen(active(A), node(B), witness())
