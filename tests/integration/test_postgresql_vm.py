"""A PostgreSQL pair as users run it: in two VMs, by the agent's service, in Debian's layout.

A client writes numbers through the address all the time; after every fault each number that was
acknowledged must be on the active node, once. The witness is a process on the control side and the
test plays the operator.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
import pytest_asyncio

from standfast.adapters.postgresql.settings import written
from standfast.core.record import DataMode, MemberKind
from standfast.errors import TransientError
from standfast.lab.agents import PROGRAM
from standfast.lab.databases import (
    DATA,
    SETTINGS,
    UNIT,
    dsn,
    install,
    make_application,
    numbers,
    sql,
    write_ahead,
)
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.writing import RunningWriter, judge, longest_silence_ms
from standfast.wire import api
from standfast.wire.resources import Postgresql, Vip
from tests.integration.lab_bed import name_of
from tests.integration.member_bed import Bed, Party
from tests.integration.test_agent_vm import Pair, VmParty

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

STUN_S = 6.0
INCLUDED = f"{SETTINGS}/conf.d/standfast.conf"
NAMES = "synchronous_standby_names"
SLOW = "limit rate over 64 kbytes/second burst 96 kbytes drop"
BALLAST_BYTES = 12 << 20
FLAPS = 3
PG = Postgresql(name="orders-pg", unit=UNIT, data_directory=DATA)


@dataclass
class PgPair(Pair):
    """The pair, with an application's table."""

    written: int = 0

    @property
    def dsn(self) -> str:
        return dsn(self.vip)

    async def protected(self) -> VmParty:
        """The active node, once the other one has every write."""
        active = await self.settled()
        await self.bed.until(active, lambda s: len(s.in_sync) == 2, 90)
        return active

    @contextmanager
    def writing(self) -> Iterator[RunningWriter]:
        """A client that writes; at the end everything acknowledged must be there, once (I2)."""
        with self.lab.write_sql(self.dsn, self.written + 1) as running:
            try:
                running.wait_for(50)
                yield running
                running.wait_for(50)
            finally:
                self.written = max(write.number for write in running.writes)
        acknowledged = running.acknowledged
        found = numbers(self.lab, self.vip)
        verdict = judge(acknowledged, [number for number in found if number >= min(acknowledged)])
        silence = longest_silence_ms(running.writes)
        print(f"\n{verdict}; longest silence {silence:.0f} ms")
        assert not verdict.lost
        assert not verdict.twice


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PgPair]:
    wanted = Wanted(vms=2, networks=2, kubernetes=False, vcenter=False, agent=True)
    lab = await asyncio.to_thread(Lab.up, name_of("pgvm"), wanted)
    directory = tmp_path_factory.mktemp("bed")
    parties: dict[str, Party] = {}
    for vm in lab.vms():
        install(vm)
        parties[vm.name] = VmParty(
            vm.name,
            vm.addresses[0],
            directory / vm.name,
            MemberKind.DATA,
            more_addresses=vm.addresses[1:],
            vm=vm,
        )
    control = lab.state.control.address
    parties["w"] = Party("w", control, directory / "w", MemberKind.WITNESS)
    made = PgPair(lab, Bed(directory, 0, data=DataMode.REPLICATED, parties=parties))
    vip = Vip(name="orders-vip", address=f"{made.vip}/24", depends_on=("orders-pg",))
    made.resources = (PG, vip)
    try:
        await made.bed.converge(PG, vip)
        active = await made.active()
        make_application(active.machine)
        await made.protected()
        yield made
    finally:
        await made.bed.close()
        await asyncio.to_thread(lab.down)


async def test_the_pair_is_protected(pair: PgPair) -> None:
    active = await pair.protected()
    standby = pair.other(active)
    shown = (await pair.bed.status(standby)).resources
    by_name = {resource.name: resource for resource in shown}
    assert by_name["orders-pg"].state == "Standby"
    copy = by_name["orders-pg"].replication
    assert copy is not None
    assert (copy.role, copy.lag_bytes) == ("Standby", 0)
    assert sql(active.machine, "SHOW synchronous_standby_names") != ""


async def test_a_power_cut_loses_no_acknowledged_write(pair: PgPair) -> None:
    old = await pair.protected()
    new = pair.other(old)
    with pair.writing() as writing:
        await asyncio.to_thread(old.machine.off, seen=False)
        await pair.bed.until(new, lambda s: s.role == "Active", 20)
        status = await pair.bed.status(new)
        print(f"\n{status.last_takeover}")
        await asyncio.to_thread(writing.wait_for, 50)
    await asyncio.to_thread(old.machine.on, seen=False)
    began = time.monotonic()
    await pair.protected()
    print(f"\nredundant again after {time.monotonic() - began:.1f} s")


