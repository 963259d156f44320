"""A membership: enrolment, the first config, renewal, restart; what is refused changes nothing."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from standfast.adapters import pki
from standfast.adapters.fakes import FakeClock
from standfast.core.events import LocalChanged, Stopped
from standfast.core.ids import BootId, MemberUid
from standfast.core.record import Member, MemberKind
from standfast.core.state import Local, Promise
from standfast.core.timing import Profile
from standfast.errors import RefusedError, UserError
from standfast.member.duties import NoDuties
from standfast.member.membership import Membership
from standfast.wire import api
from tests.unit.member.parts import (
    CLUSTER,
    Enroller,
    alone,
    config_of,
    drain,
    membership_at,
    pass_time,
)

Open = Callable[[], Membership]


@pytest.fixture
async def reopen(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the membership anew, as a new run of the witness would; closes the one before."""
    opened: list[Membership] = []

    def make() -> Membership:
        for old in opened:
            if old._journal is not None:
                old._journal.close()
        opened.append(membership_at(tmp_path, MemberKind.WITNESS))
        opened[-1].open(lambda _: NoDuties())
        return opened[-1]

    yield make
    for each in opened:
        await each.process.mailbox.close()
        each.chronicle.close()


async def test_enrolment_draws_a_uid_once(reopen: Open) -> None:
    first = reopen()
    answer = first.credentials.make_request(first.process.boot)
    assert first.credentials.make_request(first.process.boot) == answer
    again = reopen().credentials.make_request(first.process.boot)
    assert (again.member_uid, again.csr.splitlines()[0]) == (
        answer.member_uid,
        "-----BEGIN CERTIFICATE REQUEST-----",
    )


async def test_a_certificate_puts_the_identity_in_force(reopen: Open) -> None:
    membership, enroller, told = reopen(), Enroller(), []
    membership.credentials.on_enrolled = lambda: told.append(1)
    enroller.certify(membership)
    uid = membership.credentials.make_request(membership.process.boot).member_uid
    assert membership.process.identities.names() == [f"{uid}.{CLUSTER}.standfast"]
    assert told == [1]
    assert reopen().credentials.identity == membership.credentials.identity


