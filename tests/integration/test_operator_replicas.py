"""Two replicas of the operator: whatever happens to the one that acts, never two act.

Frozen, cut off from the API server, cut off from the members, its clock stepped. What shows that a
replica acts is a line of a pass, which carries the id of a decision; and agents are asked whether
they still take the token of the one before. How long a takeover took is printed; the goal is 20 s.
"""

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from standfast.adapters import pki
from standfast.controller.reach import LOST_MS
from standfast.lab.chaos.clocks import LIBRARIES, LIBRARY
from standfast.wire.api import STATUS_PATH, TOKEN_HEADER
from tests.bench.soak_api import FaultyApi, Mood
from tests.integration.kube_parts import KubeLab
from tests.integration.member_bed import PORT, Party
from tests.integration.operator_bed import CLUSTER, Operator, OperatorBed, truth

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(240)]

GROUP = 4242
"""Of the replica whose packets are dropped."""
AHEAD, BEHIND = "+20h", "-30m"
"""Long for a lease; past the renewal of our certificates, and not before the API server's."""
FAKETIME = next(LIBRARIES.glob(LIBRARY), None)


@pytest.fixture
async def pair(bed: OperatorBed) -> OperatorBed:
    """A settled pair whose agents, which are not real-time, bear a busy machine."""
    bed.operator().start()
    await bed.declare(timing={"profile": "Tolerant"})
    await bed.enrol()
    await bed.settled()
    return bed


async def taken_over(replica: Operator, what: str) -> None:
    """Wait until it is elected, and print how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(60):
        while not replica.lines("Elected"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    print(f"leader {what}: taken over after {time.monotonic() - began:.1f} s")


async def alone(pair: OperatorBed, replica: Operator) -> Operator:
    """This replica instead of the first one, with everything settled."""
    assert await asyncio.to_thread(pair.operators[0].stop) == 0
    pair.operators.append(replica)
    replica.start()
    await taken_over(replica, "gone before this one started")
    await pair.settled()
    return replica


async def ended(replica: Operator) -> int:
    assert replica.process is not None
    return await asyncio.to_thread(replica.process.wait, 20)


def decided(replica: Operator) -> list[str]:
    """When it acted, by the clock of this machine."""
    lines = replica.log.read_text().splitlines()
    return [str(json.loads(line)["time"]) for line in lines if '"decision"' in line]


async def acts_alone(new: Operator, old: Operator) -> None:
    """Since one was elected the other has made no pass, which it did before."""
    async with asyncio.timeout(30):
        while not new.lines("Judged all"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    since = str(new.lines("Elected")[-1]["time"])
    assert decided(old)
    assert [at for at in decided(old) if at >= since] == []


async def answers(pair: OperatorBed, token: int) -> dict[str, int]:
    """How each member answers somebody with the operator's rights and this token."""
    secret = await pair.secret(f"{CLUSTER}-ca")
    authority = pki.Authority.load(secret["tls.crt"], secret["tls.key"])
    members = json.loads(secret["register.json"])["members"]
    cluster = (await pair.cluster())["metadata"]["uid"]
    context = pki.client_context(authority.issue(pki.Operator(cluster), datetime.now(UTC)))
    assert pair.witness is not None
    parties: tuple[Party, ...] = (*pair.machines.values(), pair.witness)
    found = {}
    async with aiohttp.ClientSession() as session:
        for party in parties:
            async with session.get(
                f"https://{party.address}:{PORT}{STATUS_PATH}",
                ssl=context,
                server_hostname=pki.dns_name(pki.Member(members[party.name]["uid"], cluster)),
                headers={TOKEN_HEADER: str(token)},
            ) as answer:
                found[party.name] = answer.status
    return found


async def members_refuse(pair: OperatorBed, before: int) -> None:
    """Every member has seen a higher token, and takes nothing with the one from before."""
    elected = [line for each in pair.operators for line in each.lines("Elected")]
    new = max(int(line["token"]) for line in elected)
    assert new > before
    assert set((await answers(pair, new)).values()) == {200}
    refused = set((await answers(pair, before)).values())
    assert refused == {409}, refused