async def test_a_crash_of_the_server_is_mended_in_place(pair: PgPair) -> None:
    node = await pair.protected()
    term = (await pair.bed.status(node)).term
    with pair.writing() as writing:
        node.machine.exec(["pkill", "-KILL", "-o", "-x", "postgres"])
        await asyncio.to_thread(writing.wait_for, 100)
    status = await pair.bed.status(node)
    assert (status.role, status.term) == ("Active", term)
    await pair.protected()


async def test_a_crash_of_the_agent_interrupts_nothing(pair: PgPair) -> None:
    node = await pair.protected()
    with pair.writing() as writing:
        kill = ["systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "standfast-agent"]
        node.machine.exec(kill)
        await asyncio.sleep(4)
        await asyncio.to_thread(writing.wait_for, 50)
    assert longest_silence_ms(writing.writes) < 300
    assert await pair.active() is node
    await pair.protected()


async def test_a_lost_standby_holds_up_writes_for_a_stated_time(pair: PgPair) -> None:
    active = await pair.protected()
    standby = pair.other(active)
    with pair.writing() as writing:
        await asyncio.to_thread(standby.machine.off, seen=False)
        await pair.bed.until(active, lambda s: len(s.in_sync) == 1, 20)
        await asyncio.to_thread(writing.wait_for, 200)
    assert longest_silence_ms(writing.writes) < 3500
    await asyncio.to_thread(standby.machine.on, seen=False)
    assert await pair.protected() is active


async def test_an_isolated_active_acknowledges_nothing_that_is_lost(pair: PgPair) -> None:
    old = await pair.protected()
    new = pair.other(old)
    with pair.writing() as writing:
        pair.lab.net.cut(old.name)
        await pair.bed.until(new, lambda s: s.role == "Active", 20)
        await asyncio.to_thread(writing.wait_for, 50)
    assert sql_is_down(old)
    pair.lab.net.heal()
    await pair.protected()


def sql_is_down(node: VmParty) -> bool:
    return node.machine.exec(["systemctl", "is-active", UNIT], check=False).strip() != "active"


@dataclass
class Link:
    """The replication between two nodes, apart from everything else that they say."""

    active: VmParty
    standby: VmParty

    def worsen(self, verdict: str) -> None:
        """Do that to each packet of it."""
        far = f"{{ {', '.join(self.standby.machine.addresses)} }}"
        self._nft(
            "add table inet link; "
            "add chain inet link to { type filter hook output priority 0; }; "
            "add chain inet link from { type filter hook input priority 0; }; "
            f"add rule inet link to tcp sport 5432 ip daddr {far} {verdict}; "
            f"add rule inet link from tcp dport 5432 ip saddr {far} {verdict}"
        )

    def mend(self) -> None:
        self._nft("delete table inet link")

    def _nft(self, text: str) -> None:
        self.active.machine.exec(["nft", text])


@asynccontextmanager
async def order_watched(pair: PgPair, active: VmParty, standby: VmParty) -> AsyncIterator[None]:
    """While the record counts the standby, the server is told to let writes wait for it.

    What the server is told is taken back before it obeys: so the file is a strict witness.
    """
    file = active.machine.machine.root() / INCLUDED.lstrip("/")
    looks = alone = 0

    def waits() -> bool:
        return standby.uid in written(file.read_text()).get(NAMES, "")

    async def look() -> None:
        nonlocal looks, alone
        while True:
            before = waits()
            counts = standby.uid in (await pair.bed.status(active)).in_sync
            assert before or not counts or waits(), "the record counts a node without its writes"
            looks, alone = looks + 1, alone + (not counts)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), task.exception()
    assert 0 < alone < looks, "it was seen with the standby and without"


async def test_a_slow_replication_link_holds_up_writes_for_a_stated_time(pair: PgPair) -> None:
    """F44: the standby is there and goes on, only not as fast as the log grows."""
    active = await pair.protected()
    standby = pair.other(active)
    link, term = Link(active, standby), (await pair.bed.status(active)).term
    with pair.writing() as writing:
        async with order_watched(pair, active, standby):
            link.worsen(SLOW)
            ballast = asyncio.create_task(
                asyncio.to_thread(write_ahead, active.machine, BALLAST_BYTES)
            )
            await pair.bed.until(active, lambda s: len(s.in_sync) == 1, 20)
            await asyncio.to_thread(writing.wait_for, 200)
            await ballast
            link.mend()
            await pair.protected()
    assert longest_silence_ms(writing.writes) < 3500
    assert (await pair.bed.status(active)).term == term


async def test_a_flapping_replication_link_holds_up_writes_once(pair: PgPair) -> None:
    """F44: whoever was let go is not waited for again before the link has been calm."""
    active = await pair.protected()
    standby = pair.other(active)
    link, term = Link(active, standby), (await pair.bed.status(active)).term
    before = dropped(active)
    with pair.writing() as writing:
        async with order_watched(pair, active, standby):
            for _ in range(FLAPS):
                link.worsen("drop")
                await asyncio.sleep(2.5)
                link.mend()
                await asyncio.sleep(0.5)
            await pair.protected()
    assert longest_silence_ms(writing.writes) < 3500
    assert dropped(active) - before == 1
    assert (await pair.bed.status(active)).term == term


