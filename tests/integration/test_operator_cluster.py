"""The operator from `kubectl apply` to a survived failure, among real parts."""

import asyncio

import pytest

from tests.integration.operator_bed import (
    CLUSTER,
    OperatorBed,
    condition,
    truth,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(180)]


async def test_a_declared_pair_converges_and_says_so(pair: OperatorBed) -> None:
    cluster = await pair.cluster()
    status = cluster["status"]
    assert status["active"] in {"vm-a", "vm-b"}
    assert (status["standbys"], status["witness"]) == ("1/1", "1/1")
    assert condition(cluster, "Protected")["message"].startswith("If vm-")
    assert truth(cluster, "Stalled") == ""
    import json

    print(json.dumps(status, indent=1))
    print(pair.operators[0].log.read_text())


def moved(old: str):
    return lambda c: truth(c, "Ready") == "True" and c["status"].get("active") not in {old, None}


async def settle_feed(pair: OperatorBed) -> None:
    """Boots count as over only when they were known a while before the power went off."""
    await asyncio.sleep(11)


async def test_a_power_off_that_vcenter_shows_is_told_and_frees_the_standby_at_once(
    pair: OperatorBed,
) -> None:
    """Sooner than the promise would have run out: the record names PoweredOff."""
    old = await pair.active()
    await settle_feed(pair)
    pair.machines[old].off()
    await pair.vcenter.control.set_power(old, "off")
    after = await pair.until(moved(old))
    assert truth(after, "Protected") == "False"
    node = next(n for n in after["status"]["nodes"] if n["name"] == old)
    await pair.until(
        lambda c: condition(c, "Degraded").get("reason") == "NodePoweredOff", within_s=10
    )
    record = await pair.until(
        lambda r: r.get("status", {}).get("to"), "FailoverRecord", f"{CLUSTER}-2"
    )
    assert record["status"]["from"] == old
    told = pair.operators[0].lines("Decided")
    assert "NodeFoundOff" in [line["reason"] for line in told]
    assert node["name"] == old
    print(record["status"])


async def test_a_crash_that_nobody_sees_is_survived_and_recorded(pair: OperatorBed) -> None:
    old = await pair.active()
    pair.machines[old].off()
    after = await pair.until(moved(old))
    last = after["status"].get("lastFailover")
    after = await pair.until(lambda c: c["status"].get("lastFailover"))
    last = after["status"]["lastFailover"]
    assert (last["from"], last["to"], last["planned"]) == (old, after["status"]["active"], False)
    record = await pair.until(
        lambda r: r.get("status", {}).get("to"), "FailoverRecord", last["record"]
    )
    assert record["status"]["proof"] == "LeaseExpired"
    assert record["status"]["tookMs"] < record["status"]["outageMs"] == last["outageMs"] < 10_000
    assert truth(record, "Ready") == "False", "the old node's log is missing"
    pair.machines[old].on()
    await pair.settled()
    done = await pair.until(
        lambda r: truth(r, "Ready") == "True", "FailoverRecord", last["record"]
    )
    print(done["status"])


async def test_a_planned_move(pair: OperatorBed) -> None:
    old = await pair.active()
    new = next(name for name in pair.machines if name != old)
    await pair.apply("Switchover", "move-1", {"clusterRef": {"name": CLUSTER}, "to": new})
    done = await pair.until(
        lambda s: s.get("status", {}).get("phase") in {"Completed", "Refused", "Failed"},
        "Switchover",
        "move-1",
    )
    print(done["status"])
    assert done["status"]["phase"] == "Completed"
    assert [step["name"] for step in done["status"]["steps"]] == [
        "Preparing",
        "Releasing",
        "Starting",
    ]
    after = await pair.settled()
    assert after["status"]["active"] == new
    after = await pair.until(lambda c: c["status"].get("lastFailover"))
    assert after["status"]["lastFailover"]["planned"] is True
    assert after["status"]["lastFailover"]["record"] == "move-1"


async def test_at_rest_nothing_is_written_and_little_is_used(pair: OperatorBed) -> None:
    operator = pair.operators[0]
    writes = await operator.writes_at_rest()
    before = await pair.cluster()
    ticks = operator.cpu_ticks
    await asyncio.sleep(20)
    after = await pair.cluster()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert await operator.writes() == writes
    percent = (operator.cpu_ticks - ticks) / 20
    print(f"\noperator at rest: {percent:.1f} % of a core")
    assert percent < 5
