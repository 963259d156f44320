"""Members come and go, timers change, people vouch and consent: with processes, over real links.

The operator is played by the test: it signs with the cluster's authority and asks the members'
API. What is watched throughout is the history of the resources, which are files.
"""

import asyncio
import base64
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from standfast.core.change_plan import Step, Target, next_step
from standfast.core.ids import BootId, ClusterUid, MemberUid, Version
from standfast.core.messages import Consent
from standfast.core.record import Config, DataMode, Member, MemberKind, Proof, Record
from standfast.core.recovering import recovered_record
from standfast.core.timing import Profile, Timing
from standfast.member.orders import ATTESTED, CHANGE, CONSENT, JOIN, RECOVER
from standfast.wire import api, durable
from tests.integration.member_bed import (
    NET,
    VIP,
    WEB,
    ApiError,
    Bed,
    Party,
    boottime_ms,
    serving_pair,
)

pytestmark = pytest.mark.timeout(120)


def signed(bed: Bed, purpose: str, payload: bytes) -> api.Signed:
    return api.Signed(
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(bed.authority.sign(purpose, payload)).decode(),
    )


async def config_of(bed: Bed, party: Party) -> Config:
    return durable.decode_config(base64.b64decode((await bed.status(party)).config))


async def record_of(bed: Bed, party: Party) -> Record:
    answer = await bed.ask(party, "GET", api.RECORD_PATH, api.RecordAnswer)
    return durable.decode_record(base64.b64decode(answer.record))


async def join(bed: Bed, party: Party, active: Party) -> None:
    record = durable.encode_record(await record_of(bed, active))
    request = api.JoinRequest(record=signed(bed, JOIN, record))
    await bed.ask(party, "PUT", api.JOIN_PATH, api.Accepted, request)


async def change(bed: Bed, active: Party, config: Config) -> api.Accepted:
    """As the operator does: asked again while a new member is not linked yet."""
    request = api.ChangeRequest(config=signed(bed, CHANGE, durable.encode_config(config)))
    while True:
        try:
            return await bed.ask(active, "PUT", api.CHANGE_PATH, api.Accepted, request)
        except ApiError as error:
            if error.status != 503:
                raise
            await asyncio.sleep(0.05)


async def leave(bed: Bed, party: Party) -> None:
    """As the operator does: asked again until the last promise of the member is over."""
    async with asyncio.timeout(20):
        while True:
            try:
                await bed.ask(party, "DELETE", api.cluster_path(bed.cluster, party.uid), api.Done)
            except ApiError as error:
                if error.status != 503:
                    raise
                await asyncio.sleep(0.2)
            else:
                return


def member_of(party: Party) -> Member:
    return Member(MemberUid(party.uid), party.name, party.kind, party.paths)


async def bring_to(bed: Bed, active: Party, *parties: Party, timing: Timing | None = None) -> None:
    """Every step of the plan, until it is in force."""
    target = Target(tuple(map(member_of, parties)), timing or bed.timing)
    heard = frozenset(MemberUid(party.uid) for party in bed.parties.values())
    async with asyncio.timeout(20):
        while True:
            found = next_step(await config_of(bed, active), MemberUid(active.uid), target, heard)
            if found is None:
                break
            if isinstance(found, Step):
                await change(bed, active, found.config)
            await asyncio.sleep(0.02)
    await bed.until(active, lambda s: s.config_committed)


def newcomer(bed: Bed, name: str, last: int, kind: MemberKind = MemberKind.DATA) -> Party:
    party = Party(name, f"{NET}.{bed.subnet}.{last}", bed.directory / name, kind)
    bed.parties[name] = party
    return party


def has_config(config_id: str, status: api.MemberStatus) -> bool:
    return status.config_id == config_id


def outages(party: Party, since_ms: int) -> list[str]:
    """What a service suffered that should have run throughout."""
    return [
        str(line["what"])
        for line in party.history()
        if int(str(line["at_ms"])) >= since_ms and line["what"] != "extended"
    ]


