"""What the operator wants done about one cluster: desired and observed in, decision out.

The members decide who is active; the operator only sees further (through the infrastructure) and
carries out policy. So its actions are few: tell the members what was proven off, power a lost node
off once another has *won the vote* (two nodes never shoot each other), power a fenced node on
again, and ask the active node to hand over. `plan` looks at one snapshot and remembers nothing;
guards stand in reading order and the first to speak wins.

Moments are the operator's own clock; `None` in what was observed means unknown and is never
rounded to no.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from standfast.core.fencing import Contact, Power
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.core.view import (
    BootOf,
    FencePolicy,
    MemberSeen,
    Observed,
    Role,
    Wanted,
    WantedNode,
)

FAILBACK_SETTLED_MS = 30_000
"""A preferred node must have been able to serve for this long before service returns to it."""

_STUNNING = (
    *("VirtualMachine.createSnapshot", "VirtualMachine.removeSnapshot"),
    *("VirtualMachine.removeAllSnapshots", "VirtualMachine.consolidateDisks"),
    *("VirtualMachine.migrate", "VirtualMachine.relocate", "Drm.ExecuteVMotionLRO"),
)
"""How vCenter's tasks begin that may make a VM stand still and let it go on."""

GRACE_MS = 5_000
"""How long a live former holder may take to prove by itself that it stopped, before it is shot."""


# ------------------------------------------------------------------ actions


@dataclass(frozen=True, slots=True)
class Tell:
    """Verify afresh that the VM is off, and tell every member that the boot is over."""

    node: str
    boot: str


@dataclass(frozen=True, slots=True)
class Fence:
    """Power the VM off with proof, then tell every member that the boot is over."""

    node: str
    boot: str
    term: int


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Power a VM on that was fenced; it comes back as a standby."""

    node: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Ask the active node to release the lease to a successor.

    Attributes:
        request: The same text is the same request: it is done at most once.
    """

    node: str
    successor: str
    request: str
    why: str


@dataclass(frozen=True, slots=True)
class Brace:
    """Ask the active node for the longest lease, while a task may make its VM stand still."""

    node: str


Action = Tell | Fence | PowerOn | HandOver | Brace


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done now, and why."""

    reason: Reason
    message: str
    remedy: str = ""
    actions: tuple[Action, ...] = ()


# ------------------------------------------------------------------ the plan


def plan(want: Wanted, seen: Observed) -> Decision:
    """Decide. Exhaustive over small worlds in the tests; see the module's rules."""
    if want.paused:
        return Decision(Reason.PAUSED, "spec.paused is true: watching, not acting")
    if not seen.configured:
        return _joining(want, seen)
    for guard in (_tell, _fence, _power_on, _leaderless, _hand_over, _fail_back):
        decision = guard(want, seen)
        if decision is not None:
            return decision
    active = seen.active
    assert active is not None, "_leaderless speaks when nobody is active"
    return _steady(active)


def stunning(tasks: Iterable[str]) -> list[str]:
    """Those of a VM's running tasks that may make it stand still for a moment."""
    return [task for task in tasks if task.startswith(_STUNNING)]


def _steady(active: MemberSeen) -> Decision:
    serves = f"{active.name} serves in term {active.term}"
    tasks = stunning(active.vm.tasks)
    if not tasks:
        return Decision(Reason.STEADY, serves)
    # What holds a lease for seconds longer is found dead so much later: only while it is needed.
    return Decision(
        Reason.STEADY,
        f"{serves}; {', '.join(tasks)} runs on its VM, so its lease is longer meanwhile",
        actions=(Brace(active.name),),
    )


def successor(want: Wanted, seen: Observed, leaving: str) -> MemberSeen | None:
    """The most preferred node other than `leaving` that could serve now."""
    return next(
        (
            member
            for node in want.nodes
            if node.name != leaving and (member := seen.member(node.name)) is not None
            if not_ready(want, member) is None
        ),
        None,
    )


def not_ready(want: Wanted, member: MemberSeen) -> str | None:
    """Why a node could not take over now, as a sentence; none when it could."""
    found = _hindrance(want, member)
    return found[0] if found is not None else None


def what_helps(want: Wanted, members: Iterable[MemberSeen]) -> str:
    """What to type or do so that one of these nodes could take over, the first cause first."""
    found = [each for member in members if (each := _hindrance(want, member)) is not None]
    return "; ".join(dict.fromkeys(remedy for _, remedy in found))


