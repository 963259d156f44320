"""A tiny stand-in for the agent, run inside a VM of the lab: holds one lease, extends it, serves.

It takes over what an earlier run left, or begins a new term when that one has ended; then it plans
an address and a unit, starts them, and extends the lease until it is killed. It writes down every
deadline that it has asked for.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from standfast.adapters.linux.guard_client import GuardClient
from standfast.guard.protocol import AddressTarget, CgroupTarget, Stage
from standfast.ports.guard import GuardChange, GuardEvent

HOLD_MS = int(os.environ.get("HOLD_MS", "800"))
BEAT_S = 0.1
ADDRESS, UNIT, GROUP = os.environ["ADDRESS"], "web.service", "/system.slice/web.service"
NOTE = Path("/run/stand-in")


def run(*words: str) -> None:
    subprocess.run(words, check=False, stderr=subprocess.DEVNULL)


def say(word: str) -> None:
    print(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000} {word}", flush=True)


async def main() -> None:
    client = GuardClient("lease")
    events: asyncio.Queue[GuardEvent] = asyncio.Queue()
    watch = asyncio.create_task(client.watch(events.put_nowait))
    while (await events.get()).change is not GuardChange.BACK:
        pass
    leases = (await client.status()).leases
    term = leases[0].term if leases else 1
    if leases and leases[0].stage is not Stage.ARMED:
        if leases[0].stage is Stage.FIRED:
            await client.disarm(term)
        term += 1
    until_ms = 0

    def extend() -> None:
        nonlocal until_ms
        until_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 + HOLD_MS
        client.extend(term, until_ms)
        fresh = NOTE.with_suffix(".new")
        fresh.write_text(f"{term} {until_ms}\n", encoding="ascii")
        fresh.replace(NOTE)

    async def beat() -> None:
        while True:
            extend()
            await asyncio.sleep(BEAT_S)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await client.plan("vip", [AddressTarget(ADDRESS, 24)])
    await client.plan("web", [CgroupTarget(GROUP, UNIT)])
    run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    run("systemctl", "start", UNIT)
    say(f"serving {term}")
    while True:
        event = await events.get()
        say(f"{event.change.name} {event.message}")
        if event.change in {GuardChange.FIRED, GuardChange.LOST, GuardChange.LEAVING}:
            break
    beating.cancel()
    watch.cancel()
    sys.exit(event.change.name)


asyncio.run(main())
