"""The operator changes who is a member and how fast a failure is acted on, with nothing stopped.

Every test watches what ran on the active node throughout: not one stop, not one start.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from typing import Any

import pytest

from standfast.adapters.kube.paths import SECRETS
from standfast.api.words import ATTEST, REPLACE
from standfast.core.record import MemberKind
from standfast.core.timing import Profile
from standfast.lab.paths import VmSpec
from tests.integration.member_bed import ROOT, Party, boottime_ms
from tests.integration.operator_bed import (
    CLUSTER,
    NAMESPACE,
    OperatorBed,
    condition,
    kind,
    truth,
)
from tests.integration.vcenter_parts import VM_A, VM_B

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]

VM_C = VmSpec(
    "vm-c",
    "5f3c1a52-0000-4000-8000-00000000000c",
    "5f3c1a52-1111-4000-8000-00000000000c",
    "esx-3.lab",
)


@pytest.fixture
def vms() -> tuple[VmSpec, ...]:
    return (VM_A, VM_B, VM_C)


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


async def test_a_third_node_is_added_and_removed(pair: OperatorBed) -> None:
    active, began_ms = await pair.active(), boottime_ms()
    third = {
        "name": "vm-c",
        "vm": {"instanceUUID": VM_C.instance_uuid},
        "addresses": [pair._address(15)],
    }
    await spec_of(pair, nodes=[*pair.cluster_spec()["nodes"], third])
    await pair.until(
        lambda c: "vm-c has not joined yet" in condition(c, "Reconciling").get("message", "")
    )
    machine = await pair.enrol_node("vm-c", 15)
    after = await pair.until(
        lambda c: is_done(c) and condition(c, "Quorate")["message"].startswith("4 of 4 voters")
    )
    node = next(n for n in after["status"]["nodes"] if n["name"] == "vm-c")
    assert node["enrolment"] == "Enrolled"
    await spec_of(pair)
    after = await pair.until(lambda c: is_done(c) and "vm-c" not in voters(c))
    assert after["status"]["standbys"] == "1/1"
    assert machine.process is not None
    assert await asyncio.to_thread(machine.process.wait, 30) == 0, "it left, to begin anew"
    assert not (machine.directory / "state" / "journal").exists()
    assert interruptions(pair, active, began_ms) == []


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


async def command(bed: OperatorBed, *arguments: str) -> tuple[int, str]:
    """`kubectl standfast`, as a person types it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from standfast.cli.main import main; main()",
        *arguments,
        "-n",
        NAMESPACE,
        "--kubeconfig",
        str(bed.kube.kubeconfig),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def who(bed: OperatorBed) -> str:
    """Under which name the API server knows the command line."""
    answer = await bed.client._write(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )
    return str(answer["status"]["userInfo"]["username"])


async def test_f38_recovered_with_whoever_is_left_and_whole_again(pair: OperatorBed) -> None:
    old = await pair.active()
    left = next(name for name in pair.machines if name != old)
    assert pair.witness is not None
    assert (await command(pair, "recover", CLUSTER, "-y"))[0] == 3, "a majority answers"
    pair.machines[old].off()
    pair.witness.signal(signal.SIGKILL)
    await pair.until(lambda c: condition(c, "Ready").get("reason") == "NoMajority")
    code, said = await command(pair, "recover", CLUSTER, "-y")
    assert (code, "neither answers nor is proven off" in said) == (3, True), said
    code, said = await command(
        pair, "recover", CLUSTER, "-y", "--attest", old, "--attest", "third"
    )
    assert code == 0, said
    served = await pair.until(
        lambda c: c["status"].get("active") == left and truth(c, "Ready") == "True"
    )
    assert served["status"]["incarnation"] == 2
    began_ms = boottime_ms()
    pair.witness.start()  # meets the new one, stops, forgets, joins again
    pair.machines[old].start()
    bundle = (await pair.secret(f"{CLUSTER}-{old}-bundle"))["bundle.json"]
    await pair.until(lambda c: c["status"]["witness"] == "1/1", within_s=60)
    await asyncio.to_thread(pair.machines[old].process.wait, 60)  # type: ignore[union-attr]
    (pair.machines[old].directory / "bundle.json").write_text(bundle)
    pair.machines[old].start()
    await pair.settled(60)
    assert interruptions(pair, left, began_ms) == []


async def test_f98_a_consent_is_shown_asked_for_and_used(bed: OperatorBed) -> None:
    bed.operator().start()
    await bed.declare(data="ReplicatedAsync")
    await bed.enrol()
    await bed.until(lambda c: truth(c, "Ready") == "True", within_s=60)
    old = await bed.active()
    other = next(name for name in bed.machines if name != old)
    code, said = await command(bed, "consent", CLUSTER)
    assert (code, "no node of orders waits" in said) == (3, True), said
    bed.machines[old].off()
    await bed.until(lambda c: bool(c["status"].get("candidates")))
    code, said = await command(bed, "consent", CLUSTER, "--show")
    print(said)
    assert (code, other in said, "lost" in said) == (0, True, True)
    code, said = await command(bed, "consent", CLUSTER, "--lose", other, "-y")
    assert code == 0, said
    assert await bed.active() == other
    record = await bed.until(
        lambda r: r.get("status", {}).get("approvedBy"), "FailoverRecord", f"{CLUSTER}-2"
    )
    assert record["status"]["approvedBy"].startswith(f"{await who(bed)}, ")


async def test_an_attestation_stays_on_record(pair: OperatorBed) -> None:
    old = await pair.active()
    boot = pair.machines[old].boot
    code, said = await command(pair, "attest", CLUSTER, old, "-y")
    assert (code, "it is not off" in said) == (3, True), said
    pair.machines[old].off()
    await pair.until(
        lambda c: c["status"].get("active") not in {old, None} and truth(c, "Ready") == "True"
    )
    code, said = await command(pair, "attest", CLUSTER, old, "-y")
    assert (code, "the VM of" in said) == (3, True), said
    word = {"node": old, "boot": boot, "approver": "ada", "at": "2026-01-01T00:00:00Z"}
    notes = {"metadata": {"annotations": {ATTEST: json.dumps(word)}}}
    await pair.client.merge(kind("HACluster"), NAMESPACE, CLUSTER, notes)
    shown = await pair.until(lambda c: bool(c["status"].get("attested")))
    (kept,) = shown["status"]["attested"]
    assert (kept["node"], kept["bootID"]) == (old, boot)
    assert kept["approver"].startswith("ada")
