"""Orders are judged by the member itself, and one that its disk refused is not accepted."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from standfast.adapters.fakes import MemoryJournal
from standfast.core.events import LocalChanged, ReleaseRequested, Stopped
from standfast.core.ids import BootId, MemberUid
from standfast.core.messages import Consent
from standfast.core.record import DataMode, Member, MemberKind, Suspect
from standfast.core.recovering import recovered_record
from standfast.core.state import Local, Peer
from standfast.errors import RefusedError, TransientError
from standfast.member.duties import NoDuties
from standfast.member.links import Links
from standfast.member.membership import Membership
from standfast.member.orders import ATTESTED, CONSENT, RECOVER
from standfast.wire import api, durable
from tests.unit.member.parts import CLUSTER, Enroller, alone, membership_at

OLD = Suspect(MemberUid("x"), BootId("x-1"), 3)


def signed(enroller: Enroller, purpose: str, payload: bytes) -> api.Signed:
    return api.Signed(
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(enroller.authority.sign(purpose, payload)).decode(),
    )


@pytest.mark.parametrize(("linked", "boot"), [(True, "x-1"), (True, "x-2"), (False, "x-1")])
async def test_nobody_is_vouched_off_whom_this_member_hears_in_that_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool, boot: str
) -> None:
    """The operator may be cut off from a node that its peers still hear."""
    membership, enroller = membership_at(tmp_path, MemberKind.WITNESS), Enroller()
    membership.open(lambda _: NoDuties())
    enroller.certify(membership)
    mine = alone(membership)
    other = Member(OLD.member, "x", MemberKind.DATA)
    membership.take_config(enroller.signed(replace(mine, members=(*mine.members, other))))
    voter = membership.voter
    assert voter is not None
    record = replace(voter.state.record, suspects=(OLD,))
    voter.state = replace(
        voter.state,
        durable=replace(voter.state.durable, record=record),
        peers={OLD.member: Peer(BootId(boot), membership.process.run, 1, 0)},
    )
    monkeypatch.setattr(Links, "is_reachable", lambda _, uid: linked and uid == OLD.member)
    word = durable.Attestation(
        cluster=CLUSTER, member=OLD.member, boot=OLD.boot, approver="ada", at="now"
    )
    payload = durable.encode_attestation(word)
    request = api.AttestedRequest(attested=signed(enroller, ATTESTED, payload))
    if linked and boot == OLD.boot:
        with pytest.raises(RefusedError, match="is linked with this member in boot x-1"):
            membership.orders.attested(request)
        assert not voter.state.proofs
    else:
        assert membership.orders.attested(request).accepted
        assert OLD in voter.state.proofs
        voter.state = replace(voter.state, proofs={})
        monkeypatch.setattr(voter, "take", lambda _: ())
        with pytest.raises(TransientError, match="the disk of this member refuses"):
            membership.orders.attested(request)
    await membership.close()
    await membership.process.mailbox.close()


@pytest.fixture
async def solo(tmp_path: Path) -> AsyncIterator[tuple[Membership, Enroller, MemoryJournal]]:
    """A node that is its own majority, and would win at its next step but for its disk."""
    membership, enroller = membership_at(tmp_path, MemberKind.DATA), Enroller()
    membership.open(lambda _: NoDuties())
    enroller.certify(membership)
    membership.take_config(enroller.signed(alone(membership, DataMode.REPLICATED)))
    voter, journal = membership.voter, MemoryJournal()
    assert voter is not None
    voter._tools = replace(voter._tools, journal=journal)
    voter.take(Stopped())
    journal.is_broken = True
    voter.state = replace(
        voter.state, local=Local(eligible=True), stand_at_ms=membership.process.clock.now_ms()
    )
    yield membership, enroller, journal
    await membership.close()
    await membership.process.mailbox.close()


async def test_f94_a_consent_that_the_disk_swallowed_is_not_answered_accepted(
    solo: tuple[Membership, Enroller, MemoryJournal],
) -> None:
    membership, enroller, journal = solo
    voter = membership.voter
    assert voter is not None
    drawn = membership.orders.challenge()
    consent = Consent(
        voter.state.me, voter.boot, drawn.term_min, voter.state.record.version, "ada, now"
    )
    word = durable.SignedConsent(
        cluster=CLUSTER, challenge=drawn.challenge, consent=consent, lifetime_ms=60_000
    )
    payload = durable.encode_consent(word)
    request = api.ConsentRequest(consent=signed(enroller, CONSENT, payload))
    with pytest.raises(TransientError, match="the disk of this member refuses"):
        membership.orders.consent(request)
    assert voter.state.consent is None
    assert "Consented" not in [entry.kind for entry in membership.chronicle.after(0)]
    journal.is_broken = False
    assert membership.orders.consent(request).accepted, "the same answer again"
    assert voter.state.consent == consent or voter.state.holding is not None


async def test_f94_a_recovery_that_the_disk_swallowed_is_not_answered_accepted(
    solo: tuple[Membership, Enroller, MemoryJournal],
) -> None:
    membership, enroller, journal = solo
    voter = membership.voter
    assert voter is not None
    before = voter.state.record
    record = recovered_record(before, before.config.members, {}, 7)
    payload = durable.encode_record(record)
    request = api.RecoverRequest(config=signed(enroller, RECOVER, payload))
    with pytest.raises(TransientError, match="the disk of this member refuses"):
        membership.orders.recover(request)
    assert voter.state.record == before
    journal.is_broken = False
    assert membership.orders.recover(request).accepted
    assert voter.state.record.config.incarnation == 2


async def test_what_is_insisted_on_is_kept_or_raises(
    solo: tuple[Membership, Enroller, MemoryJournal],
) -> None:
    membership, _, journal = solo
    voter = membership.voter
    assert voter is not None
    with pytest.raises(TransientError, match="the disk of this member refuses"):
        voter.insist(LocalChanged(Local(eligible=True)))
    journal.is_broken = False
    voter.state = replace(voter.state, local=Local(), stand_at_ms=None)
    with pytest.raises(RefusedError, match="does not serve"):
        voter.insist(ReleaseRequested())
