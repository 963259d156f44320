"""Members come and go, timers change: from the config in force to the declared one, step by step.

Every pass compares anew, so an operator that dies in the middle, or two that follow each other,
do no harm: the step that is due follows from what the active node says and from nothing else. An
order is signed with the cluster's authority and names the config that it was made from.

A member is enrolled, then joins with the record of the active node, then is added; one that
leaves is removed, then told to stop and forget. One that lost its votes never gets them back: it
is removed, and its node joins again as another member.
"""

import base64
from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache, partial
from http import HTTPMethod
from typing import Any

import msgspec

from standfast.adapters.pki import Authority
from standfast.api.cluster import loss_bytes_max
from standfast.controller import seats
from standfast.controller.authorities import Authorities, Register
from standfast.controller.calling import Caller, Door, with_port
from standfast.controller.errands import Errands, Name
from standfast.controller.joining import member_door
from standfast.controller.listening import Line
from standfast.controller.sites import Place, Provision, Site
from standfast.core.change_plan import Step, Target, Waits, next_step
from standfast.core.explain import Claim
from standfast.core.ids import MemberUid
from standfast.core.reasons import Reason
from standfast.core.record import Config, Member, MemberKind
from standfast.errors import RefusedError, StandfastError, UserError
from standfast.wire import durable
from standfast.wire.api import (
    CHANGE_PATH,
    JOIN_PATH,
    RECORD_PATH,
    Accepted,
    ChangeRequest,
    Done,
    JoinRequest,
    MemberStatus,
    RecordAnswer,
    Signed,
    cluster_path,
)

Act = Callable[[], Coroutine[Any, Any, None]]
CHANGE, JOIN = "change", "join"
RETRY_MS_MAX = 1_000
"""A member that is not linked yet is soon."""


def in_force(lines: Mapping[str, Line]) -> tuple[Config, MemberStatus] | None:
    """The newest config that anybody who is heard shows, with who shows it; holders first."""
    heard = [line.now for line in lines.values() if line.now is not None and line.now.config]
    newest = max(heard, key=lambda s: (s.record_version, s.config_committed), default=None)
    return None if newest is None else (decoded_config(newest.config), newest)


@lru_cache(maxsize=1024)
def decoded_config(text: str) -> Config:
    """A config as a status carries it."""
    return durable.decode_config(base64.b64decode(text))


def is_joint(status: MemberStatus) -> bool:
    """Whether the config that a member shows is that of a change under way."""
    return bool(status.config) and decoded_config(status.config).leaving is not None


def has_begun(lines: Mapping[str, Line]) -> bool:
    """Whether anybody ever held: from then on nobody begins with the first config."""
    return any(
        line.now is not None and line.now.record_version > (0, 0) for line in lines.values()
    )


def signed(authority: Authority, purpose: str, payload: bytes) -> Signed:
    """Something that members take from the cluster's authority only."""
    return Signed(
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(authority.sign(purpose, payload)).decode(),
    )


