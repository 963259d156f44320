"""What may be claimed about a cluster, from what was seen: the conditions, as pure functions.

Every claim has three values, one reason, a sentence with the values in it, and a remedy. True and
False are said only of what was measured; what nothing has measured is Unknown. `Ready` means that
service is up, also while degraded. `Protected` is the claim people buy this product for: if the
active node died now, a standby would serve.
"""

from collections.abc import Callable
from dataclasses import dataclass

from standfast.core.fencing import Contact, Power
from standfast.core.placement import not_ready, what_helps
from standfast.core.reasons import Reason
from standfast.core.record import DataMode, MemberKind
from standfast.core.sizes import at_most, size
from standfast.core.view import MemberSeen, Observed, Role, Wanted

ELECTION_HEARTBEATS = 2
"""Asking twice (pre-vote, vote) and committing the first record, each well within a heartbeat."""

START_MS_DEFAULT = 300
"""What a start is taken to last until one was measured."""

BEYOND_MAX_DATA_LOSS = "BeyondMaxDataLoss"
"""Alert of an active node that no copy follows closely enough."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One condition.

    Attributes:
        holds: None when nothing measured says either.
    """

    holds: bool | None
    reason: Reason
    message: str
    remedy: str = ""


def failover_ms(want: Wanted, standby: MemberSeen | None) -> int:
    """From the death of the active node to service on this standby, as expected.

    The last promise runs out after the ttl at the latest; then the vote, the record, the start.
    """
    start_ms = standby.start_ms if standby is not None else None
    return (
        want.timing.ttl_ms
        + ELECTION_HEARTBEATS * want.timing.heartbeat_ms
        + (START_MS_DEFAULT if start_ms is None else start_ms)
    )


def ready(want: Wanted, seen: Observed) -> Claim:
    """Service is up on a node that was heard saying so."""
    active = seen.active
    if active is None:
        return _not_serving(want, seen)
    failed = [r for r in active.resources if r.state != "Running"]
    critical = [r for r in failed if r.critical]
    if critical:
        what = "; ".join(f"{r.name} is {r.state}{_because(r.message)}" for r in critical)
        return Claim(
            False,
            Reason.RESOURCE_FAILED,
            f"{active.name} is active, but {what}",
            f"kubectl describe haresource {critical[0].name}",
        )
    count = len(active.resources)
    things = "1 resource runs" if count == 1 else f"{count} resources run"
    extra = f"; {failed[0].name}, which is not critical, is {failed[0].state}" if failed else ""
    return Claim(
        True, Reason.SERVING, f"{active.name} serves in term {active.term}: {things}{extra}"
    )


def _not_serving(want: Wanted, seen: Observed) -> Claim:
    if not seen.configured:
        return Claim(
            False, Reason.WAITING_FOR_NODES, "the cluster is being set up: nobody serves yet"
        )
    winner = seen.winner
    if winner is not None:
        return Claim(
            False, Reason.STARTING, f"{winner.name} won term {winner.term} and is starting"
        )
    nodes = [m for m in seen.members if m.kind is MemberKind.DATA]
    if not any(m.heard for m in seen.members):
        return Claim(
            None,
            Reason.NOBODY_HEARD,
            "the operator hears no member, so nothing says whether the service is up",
            "check the network between the operator and the nodes, TCP port 7380",
        )
    unheard = [m for m in nodes if not m.heard]
    holder = seen.member(seen.holder.node) if seen.holder is not None else None
    if holder is not None and holder in unheard and holder.present:
        return Claim(
            None,
            Reason.ACTIVE_NOT_HEARD,
            f"{holder.name} holds the lease, as {', '.join(holder.heard_by)} hears, but the "
            "operator does not hear it, so nothing says whether the service is up",
            "check the network between the operator and that node, TCP port 7380",
        )
    if seen.present < want.majority:
        return Claim(
            None if unheard else False,
            Reason.NO_MAJORITY,
            f"nobody is heard serving; {seen.present} of {len(seen.members)} voters are heard, "
            f"and {want.majority} are needed to choose",
            "bring nodes or witnesses back",
        )
    return Claim(
        False,
        Reason.NO_ACTIVE_NODE,
        "no node serves",
        f"kubectl standfast explain {want.name}",
    )


