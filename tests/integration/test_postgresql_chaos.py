"""Faults drawn at random upon a PostgreSQL pair in two VMs, under a client that counts.

After each the pair must be whole again by itself (I5), and every acknowledged write on the active
node, once (I2). `STANDFAST_FAULTS` says how many, `STANDFAST_SEED` which; both are printed.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from standfast.lab.databases import UNIT
from standfast.lab.writing import longest_silence_ms
from standfast.wire import api
from tests.integration.test_agent_vm import VmParty
from tests.integration.test_postgresql_vm import PgPair, pair, sql

__all__ = ["pair"]

FAULTS = int(os.environ.get("STANDFAST_FAULTS", "6"))
SEED = int(os.environ.get("STANDFAST_SEED", "1"))
pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(300 + 90 * FAULTS),
    pytest.mark.asyncio(loop_scope="module"),
]
Fault = Callable[[PgPair, VmParty, random.Random], Awaitable[None]]


async def power_cut(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    await asyncio.to_thread(node.machine.off, seen=False)
    await asyncio.sleep(chance.uniform(0, 5))
    await asyncio.to_thread(node.machine.on, seen=False)


async def reset(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    await asyncio.to_thread(node.machine.reset, seen=False)


async def isolation(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    pair.lab.net.cut(node.name)
    await asyncio.sleep(chance.uniform(0.2, 6))
    pair.lab.net.heal()


async def one_network(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    pair.lab.net.cut(node.name, network=chance.choice((1, 2)))
    await asyncio.sleep(chance.uniform(0.2, 4))
    pair.lab.net.heal()


async def no_peer(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    """The nodes do not see each other, and both see the witness."""
    pair.lab.net.cut(node.name, other=pair.other(node).name)
    await asyncio.sleep(chance.uniform(0.2, 6))
    pair.lab.net.heal()


async def stun(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    await asyncio.to_thread(node.machine.freeze, int(chance.uniform(200, 5000)))


async def crash_of_the_server(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    node.machine.exec(["pkill", "-KILL", "-o", "-x", "postgres"], check=False)


async def crash_of_a_backend(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    node.machine.exec(["pkill", "-KILL", "-n", "-x", "postgres"], check=False)


async def crash_of_the_agent(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    kill = ["systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "standfast-agent"]
    node.machine.exec(kill, check=False)


async def stop_by_hand(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    node.machine.exec(["systemctl", "stop", "--no-block", UNIT], check=False)


async def switchover(pair: PgPair, node: VmParty, chance: random.Random) -> None:
    active = await pair.active()
    to = pair.other(active)
    request = api.ReleaseRequest(successor=to.uid, reason="chaos", request_id=f"{chance.random()}")
    await pair.bed.ask(active, "POST", api.RELEASE_PATH, api.Accepted, request)


KINDS: tuple[Fault, ...] = (
    power_cut, reset, isolation, one_network, no_peer, stun, crash_of_the_server,
    crash_of_a_backend, crash_of_the_agent, stop_by_hand, switchover,
)  # fmt: skip


async def test_no_series_of_faults_loses_an_acknowledged_write(pair: PgPair) -> None:
    chance = random.Random(SEED)
    silences = []
    for number in range(FAULTS):
        active = await pair.protected()
        node = chance.choice((active, pair.other(active)))
        kind = chance.choice(KINDS)
        role = "active" if node is active else "standby"
        print(f"\n{number + 1}/{FAULTS} of seed {SEED}: {kind.__name__} of the {role} {node.name}")
        with pair.writing() as writing:
            await kind(pair, node, chance)
            began = time.monotonic()
            await pair.protected()
            print(f"whole again after {time.monotonic() - began:.1f} s")
        silences.append((longest_silence_ms(writing.writes), kind.__name__, role))
    print("\nlongest silences:", sorted(silences, reverse=True)[:5])
    for vm in pair.lab.vms():
        log = vm.logs("standfast-agent")
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
        assert sql(vm, "SELECT 1") == "1"
