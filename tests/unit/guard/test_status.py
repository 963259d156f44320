"""What the guard knows survives JSON; half of it is refused, never guessed."""

import json

import pytest

from standfast.guard.protocol import CgroupTarget, MalformedError, Outcome, Stage
from standfast.guard.status import (
    GuardStatus,
    LeaseStatus,
    WatchdogStatus,
    lease_fields,
    read_lease,
    read_status,
    status_fields,
)

OUTCOME = Outcome(3, 1000, 120, 200, 300, 400, None, ("x is mounted",), ("refused",), 2)
LEASE = LeaseStatus("a", 3, 2, Stage.FIRED, 1000, (CgroupTarget("/a/b", "b"),), OUTCOME)
STATUS = GuardStatus(
    pid=1,
    boot="b",
    protocol=1,
    started_ms=5,
    locked=True,
    realtime=False,
    spared=True,
    clock="ptp_vmw",
    leaving=True,
    watchdog=WatchdogStatus("/dev/watchdog", "softdog", 10_000, armed=True, tested="yes"),
    leases=(LEASE,),
    troubles=("one", "two"),
)


def test_a_status_survives_json() -> None:
    assert read_status(json.loads(json.dumps(status_fields(STATUS)))) == STATUS


def test_a_lease_without_an_outcome_survives_json() -> None:
    lease = LeaseStatus("a", 0, 0, Stage.IDLE, 0)
    assert read_lease(json.loads(json.dumps(lease_fields(lease)))) == lease


@pytest.mark.parametrize("key", ["lease", "term", "endedTerm", "stage", "untilMs", "targets"])
def test_half_a_lease_is_refused(key: str) -> None:
    fields = lease_fields(LEASE)
    del fields[key]
    with pytest.raises(MalformedError):
        read_lease(fields)


@pytest.mark.parametrize("row", [None, [], "x", {}, {"leases": 3}])
def test_what_is_no_status_is_refused(row: object) -> None:
    with pytest.raises(MalformedError):
        read_status(row)
