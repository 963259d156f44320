"""One pass over one `HACluster`: observe, plan, execute, report. From scratch, every time.

A pass awaits nothing but its own Secret (once) and the API server's answer to a status that
changed; members and infrastructure are dealt with by errands, whose end brings the key back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPMethod

from standfast.adapters.kube.paths import Owner
from standfast.adapters.kube.recorder import Happening
from standfast.api.base import API_VERSION
from standfast.api.cluster import HACluster
from standfast.api.conditions import ConditionType
from standfast.api.infrastructure import Infrastructure
from standfast.api.resource import HAResource
from standfast.api.switchover import Switchover
from standfast.api.witness import Witness
from standfast.controller import joining, observation, records, switchovers
from standfast.controller.authorities import Office, Register
from standfast.controller.calling import with_port
from standfast.controller.execution import Field, name_of
from standfast.controller.groups import Group, declared_group
from standfast.controller.infrastructures import Connected
from standfast.controller.listening import Line
from standfast.controller.logs import logger
from standfast.controller.memory import Memory
from standfast.controller.observation import Sources
from standfast.controller.parts import Parts
from standfast.controller.provision import Place, Provision, Site, doors
from standfast.controller.reporting import Findings, claims, status_of
from standfast.controller.resources import report_resources
from standfast.controller.statuses import Judged
from standfast.controller.store import Key, read_held
from standfast.controller.switchovers import Scene
from standfast.core.explain import Claim
from standfast.core.placement import GRACE_MS, Decision, HandOver, plan
from standfast.core.reasons import Reason
from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Timing
from standfast.core.view import Observed, Wanted
from standfast.errors import UserError
from standfast.wire.api import RELEASE_PATH, Accepted, StandRequest

REST_MS = 120_000
"""A pass this often although nothing happened."""
SOON_MS = 1_000
"""And this often while something is waited for that sends no word."""

_QUIET = {Reason.STEADY, Reason.PAUSED, Reason.WAITING_FOR_NODES, Reason.CONFIGURING}
_WORRYING = {
    Reason.FENCE_FAILED,
    Reason.PROOF_MISSING,
    Reason.NO_MAJORITY,
    Reason.NO_ACTIVE_NODE,
    Reason.NOBODY_HEARD,
    Reason.HANDOVER_WAITS,
}


@dataclass(frozen=True, slots=True)
class Scenery:
    """Everything that one pass looks at, gathered once.

    Attributes:
        office: None when the authority cannot be opened.
        stalled: What already forbids acting on all of the spec.
    """

    key: Key
    cluster: HACluster
    memory: Memory
    office: Office | None
    places: tuple[Place, ...]
    lines: Mapping[str, Line]
    infrastructures: Mapping[str, Connected]
    resources: tuple[HAResource, ...]
    group: Group | None
    stalled: Claim | None


@dataclass(frozen=True, slots=True)
class View:
    """What one pass saw and decided."""

    want: Wanted
    seen: Observed
    decision: Decision


class Clusters:
    """Passes over clusters.

    Args:
        parts: What they work with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._memories: dict[Key, tuple[str, Memory]] = {}

    async def look(self, key: Key) -> int | None:
        """Make one pass; returns when to make the next at the latest."""
        held = self._parts.store.held(key)
        if held is None:
            await self._gone(key)
            return None
        judged = Judged(key, held)
        cluster = read_held(HACluster, held)
        if isinstance(cluster, UserError):
            await self._refuse(judged, cluster)
            return None
        if cluster.metadata.deletion_timestamp is not None:
            return None
        scenery = await self._gather(key, cluster)
        return await self._pass(judged, scenery)

    async def _pass(self, judged: Judged, scenery: Scenery) -> int:
        memory, key = scenery.memory, scenery.key
        now_ms = self._parts.clock.now_ms()
        provision = self._provide(scenery)
        moving = self._moving(scenery)
        sources = Sources(
            cluster=scenery.cluster,
            register=_register(scenery),
            lines=scenery.lines,
            infrastructures=scenery.infrastructures,
            critical=frozenset(r.metadata.name for r in scenery.resources if r.spec.critical),
            moving=moving,
            fence_error=self._fence_error(key),
        )
        want = replace(observation.wanted(scenery.cluster), timing=_in_force(scenery))
        seen = observation.observe(sources, memory, now_ms)
        self._doubt(scenery, seen)
        decision = plan(want, seen)
        await self._execute(
            judged, scenery, decision, is_settling=provision.converging is not None
        )
        is_moving = await self._switch_over(scenery, want, seen)
        await self._report(judged, scenery, View(want, seen, decision), provision)
        memory.decided, memory.seen = decision, seen
        return _again_ms(seen, decision, is_moving=is_moving)

    # ---------------------------------------------------------------- observe

    async def _gather(self, key: Key, cluster: HACluster) -> Scenery:
        memory = self._memory(key, cluster)
        stalled: Claim | None = None
        office: Office | None = None
        try:
            office = await self._office(cluster)
        except UserError as error:
            stalled = Claim(True, Reason.AUTHORITY_DAMAGED, error.problem, error.remedy)
        infrastructures = self._infrastructures(key, cluster)
        places, missing = self._places(cluster, office)
        resources = self._resources(cluster)
        group: Group | None = None
        try:
            group = declared_group(cluster, resources)
        except UserError as error:
            stalled = stalled or Claim(True, Reason.DEPENDENCY_CYCLE, error.problem, error.remedy)
        problems = cluster.spec.timing.to_core().problems()
        if problems:
            stalled = Claim(True, Reason.TIMING_REFUSED, problems[0])
        stalled = stalled or missing or self._missing_infrastructure(cluster)
        return Scenery(
            key=key,
            cluster=cluster,
            memory=memory,
            office=office,
            places=places,
            lines=self._listen(key, cluster, office, places),
            infrastructures=infrastructures,
            resources=resources,
            group=group,
            stalled=stalled,
        )

    def _memory(self, key: Key, cluster: HACluster) -> Memory:
        uid, memory = self._memories.get(key, ("", Memory()))
        if uid != cluster.metadata.uid:
            memory = Memory()
            memory.fences = {
                node.name: node.fence for node in cluster.status.nodes if node.fence is not None
            }
            self._memories[key] = (cluster.metadata.uid, memory)
        return memory

    async def _office(self, cluster: HACluster) -> Office:
        namespace, name = cluster.key
        owner = Owner(API_VERSION, cluster.kind, name, cluster.metadata.uid)
        members = (*cluster.status.nodes, *cluster.status.witnesses)
        is_used = any(member.member_uid for member in members)
        return await self._parts.authorities.open(owner, namespace, f"{name}-ca", is_used=is_used)

    def _infrastructures(self, key: Key, cluster: HACluster) -> dict[str, Connected]:
        """By node; and every infrastructure learns which VMs it is asked about."""
        uuids: dict[Key, set[str]] = {}
        found: dict[str, Connected] = {}
        for node in cluster.spec.nodes:
            ref = node.infrastructure_ref or cluster.spec.infrastructure_ref
            assert ref is not None, "a rule of the kind"
            of = Key("Infrastructure", key.namespace, ref.name)
            uuids.setdefault(of, set()).add(node.vm.instance_uuid)
            found[node.name] = self._parts.infrastructures.of(of)
        for of, named in uuids.items():
            self._parts.infrastructures.use(of, key, frozenset(named))
        self._parts.infrastructures.unused_by(key, frozenset(uuids))
        return found

    def _missing_infrastructure(self, cluster: HACluster) -> Claim | None:
        namespace, _ = cluster.key
        refs = [
            node.infrastructure_ref or cluster.spec.infrastructure_ref
            for node in cluster.spec.nodes
        ]
        for ref in refs:
            if (
                ref is not None
                and self._parts.store.held(Key(Infrastructure.__name__, namespace, ref.name))
                is None
            ):
                return Claim(
                    True,
                    Reason.REFERENCE_MISSING,
                    f"Infrastructure {namespace}/{ref.name} does not exist, so the VMs can "
                    "neither be seen nor switched off",
                    "create it, or correct infrastructureRef",
                )
        return None

    def _places(
        self, cluster: HACluster, office: Office | None
    ) -> tuple[tuple[Place, ...], Claim | None]:
        namespace, _ = cluster.key
        places: list[Place] = []
        missing: Claim | None = None
        for node in cluster.spec.nodes:
            addresses = tuple(map(with_port, node.addresses))
            first = (
                joining.bootstrap_door(office, node.name, addresses)
                if office is not None
                else None
            )
            places.append(Place(node.name, MemberKind.DATA, addresses, first))
        for ref in cluster.spec.witnesses:
            found = self._parts.witnesses.of(Key(Witness.__name__, namespace, ref.name))
            if self._parts.store.held(found.key) is None:
                missing = Claim(
                    True,
                    Reason.REFERENCE_MISSING,
                    f"Witness {namespace}/{ref.name} does not exist",
                    "create it, or remove it from spec.witnesses",
                )
            places.append(
                Place(ref.name, MemberKind.WITNESS, found.addresses, found.door(), found.problem)
            )
        return tuple(places), missing

    def _resources(self, cluster: HACluster) -> tuple[HAResource, ...]:
        namespace, name = cluster.key
        return tuple(
            resource
            for resource in self._parts.store.all(HAResource, namespace)
            if resource.spec.cluster_ref.name == name
            and resource.metadata.deletion_timestamp is None
        )

    def _listen(
        self, key: Key, cluster: HACluster, office: Office | None, places: tuple[Place, ...]
    ) -> dict[str, Line]:
        if office is None:
            return {}
        uid = cluster.metadata.uid
        known = doors(office, places)
        self._parts.switchboard.connect(
            uid, dict(known.values()), partial(self._parts.queue.add, key)
        )
        lines = {
            name: self._parts.switchboard.line(uid, member) for name, (member, _) in known.items()
        }
        return {name: line for name, line in lines.items() if line is not None}

    def _doubt(self, scenery: Scenery, seen: Observed) -> None:
        """A member that we hear and nobody else does may have stalled with its connection open."""
        heard = [member for member in seen.members if member.heard]
        uid = scenery.cluster.metadata.uid
        for member in heard:
            entry = _register(scenery).members.get(member.name)
            if entry is not None and not member.heard_by and len(heard) > 1:
                self._parts.switchboard.doubt(uid, entry.uid)

    # ---------------------------------------------------------------- execute

    def _provide(self, scenery: Scenery) -> Provision:
        office = scenery.office
        must_not = scenery.stalled is not None and scenery.stalled.reason in {
            Reason.TIMING_REFUSED,
            Reason.REFERENCE_MISSING,
        }
        if office is None or scenery.cluster.spec.paused:
            return Provision()
        if must_not and office.register.config is None:
            return Provision()
        site = Site(
            key=scenery.key,
            cluster=scenery.cluster,
            office=office,
            places=scenery.places,
            lines=scenery.lines,
            group=scenery.group,
            memory=scenery.memory,
        )
        self._read_logs(scenery)
        return self._parts.provider.provide(site)

    def _read_logs(self, scenery: Scenery) -> None:
        for name, line in scenery.lines.items():
            status = line.now
            if status is None or status.kind != "data":
                continue
            story = scenery.memory.story
            if story.wants(name, status.log_seq):
                act = partial(
                    records.read_log,
                    self._parts.caller,
                    line.door,
                    story,
                    name,
                    status.log_seq,
                )
                self._parts.errands.want(scenery.key, ("log", name), act)

    async def _execute(
        self, judged: Judged, scenery: Scenery, decision: Decision, *, is_settling: bool
    ) -> None:
        field = self._field(judged, scenery)
        started = self._parts.executor.execute(field, decision.actions)
        before = scenery.memory.decided
        is_new = before is None or (before.reason, before.message) != (
            decision.reason,
            decision.message,
        )
        if not is_new and not started:
            return
        log = logger(
            cluster=f"{scenery.key.namespace}/{scenery.key.name}",
            reason=decision.reason.value,
            actions=[type(action).__name__ for action in started],
        )
        log.info("Decided", why=decision.message)
        if is_new and decision.reason not in _QUIET and not is_settling:
            self._parts.recorder.record(
                Happening(
                    judged.regarding,
                    decision.reason.value,
                    decision.message,
                    warning=decision.reason in _WORRYING,
                    action="Decide",
                )
            )

    def _field(self, judged: Judged, scenery: Scenery) -> Field:
        return Field(
            key=scenery.key,
            lines=scenery.lines,
            uids={name: entry.uid for name, entry in _register(scenery).members.items()},
            vms={node.name: node.vm.instance_uuid for node in scenery.cluster.spec.nodes},
            infrastructures=scenery.infrastructures,
            memory=scenery.memory,
            persist=partial(self._persist, judged.key),
        )

    async def _persist(self, key: Key) -> None:
        """Write what the memory holds of ordered power-offs into the status, now."""
        async with self._parts.statuses.lock(key):
            held = self._parts.store.held(key)
            cluster = read_held(HACluster, held) if held is not None else None
            if held is None or not isinstance(cluster, HACluster):
                return
            memory = self._memory(key, cluster)
            nodes = tuple(
                node.model_copy(update={"fence": memory.fences.get(node.name)})
                for node in cluster.status.nodes
            )
            status = cluster.status.model_copy(update={"nodes": nodes})
            await self._parts.statuses.write(Judged(key, held), status)

    def _fence_error(self, key: Key) -> str:
        errors = self._parts.errands.errors(key, "fence")
        return next((error.problem for error in errors.values()), "")

    # ---------------------------------------------------------------- switchovers

    def _switchovers(self, scenery: Scenery) -> list[Switchover]:
        namespace, name = scenery.cluster.key
        found = [
            each
            for each in self._parts.store.all(Switchover, namespace)
            if each.spec.cluster_ref.name == name and each.metadata.deletion_timestamp is None
        ]
        found.sort(key=lambda each: (each.metadata.creation_timestamp or _EPOCH, each.key))
        return found

    def _moving(self, scenery: Scenery) -> str:
        under_way = [s for s in self._switchovers(scenery) if switchovers.is_under_way(s)]
        memory = scenery.memory
        for request, node in list(memory.requested.items()):
            if request not in {each.metadata.uid for each in under_way}:
                self._call_off(scenery, request, node)
        return f"Switchover {under_way[0].metadata.name} is under way" if under_way else ""

    def _call_off(self, scenery: Scenery, request: str, node: str) -> None:
        """A Switchover vanished or ended: what was asked of the node for it is void."""
        del scenery.memory.requested[request]
        line = scenery.lines.get(node)
        if line is None or line.now is None or not line.now.releasing:
            return
        body = StandRequest(request_id=request)

        async def act() -> None:
            await self._parts.caller.send(
                line.door, HTTPMethod.DELETE, RELEASE_PATH, body, Accepted
            )

        self._parts.errands.want(scenery.key, ("call-off", request), act)

    async def _switch_over(self, scenery: Scenery, want: Wanted, seen: Observed) -> bool:
        """One step of every move that is not final; whether there is any."""
        is_any = False
        for switchover in self._switchovers(scenery):
            phase = switchover.status.phase
            if phase is None or not phase.final:
                is_any = True
                await self._one_switchover(scenery, want, seen, switchover)
        return is_any

    async def _one_switchover(
        self, scenery: Scenery, want: Wanted, seen: Observed, switchover: Switchover
    ) -> None:
        namespace, name = switchover.key
        key = Key(Switchover.__name__, namespace, name)
        held = self._parts.store.held(key)
        if held is None:
            return
        others = [
            each
            for each in self._switchovers(scenery)
            if each.key != switchover.key and switchovers.is_under_way(each)
        ]
        busy = f"Switchover {others[0].metadata.name} is under way" if others else ""
        uid = switchover.metadata.uid
        old = switchover.status.from_ or ""
        refusal = self._parts.errands.error(scenery.key, ("hand-over", old, uid))
        scene = Scene(want, seen, busy, refusal, datetime.now(UTC))
        step = switchovers.step(switchover, scene)
        if step.action is not None:
            await self._ask(scenery, step.action)
        if await self._parts.statuses.write(Judged(key, held), step.status):
            logger(cluster=want.name, switchover=name).info(
                "Switchover", phase=step.status.phase, reason=step.status.reason
            )
            self._parts.queue.add(scenery.key)

    async def _ask(self, scenery: Scenery, action: HandOver) -> None:
        if action.node not in scenery.lines:
            return
        scenery.memory.requested[action.request] = action.node
        held = self._parts.store.held(scenery.key)
        assert held is not None, "this pass is about it"
        if scenery.memory.asked.get(action.request) == action.node:
            return

        async def act() -> None:
            field = self._field(Judged(scenery.key, held), scenery)
            await self._parts.executor.hand_over(
                field, action.node, action.successor, action.request, action.why
            )
            scenery.memory.asked[action.request] = action.node

        self._parts.errands.want(scenery.key, name_of(action), act, SOON_MS)

    # ---------------------------------------------------------------- report

    async def _report(
        self, judged: Judged, scenery: Scenery, view: View, provision: Provision
    ) -> None:
        want, seen, decision = view.want, view.seen, view.decision
        self._forget_fences(scenery, seen)
        names = {entry.uid: name for name, entry in _register(scenery).members.items()}
        takeovers = {
            line.status.last_takeover.term: line.status.last_takeover
            for line in scenery.lines.values()
            if line.status is not None and line.status.last_takeover is not None
        }
        story = scenery.memory.story.moves(names, takeovers)
        findings = Findings(
            cluster=scenery.cluster,
            want=want,
            seen=seen,
            decision=decision,
            register=_register(scenery),
            lines=scenery.lines,
            timing=want.timing,
            fences=scenery.memory.fences,
            resources=len(scenery.resources),
            stalled=scenery.stalled or provision.stalled or _unknown_vm(seen),
            converging=provision.converging,
            last=records.last_failover(scenery.cluster, story, self._parts.store),
        )
        async with self._parts.statuses.lock(judged.key):
            held = self._parts.store.held(judged.key)
            if held is None:
                return
            now = Judged(judged.key, held)
            conditions = now.claimed(claims(findings))
            await self._parts.statuses.write(now, status_of(findings, conditions))
        await report_resources(
            self._parts, scenery.cluster, scenery.resources, scenery.lines, seen
        )
        for move in self._parts.records.missing(scenery.cluster, scenery.memory.story, story):
            await self._parts.records.write(
                scenery.cluster,
                scenery.memory.story,
                move,
                DataMode(scenery.cluster.spec.data.value),
            )
            await self._parts.records.prune(scenery.cluster)

    def _forget_fences(self, scenery: Scenery, seen: Observed) -> None:
        """A fenced node that is heard in another boot is back: nothing to remember."""
        for member in seen.members:
            fence = scenery.memory.fences.get(member.name)
            if fence is not None and member.heard and member.boot != fence.boot_id:
                del scenery.memory.fences[member.name]

    async def _refuse(self, judged: Judged, error: UserError) -> None:
        """The spec does not read: say so, and change nothing else."""
        shown = dict(judged.held.document.get("status") or {})
        stalled = Claim(True, Reason.SPEC_REFUSED, error.problem, error.remedy)
        conditions = judged.claimed({ConditionType.STALLED: stalled})
        shown["observedGeneration"] = judged.generation
        shown["conditions"] = [each.to_object() for each in conditions]
        await self._parts.statuses.write_raw(judged, shown)

    async def _gone(self, key: Key) -> None:
        """It was deleted: leave the members as they are, and forget everything here."""
        uid, _ = self._memories.pop(key, ("", None))
        await self._parts.errands.drop(key)
        self._parts.infrastructures.unused_by(key)
        self._parts.queue.forget(key)
        self._parts.statuses.forget(key)
        if uid:
            self._parts.switchboard.disconnect(uid)
            self._parts.authorities.forget(uid)
            logger(cluster=f"{key.namespace}/{key.name}").info(
                "Unmanaged", why="the HACluster was deleted; agents go on by themselves"
            )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _register(scenery: Scenery) -> Register:
    return scenery.office.register if scenery.office is not None else Register()


def _in_force(scenery: Scenery) -> Timing:
    """The timers that the members agreed on; the declared ones before."""
    signed = joining.signed_config(scenery.office) if scenery.office is not None else None
    return signed.timing if signed is not None else scenery.cluster.spec.timing.to_core()


def _unknown_vm(seen: Observed) -> Claim | None:
    """A VM that the infrastructure does not know is a mistake in the spec, not an outage."""
    for member in seen.members:
        if "instance UUID" in member.vm.problem:
            return Claim(True, Reason.VM_UNKNOWN, f"{member.name}: {member.vm.problem}")
    return None


def _again_ms(seen: Observed, decision: Decision, *, is_moving: bool) -> int:
    if is_moving or decision.actions or decision.reason is Reason.PROOF_MISSING:
        return SOON_MS
    if any(member.suspects for member in seen.members) or seen.over - seen.told:
        return GRACE_MS
    return REST_MS
