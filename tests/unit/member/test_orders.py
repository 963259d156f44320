"""Orders of the cluster's authority are judged by the member itself, too."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from standfast.core.ids import BootId, MemberUid
from standfast.core.record import Member, MemberKind, Suspect
from standfast.core.state import Peer
from standfast.errors import RefusedError, TransientError
from standfast.member.duties import NoDuties
from standfast.member.links import Links
from standfast.member.orders import ATTESTED
from standfast.wire import api, durable
from tests.unit.member.parts import CLUSTER, Enroller, alone, membership_at

OLD = Suspect(MemberUid("x"), BootId("x-1"), 3)


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
    signed = api.Signed(
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(enroller.authority.sign(ATTESTED, payload)).decode(),
    )
    request = api.AttestedRequest(attested=signed)
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