def _hindrance(want: Wanted, member: MemberSeen) -> tuple[str, str] | None:
    """Cause and remedy."""
    name = member.name
    if not member.enrolled:
        return f"{name} has not joined yet", f"kubectl standfast enroll {want.name} {name}"
    if member.vm.power is Power.OFF:
        return f"the VM of {name} is powered off", f"power the VM of {name} on"
    if member.vm.power is Power.SUSPENDED:
        return f"the VM of {name} is suspended", f"resume the VM of {name}"
    if not member.heard:
        where = f"on {name}: systemctl status standfast-agent; TCP port 7380 must be open"
        return f"{name} is not heard", where
    if member.halted:
        return f"{name} takes no part: {member.halted}", f"on {name}: standfast-agent status"
    if want.in_maintenance(name):
        return f"{name} is in maintenance", want.back_from_maintenance(name)
    if member.eligible is not True:
        reasons = "; ".join(member.ineligible_reasons) or "it does not say why"
        return (
            f"{name} says that it cannot serve: {reasons}",
            f"on {name}: standfast-agent status, and journalctl -u standfast-agent",
        )
    if want.data is DataMode.REPLICATED and member.in_sync is not True:
        wait = f"wait until it has caught up: kubectl standfast status {want.name} -w"
        return f"{name} lacks acknowledged writes", wait
    if member.role is not Role.STANDBY:
        role = member.role.value if member.role else "unknown"
        return f"{name} is {role}, not standby", f"kubectl standfast status {want.name} -w"
    return None


def _joining(want: Wanted, seen: Observed) -> Decision:
    missing = [member.name for member in seen.members if not member.enrolled]
    if missing:
        return Decision(
            Reason.WAITING_FOR_NODES,
            f"{', '.join(missing)} of {len(seen.members)} members have not joined yet",
            f"kubectl standfast enroll {want.name} {missing[0]}, and put what it prints in "
            "/etc/standfast/bundle.json of that node",
        )
    return Decision(Reason.CONFIGURING, "the members are being given their first configuration")


def _tell(_want: Wanted, seen: Observed) -> Decision | None:
    """What is proven off frees the standby at once, sooner than the lease would end."""
    news = sorted(seen.over - seen.told, key=lambda boot: boot.node)
    if not news:
        return None
    return Decision(
        Reason.NODE_FOUND_OFF,
        f"the VM of {news[0].node} is off: telling the members, so that they need not wait",
        actions=tuple(Tell(boot.node, boot.boot) for boot in news),
    )


def _fence(want: Wanted, seen: Observed) -> Decision | None:
    """Only for a node that won the vote, and only at former holders it names."""
    winner = seen.winner
    if want.fence is FencePolicy.NEVER or winner is None:
        return None
    targets = [
        suspect
        for suspect in winner.suspects
        if suspect.node != winner.name and _to_shoot(want, seen, winner, suspect)
    ]
    if not targets:
        return None
    names = ", ".join(sorted({target.node for target in targets}))
    message = (
        f"{winner.name} won term {winner.term}; powering off {names}, which held the lease before"
    )
    actions = tuple(Fence(t.node, t.boot, winner.term) for t in targets)
    if seen.fence_error:
        return Decision(
            Reason.FENCE_FAILED,
            f"{message}; the last try proved nothing: {seen.fence_error}",
            f"power {names} off by hand, or bring it back so that it can say that it stopped",
            actions,
        )
    return Decision(Reason.FENCING, message, actions=actions)


def _to_shoot(want: Wanted, seen: Observed, winner: MemberSeen, suspect: BootOf) -> bool:
    member = seen.member(suspect.node)
    if member is None or suspect in seen.told:
        return False
    if member.heard and member.boot not in {"", suspect.boot}:
        return False  # it is back in another boot and proves that by itself
    waiting = winner.role is Role.HOLDING and want.needs_power_off
    if member.heard:
        since = winner.holding_since_ms
        return waiting and since is not None and seen.now_ms - since >= GRACE_MS
    return waiting or want.fence is FencePolicy.ALWAYS


def _power_on(want: Wanted, seen: Observed) -> Decision | None:
    """A node that we fenced comes back as a standby once somebody else serves."""
    active = seen.active
    if not want.power_on or active is None:
        return None
    off = [
        member
        for member in seen.members
        if member.fence is not None
        and member.fence.proven
        and member.name != active.name
        and active.term >= member.fence.term
        and member.vm.power is Power.OFF
        and member.vm.contact is Contact.CONNECTED
        and not want.in_maintenance(member.name)
    ]
    if not off:
        return None
    names = ", ".join(member.name for member in off)
    return Decision(
        Reason.POWERING_ON,
        f"{active.name} serves; powering {names} on again, to come back as standby",
        actions=tuple(PowerOn(member.name) for member in off),
    )


