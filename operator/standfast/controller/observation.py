"""The only reader: puts together what is known of one cluster at one moment.

Three sources, each with its own truth: the members say what they do (`listening`), the
infrastructure says what their VMs are (`infrastructures`), the status of the cluster says what was
begun. Nothing is asked of anybody here; all of it is in memory already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from standfast.api.cluster import Failback, HACluster, Node, loss_bytes_max
from standfast.api.cluster import FencePolicy as DeclaredFence
from standfast.controller.authorities import Register
from standfast.controller.infrastructures import FACTS_AGE_MS_MAX, SILENT, Connected
from standfast.controller.listening import Line
from standfast.controller.memory import Memory
from standfast.controller.seats import rolled_out
from standfast.core.fencing import Contact, OffSeen, boot_is_over
from standfast.core.placement import not_ready
from standfast.core.record import DataMode, MemberKind
from standfast.core.view import (
    BootOf,
    FencePolicy,
    FenceSeen,
    MemberSeen,
    Observed,
    PathSeen,
    ResourceSeen,
    Role,
    VmSeen,
    Wanted,
    WantedNode,
)
from standfast.ports.hypervisor import VmFacts
from standfast.wire.api import MemberStatus, ResourceStatus

POWER_OFF_PRIVILEGE = "VirtualMachine.Interact.PowerOff"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the picture comes from.

    Attributes:
        lines: By the member's name; absent for one that is not registered.
        infrastructures: By the node's name.
        critical: Names of resources that count for the decision.
    """

    cluster: HACluster
    register: Register
    lines: Mapping[str, Line]
    infrastructures: Mapping[str, Connected]
    critical: frozenset[str]
    moving: str = ""
    chosen: str = ""
    fence_error: str = ""


def wanted(cluster: HACluster) -> Wanted:
    """What is declared, as the core reads it."""
    spec, out = cluster.spec, rolled_out(cluster)
    round_name = spec.rolling.name if spec.rolling is not None else ""
    return Wanted(
        name=cluster.metadata.name,
        nodes=tuple(
            WantedNode(node.name, node.maintenance, round_name if node.name in out else "")
            for node in spec.nodes
        ),
        witnesses=tuple(witness.name for witness in spec.witnesses),
        data=DataMode(spec.data.value),
        loss_max=loss_bytes_max(spec),
        timing=spec.timing.to_core(),
        fence=_FENCE[spec.fencing.policy],
        failback=spec.placement.failback is not Failback.NEVER,
        power_on=spec.fencing.after_fence.value == "PowerOn",
        paused=spec.paused,
    )


_FENCE = {
    DeclaredFence.WHEN_NEEDED: FencePolicy.WHEN_NEEDED,
    DeclaredFence.ALWAYS: FencePolicy.ALWAYS,
    DeclaredFence.NEVER: FencePolicy.NEVER,
}


def observe(sources: Sources, memory: Memory, now_ms: int) -> Observed:
    """Make the picture, and remember the moments that the next one needs."""
    reader = _Reader(sources, now_ms)
    members = reader.members()
    holder = reader.holder()
    picture = Observed(
        now_ms=now_ms,
        members=tuple(members),
        configured=_configured(sources, members),
        holder=holder,
        moving=sources.moving,
        chosen=sources.chosen,
        fence_error=sources.fence_error,
    )
    picture = _with_moments(wanted(sources.cluster), picture, memory, now_ms)
    return replace(
        picture,
        over=_over(sources, picture, memory, now_ms),
        told=_told(sources, memory),
    )


