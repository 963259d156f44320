"""The guard as a process, the agent's end of its socket, and a real kernel."""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from standfast.adapters.linux.guard_client import GRACE_S, GuardClient
from standfast.errors import TransientError, UserError
from standfast.guard import protocol
from standfast.guard.cgroups import ROOTS, Cgroups
from standfast.guard.protocol import (
    AddressTarget,
    CgroupTarget,
    Extend,
    MountTarget,
    Outcome,
    Plan,
    Stage,
)
from standfast.guard.status import LeaseStatus, lease_fields
from standfast.ports.guard import GuardChange, GuardEvent
from tests.integration.guard_parts import ADDRESS, ADDRESS_6, Bed, now_ms, process_in, until

pytestmark = pytest.mark.root
VIP = AddressTarget(ADDRESS, 24)
GROUP = f"/guard-test-{os.getpid()}/web.service"


@pytest.fixture
def bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="g", dir="/tmp") as directory:
        found = Bed(Path(directory))
        try:
            found.open()
            yield found
        finally:
            found.close()


@pytest.fixture
def guarded(bed: Bed) -> Bed:
    bed.start()
    return bed


@asynccontextmanager
async def connected(client: GuardClient) -> AsyncIterator[asyncio.Queue[GuardEvent]]:
    """The client, watching; its events."""
    events: asyncio.Queue[GuardEvent] = asyncio.Queue()
    watch = asyncio.create_task(client.watch(events.put_nowait))
    try:
        while (await next_event(events)).change is not GuardChange.BACK:
            pass
        yield events
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def next_event(events: asyncio.Queue[GuardEvent]) -> GuardEvent:
    return await asyncio.wait_for(events.get(), 10)


async def outcome(client: GuardClient) -> Outcome:
    """What the guard did, once it is verified."""
    async with asyncio.timeout(10):
        while True:
            (lease,) = (await client.status()).leases
            if lease.outcome is not None and lease.outcome.verified_us is not None:
                return lease.outcome
            await asyncio.sleep(0.002)


async def test_at_the_deadline_address_processes_and_mount_are_gone(
    guarded: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    late: dict[str, list[int]] = {"begun": [], "addresses": [], "groups": [], "verified": []}
    targets = (VIP, AddressTarget(ADDRESS_6, 64), MountTarget(str(guarded.data)))
    async with connected(guarded.client()) as events:
        client = guarded.client()
        async with connected(client) as _:
            for term in range(1, 11):
                guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
                guarded.inside("ip", "-6", "address", "add", f"{ADDRESS_6}/64", "dev", "eth0")
                if not guarded.is_mounted():
                    guarded.inside("mount", "-t", "tmpfs", "guarded", str(guarded.data))
                root = Cgroups().root
                with process_in(root / GROUP[1:]) as process:
                    client.extend(term, now_ms() + 10_000)
                    await client.plan("all", (*targets, CgroupTarget(GROUP)))
                    assert process.poll() is None
                    client.extend(term, now_ms() + 60)
                    assert (await next_event(events)).change is GuardChange.FIRED
                    found = await outcome(client)
                    assert process.wait(5) == -signal.SIGKILL
                assert (ADDRESS in guarded.addresses()) is False
                assert (ADDRESS_6 in guarded.addresses()) is False
                assert not guarded.is_mounted()
                assert found.problems == ()
                late["begun"].append(found.late_us)
                late["addresses"].append(found.addresses_us)
                late["groups"].append(found.cgroups_us)
                late["verified"].append(found.verified_us or 0)
                await client.disarm(term)
    with capsys.disabled():
        for what, us in late.items():
            middle, worst = statistics.median(us) / 1000, max(us) / 1000
            print(f"\n  guard, {what}: median {middle:.2f} ms, max {worst:.2f} ms", end="")


async def test_extended_in_time_nothing_happens(guarded: Bed) -> None:
    guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 1000)
        await client.plan("vip", [VIP])
        for _ in range(10):
            await asyncio.sleep(0.3)
            client.extend(1, now_ms() + 1000)
        assert ADDRESS in guarded.addresses()
        assert events.empty()
        assert (await next_event(events)).change is GuardChange.FIRED


