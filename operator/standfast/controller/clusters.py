"""One pass over one `HACluster`: observe, plan, execute, report. From scratch, every time.

A pass awaits nothing but its own Secret (once) and the API server's answer to a status that
changed; members and infrastructure are dealt with by errands, whose end brings the key back.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from standfast.adapters.kube.recorder import Happening
from standfast.api.cluster import HACluster
from standfast.api.rolling import RollingPhase, RollingStatus
from standfast.controller import observation, records, rolling
from standfast.controller.disks import DiskMover
from standfast.controller.execution import Field
from standfast.controller.gathering import Gatherer, Scenery
from standfast.controller.infrastructures import FACTS_AGE_MS_MAX, SILENT, Connected
from standfast.controller.logs import logger
from standfast.controller.memory import Memory
from standfast.controller.moving import Mover
from standfast.controller.observation import Sources
from standfast.controller.parts import Parts
from standfast.controller.reporting import Findings, claims, status_of
from standfast.controller.resources import report_orphans, report_resources, report_unread
from standfast.controller.sites import Provision, Site
from standfast.controller.statuses import Judged
from standfast.controller.store import Key, read_held
from standfast.core.explain import Claim
from standfast.core.placement import FAILBACK_SETTLED_MS, GRACE_MS, Decision, plan
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.core.view import Observed, Wanted
from standfast.errors import UserError

REST_MS = 120_000
"""A pass this often although nothing happened."""
SOON_MS = 1_000
"""And this often while something is waited for that sends no word."""

FIRST_WORDS_MS = 10_000
"""How long an operator that has just begun leaves a status as it stands, while it asks around."""
FIRST_WORDS_MS_MAX = 60_000
"""The same when its members wait for their turn to be asked: silence is our own until then."""

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
        self._gatherer = Gatherer(parts)
        self._mover = Mover(parts)
        self._disks = DiskMover(parts.errands, parts.executor, parts.caller)
        self._memories: dict[Key, tuple[str, Memory]] = {}

    async def look(self, key: Key) -> int | None:
        """Make one pass; returns when to make the next at the latest."""
        held = self._parts.store.held(key)
        if held is None:
            await self._gone(key)
            await report_orphans(self._parts, key)
            return None
        before, _ = self._memories.get(key, ("", None))
        if before and before != held.uid:
            await self._gone(key)  # deleted and made anew between two looks: another has its name
        judged = Judged(key, held)
        cluster = read_held(HACluster, held)
        if isinstance(cluster, UserError):
            await self._parts.statuses.refuse(judged, cluster)
            return None
        if cluster.metadata.deletion_timestamp is not None:
            return None
        scenery = await self._gatherer.gather(key, cluster, self._memory(key, cluster))
        return await self._pass(judged, scenery)

    def is_judged(self, key: Key) -> bool:
        """Whether this process has made a status of it, or has nothing to make one of."""
        _, memory = self._memories.get(key, ("", None))
        return memory is None or memory.is_shown

    async def _pass(self, judged: Judged, scenery: Scenery) -> int:
        memory, key = scenery.memory, scenery.key
        now_ms = self._parts.clock.now_ms()
        provision = self._provide(scenery)
        moving = self._mover.moving(scenery)
        sources = Sources(
            cluster=scenery.cluster,
            register=scenery.register,
            lines=scenery.lines,
            infrastructures=scenery.infrastructures,
            critical=_critical(scenery),
            moving=moving,
            chosen=self._mover.chosen(scenery),
            fence_error=self._fence_error(key),
        )
        window = scenery.cluster.spec.placement.window
        is_closed = window is not None and not window.to_core().is_open(datetime.now(UTC))
        want = observation.wanted(scenery.cluster)
        want = replace(
            want,
            timing=scenery.timing,
            failback=want.failback and not _is_rolling(scenery.cluster),
            failback_closed=is_closed,
        )
        seen = observation.observe(sources, memory, now_ms)
        self._doubt(scenery, seen)
        decision = plan(want, seen)
        left_ms = asking_for_ms(scenery, now_ms)
        await self._execute(
            judged,
            scenery,
            decision,
            is_settling=provision.converging is not None,
            is_asking=left_ms > 0,
        )
        field = self._field(judged, scenery)
        self._disks.step(field, scenery.resources, scenery.register.declared)
        is_moving = await self._mover.step(scenery, field, want, seen)
        if left_ms > 0:
            return left_ms
        view = View(want, seen, decision)
        turn = self._roll(judged, scenery, view, provision)
        await self._report(judged, scenery, view, provision, turn)
        if turn != scenery.cluster.status.rolling:
            self._parts.queue.add(scenery.key)
        memory.decided, memory.seen, memory.is_shown = decision, seen, True
        is_soon = is_moving or (turn is not None and turn.phase in rolling.SOON)
        return again_ms(want, seen, decision, is_moving=is_soon)

    # ---------------------------------------------------------------- observe

    def _memory(self, key: Key, cluster: HACluster) -> Memory:
        uid, memory = self._memories.get(key, ("", Memory()))
        if uid != cluster.metadata.uid:
            memory = Memory()
            memory.fences = {
                node.name: node.fence for node in cluster.status.nodes if node.fence is not None
            }
            self._memories[key] = (cluster.metadata.uid, memory)
        return memory

    def _doubt(self, scenery: Scenery, seen: Observed) -> None:
        """A member that we hear and nobody else does may have stalled with its connection open."""
        heard = [member for member in seen.members if member.heard]
        uid = scenery.cluster.metadata.uid
        for member in heard:
            entry = scenery.register.members.get(member.name)
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
            declared=scenery.declared,
            leaving=scenery.leaving,
            off=self._off(scenery),
            office=office,
            places=scenery.places,
            lines=scenery.lines,
            group=scenery.group,
            memory=scenery.memory,
        )
        self._read_logs(scenery)
        return self._parts.provider.provide(site)

    def _off(self, scenery: Scenery) -> frozenset[str]:
        """Nodes whose VM is off by fresh facts, and was seen so after their boot was known."""
        now_ms = self._parts.clock.now_ms()
        return frozenset(
            node.name
            for node in scenery.cluster.spec.nodes
            if (held := scenery.infrastructures.get(node.name)) is not None
            and held.inventory.vm(node.vm.instance_uuid, now_ms, FACTS_AGE_MS_MAX).reads_off
        )

    def _read_logs(self, scenery: Scenery) -> None:
        for name, line in scenery.lines.items():
            status = line.now
            if status is None or status.kind != "data":
                continue
            story = scenery.memory.story
            if line.log is not None:
                story.begin(name, line.log)
                line.log = None
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
        self,
        judged: Judged,
        scenery: Scenery,
        decision: Decision,
        *,
        is_settling: bool,
        is_asking: bool,
    ) -> None:
        field = self._field(judged, scenery)
        started = self._parts.executor.execute(field, decision.actions)
        before = scenery.memory.decided
        is_new = not is_asking and (
            before is None
            or (before.reason, before.message) != (decision.reason, decision.message)
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
            uids={name: entry.uid for name, entry in scenery.register.members.items()},
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

    # ---------------------------------------------------------------- report

    def _roll(
        self, judged: Judged, scenery: Scenery, view: View, provision: Provision
    ) -> RollingStatus | None:
        """The next step of the declared round; it is acted on once it is written."""
        before = scenery.cluster.status.rolling
        scene = rolling.Scene(
            want=view.want,
            seen=view.seen,
            names=tuple(node.name for node in scenery.declared.spec.nodes),
            versions={
                name: line.now.agent_version
                for name, line in scenery.lines.items()
                if line.now is not None
            },
            blocked=scenery.stalled or provision.stalled or provision.converging,
            now=datetime.now(UTC),
        )
        after = rolling.step(scenery.declared.spec.rolling, before, scene)
        if after is None or (before is not None and before.phase is after.phase):
            return after
        said = f"round {after.name}: {after.message}"
        logger(cluster=f"{scenery.key.namespace}/{scenery.key.name}").info(
            "Rolling", phase=after.phase, reason=after.reason, why=said
        )
        is_bad = after.phase is RollingPhase.STOPPED
        self._parts.recorder.record(
            Happening(judged.regarding, after.reason, said, warning=is_bad, action="Roll")
        )
        return after

    async def _report(
        self,
        judged: Judged,
        scenery: Scenery,
        view: View,
        provision: Provision,
        turn: RollingStatus | None,
    ) -> None:
        want, seen, decision = view.want, view.seen, view.decision
        self._forget_fences(scenery, seen)
        names = {entry.uid: name for name, entry in scenery.register.members.items()}
        takeovers = {
            line.status.last_takeover.term: line.status.last_takeover
            for line in scenery.lines.values()
            if line.status is not None and line.status.last_takeover is not None
        }
        story = scenery.memory.story
        unread = {
            name
            for name, line in scenery.lines.items()
            if line.now is not None and story.wants(name, line.now.log_seq)
        }
        told = story.settled(story.moves(names, takeovers), unread)
        findings = Findings(
            cluster=scenery.cluster,
            want=want,
            seen=seen,
            decision=decision,
            register=scenery.register,
            lines=scenery.lines,
            timing=want.timing,
            fences=scenery.memory.fences,
            resources=len(scenery.resources) + len(_kept(scenery)),
            kept=_kept(scenery),
            stalled=scenery.stalled or provision.stalled or _unknown_vm(seen),
            converging=provision.converging,
            rolling=turn,
            last=records.last_failover(scenery.cluster, told, self._parts.store),
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
        await report_unread(self._parts, judged.key)
        for move in self._parts.records.missing(scenery.cluster, story, told):
            await self._parts.records.write(
                scenery.cluster,
                story,
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


def asking_for_ms(scenery: Scenery, now_ms: int) -> int:
    """For how long what is shown stays, because not everybody was heard once; 0: no longer.

    Silence at the beginning is our own. Whatever can be acted on is acted on meanwhile. Each
    member has as long from when it was asked, and of many not all are asked at once.
    """
    memory = scenery.memory
    begun_ms = memory.begun_at(now_ms)
    if memory.is_shown or not scenery.declared.status.conditions:
        return 0
    asked = [line.asked_at_ms for line in scenery.lines.values() if line.is_new]
    until_ms = [(at_ms or now_ms) + FIRST_WORDS_MS for at_ms in asked]
    if any(
        _is_awaited(held, node.vm.instance_uuid, now_ms)
        for node in scenery.cluster.spec.nodes
        if (held := scenery.infrastructures.get(node.name)) is not None
    ):
        until_ms.append(begun_ms + FIRST_WORDS_MS)
    last_ms = min(max(until_ms, default=0), begun_ms + FIRST_WORDS_MS_MAX)
    return max(last_ms - now_ms, 0)


def _is_awaited(held: Connected, uuid: str, now_ms: int) -> bool:
    """Whether the infrastructure has neither told of a VM nor why it cannot."""
    trouble, inventory = held.trouble(now_ms), held.inventory
    if trouble is None:
        return uuid not in inventory.vms and uuid not in inventory.missing
    return trouble is SILENT


def _is_rolling(cluster: HACluster) -> bool:
    """A round moves service once: it does not go back by itself before the end."""
    spec, status = cluster.spec.rolling, cluster.status.rolling
    is_this = spec is not None and status is not None and spec.name == status.name
    return is_this and status is not None and status.is_under_way


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _critical(scenery: Scenery) -> frozenset[str]:
    declared = {r.metadata.name for r in scenery.resources if r.spec.critical}
    if scenery.group is None:
        return frozenset(declared)
    return frozenset(spec.name for spec in scenery.group.resources if spec.critical)


def _kept(scenery: Scenery) -> tuple[str, ...]:
    return scenery.group.kept if scenery.group is not None else ()


def _unknown_vm(seen: Observed) -> Claim | None:
    """A VM that the infrastructure does not know is a mistake in the spec, not an outage."""
    for member in seen.members:
        if member.vm.unknown:
            return Claim(True, Reason.VM_UNKNOWN, f"{member.name}: {member.vm.problem}")
    return None


def again_ms(want: Wanted, seen: Observed, decision: Decision, *, is_moving: bool) -> int:
    """When to look again although nobody has news, at the latest."""
    if is_moving or decision.actions or decision.reason is Reason.PROOF_MISSING:
        return SOON_MS
    if any(member.suspects for member in seen.members) or seen.over - seen.told:
        return GRACE_MS
    # A node becomes good enough to return to by nothing but time.
    ready = [m.ready_since_ms for m in seen.members if m.ready_since_ms is not None]
    waits = (since_ms + FAILBACK_SETTLED_MS - seen.now_ms for since_ms in ready)
    return min((ms for ms in waits if want.failback and ms > 0), default=REST_MS)
