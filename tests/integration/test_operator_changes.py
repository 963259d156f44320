"""The operator changes who is a member and how fast a failure is acted on, with nothing stopped.

Every test watches what ran on the active node throughout: not one stop, not one start.
"""

import json
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from standfast.adapters.kube.paths import SECRETS
from standfast.controller.seats import REPLACE
from standfast.core.record import MemberKind
from standfast.core.timing import Profile
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.member_bed import Party, boottime_ms
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    Plant,
    condition,
    kind,
    operator_bed,
    truth,
)
from tests.integration.vcenter_parts import vcenter_lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeLab]:
    with kube_lab("opchg") as running:
        yield running


@pytest.fixture
async def pair(
    kube: KubeLab, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[OperatorBed]:
    subnet = 100 + crc32(request.node.name.encode()) % 100
    async with (
        vcenter_lab("opchgvc", board=Plant()) as vcenter,
        operator_bed(kube, vcenter, tmp_path, subnet) as bed,
    ):
        bed.operator().start()
        await bed.declare()
        await bed.enrol()
        await bed.settled()
        yield bed


async def spec_of(bed: OperatorBed, **changed: Any) -> None:
    await bed.apply("HACluster", CLUSTER, {**bed.cluster_spec(), **changed})


def voters(cluster: dict[str, Any]) -> set[str]:
    status = cluster["status"]
    return {m["name"] for m in (*status.get("nodes", ()), *status.get("witnesses", ()))}


def is_done(cluster: dict[str, Any]) -> bool:
    status = cluster["status"]
    return (
        status.get("observedGeneration") == cluster["metadata"]["generation"]
        and truth(cluster, "Reconciling") == ""
        and truth(cluster, "Stalled") == ""
        and truth(cluster, "Ready") == "True"
    )


def interruptions(bed: OperatorBed, name: str, since_ms: int) -> list[str]:
    return [
        str(line["what"])
        for line in bed.machines[name].history()
        if int(str(line["at_ms"])) >= since_ms and line["what"] != "extended"
    ]


async def test_the_profile_is_changed_and_changed_back(pair: OperatorBed) -> None:
    active, began_ms = await pair.active(), boottime_ms()
    before = (await pair.cluster())["status"]["configID"]
    for profile in (Profile.TOLERANT, Profile.FAST, Profile.NORMAL):
        await spec_of(pair, timing={"profile": profile.value})
        after = await pair.until(
            lambda c, ttl_ms=profile.timing.ttl_ms: (
                is_done(c) and c["status"]["timing"]["ttlMs"] == ttl_ms
            )
        )
        assert after["status"]["configID"] != before
        before = after["status"]["configID"]
    assert interruptions(pair, active, began_ms) == []


async def test_a_second_witness_comes_and_goes_over_a_crash_of_the_operator(
    pair: OperatorBed,
) -> None:
    active, began_ms = await pair.active(), boottime_ms()
    address = pair._address(14)
    await pair.apply("Witness", "fourth", {"agent": {"addresses": [address]}})
    identity = await pair.secret("fourth-identity")
    place = pair.directory / "fourth" / "identity"
    place.mkdir(parents=True)
    for name, text in identity.items():
        (place / name).write_text(text)
    fourth = Party("fourth", address, pair.directory / "fourth", MemberKind.WITNESS)
    await spec_of(pair, witnesses=[{"name": "third"}, {"name": "fourth"}])
    waiting = await pair.until(lambda c: truth(c, "Reconciling") == "True")
    print(condition(waiting, "Reconciling")["message"])
    fourth.start()
    try:
        pair.operators[0].kill()  # in the middle
        pair.operator("op-2").start()
        after = await pair.until(is_done, within_s=60)
        assert after["status"]["witness"] == "2/2"
        await spec_of(pair)
        after = await pair.until(lambda c: is_done(c) and "fourth" not in voters(c), within_s=60)
        assert after["status"]["witness"] == "1/1"
        left = pair.directory / "fourth" / "state" / "clusters"
        await pair.until(lambda c: not list(left.iterdir()))
        assert interruptions(pair, active, began_ms) == []
    finally:
        fourth.signal(signal.SIGKILL)


async def test_a_wiped_node_is_replaced_as_another_member(pair: OperatorBed) -> None:
    active, began_ms = await pair.active(), boottime_ms()
    standby = next(name for name in pair.machines if name != active)
    machine = pair.machines[standby]
    shown = (await pair.cluster())["status"]["nodes"]
    old_uid = next(node["memberUID"] for node in shown if node["name"] == standby)
    machine.off()
    shutil.rmtree(machine.directory / "state")
    await pair.client.merge(
        kind("HACluster"),
        NAMESPACE,
        CLUSTER,
        {"metadata": {"annotations": {REPLACE: f"{standby}={old_uid}"}}},
    )
    bundle = (await pair.secret(f"{CLUSTER}-{standby}-bundle"))["bundle.json"]
    assert json.loads(bundle)["node"] == standby
    (machine.directory / "bundle.json").write_text(bundle)
    machine.on()
    after = await pair.settled(60)
    after = await pair.until(is_done, within_s=30)
    node = next(n for n in after["status"]["nodes"] if n["name"] == standby)
    assert node["memberUID"] not in {old_uid, None}
    assert interruptions(pair, active, began_ms) == []
    assert await pair.client.find(SECRETS, NAMESPACE, f"{CLUSTER}-{standby}-bundle") is None


async def test_a_node_that_serves_hands_over_before_it_is_removed(pair: OperatorBed) -> None:
    """Two nodes must stay, so a third comes in its place: `nodes` keeps its length."""
    active = await pair.active()
    other = next(name for name in pair.machines if name != active)
    await spec_of(
        pair,
        nodes=[
            {**node, "name": "vm-z"} if node["name"] == active else node
            for node in pair.cluster_spec()["nodes"]
        ],
    )
    waiting = await pair.until(lambda c: c["status"].get("active") == other, within_s=60)
    print(condition(waiting, "Reconciling"))