def quorate(want: Wanted, seen: Observed) -> Claim:
    """A majority of all declared voters is heard, by the operator or by each other."""
    total = len(want.nodes) + len(want.witnesses)
    said = f"{seen.present} of {total} voters answer"
    if seen.present >= want.majority:
        return Claim(True, Reason.MAJORITY, f"{said}, and {want.majority} are a majority")
    if not any(m.heard for m in seen.members):
        return Claim(
            None, Reason.NOBODY_HEARD, "the operator hears no member, so nobody can be counted"
        )
    missing = ", ".join(m.name for m in seen.members if not m.present)
    return Claim(
        False,
        Reason.NO_MAJORITY,
        f"{said}, and {want.majority} are needed; missing: {missing}",
        "bring them back: nobody can become active without a majority",
    )


def protected(want: Wanted, seen: Observed) -> Claim:
    """If the active node died now, a standby would serve."""
    active = seen.active
    if active is None:
        why = ready(want, seen)
        return Claim(
            None if why.holds is None else False,
            why.reason,
            f"nobody serves, so nothing is protected: {why.message}",
            why.remedy,
        )
    standbys = [
        member
        for node in want.nodes
        if node.name != active.name and (member := seen.member(node.name)) is not None
    ]
    able = [m for m in standbys if not_ready(want, m) is None]
    checks: tuple[Callable[[], Claim | None], ...] = (
        lambda: _no_standby(want, active, standbys, able),
        lambda: _no_majority_left(want, seen, active),
        lambda: _no_proof(want, active),
        lambda: _beyond(active),
    )
    for check in checks:
        claim = check()
        if claim is not None:
            return claim
    best = able[0]
    seconds = failover_ms(want, best) / 1000
    return Claim(
        True,
        Reason.FAILOVER_POSSIBLE,
        f"If {active.name} died now, {best.name} would serve in about {seconds:.1f} s"
        f"{_loss(want)}.",
    )


def _loss(want: Wanted) -> str:
    return {
        DataMode.NONE: "",
        DataMode.SHARED_DISK: " from the same disk",
        DataMode.REPLICATED: " and no acknowledged write would be lost",
        DataMode.REPLICATED_ASYNC: f" and at most {size(want.loss_max)} of the newest writes "
        "would be lost, counted from about a second before",
    }[want.data]


def _no_standby(
    want: Wanted, active: MemberSeen, standbys: list[MemberSeen], able: list[MemberSeen]
) -> Claim | None:
    if able:
        return None
    causes = [why for m in standbys if (why := not_ready(want, m)) is not None]
    down = {Power.OFF, Power.SUSPENDED}
    unheard = all(not m.heard and m.vm.power not in down for m in standbys)
    behind = any("acknowledged" in cause for cause in causes)
    reason = (
        Reason.NO_STANDBY
        if unheard
        else Reason.STANDBY_BEHIND
        if behind
        else Reason.STANDBY_NOT_READY
    )
    return Claim(
        False,
        reason,
        f"If {active.name} died now, nobody would serve: {'; '.join(causes)}",
        what_helps(want, standbys),
    )


def _no_majority_left(want: Wanted, seen: Observed, active: MemberSeen) -> Claim | None:
    """The survivors must be a majority of all voters."""
    left = sum(m.present for m in seen.members if m.name != active.name)
    if left >= want.majority:
        return None
    others = len(want.nodes) + len(want.witnesses) - 1
    if others < want.majority:
        return Claim(
            False,
            Reason.NO_WITNESS,
            f"If {active.name} died now, the {others} that remain would be no majority of "
            f"{others + 1} voters, so nobody could take over",
            "create a Witness at a third place and list it in spec.witnesses",
        )
    silent = [m for m in seen.members if not m.present]
    witness = next((m for m in silent if m.kind is MemberKind.WITNESS), None)
    return Claim(
        False,
        Reason.WITNESS_MISSING if witness is not None else Reason.NO_MAJORITY_LEFT,
        f"If {active.name} died now, {left} voters would remain, and {want.majority} are needed; "
        f"not heard: {', '.join(m.name for m in silent)}",
        f"kubectl describe witness {witness.name}" if witness else "bring them back",
    )


def _no_proof(want: Wanted, active: MemberSeen) -> Claim | None:
    """Some data may only be taken over from a node that is proven off."""
    if not want.needs_power_off:
        return None
    claim = fence_ready_of(active)
    if claim.holds is True:
        return None
    return Claim(
        False if claim.holds is False else None,
        Reason.NO_PROOF,
        f"If {active.name} died now, it could not be proven off, and the shared disk must not be "
        f"taken over without that: {claim.message}",
        claim.remedy or "kubectl describe infrastructure",
    )