async def test_a_strike_is_at_once(guarded: Bed) -> None:
    guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 60_000)
        await client.plan("vip", [VIP])
        client.strike(1)
        assert (await next_event(events)).change is GuardChange.FIRED
        assert ADDRESS not in guarded.addresses()


async def test_an_ended_lease_is_not_extended_before_it_is_disarmed(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 20)
        assert (await next_event(events)).change is GuardChange.FIRED
        client.extend(2, now_ms() + 1000)
        refused = await next_event(events)
        assert refused.change is GuardChange.REFUSED
        assert "verify that all is stopped" in refused.message
        with pytest.raises(TransientError, match="not armed"):
            await client.plan("vip", [VIP])
        await client.disarm(2)
        client.extend(3, now_ms() + 1000)
        await client.plan("vip", [VIP])


async def test_it_does_not_disarm_what_it_still_sees(guarded: Bed) -> None:
    guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = guarded.client()
    async with connected(client):
        client.extend(1, now_ms() + 60_000)
        await client.plan("all", [VIP, MountTarget(str(guarded.data))])
        sentence = f"{ADDRESS} is on interface .*; {guarded.data} is mounted"
        with pytest.raises(TransientError, match=sentence):
            await client.disarm(1)
        guarded.inside("ip", "address", "del", f"{ADDRESS}/24", "dev", "eth0")
        guarded.inside("umount", str(guarded.data))
        await client.disarm(1)
        (lease,) = (await client.status()).leases
        assert (lease.stage, lease.targets) == (Stage.IDLE, ())


async def test_what_comes_back_after_the_end_is_taken_away_again(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 50)
        await client.plan("vip", [VIP])
        assert (await next_event(events)).change is GuardChange.FIRED
        await outcome(client)
        guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
        until(lambda: ADDRESS not in guarded.addresses())
        assert (await outcome(client)).again == 1


async def test_the_agents_death_changes_nothing_and_the_next_one_takes_over(
    guarded: Bed,
) -> None:
    first = guarded.client()
    async with connected(first):
        first.extend(4, now_ms() + 1000)
        await first.plan("vip", [VIP])
        await first.plan("data", [MountTarget(str(guarded.data))])
    second = guarded.client()
    async with connected(second):
        (lease,) = (await second.status()).leases
        assert lease.stage is Stage.ARMED
        second.extend(4, now_ms() + 1000)
        await second.plan("vip", [VIP])  # what it adopts first; the other is not forgotten
        (lease,) = (await second.status()).leases
        assert set(lease.targets) == {VIP, MountTarget(str(guarded.data))}
        await second.plan("vip", ())  # said before the question that follows
        (lease,) = (await second.status()).leases
        assert lease.targets == (MountTarget(str(guarded.data)),)


async def test_a_guard_that_was_killed_knows_everything_when_it_is_back(bed: Bed) -> None:
    bed.start()
    bed.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = bed.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 1500)
        await client.plan("vip", [VIP])
        bed.end(signal.SIGKILL)
        assert (await next_event(events)).change is GuardChange.GONE
        bed.start()
        assert (await next_event(events)).change is GuardChange.BACK
        (lease,) = (await client.status()).leases
        assert (lease.stage, lease.targets) == (Stage.ARMED, (VIP,))
        assert (await next_event(events)).change is GuardChange.FIRED
        assert ADDRESS not in bed.addresses()


async def test_a_deadline_that_passed_while_no_guard_ran_is_kept_at_once(bed: Bed) -> None:
    bed.start()
    bed.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = bed.client()
    async with connected(client):
        client.extend(1, now_ms() + 100)
        await client.plan("vip", [VIP])
        os.kill(bed.pid, signal.SIGSTOP)
        bed.end(signal.SIGKILL)
    await asyncio.sleep(0.15)
    assert ADDRESS in bed.addresses()
    bed.start()
    assert ADDRESS not in bed.addresses()  # before it answers anybody