class Members:
    """Brings the declared members about.

    Args:
        authorities: Writes the register.
        caller: Speaks to members.
        errands: Everything here is one.
    """

    def __init__(self, authorities: Authorities, caller: Caller, errands: Errands) -> None:
        self._authorities = authorities
        self._caller = caller
        self._errands = errands

    def look(self, site: Site) -> Provision | None:
        """Start what is due; what is under way, or needs a person. None: all is as declared."""
        self._remember(site)
        self._tell_departed(site)
        found = in_force(site.lines)
        if found is None or not has_begun(site.lines):
            return None
        config, status = found
        joining = self._join(site, config)
        if joining is not None and joining.stalled is not None:
            return joining
        if config.leaving is None and status.config_committed:
            self._forget(site, config)
        return self._change(site, config) or joining

    # ---------------------------------------------------------------- the register

    def _remember(self, site: Site) -> None:
        """What was declared of members, and whom a person asked to replace."""
        register = site.office.register
        uid = seats.to_replace(site.cluster, register)
        wanted = seats.seats_of(site.declared, register)
        if wanted == register.seats and not uid:
            return

        def change(now: Register) -> Register:
            lost = now.lost if not uid or uid in now.lost else (*now.lost, uid)
            return msgspec.structs.replace(now, seats=wanted, lost=lost)

        self._want(site, ("seats",), partial(self._authorities.update, site.office, change))

    def _forget(self, site: Site, config: Config) -> None:
        """Members that no config names any more: their names are free."""
        register = site.office.register
        gone = tuple(
            name
            for name, entry in register.members.items()
            if (name in site.leaving or entry.uid in register.lost)
            and config.member(MemberUid(entry.uid)) is None
        )
        if gone:
            self._want(site, ("forget", *gone), partial(self._free, site, gone))

    async def _free(self, site: Site, names: tuple[str, ...]) -> None:
        addresses = {place.name: place.addresses for place in site.places}
        await self._authorities.update(
            site.office, lambda now: seats.without(now, names, addresses)
        )
        for name in names:
            site.memory.bundled_at_ms.pop(name, None)

    def _tell_departed(self, site: Site) -> None:
        firsts = {p.name: p.first for p in site.places if p.kind is MemberKind.WITNESS}
        for uid, departed in site.office.register.departed.items():
            # A witness is met by its process's own identity, whatever it has forgotten already.
            door = firsts.get(departed.name) or member_door(
                site.office, departed.name, uid, departed.addresses
            )
            self._want(site, ("leave", uid), partial(self._leave, site, uid, door))

    async def _leave(self, site: Site, uid: str, door: Door) -> None:
        """Let it stop and forget; whoever is not there is asked again at the next pass."""
        path = cluster_path(site.cluster.metadata.uid, uid)
        await self._caller.send(door, HTTPMethod.DELETE, path, None, Done)

        def change(now: Register) -> Register:
            left = {other: each for other, each in now.departed.items() if other != uid}
            return msgspec.structs.replace(now, departed=left)

        await self._authorities.update(site.office, change)

    # ---------------------------------------------------------------- joining

    def _join(self, site: Site, config: Config) -> Provision | None:
        """Members with a certificate and without a config, in a cluster that runs."""
        lost = site.office.register.lost
        for name, line in site.lines.items():
            status = line.now
            if status is None or status.role != "Unconfigured" or status.halted:
                continue
            if status.member_uid in lost:
                continue
            if config.member(MemberUid(status.member_uid)) is not None:
                cluster = site.cluster.metadata.name
                return Provision(
                    stalled=Claim(
                        True,
                        Reason.VOTES_LOST,
                        f"{name} has lost the votes of {status.member_uid}, under which it is a "
                        "member: under that identity it could vote twice",
                        f"kubectl standfast replace {cluster} {name}",
                    )
                )
            source = _source(site)
            if source is None or name in site.leaving:
                continue
            act = partial(self._give_record, site, source.door, line.door)
            error = self._want(site, ("join", name), act)
            if isinstance(error, UserError | RefusedError):
                return Provision(stalled=_refused(error))
            return Provision(
                converging=Claim(True, Reason.CHANGING_MEMBERS, f"{name} is joining the cluster")
            )
        return None

    async def _give_record(self, site: Site, source: Door, to: Door) -> None:
        answer = await self._caller.get(source, RECORD_PATH, RecordAnswer)
        record = base64.b64decode(answer.record)
        request = JoinRequest(record=signed(site.office.authority, JOIN, record))
        await self._caller.send(to, HTTPMethod.PUT, JOIN_PATH, request, Accepted)

    # ---------------------------------------------------------------- changing

    def _change(self, site: Site, config: Config) -> Provision | None:
        moved = _moved(site, config)
        target = _target(site, config)
        holder = next(
            (
                line
                for line in site.lines.values()
                if line.now is not None and line.now.role == "Active"
            ),
            None,
        )
        heard = frozenset(
            MemberUid(line.now.member_uid)
            for line in site.lines.values()
            if line.now is not None and line.now.role != "Unconfigured" and not line.now.halted
        )
        uid = MemberUid(holder.now.member_uid) if holder is not None and holder.now else None
        due = next_step(config, uid, target, heard)
        if due is None:
            return moved
        if isinstance(due, Waits):
            claim = Claim(True, Reason.CHANGING_MEMBERS, due.sentence, due.remedy)
            return Provision(stalled=claim if due.is_stuck else None, converging=claim)
        assert holder is not None, "a step needs who takes it"
        act = partial(self._propose, site, holder.door, due)
        error = self._want(site, ("change", str(due.config.id)), act)
        before, after = len(config.members), len(due.config.members)
        said = f"{due.sentence}: {before} voters of config {config.id} become {after}"
        if isinstance(error, UserError | RefusedError):
            return Provision(stalled=_refused(error), converging=None)
        waits = f" ({error.problem})" if error is not None else ""
        return Provision(converging=Claim(True, Reason.CHANGING_MEMBERS, said + waits))

    async def _propose(self, site: Site, door: Door, step: Step) -> None:
        payload = durable.encode_config(step.config)
        request = ChangeRequest(config=signed(site.office.authority, CHANGE, payload))
        await self._caller.send(door, HTTPMethod.PUT, CHANGE_PATH, request, Accepted)

    def _want(self, site: Site, name: Name, act: Act) -> StandfastError | None:
        self._errands.want(site.key, name, act, RETRY_MS_MAX)
        return self._errands.error(site.key, name)


