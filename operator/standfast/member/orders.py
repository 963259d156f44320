"""What only the cluster's authority may order of a member: signed, verified, then told the quorum.

Joining a cluster that runs, the next config, a person's consent to a loss, a person's word that a
node is off, a new incarnation. Each is refused with the rule it breaks before anything changes;
the same order again is accepted and changes nothing. What the quorum then makes of it is its own.
"""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from standfast.core import quorum
from standfast.core.change_plan import reach_problem
from standfast.core.events import (
    ChangeRequested,
    ConsentGiven,
    ProofHeld,
    Recovered,
    StandRequested,
)
from standfast.core.proof import FULL
from standfast.core.record import Config, Member, MemberKind, Proof
from standfast.core.voting import may_lead
from standfast.errors import RefusedError, TransientError, UserError
from standfast.member.chronicle import values
from standfast.member.links import split
from standfast.member.voter import NOT_KEPT, Voter
from standfast.wire import durable as durables
from standfast.wire.api import (
    Accepted,
    AttestedRequest,
    ChallengeAnswer,
    ChangeRequest,
    ConsentRequest,
    JoinRequest,
    RecoverRequest,
)

if TYPE_CHECKING:
    from standfast.member.membership import Membership

CHANGE, JOIN, CONSENT, ATTESTED, RECOVER = "change", "join", "consent", "attested", "recover"
"""Purposes: part of what is signed, so that nothing signed for one is good for another."""

CHALLENGE_MS = 300_000
"""How long a person may think before the candidate draws another challenge."""
CONSENT_MS_MAX = 600_000
LINKED_AGAIN_MS = 300


@dataclass(frozen=True, slots=True)
class _Challenge:
    text: str
    at_ms: int