async def test_a_stopped_guard_counts_as_dead(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 5000)
        os.kill(guarded.pid, signal.SIGSTOP)
        try:
            gone = await next_event(events)
            assert gone.change is GuardChange.GONE
            assert "not answered" in gone.message
            lost = await next_event(events)
            assert lost.change is GuardChange.LOST
            assert f"more than {GRACE_S:g} s" in lost.message
            with pytest.raises(TransientError, match="does not answer"):
                await client.plan("vip", [VIP])
        finally:
            os.kill(guarded.pid, signal.SIGCONT)
        assert (await next_event(events)).change is GuardChange.BACK


async def test_told_to_stop_it_asks_for_a_hand_over_and_then_goes(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 60_000)
        os.kill(guarded.pid, signal.SIGTERM)
        assert (await next_event(events)).change is GuardChange.LEAVING
        client.extend(1, now_ms() + 60_000)
        assert (await next_event(events)).change is GuardChange.REFUSED
        assert guarded.guard is not None
        assert guarded.guard.poll() is None
        await client.disarm(1)
        assert await asyncio.to_thread(guarded.guard.wait, 5) == 0


async def test_with_nothing_to_guard_it_goes_at_once(guarded: Bed) -> None:
    assert await asyncio.to_thread(guarded.end, signal.SIGTERM) == 0


async def test_a_reload_keeps_everything(bed: Bed) -> None:
    bed.start()
    client = bed.client()
    async with connected(client) as events:
        client.extend(1, now_ms() + 60_000)
        await client.plan("vip", [VIP])
        assert await asyncio.to_thread(bed.end, signal.SIGHUP) == 0
        assert (await next_event(events)).change is GuardChange.GONE
        bed.start()
        assert (await next_event(events)).change is GuardChange.BACK
        (lease,) = (await client.status()).leases
        assert (lease.stage, lease.targets) == (Stage.ARMED, (VIP,))


async def test_a_plan_that_cannot_be_carried_out_is_refused(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client):
        client.extend(1, now_ms() + 60_000)
        with pytest.raises(UserError, match="two levels"):
            await client.plan("all", [CgroupTarget("/system.slice")])
        await client.plan("vip", [VIP])
        (lease,) = (await client.status()).leases
        assert lease.targets == (VIP,)


async def test_leases_of_an_earlier_identity_are_disarmed(guarded: Bed) -> None:
    """Else the guard would keep down for ever what the node protects under its new name."""
    old = guarded.client("old")
    async with connected(old) as events:
        old.extend(7, now_ms() + 20)
        assert (await next_event(events)).change is GuardChange.FIRED
    new = guarded.client("new")
    async with connected(new):
        stages = {lease.lease: lease.stage for lease in (await new.status()).leases}
        assert stages["old"] is Stage.IDLE


async def test_a_strike_before_the_connection_is_not_lost(guarded: Bed) -> None:
    guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    first = guarded.client()
    async with connected(first):
        first.extend(3, now_ms() + 60_000)
        await first.plan("vip", [VIP])
    second = guarded.client()
    second.strike(0)  # a restarted agent that may adopt nothing
    async with connected(second):
        until(lambda: ADDRESS not in guarded.addresses())
        await outcome(second)
        await second.disarm(0)
        (lease,) = (await second.status()).leases
        assert (lease.stage, lease.ended_term) == (Stage.IDLE, 3)


async def test_an_older_terms_disarm_does_not_touch_a_newer_one(guarded: Bed) -> None:
    client = guarded.client()
    async with connected(client):
        client.extend(3, now_ms() + 60_000)
        client.extend(4, now_ms() + 60_000)
        await client.disarm(3)
        client.strike(3)
        (lease,) = (await client.status()).leases
        assert (lease.term, lease.stage) == (4, Stage.ARMED)


async def test_retired_it_forgets_everything_and_does_nothing(guarded: Bed) -> None:
    """Before an uninstall, by which what runs goes on running."""
    guarded.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    client = guarded.client()
    async with connected(client):
        client.extend(3, now_ms() + 300)
        await client.plan("vip", [VIP])
        os.kill(guarded.pid, signal.SIGUSR1)
        async with asyncio.timeout(5):
            while (await client.status()).leases:  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.005)
        client.extend(3, now_ms() + 50)
        await asyncio.sleep(0.4)
        assert ADDRESS in guarded.addresses()
    assert await asyncio.to_thread(guarded.end, signal.SIGTERM) == 0


