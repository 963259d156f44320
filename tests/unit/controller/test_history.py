"""Moves, told from the logs of the nodes that can be read."""

from datetime import UTC, datetime, timedelta

import pytest

from standfast.controller.history import SWITCHOVER, moves, record_of
from standfast.core.record import DataMode
from standfast.wire.api import LogEntry

NAMES = {"uid-a": "a", "uid-b": "b"}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def log(*entries: tuple[str, dict[str, str | int]]) -> list[LogEntry]:
    return [
        LogEntry(
            seq=place + 1,
            at=BEGAN + timedelta(milliseconds=100 * place),
            kind=kind,
            message=kind,
            fields=fields,
        )
        for place, (kind, fields) in enumerate(entries)
    ]


def tenure(term: int, follows: str = "") -> tuple[tuple[str, dict[str, str | int]], ...]:
    return (
        ("LeaseWon", {"term": term}),
        ("RecordCommitted", {"term": term, "peer": follows}),
        ("Serving", {"term": term}),
    )


def test_f70_a_move_is_told_while_the_log_of_the_lost_node_cannot_be_read() -> None:
    """The operator began after the failover, and the old active is still dead."""
    (move,) = moves({"b": log(*tenure(5, "uid-a"))}, NAMES, {})
    assert (move.from_, move.to, move.term) == ("a", "b", 5)
    assert not move.complete
    assert not move.planned


def test_a_move_is_complete_once_the_lost_node_has_told_its_end() -> None:
    lost = log(*tenure(4), ("LeaseLost", {"term": 4, "reason": "LeaseExpired"}))
    (move,) = moves({"a": lost, "b": log(*tenure(5, "uid-a"))}, NAMES, {})
    assert move.complete
    assert move.cause == "LeaseExpired"


def test_a_node_that_stands_again_has_not_moved() -> None:
    assert moves({"a": log(*tenure(4), *tenure(5, "uid-a"))}, NAMES, {}) == []


def test_a_requested_release_is_a_planned_move() -> None:
    released = log(*tenure(4), ("ReleaseRequested", {}), ("Released", {"term": 4}))
    (move,) = moves({"a": released, "b": log(*tenure(5, "uid-a"))}, NAMES, {})
    assert move.planned


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("Switchover to-b: x", SWITCHOVER), ("maintenance", "Maintenance"), ("failback", "Failback")],
)
def test_a_planned_move_says_who_wanted_it(reason: str, cause: str) -> None:
    released = log(*tenure(4), ("ReleaseRequested", {"reason": reason}), ("Released", {"term": 4}))
    (move,) = moves({"a": released, "b": log(*tenure(5, "uid-a"))}, NAMES, {})
    assert (move.cause, move.planned) == (cause, True)


def test_the_outage_counts_from_the_last_word_of_the_old_node() -> None:
    served = tenure(5, "uid-a")[:-1]
    (move,) = moves({"b": log(*served, ("Serving", {"term": 5, "outage_ms": 1640}))}, NAMES, {})
    assert move.outage_ms == 1640
    told = record_of(move, DataMode.NONE)
    assert (told.outage_ms, told.took_ms) == (1640, 200)
    assert "1.64 s after the last word of a" in (told.message or "")


def test_what_an_asynchronous_takeover_may_have_lost_is_told_by_what_the_node_lacked() -> None:
    served = tenure(5, "uid-a")[:-1]
    known = log(*served, ("Serving", {"term": 5, "lacked_bytes": 3 << 10}))
    (move,) = moves({"b": known}, NAMES, {})
    loss = record_of(move, DataMode.REPLICATED_ASYNC, loss_max=1 << 20).data_loss
    assert loss is not None
    assert (loss.known.value, loss.bytes_max) == ("Bounded", 3 << 10)
    assert (loss.message or "").startswith("3.0 KiB of what the members had last agreed on")
    (move,) = moves({"b": log(*tenure(5, "uid-a"))}, NAMES, {})
    loss = record_of(move, DataMode.REPLICATED_ASYNC, loss_max=1 << 20).data_loss
    assert loss is not None
    assert loss.bytes_max == 1 << 20
    assert (loss.message or "").startswith("at most 1.0 MiB of what")


def test_a_first_tenure_is_no_move() -> None:
    assert moves({"a": log(*tenure(1))}, NAMES, {}) == []


def test_f98_a_consent_names_who_gave_it_and_what_was_shown_as_lost() -> None:
    said: dict[str, str | int] = {
        "approver": "ada, today",
        "record": "3.7",
        "error": "every write since noon",
    }
    logs = {"a": log(*tenure(3)), "b": log(("Consented", said), *tenure(4, "uid-a"))}
    (move,) = moves(logs, NAMES, {})
    assert move.approved_by == "ada, today"
    assert "every write since noon" in move.evidence[0]
    record = record_of(move, DataMode.REPLICATED)
    assert record.approved_by == "ada, today"
    assert record.data_loss is not None
    assert record.data_loss.known.value == "Unknown"
    assert record.data_loss.message == "a person consented: every write since noon"
    later = {"a": log(*tenure(5, "uid-b")), "b": [*logs["b"]]}
    assert moves(later, NAMES, {})[-1].approved_by == ""
