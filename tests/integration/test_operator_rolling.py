"""A round of maintenance led by the operator, among real parts and agents of two versions."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from standfast.core.timing import Profile
from tests.integration.member_bed import another_version
from tests.integration.operator_bed import (
    CLUSTER,
    OperatorBed,
    condition,
    truth,
)
from tests.integration.test_operator_changes import command

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(300)]


def phase(cluster: dict[str, Any]) -> str:
    return str(cluster["status"].get("rolling", {}).get("phase"))


def starts(bed: OperatorBed) -> dict[str, int]:
    """How often the application was started on each node."""
    return {
        name: sum(
            line["what"] == "started" and line["resource"] == "web" for line in machine.history()
        )
        for name, machine in bed.machines.items()
    }


async def unhurried(bed: OperatorBed) -> None:
    """A machine that stalls for a while loses no lease, and so stops no round.

    Nor is anything started twice in one term, as when an agent stalls after its lease was extended
    and before its resources were told: what ended meanwhile is started again where it was. These
    agents are not real-time, and `Normal` leaves them 0.6 s.
    """
    await bed.declare(timing={"profile": "Tolerant"})
    await bed.until(
        lambda c: c["status"]["timing"]["profile"] == "Tolerant" and truth(c, "Reconciling") == "",
        within_s=60,
    )
    await bed.settled()


async def follow(bed: OperatorBed, name: str) -> None:
    """Another operator takes over from one that dies in the middle."""
    bed.operators[-1].kill()
    bed.operator(name).start()


async def said(bed: OperatorBed, *arguments: str) -> str:
    code, text = await command(bed, "rolling", CLUSTER, *arguments, "--timeout", "90")
    if code != 0:
        logs = "\n".join(each.log.read_text()[-6000:] for each in bed.operators[-1:])
        shown = json.dumps((await bed.cluster())["status"], indent=1)
        pytest.fail(f"{arguments}: {text}\n{shown}\n{logs}")
    return text.strip().splitlines()[-1] if text.strip() else ""


async def test_a_round_moves_service_once_and_outlives_operators_that_die(
    pair: OperatorBed,
) -> None:
    await unhurried(pair)
    await said(pair, "begin", "os-2026-11", "--return-within", "2m")
    standby = await said(pair, "next")
    active = next(name for name in pair.machines if name != standby)
    began = starts(pair)
    out = await pair.until(lambda c: truth(c, "Reconciling") == "True")
    term = out["status"]["rolling"]["term"]
    assert condition(out, "Degraded")["reason"] == "InMaintenance"
    assert "rolling orders done" in condition(out, "Degraded")["message"]
    assert (out["status"]["active"], out["status"]["term"]) == (active, term)

    # the work: its machine is restarted, while the operator dies
    pair.machines[standby].off()
    await follow(pair, "op-2")
    pair.machines[standby].on()
    await said(pair, "done", standby)
    await pair.until(lambda c: phase(c) == "Returning", within_s=60)
    assert pair.operators[-1].stop() == 0
    pair.operator("op-3").start()
    assert await said(pair, "next") == active
    out = await pair.cluster()
    assert (out["status"]["active"], out["status"]["term"]) == (standby, term + 1)
    pair.machines[active].off()
    pair.machines[active].on()
    await said(pair, "done", active)
    assert await said(pair, "next") == "", "every node has had its turn"
    after = await pair.settled()
    assert (after["status"]["active"], after["status"]["term"]) == (standby, term + 1)
    assert after["status"]["lastFailover"]["cause"] == "Maintenance"
    assert after["status"]["rolling"]["moves"] == 1
    assert truth(after, "Reconciling") == ""
    assert starts(pair) == {active: began[active], standby: began[standby] + 1}

    # declared again by nobody, a round that is over stays over
    await asyncio.sleep(2)
    assert (await pair.cluster())["status"]["term"] == term + 1


async def test_a_round_stops_when_service_moves_by_itself_and_its_end_gives_the_node_back(
    pair: OperatorBed,
) -> None:
    await unhurried(pair)
    await said(pair, "begin", "os")
    standby = await said(pair, "next")
    active = next(name for name in pair.machines if name != standby)
    # the active node loses its lease and takes it again: nobody else may
    pair.machines[active].signal(signal.SIGSTOP)
    await asyncio.sleep(1.5 * Profile.TOLERANT.timing.ttl_ms / 1000)
    pair.machines[active].signal(signal.SIGCONT)
    stopped = await pair.until(lambda c: phase(c) == "Stopped", within_s=60)
    assert stopped["status"]["rolling"]["reason"] == "ServiceMoved"
    assert truth(stopped, "Stalled") == "True"
    code, text = await command(pair, "rolling", CLUSTER, "next")
    assert (code, "round os stopped" in text) == (1, True), text
    await said(pair, "end")
    ended = await pair.until(lambda c: "rolling" not in c["status"])
    assert truth(ended, "Stalled") == ""
    await pair.settled()


@pytest.mark.load
async def test_f90_agents_are_upgraded_and_downgraded_in_a_round_with_one_move_each(
    pair: OperatorBed, tmp_path: Path
) -> None:
    """Both directions: operator and peer are the older, then the newer of the two."""
    await unhurried(pair)
    before = await pair.cluster()
    old = before["status"]["nodes"][0]["agentVersion"]
    term = before["status"]["term"]
    newer = await asyncio.to_thread(another_version, tmp_path, "99.1.0")
    for at, (name, version, packages) in enumerate(
        (("up", "99.1.0", (newer,)), ("down", old, ())), start=1
    ):
        began = starts(pair)
        active = str((await pair.cluster())["status"]["active"])
        await said(pair, "begin", name, "--agent-version", version)
        for _ in range(2):
            node = await said(pair, "next")
            machine = pair.machines[node]
            machine.signal(signal.SIGTERM)
            assert machine.process is not None
            await asyncio.to_thread(machine.process.wait, 20)
            machine.packages = packages
            machine.start_again()
        assert await said(pair, "next") == ""
        after = await pair.settled()
        assert after["status"]["term"] == term + at
        assert after["status"]["rolling"]["moves"] == 1
        assert {each["agentVersion"] for each in after["status"]["nodes"]} == {version}
        new = str(after["status"]["active"])
        assert new != active
        assert starts(pair) == {active: began[active], new: began[new] + 1}
