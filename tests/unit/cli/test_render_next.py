"""Why service is where it is, and what would happen next."""

from typing import Any

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens

from standfast.api.cluster import (
    AfterFence,
    Failback,
    FailbackWindow,
    FencePolicy,
    Fencing,
    Placement,
)
from standfast.api.cluster_status import HAClusterStatus, LastFailover
from standfast.api.rolling import RollingMaintenance, RollingPhase, RollingStatus
from standfast.cli.render_next import next_lines, why_there

STATUS = statuses.CLUSTER
MOVED = LastFailover(
    time=statuses.AT, from_="vm-a", to="vm-b", term=4, cause="PowerLost", record="web-4"
)
ON_B = STATUS.model_copy(update={"active": "vm-b", "last_failover": MOVED})


def said(status: HAClusterStatus, **spec: Any) -> str:
    return "\n".join(next_lines(screens.cluster(status, **spec)))


def test_it_is_said_when_and_why_service_came() -> None:
    there = why_there(screens.cluster(ON_B), screens.NOW)
    assert there == "Service moved there from vm-a 12m ago: PowerLost (web-4)."
    first = STATUS.model_copy(update={"last_failover": None})
    assert "since the cluster began" in why_there(screens.cluster(first), screens.NOW)
    assert why_there(screens.cluster(), screens.NOW) == ""


def test_what_is_not_measured_is_not_promised() -> None:
    assert said(HAClusterStatus()) == ""
    unknown = STATUS.model_copy(update={"conditions": ()})
    assert "nobody knows whether another node would serve" in said(unknown)
    assert "If vm-a died now, vm-b would serve in about 1.9 s" in said(STATUS)
    assert "nobody would serve until a person helps" in said(statuses.TROUBLED)


@pytest.mark.parametrize(
    ("placement", "sentence"),
    [
        (Placement(), "stays on vm-b although vm-a is preferred: failback is Never"),
        (Placement(failback=Failback.WHEN_IN_SYNC), "returns to vm-a once it has been ready for"),
        (
            Placement(failback=Failback.WHEN_IN_SYNC, window=FailbackWindow(cron="0 3 * * SUN")),
            "while the window 0 3 * * SUN is open",
        ),
    ],
)
def test_where_service_goes_by_itself(placement: Placement, sentence: str) -> None:
    assert sentence in said(ON_B, placement=placement)
    assert "it is the most preferred node" in said(STATUS, placement=placement)


def test_what_a_person_chose_stays() -> None:
    chosen = MOVED.model_copy(update={"cause": "Switchover"})
    status = ON_B.model_copy(update={"last_failover": chosen})
    assert "a Switchover chose it" in said(
        status, placement=Placement(failback=Failback.WHEN_IN_SYNC)
    )
    gone = ON_B.model_copy(update={"active": "vm-x"})
    assert "no node of the spec any more" in said(gone)


def test_what_would_become_of_its_machine() -> None:
    assert "only if no quicker proof suffices" in said(STATUS)
    never = Fencing(policy=FencePolicy.NEVER)
    assert "would not be switched off" in said(STATUS, fencing=never)
    left = Fencing(policy=FencePolicy.ALWAYS, after_fence=AfterFence.LEAVE_OFF)
    assert "stay off until a person switches it on" in said(STATUS, fencing=left)
    nothing = STATUS.model_copy(update={"proofs": ()})
    assert "by nothing that could be had now" in said(nothing)


def test_a_round_and_a_pause_are_part_of_it() -> None:
    turn = RollingStatus(
        name="os",
        phase=RollingPhase.WORKING,
        since=statuses.AT,
        reason="RollingWork",
        message="vm-b is out",
    )
    status = STATUS.model_copy(update={"rolling": turn})
    shown = said(status, rolling=RollingMaintenance(name="os"), paused=True)
    assert "Round os of maintenance is Working: vm-b is out." in shown
    assert "the operator would neither fence nor move anything" in shown