def fence_ready(_want: Wanted, seen: Observed) -> Claim:
    """Every node's VM could be powered off now."""
    nodes = [m for m in seen.members if m.kind is MemberKind.DATA]
    claims = [fence_ready_of(m) for m in nodes]
    for holds in (False, None):
        for claim in claims:
            if claim.holds is holds:
                return claim
    names = ", ".join(m.name for m in nodes)
    return Claim(True, Reason.FENCE_POSSIBLE, f"the VMs of {names} could be powered off now")


def fence_ready_of(member: MemberSeen) -> Claim:
    """One VM could be powered off now: seen, its host connected, the right held."""
    problem = member.vm.problem or member.vm.fence_problem
    if problem:
        return Claim(False, Reason.FENCE_NOT_POSSIBLE, f"{member.name}: {problem}")
    if member.vm.contact is Contact.CONNECTED:
        said = f"the VM of {member.name} could be powered off now"
        return Claim(True, Reason.FENCE_POSSIBLE, said)
    if member.vm.contact is Contact.LOST:
        return Claim(
            False,
            Reason.FENCE_NOT_POSSIBLE,
            f"the infrastructure has lost the VM of {member.name} or its host "
            f"{member.vm.host_name or '(unknown)'}, so it could not be powered off now",
        )
    said = f"nothing is known of the VM of {member.name} now"
    return Claim(None, Reason.FENCE_NOT_POSSIBLE, said)


def in_sync(want: Wanted, seen: Observed) -> Claim | None:
    """Replicated data only: every standby has every acknowledged write."""
    if not seen.configured:
        return None
    if want.data is DataMode.REPLICATED_ASYNC:
        return _within_bound(want, seen)
    if want.data is not DataMode.REPLICATED:
        return None
    nodes = [m for m in seen.members if m.kind is MemberKind.DATA]
    if any(m.in_sync is None for m in nodes):
        return Claim(None, Reason.NOBODY_HEARD, "nobody was heard saying who is in sync")
    behind = [m.name for m in nodes if not m.in_sync]
    if behind:
        said = f"{', '.join(behind)} lacks acknowledged writes{_lacking(seen, behind)}"
        return Claim(False, Reason.OUT_OF_SYNC, said, "wait until it has caught up")
    return Claim(True, Reason.IN_SYNC, "every node has every acknowledged write")


def _within_bound(want: Wanted, seen: Observed) -> Claim:
    """Asynchronous data: one node at least follows closely enough to take over by itself."""
    active = seen.active
    if active is None:
        return Claim(None, Reason.NOBODY_HEARD, "nobody is heard serving")
    beyond = _beyond(active)
    if beyond is not None:
        return beyond
    said = f"a copy follows within {size(want.loss_max)} of {active.name} (spec.maxDataLoss)"
    return Claim(True, Reason.IN_SYNC, said)


def _beyond(active: MemberSeen) -> Claim | None:
    """What the active node says of copies that are too far behind."""
    for reason, message, remedy in active.alerts:
        if reason == BEYOND_MAX_DATA_LOSS:
            return Claim(False, Reason.OUT_OF_SYNC, message, remedy)
    return None


def _lacking(seen: Observed, names: list[str]) -> str:
    """How much that is, where the active node knows."""
    active = seen.active
    known = [] if active is None else [lacks for r in active.resources for lacks in r.lacks]
    lacking = sum(count for name, count in known if name in names)
    return f" ({at_most(lacking)} at risk until it has them)" if lacking else ""


def announced(_want: Wanted, seen: Observed) -> Claim | None:
    """Only with addresses: each is on the active node, as its agent verified."""
    active = seen.active
    addresses = [r for m in seen.members for r in m.resources if r.type == "vip"]
    if not addresses:
        return None
    if active is None:
        return Claim(None, Reason.NO_ACTIVE_NODE, "nobody is heard serving")
    down = [r for r in active.resources if r.type == "vip" and r.state != "Running"]
    if down:
        what = "; ".join(f"{r.name} is {r.state}{_because(r.message)}" for r in down)
        remedy = f"kubectl describe haresource {down[0].name}"
        return Claim(False, Reason.NOT_ANNOUNCED, f"on {active.name} {what}", remedy)
    names = ", ".join(r.name for r in active.resources if r.type == "vip")
    return Claim(True, Reason.ANNOUNCED, f"{names} leads to {active.name}")


