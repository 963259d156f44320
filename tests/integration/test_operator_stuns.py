"""A stun that vCenter announces: the operator tells the active node, whose lease then bears it."""

import asyncio
import signal

import pytest

from tests.integration.operator_bed import Machine, OperatorBed

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(180)]

STUN_S = 4.0
"""Some leases of the profile."""
NOTED_S = 20.0


async def noted(machine: Machine, kind: str) -> None:
    async with asyncio.timeout(NOTED_S):
        while f'"kind": "{kind}"' not in (machine.directory / "log").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_f17_f18_a_stun_that_vcenter_announces_is_no_failover(bed: OperatorBed) -> None:
    bed.operator().start()
    await bed.declare()
    await bed.enrol()
    before = (await bed.settled())["status"]
    active = bed.machines[before["active"]]
    control = bed.vcenter.control
    await control.begin_task(before["active"], "createSnapshot")
    await noted(active, "Braced")
    shown = await bed.until(lambda c: "createSnapshot" in c["status"]["decision"]["message"])
    assert shown["status"]["decision"]["reason"] == "Steady"
    active.signal(signal.SIGSTOP)
    await asyncio.sleep(STUN_S)
    active.signal(signal.SIGCONT)
    await control.end_task(before["active"])
    await noted(active, "Unbraced")
    after = (await bed.settled())["status"]
    assert (after["active"], after["term"]) == (before["active"], before["term"])
