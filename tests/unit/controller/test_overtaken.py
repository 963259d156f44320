"""A recovery that some took and others can take no more: made anew, or told why not."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from standfast.api.words import RECOVER, Recovery
from standfast.controller import overtaken
from standfast.controller.calling import Door
from standfast.controller.listening import Line
from standfast.core.ids import BootId, MemberUid, Version
from standfast.core.record import Config, Holder, Proof, Record
from standfast.core.recovering import recovered_record
from standfast.wire.api import MemberStatus
from tests.unit.controller.test_words import line, passed, problem
from tests.unit.core.small_world import A, B, C, W, X, config_of, member

FIVE = config_of(A, B, C, W, X)
NEWEST = Record(Version(3, 7), FIVE, Holder(C, BootId("c-1")), frozenset({A, B}))
OFF = dict.fromkeys((C, W, X), Proof.ATTESTED)
ORDER = recovered_record(NEWEST, (member(A), member(B)), OFF, 3)
OUT = frozenset({C, W, X})


def status(uid: MemberUid, *, took: bool = False, term: int = 9, **changes: Any) -> MemberStatus:
    """A member of the new incarnation when it took the order, else of the old one."""
    config = ORDER.config if took else FIVE
    version = ORDER.version if took else Version(3, 7)
    found = line(uid, config, term).now
    assert found is not None
    return msgspec.structs.replace(found, record_version=tuple(version), **changes)


def said(
    *heard: MemberStatus,
    proven: frozenset[MemberUid] = OUT,
    order: Record = ORDER,
    before: Config = FIVE,
) -> str:
    found = overtaken.hindrance(order, heard, before, proven, "orders")
    return "" if found is None else " / ".join(found)


def test_who_has_seen_a_later_term_is_late_and_whoever_has_not_is_not() -> None:
    took, behind = status(A, took=True), status(B)
    assert overtaken.takers(ORDER, [took, behind]) == [took]
    assert overtaken.late(ORDER, [took, behind, status(C)]) == [behind], "C is not named"
    assert overtaken.late(ORDER, [took, status(B, term=ORDER.version.term - 1)]) == []
    assert overtaken.late(ORDER, [took, status(B, halted="left out")]) == []


def test_it_is_made_anew_when_everybody_else_is_vouched_for_again() -> None:
    took, behind = status(A, took=True), status(B)
    assert said(took, behind) == ""
    assert "node-c, node-x is not among those who go on" in said(
        took, behind, proven=frozenset({W})
    )
    stopped = status(C, halted="left out"), status(X, role="Unconfigured")
    assert said(took, behind, *stopped, proven=frozenset({W})) == ""


def test_a_majority_that_took_it_goes_on_and_the_other_joins_anew() -> None:
    three = recovered_record(NEWEST, tuple(map(member, (A, B, C))), OFF, 3)
    found = said(status(A, took=True), status(C, took=True), status(B), order=three)
    assert "a, c go on in incarnation 2, and b has voted in the old one since" in found
    assert found.endswith("kubectl standfast replace orders b")


@pytest.mark.parametrize(
    ("heard", "sentence"),
    [
        ((status(B),), "a does not answer, and may have taken the recovery"),
        ((status(A, took=True, halted="x"), status(B)), "a does not answer"),
        ((status(A, took=True), status(B, holder=True)), "a node holds the lease"),
    ],
)
def test_in_doubt_it_is_not_made_anew(heard: tuple[MemberStatus, ...], sentence: str) -> None:
    assert sentence in said(*heard)


def test_it_is_not_made_anew_of_other_members() -> None:
    """One that names A and B, and one that names B alone: each has a majority of its own."""
    found = said(status(A, took=True), status(B), before=config_of(B, C, W, X))
    assert found.startswith("node-a was removed from the members that b goes by")
    assert found.endswith("kubectl standfast replace orders node-a")


def test_who_has_gone_on_from_it_is_left_alone() -> None:
    gone = msgspec.structs.replace(status(A, took=True), record_version=(5, 1))
    assert "has gone on from the recovery already" in said(gone, status(B))


@pytest.mark.parametrize("incarnation", [1, 2])
def test_f38_a_person_who_says_it_again_finishes_it(incarnation: int) -> None:
    """Whichever incarnation the status showed: that of those who took it, or of the others."""
    now = datetime.now(UTC)
    for age, begun in ((timedelta(0), True), (timedelta(minutes=6), False)):
        word = Recovery(
            approver="ada",
            at=(now - age).isoformat(),
            incarnation=incarnation,
            attested=("node-c", "node-w", "node-x"),
        )
        took = status(A, took=True, term=ORDER.version.term)
        found, started = passed(_line(took), _line(status(B)), note=(RECOVER, word), order=ORDER)
        if begun:
            assert (found, started) == (None, [("recover", "again", "4")])
        else:
            assert "whom it called off must be vouched for again" in problem(found)
            assert started == []


def _line(said: MemberStatus) -> Line:
    return Line(cast("Door", None), said, heard=True)
