"""What must be handed to the members of a cluster so that what is declared can take effect.

Pure but for starting errands: a pass over the register and over what members say, which wants an
errand wherever the two differ. In order: identities, the first configuration once all have one,
the resource group; certificates when two thirds of their life are over. Nothing is taken from a
member because something is missing here.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPMethod
from typing import Any

import msgspec

from standfast.adapters.kube.client import KubeClient
from standfast.api.cluster import loss_bytes_max
from standfast.controller import joining
from standfast.controller.authorities import Authorities, Office, Register
from standfast.controller.calling import Caller, Door
from standfast.controller.errands import Errands, Name
from standfast.controller.groups import Group, next_number
from standfast.controller.joining import member_door
from standfast.controller.members import Members, has_begun
from standfast.controller.sites import Place, Provision, Site
from standfast.controller.words import Words
from standfast.controller.workqueue import BACK_OFF_MS_MAX
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.core.record import Config, DataMode, MemberKind
from standfast.errors import RefusedError, StandfastError, UserError
from standfast.ports.clock import Clock
from standfast.wire.api import RESOURCES_PATH, Done, GroupRequest

BUNDLE_LOOK_MS = 600_000
"""The bundle of a node that has not joined is looked at this often: it may have expired."""
ENROL_RETRY_MS_MAX = 1_000
"""A node is met soon after its agent has started."""

Act = Callable[[], Coroutine[Any, Any, None]]


class Provider:
    """Provides for clusters.

    Args:
        client: For bundles.
        authorities: Writes the register.
        caller: Speaks to members.
        errands: Everything here is one.
        clock: For the age of bundles.
    """

    def __init__(
        self,
        client: KubeClient,
        authorities: Authorities,
        caller: Caller,
        errands: Errands,
        clock: Clock,
    ) -> None:
        self._client = client
        self._authorities = authorities
        self._caller = caller
        self._errands = errands
        self._clock = clock
        self._members = Members(authorities, caller, errands)
        self._words = Words(authorities, caller, errands)

    def provide(self, site: Site) -> Provision:
        """Start what is missing, and say what is."""
        signed = joining.signed_config(site.office)
        if signed is None:
            return self._identities(site) or self._sign(site)
        self._spend_bundles(site)
        self._renewals(site)
        newcomers = self._identities(site)
        refused = self._words.look(site)  # it holds up nothing else
        configuring = self._hand_config(site, signed)
        if configuring is not None:
            return refused or configuring
        changing = self._members.look(site)
        giving = self._resources(site)  # whatever else is under way
        return refused or changing or giving or newcomers or Provision()

    def _want(
        self, site: Site, name: Name, act: Act, retry_ms_max: int = BACK_OFF_MS_MAX
    ) -> StandfastError | None:
        """Want an errand; what it failed with the last time."""
        self._errands.want(site.key, name, act, retry_ms_max)
        return self._errands.error(site.key, name)

    # ---------------------------------------------------------------- identities

    def _identities(self, site: Site) -> Provision | None:
        register = site.office.register
        missing = [
            place
            for place in site.places
            if (entry := register.members.get(place.name)) is None or not entry.enrolled
        ]
        leaving = {departed.name for departed in register.departed.values()}
        for place in missing:
            if place.kind is MemberKind.DATA or place.name not in leaving:
                self._enrol(site, place)  # a witness forgets what it was before it joins again
        return self._waiting_for(site, missing) if missing else None

    def _spend_bundles(self, site: Site) -> None:
        members = site.office.register.members
        left = tuple(
            place.name
            for place in site.places
            if place.kind is MemberKind.DATA
            and (entry := members.get(place.name)) is not None
            and entry.enrolled
            and not entry.spent
        )
        if left:
            self._want(site, ("spend", *left), partial(self._spend, site, left))

    def _enrol(self, site: Site, place: Place) -> None:
        if place.kind is MemberKind.DATA:
            at_ms = site.memory.bundled_at_ms.get(place.name)
            if at_ms is None or self._clock.now_ms() - at_ms > BUNDLE_LOOK_MS:
                self._want(site, ("bundle", place.name), partial(self._bundle, site, place))
        if place.first is not None:
            act = partial(
                joining.enrol,
                self._caller,
                self._authorities,
                site.office,
                place.name,
                place.first,
            )
            self._want(site, ("enrol", place.name), act, ENROL_RETRY_MS_MAX)

    async def _bundle(self, site: Site, place: Place) -> None:
        await joining.provide_bundle(self._client, site.office, place.name, place.addresses)
        site.memory.bundled_at_ms[place.name] = self._clock.now_ms()

    async def _spend(self, site: Site, nodes: tuple[str, ...]) -> None:
        """Remove the bundles of nodes that have joined, and remember it: a restart asks nobody."""
        for node in nodes:
            await joining.spend_bundle(self._client, site.office, node)

        def change(register: Register) -> Register:
            members = {
                name: msgspec.structs.replace(entry, spent=True)
                if name in nodes and entry.enrolled
                else entry
                for name, entry in register.members.items()
            }
            return msgspec.structs.replace(register, members=members)

        await self._authorities.update(site.office, change)

    def _waiting_for(self, site: Site, missing: Sequence[Place]) -> Provision:
        problems: list[Claim] = [place.problem for place in missing if place.problem is not None]
        for place in missing:
            for what in ("enrol", "bundle"):
                error = self._errands.error(site.key, (what, place.name))
                if isinstance(error, UserError | RefusedError):
                    reason = Reason.MEMBER_REFUSES if what == "enrol" else Reason.NAME_CONFLICT
                    problems.append(Claim(True, reason, error.problem, error.remedy))
        names = ", ".join(place.name for place in missing)
        node = next((place.name for place in missing if place.kind is MemberKind.DATA), "")
        name = site.cluster.metadata.name
        waiting = Claim(
            True,
            Reason.WAITING_FOR_NODES,
            f"{names} of {len(site.places)} members have not joined yet",
            f"kubectl standfast enroll {name} {node}" if node else "",
        )
        stalled = Claim(True, *_parts(problems[0])) if problems else None
        return Provision(stalled=stalled, converging=waiting)

    # ---------------------------------------------------------------- the first configuration

    def _hand_config(self, site: Site, signed: Config) -> Provision | None:
        for name, line in site.lines.items():
            status = line.now
            if status is None:
                continue
            if status.role == "Unconfigured" and not status.halted and not has_begun(site.lines):
                act = partial(joining.hand_config, self._caller, site.office, line.door)
                error = self._want(site, ("config", name), act)
                said = f"{name} is being given its first configuration"
                if isinstance(error, UserError | RefusedError):
                    refused = Claim(True, Reason.MEMBER_REFUSES, error.problem, error.remedy)
                    return Provision(stalled=refused)
                return Provision(converging=Claim(True, Reason.CONFIGURING, said))
            is_first = status.config_id in {f"{signed.id.term}.{signed.id.seq}", str(signed.id)}
            if is_first and status.config_digest != signed.digest:
                return Provision(
                    stalled=Claim(
                        True,
                        Reason.CONFIG_CONFLICT,
                        f"{name} has another first configuration of this cluster "
                        f"({status.config_digest} instead of {signed.digest})",
                        f"stop the agent on {name}, remove /var/lib/standfast there, and enrol it "
                        "under another name",
                    )
                )
        return None

    def _sign(self, site: Site) -> Provision:
        config = self._wanted_config(site)
        problems = config.timing.problems()
        if problems:
            return Provision(stalled=Claim(True, Reason.TIMING_REFUSED, problems[0]))
        act = partial(joining.sign_config, self._authorities, site.office, config)
        self._want(site, ("sign",), act)
        return Provision(
            converging=Claim(True, Reason.CONFIGURING, "the first configuration is being signed")
        )

    def _wanted_config(self, site: Site) -> Config:
        members = [
            joining.config_member(
                place.name,
                _uid(site, place.name),
                place.kind,
                place.addresses,
            )
            for place in site.places
        ]
        spec = site.cluster.spec
        return joining.first_config(
            site.cluster.metadata.uid,
            members,
            spec.timing.to_core(),
            DataMode(spec.data.value),
            loss_bytes_max(spec),
        )

    # ---------------------------------------------------------------- resources, certificates

    def _resources(self, site: Site) -> Provision | None:
        if site.group is None:
            return None
        register = site.office.register
        nodes = {p.name: p for p in site.places if p.kind is MemberKind.DATA}
        known = [
            line.status.resources_generation
            for name, line in site.lines.items()
            if name in nodes and line.status is not None
        ]
        number = next_number(register, site.group, known)
        if number is None:
            return Provision(
                stalled=Claim(
                    True,
                    Reason.SPEC_OLDER,
                    f"the resources declared here are number {register.group}, but agents have "
                    f"accepted number {max(known)}: the API server was restored from a backup",
                    "look at HAResources and maintenance; any change is taken as the newest word",
                )
            )
        if (number, site.group.digest) != (register.group, register.group_digest):
            self._want(site, ("number",), partial(self._number, site, number, site.group))
            return Provision(
                converging=Claim(True, Reason.CONVERGING, f"resources, number {number}, are new")
            )
        if site.group.declared != register.declared:  # how it ends, which agents need not know
            self._want(site, ("number",), partial(self._number, site, number, site.group))
        return self._hand_out(site, site.group, number, nodes)

    async def _number(self, site: Site, number: int, group: Group) -> None:
        await self._authorities.update(
            site.office,
            lambda register: msgspec.structs.replace(
                register, group=number, group_digest=group.digest, declared=dict(group.declared)
            ),
        )

    def _hand_out(
        self, site: Site, group: Group, number: int, nodes: Mapping[str, Place]
    ) -> Provision | None:
        behind = {
            name: line
            for name, line in site.lines.items()
            if name in nodes and line.now is not None and line.now.resources_generation != number
        }
        refused: Claim | None = None
        for name, line in behind.items():
            act = partial(self._give, line.door, group.request(name, number))
            error = self._want(site, ("group", name, str(number)), act)
            if isinstance(error, UserError | RefusedError):
                refused = Claim(True, Reason.MEMBER_REFUSES, error.problem, error.remedy)
        if not behind:
            return None
        names = ", ".join(sorted(behind))
        waiting = Claim(True, Reason.CONVERGING, f"{names} is being given the resources")
        return Provision(stalled=refused, converging=None if refused else waiting)

    async def _give(self, door: Door, request: GroupRequest) -> None:
        await self._caller.send(door, HTTPMethod.PUT, RESOURCES_PATH, request, Done)

    def _renewals(self, site: Site) -> None:
        now = datetime.now(UTC)
        for name, line in site.lines.items():
            if line.now is None or not joining.is_due(line.now.certificate_not_after, now):
                continue
            uid = site.office.register.members[name].uid
            act = partial(joining.renew, self._caller, site.office, line.door, uid)
            self._want(site, ("renew", name), act)


def _uid(site: Site, name: str) -> str:
    """Of a member; "" for one that was never registered."""
    entry = site.office.register.members.get(name)
    return entry.uid if entry is not None else ""


def _parts(claim: Claim) -> tuple[Reason, str, str]:
    return claim.reason, claim.message, claim.remedy


def doors(site_office: Office, places: Sequence[Place]) -> dict[str, tuple[str, Door]]:
    """How enrolled members are met: by name, the uid and the door."""
    members = site_office.register.members
    return {
        place.name: (
            members[place.name].uid,
            member_door(site_office, place.name, members[place.name].uid, place.addresses),
        )
        for place in places
        if place.name in members and members[place.name].enrolled and place.addresses
    }
