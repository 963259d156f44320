"""A recovery after a majority was lost for good: the next incarnation, upon a person's word.

The record is made of the newest that anybody left holds and of what operators ever heard, proofs
are demanded for everybody who is missing, and it is noted in the register before anybody is told.
What was taken in part is carried to its end, or given a later term (`overtaken`).
"""

import base64
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPMethod

import msgspec

from standfast.api.words import Recovery
from standfast.controller import overtaken
from standfast.controller.authorities import Authorities, Register
from standfast.controller.calling import Caller
from standfast.controller.carrying import LIFETIME_MS, refused, want, who_hears
from standfast.controller.errands import Errands
from standfast.controller.listening import Line
from standfast.controller.members import decoded_config, in_force, signed
from standfast.controller.sites import Provision, Site
from standfast.core.ids import MemberUid, Version
from standfast.core.record import Config, DataMode, Proof, Record
from standfast.core.recovering import Known, of_a_later_term, recovered_record, recovery_problem
from standfast.errors import TransientError
from standfast.wire import durable
from standfast.wire.api import (
    RECORD_PATH,
    RECOVER_PATH,
    Accepted,
    MemberStatus,
    RecordAnswer,
    RecoverRequest,
)


class Recoveries:
    """Begins them and carries them to their end.

    Args:
        authorities: Writes the register.
        caller: Speaks to members.
        errands: Everything here is one.
    """

    def __init__(self, authorities: Authorities, caller: Caller, errands: Errands) -> None:
        self._authorities = authorities
        self._caller = caller
        self._errands = errands

    def look(self, site: Site, word: Recovery) -> Provision | None:
        """Begin the next incarnation; the same record for everybody who is left.

        Until somebody has taken it, it is judged anew at every pass: whoever was off may be back,
        and a word that was said for another moment is no word about this one.
        """
        found = in_force(site.lines)
        if found is None:
            return None
        config, _ = found
        ordered = _ordered(site, word)
        heard = [line.now for line in site.lines.values() if line.now is not None]
        given = _given(site, word)
        if given is not None and overtaken.takers(given, heard) and overtaken.late(given, heard):
            return self._recover_again(site, word, given, heard)
        if ordered is not None and any(each.incarnation > word.incarnation for each in heard):
            self._let_go(site, ordered)
            return self._finish(site, ordered.config)
        if config.incarnation != word.incarnation:
            return None  # it is over
        standing = _standing(site, config)
        proofs = _proofs(config, word, site.off)
        left = {MemberUid(status.member_uid) for status in standing}
        is_held = any(status.holder for status in standing)
        problem = recovery_problem(config, left, proofs.keys() - left, holds=is_held)
        problem = problem or _linked_problem(config, proofs, heard, standing)
        is_fresh = _is_fresh(word)
        if problem is not None:
            said = f"the cluster is not recovered: {problem[0]}"
            return refused(said, problem[1]) if is_fresh else None
        if not is_fresh:
            return refused(
                f"{word.approver} asked for a recovery at {word.at}, and that was good for "
                f"{LIFETIME_MS // 60_000} minutes",
                f"look again: kubectl standfast recover {site.cluster.metadata.name}",
            )
        if ordered is not None and not self._is_outdated(site, ordered, standing):
            return self._finish(site, ordered.config)
        return want(
            self._errands,
            site,
            ("recover", str(word.incarnation)),
            partial(self._begin, site, config, word),
        )

    def _is_outdated(self, site: Site, ordered: Record, standing: list[MemberStatus]) -> bool:
        """Whether a record that nobody took must be made anew: others are left, or voted since.

        All whom it names are heard, and none of them is being given it.
        """
        left = {MemberUid(status.member_uid) for status in standing}
        named = {member.uid for member in ordered.config.members}
        given = any(self._errands.runs(site.key, ("recovered", name)) for name in site.lines)
        changed = named != left or any(s.term >= ordered.version.term for s in standing)
        return named <= left and changed and not given

    async def _begin(self, site: Site, config: Config, word: Recovery) -> None:
        """Make the record from the newest that anybody left holds; written before it is told."""
        statuses = _standing(site, config)
        left = {MemberUid(status.member_uid) for status in statuses}
        doors = [
            line.door
            for line in site.lines.values()
            if line.now is not None and line.now.member_uid in left
        ]
        records = [
            durable.decode_record(base64.b64decode(answer.record))
            for answer in [await self._caller.get(d, RECORD_PATH, RecordAnswer) for d in doors]
        ]
        newest = max(records, key=lambda record: record.version)
        if newest.config.incarnation != word.incarnation:
            raise TransientError("a recovery has begun already", remedy="wait until it is seen")
        proofs = _proofs(config, word, site.off)
        members = tuple(m for m in newest.config.members if m.uid in left)
        term = max(status.term for status in statuses)
        record = recovered_record(
            newest,
            members,
            proofs,
            term,
            approver=f"{word.approver}, {word.at}",
            known=_known(site, newest),
        )
        order = signed(site.office.authority, "recover", durable.encode_record(record))

        def begun(now: Register) -> Register:
            return msgspec.structs.replace(now, recovery=order)

        await self._authorities.update(site.office, begun)

    def _recover_again(
        self, site: Site, word: Recovery, given: Record, heard: list[MemberStatus]
    ) -> Provision | None:
        """Some have taken it and others cannot any more: the same order of a later term."""
        name = site.cluster.metadata.name
        behind = overtaken.late(given, heard)
        before = decoded_config(behind[0].config) if behind[0].config else None
        if before is None:
            return None
        proofs = _proofs(before, word, site.off)
        named = {member.uid for member in given.config.members}
        problem = overtaken.hindrance(given, heard, before, proofs.keys() - named, name)
        others = {uid: proof for uid, proof in proofs.items() if uid not in named}
        problem = problem or _linked_problem(before, others, heard, behind)
        if problem is not None:
            return refused(f"the recovery is not finished: {problem[0]}", problem[1])
        if not _is_fresh(word):
            who = ", ".join(status.name for status in behind)
            return refused(
                f"the recovery of {word.at} cannot be finished: {who} has voted in the old "
                "incarnation since, and whom it called off must be vouched for again",
                f"kubectl standfast recover {name}, with --attest for whom nothing proves off",
            )
        if any(self._errands.runs(site.key, ("recovered", each)) for each in site.lines):
            return None
        act = partial(self._begin_again, site, word, given, others)
        return want(self._errands, site, ("recover", "again", str(given.version.term)), act)

    async def _begin_again(
        self, site: Site, word: Recovery, given: Record, proofs: dict[MemberUid, Proof]
    ) -> None:
        """What the old incarnation did meanwhile counts; else the order, of a later term."""
        named = {member.uid for member in given.config.members}
        lines = [
            line
            for line in site.lines.values()
            if line.now is not None and line.now.member_uid in named
        ]
        answers = [await self._caller.get(x.door, RECORD_PATH, RecordAnswer) for x in lines]
        records = [durable.decode_record(base64.b64decode(each.record)) for each in answers]
        newest = max(records, key=lambda record: record.version)
        term = max(line.now.term for line in lines if line.now is not None)
        if newest.config.incarnation >= given.config.incarnation:
            record = of_a_later_term(given, term)
        else:
            members = tuple(m for m in newest.config.members if m.uid in named)
            approver = f"{word.approver}, {word.at}"
            known = _known(site, newest)
            record = recovered_record(
                newest, members, proofs, term, approver=approver, known=known
            )
        order = signed(site.office.authority, "recover", durable.encode_record(record))
        before = site.office.register.recovery

        def begun(now: Register) -> Register:
            is_as_read = now.recovery == before
            return msgspec.structs.replace(now, recovery=order) if is_as_read else now

        await self._authorities.update(site.office, begun)

    def _let_go(self, site: Site, record: Record) -> None:
        """Whom a recovery that somebody took has left out joins again as another member.

        So does who was a member before it and was none when it came: it is of an incarnation
        that is over, and answers nobody of this one.
        """
        config = record.config
        out = [member.uid for member in record.left_out]
        out += [
            MemberUid(status.member_uid)
            for status in (line.now for line in site.lines.values())
            if status is not None
            and status.role != "Unconfigured"
            and status.incarnation < config.incarnation
            and config.member(MemberUid(status.member_uid)) is None
        ]

        def lost_in(now: Register) -> tuple[str, ...]:
            known = {entry.uid for entry in now.members.values()} - set(now.lost)
            return tuple(uid for uid in dict.fromkeys(out) if uid in known)

        def change(now: Register) -> Register:
            return msgspec.structs.replace(now, lost=(*now.lost, *lost_in(now)))

        lost = lost_in(site.office.register)
        if lost:
            act = partial(self._authorities.update, site.office, change)
            want(self._errands, site, ("lost", *lost), act)

    def _finish(self, site: Site, config: Config) -> Provision | None:
        """Give it to everybody named in it who has not taken it yet."""
        order = site.office.register.recovery
        assert order is not None, "begun"
        problem = None
        for name, line in site.lines.items():
            status = line.now
            is_behind = status is not None and status.incarnation < config.incarnation
            if status is None or not is_behind or status.halted:
                continue
            if config.member(MemberUid(status.member_uid)) is None:
                continue
            act = partial(self._give_recovery, line, RecoverRequest(config=order))
            problem = want(self._errands, site, ("recovered", name), act) or problem
        return problem

    async def _give_recovery(self, line: Line, request: RecoverRequest) -> None:
        await self._caller.send(line.door, HTTPMethod.PUT, RECOVER_PATH, request, Accepted)