def untouched(pair: OperatorBed) -> None:
    """What the pair runs has not noticed any of it."""
    assert pair.vcenter.hypervisor.orders == []
    for machine in pair.machines.values():
        assert [line for line in machine.history() if line["what"] in {"stopped", "killed"}] == []


@contextmanager
def cut_off_from_members(pair: OperatorBed) -> Iterator[None]:
    """What a process of the group sends to members is dropped without a word."""
    net = f"127.0.{pair.subnet}.0/24"
    rule = f"meta skgid {GROUP} ip daddr {net} tcp dport {PORT} drop"
    chain = f"chain out {{ type filter hook output priority 0; policy accept; {rule}; }}"
    _nft(f"table inet cut_off {{ {chain}; }}")
    try:
        yield
    finally:
        _nft("delete table inet cut_off")


def _nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


class Clock:
    """The wall clock of one process, and of no other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.step("+0")

    def step(self, by: str) -> None:
        self._path.write_text(f"{by}\n")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


async def test_of_two_replicas_one_acts_and_members_refuse_the_one_that_was_frozen(
    pair: OperatorBed,
) -> None:
    """F73, F74: the token of the new leader is higher, and agents check it."""
    first = pair.operators[0]
    second = pair.operator("op-2")
    second.start()
    await asyncio.sleep(3)
    assert second.lines("Elected") == []
    first.signal(signal.SIGSTOP)
    await taken_over(second, "frozen")
    assert second.lines("Elected")[0]["token"] == 2
    await asyncio.sleep(2)
    first.signal(signal.SIGCONT)
    assert await ended(first) == 75
    await pair.settled()
    await acts_alone(second, first)
    await members_refuse(pair, 1)
    untouched(pair)


async def test_a_leader_that_only_the_api_server_has_lost_ends_before_another_acts(
    pair: OperatorBed, kube: KubeLab, tmp_path: Path
) -> None:
    """F73: its members answer and vCenter obeys, so nothing but the lease can hold it back."""
    api = FaultyApi(kube.endpoint, tmp_path, random.Random(1))
    await api.start()
    try:
        cut_off = await alone(pair, Operator(api.kubeconfig, tmp_path, "op-2"))
        token = int(cut_off.lines("Elected")[0]["token"])
        third = pair.operator("op-3")
        third.start()
        await asyncio.sleep(3)
        api.mood = Mood(away=True)
        await taken_over(third, "cut off from the API server")
        assert cut_off.process is not None
        assert cut_off.process.poll() == 75, "it ended before the other one was elected"
        await pair.settled()
    finally:
        await api.close()
    await acts_alone(third, cut_off)
    await members_refuse(pair, token)
    untouched(pair)


async def test_a_replica_that_leaves_hands_over_within_seconds(pair: OperatorBed) -> None:
    second = pair.operator("op-2")
    second.start()
    await asyncio.sleep(2)
    assert await asyncio.to_thread(pair.operators[0].stop) == 0
    async with asyncio.timeout(10):
        while not second.lines("Elected"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await pair.settled()


async def test_a_leader_that_only_the_members_have_lost_gives_up_and_another_acts(
    pair: OperatorBed,
) -> None:
    """F73: it could renew its lease for ever, and see nothing and move nothing."""
    old = Operator(pair.kube.kubeconfig, pair.directory, "op-2", group=GROUP)
    await alone(pair, old)
    token = int(old.lines("Elected")[0]["token"])
    new = pair.operator("op-3")
    new.start()
    await asyncio.sleep(3)
    with cut_off_from_members(pair):
        await taken_over(new, "cut off from the members")
        assert await ended(old) == 0
        await pair.settled()
    assert [line["members"] for line in old.lines("Nobody is reached")] == [3]
    await acts_alone(new, old)
    await members_refuse(pair, token)
    untouched(pair)


async def test_who_never_reached_anybody_keeps_the_lease(pair: OperatorBed) -> None:
    """With every member away, replicas would hand the lease back and forth."""
    old = Operator(pair.kube.kubeconfig, pair.directory, "op-2", group=GROUP)
    with cut_off_from_members(pair):
        assert await asyncio.to_thread(pair.operators[0].stop) == 0
        pair.operators.append(old)
        old.start()
        await taken_over(old, "gone before this one started")
        other = pair.operator("op-3")
        other.start()
        await asyncio.sleep(1.5 * LOST_MS / 1000)
        assert other.lines("Elected") == []
        assert old.process is not None
        assert old.process.poll() is None
    await pair.settled()
    untouched(pair)


@pytest.mark.skipif(FAKETIME is None, reason="apt install libfaketime")
@pytest.mark.parametrize(
    "steps", [(AHEAD, BEHIND), pytest.param((BEHIND, AHEAD), marks=pytest.mark.load)]
)
async def test_a_step_of_the_clock_of_either_makes_no_second_one_act(
    pair: OperatorBed, tmp_path: Path, steps: tuple[str, str]
) -> None:
    """F21, F73: leases are counted on a clock that nobody sets."""
    clocks = [Clock(tmp_path / f"clock-{name}") for name in ("op-2", "op-3")]
    old, new = (
        Operator(pair.kube.kubeconfig, pair.directory, name, more=clock.environment)
        for name, clock in zip(("op-2", "op-3"), clocks, strict=True)
    )
    await alone(pair, old)
    token = int(old.lines("Elected")[0]["token"])
    pair.operators.append(new)
    new.start()
    await asyncio.sleep(3)
    for clock, step in zip(clocks, steps, strict=True):
        clock.step(step)
    await asyncio.sleep(20)  # longer than a lease
    assert old.process is not None
    kept = not new.lines("Elected")  # a machine with too much to do ends one as well
    print(f"clocks stepped by {steps}: the lease was {'kept' if kept else 'lost'}")
    assert kept or old.process.poll() == 75, "it ended before the other one was elected"
    before = (await pair.cluster())["status"]["configID"]
    spec = {**pair.cluster_spec(), "timing": {"profile": "Normal"}}
    await pair.apply("HACluster", CLUSTER, spec)
    await pair.until(  # which needs members that believe it
        lambda c: c["status"]["configID"] != before and truth(c, "Reconciling") == ""
    )
    await pair.settled()
    old.signal(signal.SIGSTOP)
    await taken_over(new, f"frozen, with its clock stepped by {steps[0]}")
    old.signal(signal.SIGCONT)
    assert await ended(old) == 75
    await pair.settled()
    await members_refuse(pair, token)
    untouched(pair)


async def test_an_api_server_that_ails_delays_what_is_declared_and_stops_nothing(
    pair: OperatorBed, kube: KubeLab, tmp_path: Path
) -> None:
    """F71: it refuses a third of the requests (429, 500, 503), is slow, forgets history (410)."""
    api = FaultyApi(kube.endpoint, tmp_path, random.Random(3))
    await api.start()
    try:
        await alone(pair, Operator(api.kubeconfig, tmp_path, "op-2"))
        api.mood = Mood(refused=0.3, slow_s=0.2)
        before = (await pair.cluster())["status"]["configID"]
        api.cut_watches(gone=True)
        spec = {**pair.cluster_spec(), "timing": {"profile": "Normal"}}
        await pair.apply("HACluster", CLUSTER, spec)
        began = time.monotonic()
        await pair.until(
            lambda c: c["status"]["configID"] != before and truth(c, "Reconciling") == "",
            within_s=90,
        )
        print(
            f"a change among refusals: {time.monotonic() - began:.1f} s, {api.disturbed} of them"
        )
        assert api.disturbed > 0
        await pair.settled()
    finally:
        await api.close()
    untouched(pair)