def degraded(want: Wanted, seen: Observed) -> Claim:
    """Something is missing that was declared; the most important first."""
    found = [*_members_missing(want, seen), *_same_host(seen), *_paths_down(seen), *_alerts(seen)]
    if not found:
        return Claim(False, Reason.REDUNDANT, "nothing is missing")
    return Claim(
        True,
        found[0].reason,
        "; ".join(claim.message for claim in found),
        next((claim.remedy for claim in found if claim.remedy), ""),
    )


def _members_missing(want: Wanted, seen: Observed) -> list[Claim]:
    found: list[Claim] = []
    for member in seen.members:
        name = member.name
        if not member.enrolled:
            found.append(
                Claim(
                    True,
                    Reason.WAITING_FOR_NODES,
                    f"{name} has not joined yet",
                    f"kubectl standfast enroll {want.name} {name}",
                )
            )
        elif member.vm.power in {Power.OFF, Power.SUSPENDED}:
            word = "powered off" if member.vm.power is Power.OFF else "suspended"
            found.append(
                Claim(True, Reason.NODE_POWERED_OFF, f"the VM of {name} is {word}", "power it on")
            )
        elif not member.heard:
            found.append(_not_heard(member))
        elif member.halted:
            found.append(Claim(True, Reason.NODE_HALTED, f"{name}: {member.halted}"))
        elif seen.configured and not member.heard_by and len(seen.members) > 1:
            found.append(
                Claim(
                    True,
                    Reason.NODE_MISSING,
                    f"the operator hears {name}, but no other member does",
                    "check the networks between the nodes, TCP port 7380",
                )
            )
        elif want.in_maintenance(name):
            back = want.back_from_maintenance(name)
            found.append(Claim(True, Reason.IN_MAINTENANCE, f"{name} is in maintenance", back))
        elif member.role is Role.STANDBY and member.kind is MemberKind.DATA:
            why = not_ready(want, member)
            if why is not None:
                found.append(Claim(True, Reason.STANDBY_NOT_READY, why))
    return found


def _not_heard(member: MemberSeen) -> Claim:
    if member.heard_by:
        others = ", ".join(member.heard_by)
        return Claim(
            True,
            Reason.NODE_MISSING,
            f"the operator does not hear {member.name}, but {others} does",
            "check the network between the operator and it, TCP port 7380",
        )
    return Claim(
        True,
        Reason.NODE_MISSING,
        f"nobody hears {member.name}",
        f"kubectl describe witness {member.name}"
        if member.kind is MemberKind.WITNESS
        else "look at its VM's console and its agent (systemctl status standfast-agent)",
    )


def _same_host(seen: Observed) -> list[Claim]:
    by_host: dict[str, list[MemberSeen]] = {}
    for member in seen.members:
        if member.kind is MemberKind.DATA and member.vm.host:
            by_host.setdefault(member.vm.host, []).append(member)
    return [
        Claim(
            True,
            Reason.SAME_HOST,
            f"{' and '.join(m.name for m in members)} run on host {members[0].vm.host_name}, "
            "whose failure would take them all",
            "move one VM to another host, or declare an anti-affinity rule",
        )
        for members in by_host.values()
        if len(members) > 1
    ]


def _paths_down(seen: Observed) -> list[Claim]:
    """Paths to members that are there: one that is gone is said once, not per path."""
    down = {Power.OFF, Power.SUSPENDED}
    there = {m.name for m in seen.members if m.heard and m.heard_by and m.vm.power not in down}
    return [
        Claim(
            True,
            Reason.PATH_DOWN,
            f"{member.name} does not reach {path.peer} at {path.address}",
            "check that network",
        )
        for member in seen.members
        if member.name in there
        for path in member.paths
        if not path.up and path.peer in there
    ]


def _alerts(seen: Observed) -> list[Claim]:
    return [
        Claim(True, Reason.AGENT_ALERT, f"{member.name} reports {reason}: {message}", remedy)
        for member in seen.members
        if member.heard
        for reason, message, remedy in member.alerts
    ]


def _because(message: str) -> str:
    return f" ({message})" if message else ""