def _known(site: Site, newest: Record) -> Known | None:
    """What the newest record said of the data, as far as this operator or one before it heard.

    Asynchronous data: how far they reached is told with every record and noted nowhere else, so
    unless the last word of every node was heard in this run, nobody knows.
    """
    heard = [line.status for line in site.lines.values() if line.status is not None]
    found = [
        Known(
            Version(*said.record_version),
            frozenset(map(MemberUid, said.in_sync)),
            said.record_position,
        )
        for said in heard
    ]
    noted = site.cluster.status.data_record
    if noted is not None:
        members = site.office.register.members
        complete = [MemberUid(members[name].uid) for name in noted.in_sync if name in members]
        version = Version(*map(int, noted.version.split(".")))
        found.append(Known(version, frozenset(complete)))
    silent = set(newest.config.data_nodes()) - {MemberUid(said.member_uid) for said in heard}
    if newest.config.data is DataMode.REPLICATED_ASYNC and silent:
        found.append(Known(newest.version._replace(seq=newest.version.seq + 1), frozenset()))
    return max(found, key=lambda known: known.version, default=None)


def _given(site: Site, word: Recovery) -> Record | None:
    """The order that was given out last, if the word is about it or about what came of it."""
    begun = site.office.register.recovery
    if begun is None:
        return None
    record = durable.decode_record(base64.b64decode(begun.payload))
    about = {word.incarnation, word.incarnation + 1}
    return record if record.config.incarnation in about else None


