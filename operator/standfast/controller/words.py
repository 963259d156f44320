"""A person's word is carried to the members: consent to a loss, an attestation, a recovery.

Nothing here decides that it is a good idea: a person did, and is named. What is demanded is
demanded here and again by the members: a consent names the boot and the record that the person
was shown, an attestation a boot that nobody hears, a recovery proofs of everybody who is missing.
Each is signed with the cluster's authority. What is used once is noted in the register first.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from http import HTTPMethod

import msgspec

from standfast.api.words import ATTEST, CONSENT, RECOVER, Attestation, Consent, Recovery, word_in
from standfast.controller.authorities import Authorities, Register
from standfast.controller.calling import Caller
from standfast.controller.carrying import LIFETIME_MS, refused, stalled, want, who_hears
from standfast.controller.errands import Errands
from standfast.controller.listening import Line
from standfast.controller.members import has_begun, signed
from standfast.controller.recoveries import Recoveries
from standfast.controller.sites import Provision, Site
from standfast.controller.store import Key
from standfast.core.ids import BootId, ClusterUid, MemberUid, Version
from standfast.core.messages import Consent as Given
from standfast.errors import RefusedError, UserError
from standfast.wire import durable
from standfast.wire.api import (
    ATTESTED_PATH,
    CHALLENGE_PATH,
    CONSENT_PATH,
    Accepted,
    AttestedRequest,
    ChallengeAnswer,
    ConsentRequest,
    MemberStatus,
)

SAID_MAX = 32
Mark = tuple[str, ...]
"""One run of a member, with what it suspects: it is told once that this is over."""


class Words:
    """Carries them.

    Args:
        authorities: Writes the register.
        caller: Speaks to members.
        errands: Everything here is one.
    """

    def __init__(self, authorities: Authorities, caller: Caller, errands: Errands) -> None:
        self._authorities = authorities
        self._caller = caller
        self._errands = errands
        self._recoveries = Recoveries(authorities, caller, errands)
        self._told: dict[Key, set[Mark]] = {}

    def look(self, site: Site) -> Provision | None:
        """Carry what was said and is not over; what stands in the way is in the answer."""
        notes = site.declared.metadata.annotations
        try:
            attestation = word_in(notes, ATTEST, Attestation)
            consent = word_in(notes, CONSENT, Consent)
            recovery = word_in(notes, RECOVER, Recovery)
        except UserError as error:
            return stalled(error)
        if not has_begun(site.lines):
            return None
        problem = None
        if attestation is not None:
            problem = self._attest(site, attestation)
        if consent is not None:
            problem = self._consent(site, consent) or problem
        if recovery is not None:
            problem = self._recoveries.look(site, recovery) or problem
        return problem

    # ---------------------------------------------------------------- attest

    def _attest(self, site: Site, word: Attestation) -> Provision | None:
        entry = site.office.register.members.get(word.node)
        uid = entry.uid if entry is not None else word.node
        marks = {name: _mark(line.now, uid, word.boot) for name, line in site.lines.items()}
        if not any(marks.values()):
            self._told.pop(site.key, None)
            return None
        line = site.lines.get(word.node)
        if line is not None and line.now is not None and line.now.boot_id == word.boot:
            return refused(
                f"{word.approver} vouches that {word.node} is off in boot {word.boot}, but its "
                "agent answers in that boot",
                "attest only what you have seen switched off",
            )
        statuses = [line.now for line in site.lines.values() if line.now is not None]
        hears = who_hears(statuses, MemberUid(uid), word.boot)
        if hears:
            return refused(
                f"{word.approver} vouches that {word.node} is off in boot {word.boot}, but "
                f"{hears} is linked with it in that boot",
                "attest only what you have seen switched off",
            )
        told = self._told.setdefault(site.key, set())
        due = {mark: site.lines[name] for name, mark in marks.items() if mark and mark not in told}
        if not due:
            return None  # whoever was told settles it once it holds the lease
        act = partial(self._tell_attested, site, uid, word, due)
        return want(self._errands, site, ("attest", uid, word.boot), act)

    async def _tell_attested(
        self, site: Site, uid: str, word: Attestation, due: Mapping[Mark, Line]
    ) -> None:
        said = durable.Attestation(
            cluster=ClusterUid(site.office.owner.uid),
            member=MemberUid(uid),
            boot=BootId(word.boot),
            approver=word.approver,
            at=word.at,
            reason=word.reason,
        )
        payload = durable.encode_attestation(said)
        request = AttestedRequest(attested=signed(site.office.authority, "attested", payload))
        for mark, line in due.items():
            answer = await self._caller.send(
                line.door, HTTPMethod.POST, ATTESTED_PATH, request, Accepted
            )
            if answer.accepted:
                self._told.setdefault(site.key, set()).add(mark)

    # ---------------------------------------------------------------- consent

    def _consent(self, site: Site, word: Consent) -> Provision | None:
        digest = hashlib.sha256(word.model_dump_json().encode()).hexdigest()[:32]
        line = site.lines.get(word.node)
        if digest in site.office.register.said or line is None or line.now is None:
            return None
        if any(each.now is not None and each.now.holder for each in site.lines.values()):
            return None  # somebody serves: it is over
        status = line.now
        record = "{}.{}".format(*status.record_version)
        if (status.boot_id, record) != (word.boot, word.record):
            return refused(
                f"{word.approver} consented for {word.node} in boot {word.boot} with record "
                f"{word.record}, and it is in boot {status.boot_id} with record {record} now",
                f"look again: kubectl standfast consent {site.cluster.metadata.name}",
            )
        act = partial(self._give_consent, site, line, word, digest)
        return want(self._errands, site, ("consent", digest), act)

    async def _give_consent(self, site: Site, line: Line, word: Consent, digest: str) -> None:
        """The candidate draws a challenge, the authority answers it, once."""
        drawn = await self._caller.send(
            line.door, HTTPMethod.POST, CHALLENGE_PATH, None, ChallengeAnswer
        )
        if (drawn.boot, drawn.record) != (word.boot, word.record):
            raise RefusedError(
                f"{word.node} is in boot {drawn.boot} with record {drawn.record} now, and the "
                f"consent was given for {word.boot}, {word.record}",
                remedy=f"look again: kubectl standfast consent {site.cluster.metadata.name}",
            )

        def used(now: Register) -> Register:
            return msgspec.structs.replace(now, said=(*now.said, digest)[-SAID_MAX:])

        await self._authorities.update(site.office, used)
        said = durable.SignedConsent(
            cluster=ClusterUid(site.office.owner.uid),
            challenge=drawn.challenge,
            consent=Given(
                candidate=MemberUid(site.office.register.members[word.node].uid),
                boot=BootId(drawn.boot),
                term_min=drawn.term_min,
                record=Version(*map(int, drawn.record.split("."))),
                approver=f"{word.approver}, {word.at}",
            ),
            lifetime_ms=LIFETIME_MS,
            loses=word.loses,
        )
        payload = durable.encode_consent(said)
        request = ConsentRequest(consent=signed(site.office.authority, "consent", payload))
        await self._caller.send(line.door, HTTPMethod.PUT, CONSENT_PATH, request, Accepted)


def _mark(status: MemberStatus | None, uid: str, boot: str) -> Mark:
    """What this run of a member suspects of a boot; empty when it does not."""
    if status is None:
        return ()
    suspects = [s for s in status.suspects if (s.member, s.boot) == (uid, boot)]
    return (status.member_uid, status.run, *map(str, suspects)) if suspects else ()
