"""A recovery is begun upon a word of this moment only, and judged anew until somebody takes it."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from standfast.api.cluster_status import DataRecord, HAClusterStatus
from standfast.api.words import ATTEST, RECOVER, Attestation, Recovery, Word
from standfast.controller.authorities import Authorities, Entry, Office
from standfast.controller.calling import Caller, Door
from standfast.controller.errands import Errands
from standfast.controller.listening import Line
from standfast.controller.members import Act
from standfast.controller.recoveries import _known
from standfast.controller.sites import Provision, Site
from standfast.controller.words import Words
from standfast.core.ids import BootId, MemberUid, Version
from standfast.core.record import Config, DataMode, Holder, Proof, Record
from standfast.core.recovering import Known, recovered_record
from standfast.wire import api, durable
from tests.unit.controller.test_groups import cluster
from tests.unit.core.small_world import A, B, W, config_of, member

PAIR = config_of(A, B, W)
NEWEST = Record(Version(3, 7), PAIR, Holder(A, BootId("a-1")), frozenset({A, B}))
MEMBERS = {f"node-{uid}": Entry(uid=uid, enrolled=True) for uid in (A, B, W)}
OFF = {A: Proof.ATTESTED, W: Proof.ATTESTED}


def ordered(term: int = 3) -> Record:
    return recovered_record(NEWEST, (member(B),), OFF, term)


class Noted:
    """Errands that are wanted and never run."""

    def __init__(self, running: tuple[str, ...] = ()) -> None:
        self.names: list[tuple[str, ...]] = []
        self.acts: list[Act] = []
        self.running = running

    def want(self, _: object, name: tuple[str, ...], act: Act, __: int = 0) -> bool:
        self.names.append(name)
        self.acts.append(act)
        return True

    def error(self, _: object, __: tuple[str, ...]) -> None:
        return None

    def runs(self, _: object, name: tuple[str, ...]) -> bool:
        return name[1] in self.running


def line(
    uid: MemberUid,
    config: Config = PAIR,
    term: int = 3,
    hears: MemberUid | None = None,
    halted: str = "",
) -> Line:
    status = api.MemberStatus(
        seq=1,
        member_uid=uid,
        name=uid,
        kind="data",
        boot_id="boot",
        run="run",
        agent_version="1",
        role="Standby",
        term=term,
        record_version=(term, 7),
        config=base64.b64encode(durable.encode_config(config)).decode(),
        incarnation=config.incarnation,
        halted=halted,
        suspects=(api.SuspectStatus(member=A, boot="a-1", term=3),),
        peers=() if hears is None else (api.PeerStatus(member=hears, reachable=True, boot="a-1"),),
    )
    return Line(cast("Door", None), status, heard=True)


def looked(
    *lines: Line,
    order: Record | None = None,
    age: timedelta | str = timedelta(0),
    running: str = "",
) -> tuple[Provision | None, list[tuple[str, ...]]]:
    """What a pass says and what it starts, after a person vouched for A and W."""
    at = age if isinstance(age, str) else (datetime.now(UTC) - age).isoformat()
    word = Recovery(approver="ada", at=at, incarnation=1, attested=("node-a", "node-w"))
    return passed(*lines, order=order, running=running, note=(RECOVER, word))


def passed(
    *lines: Line, note: tuple[str, Word], order: Record | None = None, running: str = ""
) -> tuple[Provision | None, list[tuple[str, ...]]]:
    """What a pass says and what it starts upon an annotation."""
    key, word = note
    declared = cluster().model_copy(deep=True)
    declared.metadata.annotations[key] = word.model_dump_json()
    recovery = None
    if order is not None:
        payload = base64.b64encode(durable.encode_record(order)).decode()
        recovery = api.Signed(payload=payload, signature="")
    site = SimpleNamespace(
        key="key",
        cluster=declared,
        declared=declared,
        office=cast(
            "Office",
            SimpleNamespace(register=SimpleNamespace(recovery=recovery, members=MEMBERS, lost=())),
        ),
        lines={each.status.member_uid: each for each in lines if each.status is not None},
        off=frozenset(),
    )
    noted = Noted((running,))
    authorities = cast("Authorities", SimpleNamespace(update=print))
    words = Words(authorities, cast("Caller", None), cast("Errands", noted))
    return words.look(cast("Site", site)), noted.names


def problem(found: Provision | None) -> str:
    assert found is not None
    assert found.stalled is not None
    return found.stalled.message


def test_f38_a_recovery_begins_upon_a_word_of_this_moment() -> None:
    assert looked(line(B)) == (None, [("recover", "1")])
    assert looked(line(B), age="2026-01-01T00:00:00")[1] == []


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6), "now"])
@pytest.mark.parametrize("order", [None, ordered()])
def test_f38_an_old_word_that_was_refused_once_recovers_nothing_later(
    age: timedelta | str, order: Record | None
) -> None:
    """It vouches for nodes by name: they are alive again by then, and may hold the lease."""
    found, started = looked(line(B), age=age, order=order)
    assert "that was good for 5 minutes" in problem(found)
    assert started == []
    assert looked(line(B), line(A), age=age, order=order) == (None, []), "it is over"


def test_f38_an_order_that_nobody_took_is_not_given_to_a_cluster_that_is_back() -> None:
    found, started = looked(line(B), line(A), order=ordered())
    assert "which is a majority" in problem(found)
    assert started == []


def test_f38_nobody_is_called_off_whom_those_who_are_left_hear() -> None:
    """The operator may be cut off from a node that the others hear."""
    found, started = looked(line(B, hears=A))
    assert "node-a is called off, but b is linked with it" in problem(found)
    assert started == []
    assert looked(line(B, hears=A), line(A, halted="reverted")) == (None, [("recover", "1")])


@pytest.mark.parametrize(("boot", "hears"), [("a-1", A), ("a-1", W), ("a-1", None)])
def test_nobody_is_vouched_off_whom_a_member_hears_in_that_boot(
    boot: str, hears: MemberUid | None
) -> None:
    word = Attestation(approver="ada", at="now", node=A, boot=boot)
    found, started = passed(line(B, hears=hears), note=(ATTEST, word))
    if hears == A:
        assert "but b is linked with it in that boot" in problem(found)
        assert started == []
    else:
        assert (found, started) == (None, [("attest", A, boot)])


async def test_each_run_of_a_member_is_told_once_what_a_person_vouched_for() -> None:
    """A suspicion stays as long as nobody holds: no reason to ask again and again."""
    word = Attestation(approver="ada", at="now", node=A, boot="a-1")
    told: list[str] = []

    class Sends:
        async def send(self, door: str, *_: object) -> api.Accepted:
            told.append(door)
            return api.Accepted(accepted=True)

    office = SimpleNamespace(
        register=SimpleNamespace(recovery=None, members={}),
        owner=SimpleNamespace(uid="c"),
        authority=SimpleNamespace(sign=lambda *_: b""),
    )
    b, w = line(B), line(W)
    b.door, w.door = cast("Door", "b"), cast("Door", "w")
    declared = cluster().model_copy(deep=True)
    declared.metadata.annotations[ATTEST] = word.model_dump_json()
    site = SimpleNamespace(
        key="key", cluster=declared, declared=declared, office=office, lines={"b": b, "w": w}
    )
    noted = Noted()
    words = Words(cast("Authorities", None), cast("Caller", Sends()), cast("Errands", noted))
    assert words.look(cast("Site", site)) is None
    await noted.acts.pop()()
    assert words.look(cast("Site", site)) is None
    assert (noted.acts, told) == ([], ["b", "w"])
    assert w.status is not None
    w.status = msgspec.structs.replace(w.status, run="another")
    words.look(cast("Site", site))
    await noted.acts.pop()()
    assert told == ["b", "w", "w"], "what it was told is gone with its run"


def test_f38_an_order_is_given_to_whom_it_names() -> None:
    assert looked(line(B), order=ordered()) == (None, [("recovered", B)])


def test_f38_an_order_of_a_term_that_was_seen_since_is_made_anew() -> None:
    """Or nobody could ever take it, and no other would be made in its place."""
    assert looked(line(B, term=4), order=ordered()) == (None, [("recover", "1")])
    given = looked(line(B, term=4), order=ordered(), running=B)
    assert given == (None, [("recovered", B)]), "while it is being given it stays"


def test_f38_an_order_that_somebody_took_is_given_to_the_rest_at_any_time() -> None:
    both = recovered_record(NEWEST, (member(B), member(W)), {A: Proof.ATTESTED}, 3)
    lines = (line(B, both.config, 4), line(W))
    found, started = looked(*lines, order=both, age=timedelta(days=9))
    assert (found, started) == (None, [("lost", A), ("recovered", W)]), "A joins as another"
    later = replace(both.config, incarnation=3)
    assert looked(line(B, later, 9), order=both) == (None, [("lost", A)])


def test_f38_who_was_no_member_when_the_recovery_came_joins_again_as_another() -> None:
    """It was removed before: no record calls it left out, and it answers nobody of this one."""
    gone = replace(PAIR, members=(member(A), member(B)))
    newest = replace(NEWEST, config=gone)
    order = recovered_record(newest, (member(B),), {A: Proof.ATTESTED}, 3)
    assert looked(line(B, order.config, 4), line(W), order=order) == (None, [("lost", A, W)])
    after = replace(order.config, members=(member(B), member(W)))
    assert looked(line(B, after, 4), line(W, after, 4), order=order) == (None, [("lost", A)])


def known(*lines: Line, data: DataMode, noted: DataRecord | None = None) -> Known | None:
    """What is known of the data when B is left with `NEWEST`."""
    found = cluster().model_copy(update={"status": HAClusterStatus(data_record=noted)})
    site = SimpleNamespace(
        cluster=found,
        office=SimpleNamespace(register=SimpleNamespace(members=MEMBERS)),
        lines={str(at): each for at, each in enumerate(lines)},
    )
    newest = replace(NEWEST, config=replace(PAIR, data=data))
    return _known(cast("Site", site), newest)


def said_last(uid: MemberUid, seq: int, in_sync: tuple[str, ...], position: int) -> Line:
    """A member that is silent now."""
    found = line(uid)
    assert found.status is not None
    found.status = msgspec.structs.replace(
        found.status, record_version=(3, seq), in_sync=in_sync, record_position=position
    )
    found.heard = False
    return found


def test_f38_what_the_lost_members_said_last_of_the_data_is_known() -> None:
    lines = (said_last(B, 7, ("a", "b"), 10), said_last(A, 9, ("a",), 20))
    for data in (DataMode.REPLICATED, DataMode.REPLICATED_ASYNC):
        assert known(*lines, data=data) == Known(Version(3, 9), frozenset({A}), 20)


def test_f38_what_an_operator_before_this_one_noted_is_known() -> None:
    noted = DataRecord(version="3.12", in_sync=("node-a",))
    found = known(line(B), data=DataMode.REPLICATED, noted=noted)
    assert found == Known(Version(3, 12), frozenset({A}))


def test_f38_asynchronous_data_of_a_node_that_was_never_heard_are_not_known() -> None:
    found = known(said_last(B, 7, ("b",), 10), data=DataMode.REPLICATED_ASYNC)
    assert found == Known(Version(3, 8), frozenset())
