"""The patches of a round of maintenance, when they are refused, and what `next` prints."""

from datetime import UTC, datetime

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens

from standfast.api.cluster import HACluster
from standfast.api.rolling import (
    NodeTurn,
    RollingMaintenance,
    RollingNode,
    RollingPhase,
    RollingStatus,
    WorkDone,
)
from standfast.cli.rolling import begin_patch, done_patch, end_patch, go_on_patch, lines, told
from standfast.errors import RefusedError, TransientError, UserError

AT = datetime(2026, 11, 24, tzinfo=UTC)
WORKING = RollingStatus(
    name="os",
    phase=RollingPhase.WORKING,
    node="vm-b",
    nodes=(
        RollingNode(name="vm-b", turn=NodeTurn.WORKING),
        RollingNode(name="vm-a", turn=NodeTurn.PENDING),
    ),
    since=AT,
    reason="RollingWork",
    message="vm-b is out",
    remedy="do it",
)


def cluster(
    status: RollingStatus | None = None, spec: RollingMaintenance | None = None
) -> HACluster:
    made = screens.cluster(statuses.CLUSTER.model_copy(update={"rolling": status}))
    return made.model_copy(update={"spec": made.spec.model_copy(update={"rolling": spec})})


OS = RollingMaintenance(name="os")


def test_a_round_is_begun_with_nothing_left_of_the_last_one() -> None:
    assert begin_patch(cluster(), "os") == {
        "spec": {
            "rolling": {
                "name": "os",
                "until": "Told",
                "agentVersion": None,
                "done": None,
                "attempt": None,
                "returnWithin": None,
            }
        }
    }
    over = WORKING.model_copy(update={"phase": RollingPhase.COMPLETED})
    again = begin_patch(cluster(over, OS), "to-1-3", agent_version="1.3")
    assert again["spec"]["rolling"]["until"] == "AgentVersion"  # type: ignore[call-overload]


def test_two_rounds_at_once_are_refused() -> None:
    with pytest.raises(RefusedError, match="round os is under way"):
        begin_patch(cluster(WORKING, OS), "other")
    with pytest.raises(UserError, match="declared already"):
        begin_patch(cluster(WORKING, OS), "os")


def test_only_whose_turn_it_is_is_done() -> None:
    assert done_patch(cluster(WORKING, OS), "vm-b") == {"spec": {"rolling": {"done": ["vm-b"]}}}
    with pytest.raises(UserError, match="not the turn of vm-a, but of vm-b"):
        done_patch(cluster(WORKING, OS), "vm-a")
    with pytest.raises(UserError, match="no round of maintenance is declared"):
        done_patch(cluster(), "vm-a")
    rebooted = RollingMaintenance(name="os", until=WorkDone.REBOOTED)
    with pytest.raises(UserError, match="sees by itself"):
        done_patch(cluster(WORKING, rebooted), "vm-b")


def test_a_round_that_stopped_goes_on_and_one_that_did_not_does_not() -> None:
    stopped = WORKING.model_copy(update={"phase": RollingPhase.STOPPED})
    assert go_on_patch(cluster(stopped, OS)) == {"spec": {"rolling": {"attempt": 2}}}
    with pytest.raises(UserError, match="has not stopped"):
        go_on_patch(cluster(WORKING, OS))
    assert end_patch(cluster(WORKING, OS)) == {"spec": {"rolling": None}}


def test_next_is_the_node_that_may_be_worked_on() -> None:
    assert told(cluster(None, OS)) is None
    assert told(cluster(WORKING, OS)) == "vm-b"
    done = OS.model_copy(update={"done": ("vm-b",)})
    assert told(cluster(WORKING, done)) is None, "the operator has not seen it yet"
    over = WORKING.model_copy(update={"phase": RollingPhase.COMPLETED})
    assert told(cluster(over, OS)) == ""
    stopped = WORKING.model_copy(
        update={"phase": RollingPhase.STOPPED, "message": "stopped: vm-b is away"}
    )
    with pytest.raises(TransientError, match="round os stopped: vm-b is away"):
        told(cluster(stopped, OS))
    assert told(cluster(stopped, OS.model_copy(update={"attempt": 2}))) is None


def test_a_round_is_shown() -> None:
    assert lines(WORKING) == [
        "os  Working: vm-b is out",
        "  vm-b  Working",
        "  vm-a  Pending",
        "  fix: do it",
    ]
    assert lines(None) == ["the operator has not looked at it yet"]