async def test_a_third_node_is_added_and_takes_over_later(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 41) as bed:
        active, began_ms = await bed.active(), boottime_ms()
        third = newcomer(bed, "c", 14)
        await bed.enrol(third)
        await join(bed, third, active)
        await bring_to(bed, active, *bed.parties.values())
        await bed.declare(WEB, VIP)
        for party in bed.parties.values():
            await bed.until(party, lambda s: len(s.peers) == 3)
        ids = {(await bed.status(p)).config_id for p in bed.parties.values()}
        assert len(ids) == 1
        assert outages(active, began_ms) == []
        active.signal(signal.SIGKILL)
        assert await bed.active(30) is not active


@pytest.mark.parametrize("profile", [Profile.FAST, Profile.TOLERANT])
async def test_timers_change_under_a_running_service(tmp_path: Path, profile: Profile) -> None:
    subnet = 42 if profile is Profile.FAST else 43
    async with serving_pair(tmp_path, subnet) as bed:
        active, began_ms = await bed.active(), boottime_ms()
        parties = tuple(bed.parties.values())
        await bring_to(bed, active, *parties, timing=profile.timing)
        for party in parties:
            config_id = (await bed.status(active)).config_id
            await bed.until(party, partial(has_config, config_id))
            assert (await config_of(bed, party)).timing == profile.timing
        assert outages(active, began_ms) == []
        old = active
        old.signal(signal.SIGKILL)
        await bed.until(bed.other(old), lambda s: s.role == "Active", 30)


async def test_a_witness_is_added_and_removed_and_forgets(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 44) as bed:
        active, began_ms = await bed.active(), boottime_ms()
        old_parties = tuple(bed.parties.values())
        second = newcomer(bed, "v", 15, MemberKind.WITNESS)
        await bed.enrol(second)
        await join(bed, second, active)
        await bring_to(bed, active, *bed.parties.values())
        await bring_to(bed, active, *old_parties)
        await bed.ask(second, "DELETE", api.cluster_path(bed.cluster, "another"), api.Done)
        assert (await bed.status(second)).config_id, "who has joined since stays"
        await leave(bed, second)
        status = await bed.ask(
            second,
            "GET",
            api.WITNESS_PATH,
            api.WitnessStatus,
            name=f"witness.{bed.witness_uid}.standfast",
        )
        assert status.clusters == ()
        assert outages(active, began_ms) == []


async def test_a_standby_is_removed_and_leaves_nothing(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 45) as bed:
        active, began_ms = await bed.active(), boottime_ms()
        standby = bed.other(active)
        with pytest.raises(ApiError, match="still renews its lease") as early:
            await bed.ask(standby, "DELETE", api.cluster_path(bed.cluster), api.Done)
        assert early.value.status == 503
        await bring_to(bed, active, active, bed.parties["w"])
        gone = api.cluster_path(bed.cluster)
        with pytest.raises(ApiError, match="holds the lease") as refused:
            await bed.ask(active, "DELETE", gone, api.Done)
        assert refused.value.status == 409
        await leave(bed, standby)
        assert standby.process is not None
        assert await asyncio.to_thread(standby.process.wait, 10) == 0
        left = {path.name for path in (standby.directory / "state").iterdir()}
        assert left.isdisjoint({"journal", "member.json", "identity", "declared.json"})
        assert outages(active, began_ms) == []
        await bed.enrol(standby)  # with another uid, and welcome
        await join(bed, standby, active)
        await bring_to(bed, active, *bed.parties.values())