async def test_certificates_that_are_not_ours_are_refused(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    request = api.CertificateRequest(ca=enroller.authority.certificate, certificate="x")
    with pytest.raises(RefusedError, match="no signing request was made"):
        membership.credentials.take_certificate(request)
    answer = membership.credentials.make_request(membership.process.boot)
    now = datetime.now(UTC)
    mine = pki.Member(answer.member_uid, CLUSTER)
    wrong_name = enroller.authority.issue(pki.Member("other", CLUSTER), now).certificate
    wrong_key = enroller.authority.issue(mine, now).certificate
    right = enroller.authority.sign_request(answer.csr, mine, now)
    for certificate, ca, said in (
        (wrong_name, enroller.authority.certificate, "the certificate names other"),
        (wrong_key, enroller.authority.certificate, "another key"),
        (right, Enroller().authority.certificate, "not signed by the authority"),
        ("nonsense", enroller.authority.certificate, "does not read"),
    ):
        with pytest.raises(UserError, match=said):
            membership.credentials.take_certificate(
                api.CertificateRequest(ca=ca, certificate=certificate)
            )
    assert membership.credentials.identity is None


async def test_a_renewal_takes_a_new_key(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    enroller.certify(membership)
    before = membership.credentials.identity
    enroller.certify(membership)
    assert membership.credentials.identity is not None
    assert before is not None
    assert membership.credentials.identity.key != before.key


async def test_the_first_config_begins_votes_and_survives_a_restart(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    enroller.certify(membership)
    request = enroller.signed(alone(membership))
    accepted = membership.take_config(request)
    assert accepted == api.Accepted(accepted=True, config_id="0.0")
    assert membership.take_config(request).accepted, "the same again is fine"
    await drain(membership)
    again = reopen()
    assert again.voter is not None
    assert again.voter.state.record.config == alone(membership)
    assert again.voter.state.durable.generation == 2


async def test_the_votes_of_another_uid_are_not_taken_up(reopen: Open) -> None:
    """A member that left was cut off while it forgot, and was enrolled anew."""
    membership, enroller = reopen(), Enroller()
    enroller.certify(membership)
    membership.take_config(enroller.signed(alone(membership)))
    await drain(membership)
    (membership.store.directory / "member.json").unlink()
    again = reopen()
    enroller.certify(again)
    third = reopen()
    assert third.voter is None
    third.take_config(enroller.signed(alone(third)))
    last = reopen().voter
    assert last is not None
    assert third.credentials.enrolment is not None
    assert last.state.me == third.credentials.enrolment.member_uid


async def test_configs_that_cannot_be_are_refused(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    with pytest.raises(RefusedError, match="no certificate"):
        membership.take_config(enroller.signed(config_of()))
    enroller.certify(membership)
    good = alone(membership)
    me = good.members[0]
    stranger = Member(pki_uid("x"), "x", MemberKind.WITNESS)
    timing = replace(Profile.NORMAL.timing, guard_ms=1)
    for config, said in (
        (replace(good, cluster="c2"), "the config is of cluster c2"),
        (replace(good, members=(stranger,)), "does not name it"),
        (replace(good, members=(replace(me, kind=MemberKind.DATA),)), "calls it a data member"),
        (replace(good, timing=timing), "set guardMs to 631"),
    ):
        with pytest.raises(UserError, match=said):
            membership.take_config(enroller.signed(config))
    with pytest.raises(RefusedError, match="not signed by the authority"):
        membership.take_config(Enroller().signed(good))
    signed = enroller.signed(good).config
    for payload in ("!", "YQ=="):
        broken = api.SignedConfig(payload=payload, signature=signed.signature)
        with pytest.raises((UserError, RefusedError)):
            membership.take_config(api.ConfigRequest(config=broken))
    assert membership.voter is None
    assert not membership.store.journal.exists()


def pki_uid(uid: str) -> str:
    return uid


async def test_a_second_first_config_is_refused(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    enroller.certify(membership)
    good = alone(membership)
    membership.take_config(enroller.signed(good))
    other = replace(good, timing=Profile.FAST.timing)
    with pytest.raises(RefusedError, match="has a first config already"):
        membership.take_config(enroller.signed(other))


async def test_an_older_token_is_refused_also_after_a_restart(reopen: Open) -> None:
    membership = reopen()
    membership.check_token(5)
    membership.check_token(5)
    with pytest.raises(RefusedError, match="token is 4, and this member has seen 5"):
        membership.check_token(4)
    with pytest.raises(RefusedError):
        reopen().check_token(4)


async def test_a_fence_names_a_member(reopen: Open) -> None:
    membership, enroller = reopen(), Enroller()
    request = api.FencedRequest(member="x", boot="b", evidence="power off task 7")
    with pytest.raises(RefusedError, match="no config"):
        membership.fenced(request)
    enroller.certify(membership)
    good = alone(membership)
    other = Member(pki_uid("x"), "x", MemberKind.DATA)
    membership.take_config(enroller.signed(replace(good, members=(*good.members, other))))
    membership.fenced(request)
    assert membership.voter is not None
    assert [fenced.boot for fenced in membership.voter.state.durable.fenced] == ["b"]
    with pytest.raises(UserError, match="nobody is no member"):
        membership.fenced(api.FencedRequest(member="nobody", boot="b", evidence=""))


async def test_f17_a_holder_that_is_told_of_a_stun_asks_for_longer_and_goes_back(
    tmp_path: Path,
) -> None:
    """Also when whoever told it never comes back."""
    membership, enroller = membership_at(tmp_path, MemberKind.DATA), Enroller()
    membership.open(lambda _: NoDuties())
    enroller.certify(membership)
    membership.take_config(enroller.signed(alone(membership)))
    with pytest.raises(RefusedError, match="does not hold the lease"):
        membership.brace(api.BraceRequest(for_ms=15_000))
    voter = membership.voter
    assert voter is not None
    voter.take(Stopped())
    voter.take(LocalChanged(Local(eligible=True)))
    await pass_time(membership, 1000)
    timing = Profile.NORMAL.timing

    def asked_ms() -> int:
        assert voter.state.holding is not None
        return voter.state.holding.ttl_ms

    assert asked_ms() == timing.ttl_ms
    for _ in range(2):
        membership.brace(api.BraceRequest(for_ms=15_000, reason="createSnapshot"))
        assert asked_ms() == timing.ttl_max_ms
        await pass_time(membership, 14_000)
        assert asked_ms() == timing.ttl_max_ms
    await pass_time(membership, 2000)
    assert asked_ms() == timing.ttl_ms
    membership.brace(api.BraceRequest(for_ms=10**9))
    await pass_time(membership, 61_000)
    assert asked_ms() == timing.ttl_ms
    membership.brace(api.BraceRequest(for_ms=15_000))
    membership.brace(api.BraceRequest(for_ms=0))
    assert asked_ms() == timing.ttl_ms
    membership.ask_for_ttl("quiesce", 5000)
    membership.brace(api.BraceRequest(for_ms=15_000))
    assert asked_ms() == timing.ttl_max_ms, "of two wishes the longer one"
    membership.brace(api.BraceRequest(for_ms=0))
    assert asked_ms() == 5000, "the other one goes on"
    membership.ask_for_ttl("quiesce", 0)
    assert asked_ms() == timing.ttl_ms
    kinds = [entry.kind for entry in membership.chronicle.after(0)]
    assert [kind for kind in kinds if "raced" in kind] == ["Braced", "Unbraced"] * 4
    await membership.process.mailbox.close()
    await membership.close()


async def test_a_certificate_that_runs_out_is_said_weeks_before(tmp_path: Path) -> None:
    membership, enroller = membership_at(tmp_path, MemberKind.WITNESS), Enroller()
    membership.open(lambda _: NoDuties())
    enroller.certify(membership)
    membership.tick()
    assert membership.chronicle.alerts() == ()
    membership.credentials.not_after = datetime.now(UTC) + timedelta(days=3)
    clock = membership.process.clock
    assert isinstance(clock, FakeClock)
    clock.advance(3_600_000)
    membership.tick()
    assert [alert.reason for alert in membership.chronicle.alerts()] == ["CertificateExpires"]
    enroller.certify(membership)
    membership.tick()
    assert membership.chronicle.alerts() == ()


async def test_the_end_of_a_promise_is_told_when_it_comes(reopen: Open) -> None:
    """No message comes with it, and whoever reads the status waits for news."""
    membership, enroller = reopen(), Enroller()
    enroller.certify(membership)
    membership.take_config(enroller.signed(alone(membership)))
    await drain(membership)
    voter, board = membership.voter, membership.board
    assert voter is not None
    now_ms = membership.process.clock.now_ms()
    promise = Promise(MemberUid("a"), BootId("a-boot-1"), 1, now_ms + 1000)
    voter.state = replace(voter.state, promise=promise)
    membership._stepped()
    await drain(membership)
    told = board.seq
    voter.state = replace(voter.state, promise=replace(promise, until_ms=now_ms + 1500))
    membership._stepped()
    await pass_time(membership, 1499)
    assert (voter.somebody_holds, board.seq) == (True, told)
    await pass_time(membership, 1)
    assert (voter.somebody_holds, board.seq) == (False, told + 1)
    voter.state = replace(voter.state, promise=replace(promise, until_ms=now_ms + 3000))
    membership._stepped()
    await drain(membership)
    assert (voter.somebody_holds, board.seq) == (True, told + 2)