def _source(site: Site) -> Line | None:
    """Whose record a newcomer begins with: the newest, of the active node if it is heard."""
    heard = [line for line in site.lines.values() if line.now is not None and line.now.config]
    return max(
        heard,
        key=lambda line: (line.now.role == "Active", line.now.record_version) if line.now else (),
        default=None,
    )


def _refused(error: StandfastError) -> Claim:
    return Claim(True, Reason.MEMBER_REFUSES, error.problem, error.remedy)


def _target(site: Site, config: Config) -> Target:
    """The declared members that could vote, by the addresses that the others know."""
    members: list[Member] = []
    missing: list[str] = []
    register = site.office.register
    for place in site.places:
        entry = register.members.get(place.name)
        if place.name in site.leaving and (entry is None or entry.uid not in register.lost):
            continue
        known = None if entry is None else config.member(MemberUid(entry.uid))
        if known is not None and known in config.members:
            if entry is not None and entry.uid not in register.lost:
                members.append(known)
            else:
                missing.append(place.name)
        elif entry is not None and _can_join(site, place, config):
            members.append(Member(MemberUid(entry.uid), place.name, place.kind, place.addresses))
        else:
            missing.append(place.name)
    spec = site.cluster.spec
    return Target(
        tuple(members),
        spec.timing.to_core(),
        loss_max=loss_bytes_max(spec),
        missing=tuple(missing),
        lost=frozenset(map(MemberUid, register.lost)),
    )


def _can_join(site: Site, place: Place, config: Config) -> bool:
    """Whether it could vote now; one of another incarnation answers nobody of this one."""
    line = site.lines.get(place.name)
    status = line.now if line is not None else None
    return (
        status is not None
        and status.role != "Unconfigured"
        and not status.halted
        and status.incarnation == config.incarnation
        and bool(place.addresses)
    )


def _moved(site: Site, config: Config) -> Provision | None:
    """A node's agent listens where its bundle said: another address is another node."""
    by_name = {m.name: m for m in config.members if m.kind is MemberKind.DATA}
    for place in site.places:
        known = by_name.get(place.name)
        if known is None or set(known.addresses) == set(map(with_port, place.addresses)):
            continue
        return Provision(
            stalled=Claim(
                True,
                Reason.CONFIG_CHANGED,
                f"addresses of {place.name} changed from {', '.join(known.addresses)} to "
                f"{', '.join(place.addresses)}, but its agent listens where it was enrolled",
                f"set them back; or kubectl standfast replace {site.cluster.metadata.name} "
                f"{place.name}, and enrol it again",
            )
        )
    return None