class _Reader:
    """Reads one moment's sources into members."""

    def __init__(self, sources: Sources, now_ms: int) -> None:
        self._sources = sources
        self._now_ms = now_ms
        self._names = {entry.uid: name for name, entry in sources.register.members.items()}
        heard = [line.now for line in sources.lines.values() if line.now is not None]
        self._newest: MemberStatus | None = max(
            heard, key=lambda status: status.record_version, default=None
        )

    def members(self) -> list[MemberSeen]:
        spec = self._sources.cluster.spec
        return [
            *(self._node(node) for node in spec.nodes),
            *(self._member(witness.name, MemberKind.WITNESS) for witness in spec.witnesses),
        ]

    def holder(self) -> BootOf | None:
        """Who holds or last held, by the newest record that anybody shows."""
        newest = self._newest
        if newest is None:
            return None
        holder = newest.record_holder or newest.holder
        if holder is None or holder.member not in self._names:
            return None
        return BootOf(self._names[holder.member], holder.boot, newest.record_version[0])

    def _node(self, node: Node) -> MemberSeen:
        member = self._member(node.name, MemberKind.DATA)
        shown = (each for each in self._sources.cluster.status.nodes if each.name == node.name)
        fence = next((each.fence for each in shown), None)
        held = self._sources.infrastructures.get(node.name)
        return replace(
            member,
            vm=_vm(held, node.vm.instance_uuid, self._now_ms),
            fence=None
            if fence is None
            else FenceSeen(
                boot=fence.boot_id, task=fence.task or "", proven=fence.proven, term=fence.term
            ),
        )

    def _member(self, name: str, kind: MemberKind) -> MemberSeen:
        entry = self._sources.register.members.get(name)
        line = self._sources.lines.get(name)
        if entry is None or line is None:
            is_enrolled = entry is not None and entry.enrolled
            return MemberSeen(name=name, kind=kind, enrolled=is_enrolled)
        newest = self._newest
        member = MemberSeen(
            name=name,
            kind=kind,
            enrolled=entry.enrolled,
            heard=line.now is not None,
            heard_by=self._heard_by(entry.uid),
            boot=self._boot(entry.uid, line),
            in_sync=None
            if newest is None or not newest.config_id
            else self._is_in_sync(name, entry.uid, newest),
        )
        return member if line.now is None else self._with_status(member, line.now)

    def _is_in_sync(self, name: str, uid: str, newest: MemberStatus) -> bool:
        """By the newest record that was ever heard of, not only by those who are heard now."""
        noted = self._sources.cluster.status.data_record
        if noted is not None and newest.record_version < tuple(map(int, noted.version.split("."))):
            return name in noted.in_sync
        return uid in newest.in_sync

    def _with_status(self, member: MemberSeen, status: MemberStatus) -> MemberSeen:
        names = self._names
        return replace(
            member,
            role=Role(status.role),
            term=status.term,
            eligible=status.eligible,
            ineligible_reasons=status.ineligible_reasons,
            releasing=status.releasing,
            halted=status.halted,
            suspects=tuple(
                BootOf(names.get(suspect.member, suspect.member), suspect.boot, suspect.term)
                for suspect in status.suspects
            ),
            resources=tuple(
                ResourceSeen(
                    name=resource.name,
                    type=resource.type,
                    state=resource.state,
                    critical=resource.name in self._sources.critical,
                    message=resource.message,
                    reason=resource.reason,
                    lacks=_lacks(resource, names),
                )
                for resource in status.resources
            ),
            paths=tuple(
                PathSeen(peer=names[peer.member], address=path.address, up=path.up)
                for peer in status.peers
                if peer.member in names
                for path in peer.paths
                if self._is_declared(names[peer.member], path.address)
            ),
            alerts=tuple((alert.reason, alert.message, alert.remedy) for alert in status.alerts),
            start_ms=_start_ms(status),
        )

    def _is_declared(self, name: str, address: str) -> bool:
        """Where a member is said to be; links that it opened itself come from anywhere."""
        line = self._sources.lines.get(name)
        return line is not None and address in line.door.addresses

    def _heard_by(self, uid: str) -> tuple[str, ...]:
        return tuple(
            name
            for name, line in sorted(self._sources.lines.items())
            if line.now is not None
            and any(peer.member == uid and peer.reachable for peer in line.now.peers)
        )

    def _boot(self, uid: str, line: Line) -> str:
        """The newest boot known: its own word, else what others heard."""
        if line.now is not None:
            return line.now.boot_id
        heard = (
            peer.boot
            for other in self._sources.lines.values()
            if other.now is not None
            for peer in other.now.peers
            if peer.member == uid and peer.reachable and peer.boot
        )
        return next(heard, line.status.boot_id if line.status is not None else "")


def _configured(sources: Sources, members: Sequence[MemberSeen]) -> bool:
    """Signed, and a member that is heard has taken it; what nobody hears stays as it was."""
    if sources.register.config is None:
        return False
    heard = [member for member in members if member.heard]
    return not heard or any(member.role is not Role.UNCONFIGURED for member in heard)


def _start_ms(status: MemberStatus) -> int | None:
    """How long its last start of the resources took."""
    last = status.last_takeover
    if last is None or last.serving_ms is None:
        return None
    return last.serving_ms - (last.record_ms or last.won_ms or 0)