async def test_f20_a_disk_that_lost_its_votes_never_votes_under_the_old_uid(
    tmp_path: Path,
) -> None:
    async with serving_pair(tmp_path, 46) as bed:
        active = await bed.active()
        standby = bed.other(active)
        standby.signal(signal.SIGKILL)
        (standby.directory / "state" / "journal").unlink()
        standby.start()
        await bed.until(standby, lambda s: s.role == "Unconfigured")
        request = bed.signed(bed.config())
        with pytest.raises(ApiError, match="its journal is gone"):
            await bed.ask(standby, "PUT", api.CONFIG_PATH, api.Accepted, request)
        with pytest.raises(ApiError, match="could vote twice"):
            await join(bed, standby, active)
        old_uid = standby.uid
        standby.signal(signal.SIGKILL)
        shutil.rmtree(standby.directory / "state")
        await bed.enrol(standby)
        assert standby.uid != old_uid
        lost = frozenset({MemberUid(old_uid)})
        heard = frozenset(MemberUid(p.uid) for p in (active, bed.parties["w"]))
        target = Target(
            tuple(map(member_of, (active, bed.parties["w"]))),
            bed.timing,
            missing=("b",),
            lost=lost,
        )
        found = next_step(await config_of(bed, active), MemberUid(active.uid), target, heard)
        assert isinstance(found, Step)
        await change(bed, active, found.config)
        await bed.until(active, lambda s: s.config_committed and len(s.peers) == 1)
        await join(bed, standby, active)
        await bring_to(bed, active, *bed.parties.values())
        await bed.until(standby, lambda s: s.role == "Standby")


async def test_what_a_change_may_not_do(tmp_path: Path) -> None:
    """Unsigned, unreachable, asked of the wrong node: refused, and nothing moves."""
    async with serving_pair(tmp_path, 47) as bed:
        active = await bed.active()
        before = await config_of(bed, active)
        stranger = replace(before.members[0], uid=MemberUid("x"), addresses=("127.0.0.1:9",))
        more = replace(before, members=(*before.members, stranger))
        request = api.ChangeRequest(config=signed(bed, CHANGE, durable.encode_config(more)))
        with pytest.raises(ApiError, match="not linked with this node yet") as waits:
            await bed.ask(active, "PUT", api.CHANGE_PATH, api.Accepted, request)
        assert waits.value.status == 503
        wrong = api.ChangeRequest(config=signed(bed, JOIN, durable.encode_config(more)))
        with pytest.raises(ApiError, match="is not signed by the authority"):
            await bed.ask(active, "PUT", api.CHANGE_PATH, api.Accepted, wrong)
        fast = replace(before, timing=Profile.FAST.timing)
        with pytest.raises(ApiError, match="this node does not serve"):
            await change(bed, bed.other(active), fast)
        with pytest.raises(ApiError, match="was made from config"):
            await change(bed, active, replace(fast, id=Version(9, 9)))
        with pytest.raises(ApiError, match="token is 0"):
            await bed.ask(active, "PUT", api.CHANGE_PATH, api.Accepted, request, token=0)
        assert await config_of(bed, active) == before
        bed.parties["w"].signal(signal.SIGKILL)
        await bed.until(active, lambda s: sum(p.reachable for p in s.peers) == 1)
        alone = replace(
            before, members=tuple(m for m in before.members if m.name != bed.other(active).name)
        )
        with pytest.raises(ApiError, match="would end the lease"):
            await change(bed, active, alone)


