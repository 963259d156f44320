"""Everything one pass over a cluster looks at, brought together once.

Opens the cluster's authority, finds its witnesses, resources and infrastructures, connects the
lines to its members. What is missing or does not hold together becomes one claim for the status;
the rest is gathered all the same, so that nothing stops because of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from standfast.adapters.kube.paths import Owner
from standfast.api.base import API_VERSION
from standfast.api.cluster import HACluster
from standfast.api.infrastructure import Infrastructure
from standfast.api.resource import HAResource
from standfast.api.witness import Witness
from standfast.controller import joining
from standfast.controller.authorities import Office, Register
from standfast.controller.calling import with_port
from standfast.controller.groups import Group, declared_group, in_service
from standfast.controller.infrastructures import Connected
from standfast.controller.listening import Line
from standfast.controller.members import in_force
from standfast.controller.memory import Memory
from standfast.controller.parts import Parts
from standfast.controller.provision import doors
from standfast.controller.seats import effective
from standfast.controller.sites import Place
from standfast.controller.store import Key
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.core.record import MemberKind
from standfast.core.timing import Timing
from standfast.errors import UserError

FIRST_WORDS_TOGETHER_MS = 250
"""An operator that has just begun hears all members of a cluster within a moment: one pass for
all, not one for each."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """Everything that one pass looks at, gathered once.

    Attributes:
        cluster: With members that are leaving, and those in maintenance.
        declared: As it is declared.
        leaving: Who is declared no more, or is being replaced.
        office: None when the authority cannot be opened.
        stalled: What already forbids acting on all of the spec.
    """

    key: Key
    cluster: HACluster
    declared: HACluster
    leaving: frozenset[str]
    memory: Memory
    office: Office | None
    places: tuple[Place, ...]
    lines: Mapping[str, Line]
    infrastructures: Mapping[str, Connected]
    resources: tuple[HAResource, ...]
    group: Group | None
    stalled: Claim | None

    @property
    def register(self) -> Register:
        """What the authority remembers; nothing when it cannot be opened."""
        return self.office.register if self.office is not None else Register()

    @property
    def timing(self) -> Timing:
        """The timers that the members agreed on; the declared ones before."""
        found = in_force(self.lines)
        if found is not None:
            return found[0].timing
        signed = joining.signed_config(self.office) if self.office is not None else None
        return signed.timing if signed is not None else self.cluster.spec.timing.to_core()


class Gatherer:
    """Gathers.

    Args:
        parts: Where everything is.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def gather(self, key: Key, cluster: HACluster, memory: Memory) -> Scenery:
        """Look around; never raises for what it finds."""
        stalled: Claim | None = None
        office: Office | None = None
        try:
            office = await self._office(cluster)
        except UserError as error:
            stalled = Claim(True, Reason.AUTHORITY_DAMAGED, error.problem, error.remedy)
        declared = cluster
        register = office.register if office is not None else Register()
        cluster, leaving = effective(declared, register)
        infrastructures = self._infrastructures(key, cluster)
        places, missing = self._places(cluster, office, leaving)
        resources = self._resources(cluster)
        lines = self._listen(key, cluster, office, places)
        group: Group | None = None
        half = self._half_read(cluster)
        stalled = stalled or half
        try:
            nodes = [lines.get(node.name) for node in cluster.spec.nodes]
            said = [line.now if line is not None else None for line in nodes]
            before = in_service(register.declared, said)
            # To agents what is left out was deleted: what they were last told stays in force.
            group = declared_group(cluster, resources, before) if half is None else None
        except UserError as error:
            stalled = stalled or Claim(True, Reason.DEPENDENCY_CYCLE, error.problem, error.remedy)
        problems = cluster.spec.timing.to_core().problems()
        if problems:
            stalled = Claim(True, Reason.TIMING_REFUSED, problems[0])
        stalled = stalled or missing or self._missing_infrastructure(cluster)
        return Scenery(
            key=key,
            cluster=cluster,
            declared=declared,
            leaving=leaving,
            memory=memory,
            office=office,
            places=places,
            lines=lines,
            infrastructures=infrastructures,
            resources=resources,
            group=group,
            stalled=stalled,
        )

    async def _office(self, cluster: HACluster) -> Office:
        namespace, name = cluster.key
        owner = Owner(API_VERSION, cluster.kind, name, cluster.metadata.uid)
        status = cluster.status
        members = (*status.nodes, *status.witnesses)
        is_used = bool(status.config_id) or any(member.member_uid for member in members)
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
        self, cluster: HACluster, office: Office | None, leaving: frozenset[str]
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
            if self._parts.store.held(found.key) is None and ref.name not in leaving:
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
            for resource in self._parts.store.of_cluster(HAResource, namespace, name)
            if resource.metadata.deletion_timestamp is None
        )

    def _half_read(self, cluster: HACluster) -> Claim | None:
        """A resource that does not read, as when the CRDs are of a newer version than we."""
        for _, error in self._parts.store.unread_of_cluster(HAResource, *cluster.key):
            return Claim(True, Reason.SPEC_REFUSED, error.problem, error.remedy)
        return None

    def _listen(
        self, key: Key, cluster: HACluster, office: Office | None, places: tuple[Place, ...]
    ) -> dict[str, Line]:
        if office is None:
            return {}
        uid = cluster.metadata.uid
        known = doors(office, places)
        queue = self._parts.queue
        self._parts.switchboard.connect(
            uid,
            dict(known.values()),
            partial(queue.add, key),
            partial(queue.after, key, FIRST_WORDS_TOGETHER_MS),
        )
        lines = {
            name: self._parts.switchboard.line(uid, member) for name, (member, _) in known.items()
        }
        return {name: line for name, line in lines.items() if line is not None}