def _vm(held: Connected | None, uuid: str, now_ms: int) -> VmSeen:
    if held is None:
        return VmSeen(problem="its Infrastructure does not exist")
    trouble = held.trouble(now_ms)
    inventory = held.inventory
    facts = inventory.vm(uuid, now_ms, FACTS_AGE_MS_MAX)
    if trouble is SILENT:
        return VmSeen(name=facts.name)
    if trouble is not None:
        return VmSeen(name=facts.name, problem=trouble.problem)
    if uuid in inventory.missing:
        return VmSeen(unknown=True, problem=inventory.missing[uuid])
    return VmSeen(
        name=facts.name,
        power=facts.power,
        contact=_contact(facts),
        host=facts.host,
        host_name=facts.host_name,
        tasks=facts.tasks,
        fence_problem=_fence_problem(held, facts),
    )


def _contact(facts: VmFacts) -> Contact:
    both = {facts.contact, facts.host_contact}
    if both == {Contact.CONNECTED}:
        return Contact.CONNECTED
    return Contact.LOST if Contact.LOST in both else Contact.UNKNOWN


def _fence_problem(held: Connected, facts: VmFacts) -> str:
    if held.warm_problem is not None:
        return f"power cannot be switched now: {held.warm_problem.problem}"
    lacking = (held.lacking or {}).get(POWER_OFF_PRIVILEGE, ())
    if facts.name in lacking:
        return f"the user lacks {POWER_OFF_PRIVILEGE} on VM {facts.name}"
    return ""


def _with_moments(want: Wanted, picture: Observed, memory: Memory, now_ms: int) -> Observed:
    """Note since when nodes have been ready, holding, and known in their boots."""
    members: list[MemberSeen] = []
    for member in picture.members:
        if member.boot:
            memory.boot_known_at(member.name, member.boot, now_ms)
        for suspect in member.suspects:
            memory.boot_known_at(suspect.node, suspect.boot, now_ms)
        is_ready = member.kind is MemberKind.DATA and not_ready(want, member) is None
        if not is_ready:
            memory.ready_since_ms.pop(member.name, None)
        holding = (member.name, member.term)
        if member.role is not Role.HOLDING:
            memory.holding_since_ms.pop(holding, None)
        members.append(
            replace(
                member,
                ready_since_ms=memory.ready_since_ms.setdefault(member.name, now_ms)
                if is_ready
                else None,
                holding_since_ms=memory.holding_since_ms.setdefault(holding, now_ms)
                if member.role is Role.HOLDING
                else None,
            )
        )
    if picture.holder is not None:
        memory.boot_known_at(picture.holder.node, picture.holder.boot, now_ms)
    return replace(picture, members=tuple(members))


def off_seen(facts: VmFacts, now_ms: int) -> OffSeen:
    """How the feed came to see a VM off."""
    return OffSeen(
        ordered=False,
        asked_at_ms=now_ms,
        off_since_ms=facts.power_since_ms,
        on_from_ms=facts.on_from_ms,
    )


def suspected(picture: Observed) -> frozenset[BootOf]:
    """Boots that hold the lease or held it and are not proven stopped."""
    found = {suspect for member in picture.members for suspect in member.suspects}
    if picture.holder is not None:
        found.add(picture.holder)
    return frozenset(found)


def _over(sources: Sources, picture: Observed, memory: Memory, now_ms: int) -> frozenset[BootOf]:
    uuids = {node.name: node.vm.instance_uuid for node in sources.cluster.spec.nodes}
    found: set[BootOf] = set()
    for boot in suspected(picture):
        held = sources.infrastructures.get(boot.node)
        if held is None or boot.node not in uuids:
            continue
        facts = held.inventory.vm(uuids[boot.node], now_ms, FACTS_AGE_MS_MAX)
        known_at_ms = memory.boot_known_at(boot.node, boot.boot, now_ms)
        if facts.reads_off and boot_is_over(known_at_ms, off_seen(facts, now_ms)):
            found.add(boot)
    return frozenset(found)


def _told(sources: Sources, memory: Memory) -> frozenset[BootOf]:
    """Boots whose end every other member that is heard now was told."""
    return frozenset(
        BootOf(node, boot)
        for (node, boot), told in memory.told.items()
        if listeners(sources.lines, node) <= told
    )


def listeners(lines: Mapping[str, Line], but: str) -> set[tuple[str, str]]:
    """Name and run of every member that is heard now, except one."""
    return {
        (name, line.now.run)
        for name, line in lines.items()
        if line.now is not None and name != but
    }


def _lacks(resource: ResourceStatus, names: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    copy = resource.replication
    if copy is None:
        return ()
    return tuple((names.get(uid, uid), lacking) for uid, lacking in sorted(copy.lacks.items()))