async def test_f98_a_consent_lets_one_candidate_lead_once(tmp_path: Path) -> None:
    """Nothing is known of how far the standby is behind: nobody leads until a person says so."""
    async with serving_pair(tmp_path, 48, data=DataMode.REPLICATED_ASYNC) as bed:
        active = await bed.active()
        standby = bed.other(active)
        with pytest.raises(ApiError, match="a node holds the lease"):
            await bed.ask(standby, "POST", api.CHALLENGE_PATH, api.ChallengeAnswer)
        active.signal(signal.SIGKILL)
        await bed.until(standby, lambda s: s.holder is None)
        drawn = await bed.ask(standby, "POST", api.CHALLENGE_PATH, api.ChallengeAnswer)
        assert drawn.hindrance == "Behind"
        consent = Consent(
            MemberUid(standby.uid),
            BootId(drawn.boot),
            drawn.term_min,
            Version(*map(int, drawn.record.split("."))),
            "ada",
        )
        word = durable.SignedConsent(
            cluster=ClusterUid(bed.cluster),
            challenge=drawn.challenge,
            consent=consent,
            lifetime_ms=60_000,
        )

        async def give(what: durable.SignedConsent, purpose: str = CONSENT) -> api.Accepted:
            request = api.ConsentRequest(
                consent=signed(bed, purpose, durable.encode_consent(what))
            )
            return await bed.ask(standby, "PUT", api.CONSENT_PATH, api.Accepted, request)

        other = replace(consent, boot=BootId("another"))
        for bad, said in (
            (replace_word(word, challenge="guessed"), "answers no challenge"),
            (replace_word(word, lifetime_ms=0), "came"),
            (replace_word(word, consent=other), "is for member, boot and record"),
        ):
            with pytest.raises(ApiError, match=said) as refused:
                await give(bad)
            assert refused.value.status == 409
        with pytest.raises(ApiError, match="is not signed by the authority"):
            await give(word, ATTESTED)
        await give(word)
        await bed.until(standby, lambda s: s.role == "Active")
        assert (await record_of(bed, standby)).consented
        with pytest.raises(ApiError):
            await give(word)
        log = await bed.ask(standby, "GET", f"{api.LOG_PATH}?after=0", api.LogAnswer)
        (entry,) = [each for each in log.entries if each.kind == "Consented"]
        assert entry.fields["approver"] == "ada"


def replace_word(word: durable.SignedConsent, **changes: object) -> durable.SignedConsent:
    return msgspec.structs.replace(word, **changes)


async def test_a_person_vouches_that_a_node_is_off(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 49) as bed:
        old = await bed.active()
        boot = (await bed.status(old)).boot_id
        old.signal(signal.SIGKILL)
        new = bed.other(old)
        await bed.until(new, lambda s: s.role == "Active" and bool(s.suspects))
        word = durable.Attestation(
            cluster=ClusterUid(bed.cluster),
            member=MemberUid(old.uid),
            boot=BootId(boot),
            approver="ada",
            at="now",
        )
        request = api.AttestedRequest(
            attested=signed(bed, ATTESTED, durable.encode_attestation(word))
        )
        answer = await bed.ask(new, "POST", api.ATTESTED_PATH, api.Accepted, request)
        assert answer.accepted
        await bed.until(new, lambda s: not s.suspects)
        cleared = (await record_of(bed, new)).cleared
        assert [each.proof for each in cleared] == [Proof.ATTESTED]
        log = await bed.ask(new, "GET", f"{api.LOG_PATH}?after=0", api.LogAnswer)
        (entry,) = [each for each in log.entries if each.kind == "Attested"]
        assert entry.fields["approver"] == "ada"


async def test_f38_recovered_after_a_majority_is_lost_for_good(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 50) as bed:
        old = await bed.active()
        left, witness = bed.other(old), bed.parties["w"]
        old.signal(signal.SIGKILL)
        witness.signal(signal.SIGKILL)
        await bed.until(left, lambda s: s.holder is None)
        newest = await record_of(bed, left)
        term = (await bed.status(left)).term
        proofs = {MemberUid(p.uid): Proof.ATTESTED for p in (old, witness)}
        record = recovered_record(newest, (member_of(left),), proofs, term)
        request = api.RecoverRequest(config=signed(bed, RECOVER, durable.encode_record(record)))
        for _ in range(2):
            done = await bed.ask(left, "PUT", api.RECOVER_PATH, api.Accepted, request)
            assert done.accepted
        status = await bed.until(left, lambda s: s.role == "Active")
        assert status.incarnation == 2
        began_ms = boottime_ms()
        old.start()
        witness.start()
        third = newcomer(bed, "c", 16)
        await bed.enrol(third)
        await join(bed, third, left)
        await bring_to(bed, left, left, third)
        for party in (old, witness):
            await bed.until(party, lambda s: "left out" in s.halted)
        assert outages(left, began_ms) == []