def _ordered(site: Site, word: Recovery) -> Record | None:
    """The record that was made upon this word, or an earlier one of the same incarnation."""
    begun = site.office.register.recovery
    if begun is None:
        return None
    record = durable.decode_record(base64.b64decode(begun.payload))
    return record if record.config.incarnation == word.incarnation + 1 else None


def _linked_problem(
    config: Config,
    proofs: Mapping[MemberUid, Proof],
    heard: list[MemberStatus],
    standing: list[MemberStatus],
) -> tuple[str, str] | None:
    """Whom a person calls off and a member that is left is linked with, unless it is halted."""
    halted = {status.member_uid for status in heard if status.halted}
    for member in config.everyone():
        if proofs.get(member.uid) is Proof.ATTESTED and member.uid not in halted:
            hears = who_hears(standing, member.uid)
            if hears:
                said = f"{member.name} is called off, but {hears} is linked with it"
                return said, "attest only what you have seen switched off"
    return None


def _is_fresh(word: Recovery) -> bool:
    """Whether it was said just now: what it vouches for was seen then, and names no boots."""
    try:
        at = datetime.fromisoformat(word.at)
    except ValueError:
        return False
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return abs(datetime.now(UTC) - at) <= timedelta(milliseconds=LIFETIME_MS)


def _standing(site: Site, config: Config) -> list[MemberStatus]:
    """Members of the config that answer and may go on."""
    return [
        line.now
        for line in site.lines.values()
        if line.now is not None
        and line.now.role != "Unconfigured"
        and not line.now.halted
        and config.member(MemberUid(line.now.member_uid)) is not None
    ]


def _proofs(config: Config, word: Recovery, off: AbstractSet[str]) -> dict[MemberUid, Proof]:
    """Who is proven to run nothing: by the infrastructure, or by the person's word."""
    found: dict[MemberUid, Proof] = {}
    for member in config.everyone():
        if member.name in off:
            found[member.uid] = Proof.POWERED_OFF
        elif member.name in word.attested:
            found[member.uid] = Proof.ATTESTED
    return found