class Orders:
    """One membership's."""

    def __init__(self, membership: "Membership") -> None:
        self._membership = membership
        self._challenge: _Challenge | None = None

    # ---------------------------------------------------------------- members and timers

    def join(self, request: JoinRequest) -> Accepted:
        """Become a member of a cluster that runs; the config names this one afterwards.

        Raises:
            RefusedError: This uid has voted before, or is a member already: its votes are lost.
        """
        membership = self._membership
        record = durables.decode_record(membership.credentials.verified(JOIN, request.record))
        self._check_cluster(record.config)
        if membership.voter is not None:
            return Accepted(accepted=True, config_id=str(membership.voter.state.record.config.id))
        enrolment = membership.credentials.enrolment
        assert enrolment is not None, "verified"
        if record.config.member(enrolment.member_uid) is not None:
            raise RefusedError(
                f"config {record.config.id} names {enrolment.member_uid}, so it has voted, and "
                "its votes are not on this disk any more: it could vote twice",
                remedy="replace this node (kubectl standfast replace CLUSTER NODE)",
            )
        self._check_members(record.config.everyone())
        membership.begin(quorum.durable_for(record.config, enrolment.member_uid, record))
        fields = values(config=str(record.config.id), record=str(record.version))
        membership.chronicle.note("Joined", "Joined a cluster that runs", fields)
        return Accepted(accepted=True, config_id=str(record.config.id))

    def change(self, request: ChangeRequest) -> Accepted:
        """Begin a change of the config; only the active node can.

        Raises:
            TransientError: A new member is not linked yet, or the disk refused.
            RefusedError: The change could not be committed, or the quorum declines it.
        """
        voter = self._membership.configured()
        wanted = durables.decode_config(
            self._membership.credentials.verified(CHANGE, request.config)
        )
        self._check_cluster(wanted)
        self._check_members(wanted.members)
        config = voter.state.record.config
        target = (wanted.members, wanted.timing, wanted.loss_max)
        if target == (config.members, config.timing, config.loss_max):
            return Accepted(accepted=True, config_id=str(config.id))
        if (wanted.incarnation, wanted.data) != (config.incarnation, config.data):
            raise RefusedError(
                f"the change is for incarnation {wanted.incarnation} with data "
                f"{wanted.data.value}, and {config.incarnation} with {config.data.value} is in "
                "force",
                remedy="make it from the config in force",
            )
        self._check_reach(voter, wanted)
        voter.insist(ChangeRequested(wanted.id, wanted.members, wanted.timing, wanted.loss_max))
        fields = values(config=str(wanted.id), members=len(wanted.members))
        self._membership.chronicle.note("ChangeBegun", "The members are changing", fields)
        return Accepted(accepted=True, config_id=str(voter.state.record.config.id))

    def _check_reach(self, voter: Voter, wanted: Config) -> None:
        """A change that cannot be committed would end the lease: it does not begin."""
        links = self._membership.links
        assert links is not None, "configured"
        config = voter.state.record.config
        new = [m for m in wanted.members if config.member(m.uid) is None]
        links.expect(new)
        for member in new:
            if not links.is_reachable(member.uid):
                raise TransientError(
                    f"{member.name} is not linked with this node yet, and a voter that is not "
                    "reachable may not be added",
                    remedy=f"let TCP {', '.join(member.addresses)} reach each other",
                    retry_after_ms=LINKED_AGAIN_MS,
                )
        heard = {m.uid for m in wanted.members + config.members if links.is_reachable(m.uid)}
        problem = reach_problem(config, wanted.members, heard | {voter.state.me})
        if problem is not None:
            raise RefusedError(
                f"the change would end the lease: {problem}", remedy="bring those members back"
            )

    # ---------------------------------------------------------------- a person's word

    def challenge(self) -> ChallengeAnswer:
        """Draw what a consent must name; an earlier challenge is void from here."""
        voter = self._membership.configured()
        state = voter.state
        self._refuse_holder(voter)
        record = state.record
        if state.me not in record.config.data_nodes():
            raise RefusedError(
                "this member only votes, so no consent lets it lead", remedy="ask a data node"
            )
        refusal = may_lead(record, state.me, state.local.position)
        now_ms = self._membership.process.clock.now_ms()
        self._challenge = _Challenge(secrets.token_hex(16), now_ms)
        return ChallengeAnswer(
            challenge=self._challenge.text,
            valid_ms=CHALLENGE_MS,
            boot=voter.boot,
            record=str(record.version),
            record_holder="" if record.holder is None else record.holder.member,
            term_min=1 + max(state.durable.term, state.term_seen),
            position=state.local.position,
            record_position=record.position,
            hindrance="" if refusal is None else refusal.value,
        )

    def consent(self, request: ConsentRequest) -> Accepted:
        """Stand with a person's consent: verified, for this boot and record, once.

        Raises:
            RefusedError: It answers another challenge, boot or record, or came too late.
            TransientError: The disk refused; the challenge is good for the same answer still.
        """
        voter = self._membership.configured()
        signed = durables.decode_consent(
            self._membership.credentials.verified(CONSENT, request.consent)
        )
        self._refuse_holder(voter)
        consent, now_ms = signed.consent, self._membership.process.clock.now_ms()
        drawn = self._challenge
        if drawn is None or drawn.text != signed.challenge:
            raise RefusedError(
                "the consent answers no challenge of this run, or one that was answered already",
                remedy="give it again (kubectl standfast consent CLUSTER)",
            )
        lifetime_ms = min(signed.lifetime_ms, CONSENT_MS_MAX)
        until_ms = drawn.at_ms + lifetime_ms
        if now_ms >= min(until_ms, drawn.at_ms + CHALLENGE_MS):
            raise RefusedError(
                f"the consent came {now_ms - drawn.at_ms} ms after its challenge and was good for "
                f"{lifetime_ms} ms",
                remedy="give it again (kubectl standfast consent CLUSTER)",
            )
        mine = (self._membership.cluster, voter.state.me, voter.boot, voter.state.record.version)
        named = (signed.cluster, consent.candidate, consent.boot, consent.record)
        if named != mine:
            raise RefusedError(
                f"the consent is for member, boot and record {consent.candidate}, {consent.boot}, "
                f"{consent.record}, and this is {voter.state.me}, {voter.boot}, "
                f"{voter.state.record.version}",
                remedy="give it again (kubectl standfast consent CLUSTER)",
            )
        voter.insist(ConsentGiven(consent, until_ms))  # or the same answer may be given again
        self._challenge = None
        self._membership.chronicle.note(
            "Consented",
            "A person consents to a loss so that this node may lead",
            values(approver=consent.approver, record=str(consent.record), error=signed.loses),
        )
        self._membership.process.mailbox.put(lambda: _ignore(voter.take(StandRequested())))
        return Accepted(accepted=True)

    def attested(self, request: AttestedRequest) -> Accepted:
        """A person vouches that a boot is off: proof against every suspicion of that boot."""
        voter = self._membership.configured()
        payload = self._membership.credentials.verified(ATTESTED, request.attested)
        word = durables.decode_attestation(payload)
        if word.cluster != self._membership.cluster:
            raise UserError(
                f"the attestation is for cluster {word.cluster}",
                remedy="attest nodes of this cluster",
            )
        if (word.member, word.boot) == (voter.state.me, voter.boot):
            raise RefusedError(
                f"this is {word.member} in boot {word.boot}, which the attestation calls off",
                remedy="attest only what you have seen switched off",
            )
        peer, links = voter.state.peers.get(word.member), self._membership.links
        is_linked = links is not None and links.is_reachable(word.member)
        if is_linked and peer is not None and peer.boot == word.boot:
            raise RefusedError(
                f"{word.member} is linked with this member in boot {word.boot}, which the "
                "attestation calls off",
                remedy="attest only what you have seen switched off",
            )
        suspects = [
            suspect
            for suspect in voter.state.record.suspects
            if (suspect.member, suspect.boot) == (word.member, word.boot)
        ]
        fresh = [s for s in suspects if voter.state.proofs.get(s) is not Proof.ATTESTED]
        if fresh:
            self._membership.chronicle.note(
                "Attested",
                "A person vouches that a node is off",
                values(peer=word.member, boot=word.boot, approver=word.approver, at=word.at),
            )
        for suspect in fresh:
            voter.take(ProofHeld(suspect, Proof.ATTESTED, approver=f"{word.approver}, {word.at}"))
        left = [s for s in fresh if s in voter.state.record.suspects]
        if any(voter.state.proofs.get(suspect) not in FULL for suspect in left):
            raise TransientError(NOT_KEPT.problem, remedy=NOT_KEPT.remedy)
        return Accepted(accepted=bool(suspects))

    def recover(self, request: RecoverRequest) -> Accepted:
        """Take part in a new incarnation: whoever is not named in it stops when it meets it."""
        voter = self._membership.configured()
        record = durables.decode_record(
            self._membership.credentials.verified(RECOVER, request.config)
        )
        self._check_cluster(record.config)
        self._check_members(record.config.members)
        before = voter.state.record
        is_same = record.config.incarnation == before.config.incarnation
        if is_same and record.version <= before.version:
            return Accepted(accepted=True, config_id=str(before.config.id))
        voter.insist(Recovered(record))
        fields = values(config=str(record.config.id), incarnation=record.config.incarnation)
        self._membership.chronicle.note("Recovered", "A new incarnation of the cluster", fields)
        return Accepted(accepted=True, config_id=str(record.config.id))

    # ---------------------------------------------------------------- checks

    def _check_cluster(self, config: Config) -> None:
        if config.cluster != self._membership.cluster:
            raise UserError(
                f"the order is for cluster {config.cluster}, and this connection is for "
                f"{self._membership.cluster}",
                remedy="send each cluster its own orders",
            )
        problems = config.timing.problems()
        if problems:
            raise UserError("; ".join(problems), remedy="correct spec.timing of the HACluster")

    def _check_members(self, members: tuple[Member, ...]) -> None:
        for member in members:
            for address in member.addresses:
                split(address)
        if not any(member.kind is MemberKind.DATA for member in members):
            raise UserError("no member is a data node", remedy="keep a node in spec.nodes")

    def _refuse_holder(self, voter: Voter) -> None:
        if voter.somebody_holds:
            raise RefusedError(
                "a node holds the lease, so there is nothing to consent to",
                remedy="kubectl standfast status CLUSTER",
            )


def _ignore(_: object) -> None:
    """Effects were performed; nobody asks for them here."""