def test_a_second_guard_is_refused(guarded: Bed) -> None:
    words = [*guarded.guard.args] if guarded.guard is not None else []
    environment = {"PYTHONPATH": str(Path("operator").resolve()), "PATH": os.environ["PATH"]}
    second = subprocess.run(words, env=environment, capture_output=True, check=False, text=True)
    assert second.returncode == 3
    assert "another guard runs on this machine" in second.stderr


def test_only_root_is_heard(guarded: Bed) -> None:
    mode = Path(guarded.socket).stat().st_mode & 0o777
    assert mode == 0o600
    Path(guarded.socket).chmod(0o666)
    guarded.directory.chmod(0o755)
    script = (
        "import socket,sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.connect(sys.argv[1]); s.settimeout(5)\n"
        'try: s.send(b\'{"n":1,"do":"Ask"}\')\n'
        "except OSError: pass\n"
        "try: print(len(s.recv(100)))\n"
        "except ConnectionResetError: print(0)\n"
    )
    words = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", script]
    done = subprocess.run([*words, guarded.socket], capture_output=True, check=True, text=True)
    assert done.stdout == "0\n"


def test_nonsense_is_answered_with_a_sentence(guarded: Bed) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.connect(guarded.socket)
        for data in (b"nonsense", b"[]", b'{"n": 8, "do": "Dance", "lease": "a"}', b"x" * 60_000):
            raw.send(data)
            answer = json.loads(raw.recv(10_000))
            assert answer["problem"]
        assert json.loads(guarded_answer(raw))["problem"] == ""


def guarded_answer(raw: socket.socket) -> bytes:
    raw.send(protocol.encode(9, Extend("a", 1, now_ms() + 1000)))
    return raw.recv(10_000)


def test_the_report_is_for_people(guarded: Bed) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.connect(guarded.socket)
        guarded_answer(raw)
    report = json.loads((guarded.run / "guard.json").read_text())
    assert report["pid"] == guarded.pid
    assert report["leases"][0]["stage"] == "Armed"


def test_state_of_another_boot_is_nothing(bed: Bed) -> None:
    from standfast.guard.state_file import StateFile

    bed.inside("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    lease = LeaseStatus("a", 1, 0, Stage.ARMED, 5, (VIP,))
    body = protocol.dump({"boot": "another", "leases": [lease_fields(lease)]})
    StateFile(bed.run / "guard.state").store(body)
    bed.start()
    assert ADDRESS in bed.addresses()


@pytest.mark.timeout(180)
def test_its_memory_does_not_grow(guarded: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """100,000 messages: extensions, plans, and strikes that take nothing away."""

    def memory_kb() -> int:
        rows = Path(f"/proc/{guarded.pid}/status").read_text().splitlines()
        return int(next(row for row in rows if row.startswith("VmRSS")).split()[1])

    plan = Plan("a", (VIP, CgroupTarget(GROUP, "web.service"), MountTarget("/srv/none")))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.connect(guarded.socket)
        seen: list[int] = []
        for turn in range(100):
            for _ in range(50):
                raw.send(protocol.encode(1, plan))
                for number in range(2, 21):
                    raw.send(protocol.encode(number, Extend("a", 1, now_ms() + 60_000)))
                for _ in range(20):
                    assert json.loads(raw.recv(10_000))["problem"] == ""
            if turn >= 2:  # the first thousands fill the free lists
                seen.append(memory_kb())
    with capsys.disabled():
        print(f"\n  guard, resident: {seen[0]} kB, after 100000 messages {seen[-1]} kB", end="")
    assert max(seen) == seen[0]


def test_without_version_2_processes_are_killed_one_by_one() -> None:
    systemd = ROOTS[2]
    if not (systemd / "cgroup.procs").exists():
        pytest.skip("this machine has no version 1 tree of systemd")
    cgroups = Cgroups((systemd,))
    with process_in(systemd / GROUP[1:]) as process:
        assert cgroups.is_populated(GROUP)
        assert cgroups.kill(GROUP) == ""
        assert process.wait(5) == -signal.SIGKILL
        until(lambda: not cgroups.is_populated(GROUP))