def _leaderless(want: Wanted, seen: Observed) -> Decision | None:
    if seen.active is not None:
        return None
    winner = seen.winner
    if winner is not None:
        return _starting(want, winner)
    if not any(member.heard for member in seen.members):
        return Decision(
            Reason.NOBODY_HEARD,
            "the operator hears no member; the agents go on by themselves",
            "check the network between the operator and the nodes, TCP port 7380",
        )
    if seen.present < want.majority:
        return Decision(
            Reason.NO_MAJORITY,
            f"{seen.present} of {len(seen.members)} voters are heard, and {want.majority} are "
            "needed: nobody may become active",
            "bring nodes or witnesses back",
        )
    holder = seen.member(seen.holder.node) if seen.holder is not None else None
    if holder is not None and not holder.heard and holder.present:
        return Decision(
            Reason.ACTIVE_NOT_HEARD,
            f"{holder.name} holds the lease as {', '.join(holder.heard_by)} say, but the operator "
            "does not hear it",
            "check the network between the operator and that node, TCP port 7380",
        )
    return _electing(want, seen)


def _starting(want: Wanted, winner: MemberSeen) -> Decision:
    if winner.suspects and want.needs_power_off:
        names = ", ".join(sorted({suspect.node for suspect in winner.suspects}))
        return Decision(
            Reason.PROOF_MISSING,
            f"{winner.name} won term {winner.term}, but must not start before {names} is proven "
            "stopped",
            f"power {names} off, or bring it back so that it can say so itself",
        )
    return Decision(Reason.STARTING, f"{winner.name} won term {winner.term} and is starting")


def _electing(want: Wanted, seen: Observed) -> Decision:
    able = [
        node.name
        for node in want.nodes
        if (member := seen.member(node.name)) is not None
        and member.heard
        and member.eligible is True
    ]
    if able:
        return Decision(Reason.ELECTING, f"the members are choosing; {', '.join(able)} may stand")
    nodes = [member for node in want.nodes if (member := seen.member(node.name)) is not None]
    reasons = [why for member in nodes if (why := not_ready(want, member)) is not None]
    return Decision(
        Reason.NO_ACTIVE_NODE,
        "no node can serve: " + "; ".join(reasons),
        what_helps(want, nodes),
    )


def _hand_over(want: Wanted, seen: Observed) -> Decision | None:
    """A person works on the active node."""
    active = seen.active
    if active is None or seen.moving or not want.in_maintenance(active.name):
        return None
    target = successor(want, seen, active.name)
    if target is None:
        return Decision(
            Reason.HANDOVER_WAITS,
            f"{active.name} is in maintenance and still serves, because no other node can",
            what_helps(
                want,
                [m for n in want.nodes if n.name != active.name and (m := seen.member(n.name))],
            ),
        )
    if active.releasing:
        return Decision(Reason.HANDING_OVER, f"{active.name} is handing over to {target.name}")
    return Decision(
        Reason.HANDING_OVER,
        f"{active.name} is in maintenance: handing over to {target.name}",
        actions=(HandOver(active.name, target.name, f"maintenance-{active.term}", "maintenance"),),
    )


def _fail_back(want: Wanted, seen: Observed) -> Decision | None:
    """Service returns to the most preferred node that has been ready for a while.

    Not from a node that a person chose with a `Switchover`: there it stays for that tenure.
    """
    active = seen.active
    if not want.failback or active is None or seen.moving or seen.chosen == active.name:
        return None
    better = next(
        (
            member
            for node in _preferred_to(want, active.name)
            if (member := seen.member(node.name)) is not None
            and not_ready(want, member) is None
            and member.ready_since_ms is not None
            and seen.now_ms - member.ready_since_ms >= FAILBACK_SETTLED_MS
        ),
        None,
    )
    if better is None:
        return None
    if want.failback_closed and not active.releasing:
        return Decision(
            Reason.STEADY,
            f"{active.name} serves in term {active.term}; {better.name} is preferred, and service "
            "returns to it when the window opens",
        )
    if active.releasing:
        return Decision(Reason.FAILING_BACK, f"{active.name} is handing over to {better.name}")
    return Decision(
        Reason.FAILING_BACK,
        f"{better.name} is preferred and has been ready for a while: returning service to it",
        actions=(HandOver(active.name, better.name, f"failback-{active.term}", "failback"),),
    )


def _preferred_to(want: Wanted, name: str) -> tuple[WantedNode, ...]:
    names = [node.name for node in want.nodes]
    return want.nodes[: names.index(name)] if name in names else ()