def dropped(node: VmParty) -> int:
    return node.machine.logs("standfast-agent").count('"kind": "OutOfSync"')


async def test_a_planned_switchover(pair: PgPair) -> None:
    old = await pair.protected()
    new = pair.other(old)
    with pair.writing() as writing:
        request = api.ReleaseRequest(successor=new.uid, reason="test", request_id="r1")
        await pair.bed.ask(old, "POST", api.RELEASE_PATH, api.Accepted, request)
        await pair.bed.until(new, lambda s: s.role == "Active", 20)
        await asyncio.to_thread(writing.wait_for, 50)
    notes = old.machine.logs("standfast-agent")
    await pair.protected()
    assert "Rewind" not in notes.rpartition("Releasing")[2]


async def test_a_standby_that_a_person_promotes_is_stopped_and_follows_again(
    pair: PgPair,
) -> None:
    """F12, F96: it is found within ten seconds, and what it wrote is cut off and kept."""
    active = await pair.protected()
    standby = pair.other(active)
    with pair.writing():
        before = copies_made(standby)
        began = time.monotonic()
        promote_and_write(standby)
        await asyncio.to_thread(stopped, standby)
        assert time.monotonic() - began < 10
        await pair.bed.until(active, lambda s: len(s.in_sync) == 1, 20)
        await pair.bed.until(standby, lambda _: copies_made(standby) > before, 20)
        await pair.bed.until(standby, lambda s: s.resources[0].state == "Standby", 20)
        assert await pair.protected() is active
    assert last(active, "OutOfSync") < last(standby, "Rewind"), "while writes rest on it, it stays"
    assert sql(standby.machine, "SELECT count(*) FROM written WHERE number < 0", "app") == "0"
    aside = standby.machine.exec(["ls", f"{DATA}.standfast"])
    assert "diverged-" in aside


def promote_and_write(node: VmParty) -> None:
    """In one session, because the agent is quick."""
    become = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")
    statements = ("-c", "SELECT pg_promote()", "-c", "INSERT INTO written VALUES (-1)")
    node.machine.exec([*become, "psql", "-XAtq", "-d", "app", *statements])


def last(node: VmParty, kind: str) -> datetime:
    """When the agent last noted this; the VMs of a lab have one clock."""
    lines = node.machine.logs("standfast-agent").splitlines()
    line = next(line for line in reversed(lines) if f'"kind": "{kind}"' in line)
    return datetime.fromisoformat(json.loads(line[line.index("{") :])["at"])


def copies_made(node: VmParty) -> int:
    return node.machine.logs("standfast-agent").count('"kind": "CopyMade"')


def stopped(node: VmParty) -> None:
    """Waits until nothing there accepts writes."""
    while True:
        try:
            if sql(node.machine, "SELECT pg_is_in_recovery()") == "t":
                return
        except TransientError:
            return


async def test_a_stunned_active_writes_nothing_when_it_wakes(pair: PgPair) -> None:
    """F16."""
    old = await pair.protected()
    new = pair.other(old)
    with pair.writing() as writing:
        await asyncio.to_thread(old.machine.freeze)
        await pair.bed.until(new, lambda s: s.role == "Active", 20)
        await asyncio.to_thread(writing.wait_for, 50)
        await asyncio.to_thread(old.machine.thaw)
        assert await pair.protected() is new


async def test_a_stun_that_was_announced_is_no_failover(pair: PgPair) -> None:
    """F18: a backup of the image; a stun of four times the lease."""
    await pair.protected()
    with pair.writing() as writing:
        active = await pair.active()
        told = active.machine.exec([PROGRAM, "quiesce", "--stun", f"{STUN_S + 2}", "--freeze"])
        print(f"\n{told}")
        assert "ready: the VM may stand still for" in told
        assert f"note: {DATA} is not frozen" in told, "it shares a file system with the agent"
        term = (await pair.bed.status(active)).term
        await asyncio.to_thread(active.machine.freeze)
        await asyncio.sleep(STUN_S)
        await asyncio.to_thread(active.machine.thaw)
        await asyncio.to_thread(writing.wait_for, 50)
        active.machine.exec([PROGRAM, "thaw"])
    status = await pair.bed.status(active)
    assert (status.role, status.term) == ("Active", term)
    await pair.protected()
    status = await pair.bed.until(active, lambda s: (s.lease_remaining_ms or 0) < 2000, 20)
    assert status.role == "Active", "a death is missed as soon as ever again"


async def test_both_down_and_either_first(pair: PgPair) -> None:
    for first in (0, 1):
        await pair.protected()
        for vm in pair.lab.vms():
            await asyncio.to_thread(vm.off, seen=False)
        vms = pair.lab.vms()
        await asyncio.to_thread(vms[first].on, seen=False)
        await pair.bed.active(60)
        await asyncio.to_thread(vms[1 - first].on, seen=False)
        await pair.protected()
        with pair.writing():
            pass
