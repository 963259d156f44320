"""The agent as a service: what comes before the loop and after it."""

import asyncio
import logging
import os
import sys
import time
from dataclasses import replace
from importlib import import_module

from standfast.agent.agent import Agent, Settings
from standfast.agent.disk import DiskProbe
from standfast.agent.machine import Machine
from standfast.agent.spare import Spare
from standfast.errors import StandfastError
from standfast.member import logs
from standfast.member.process import make_punctual, refuse_optimised

SPARE_NOTE = "spare.pid"
PAUSE_S = 3.0
"""Before the process ends with what a person must change: systemd starts it again at once."""


def serve(settings: Settings, machine: Machine) -> None:
    """Run until told to stop. What the agent runs goes on running."""
    logs.set_up(settings.log_level)
    refuse_optimised()
    settings.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    spare = Spare(settings.run / SPARE_NOTE)
    if not spare.fork(warm=lambda: import_module("standfast.member.http")):
        spare.relieve()
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    machine = replace(machine, disk=DiskProbe.fork(settings.state))
    make_punctual(real_time=settings.real_time)
    try:
        new_loop().run_until_complete(Agent(settings, machine).run())
    except StandfastError:
        # The spare would meet the same; after a fault of ours it goes to work.
        spare.dismiss()
        time.sleep(PAUSE_S)
        raise
    spare.dismiss()
    logging.shutdown()
    # Whoever adopts what runs here is waiting for this process to be gone: no farewells.
    os._exit(0)


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop that starts programs, and waits for their end without a thread (ADR-0048)."""
    loop = asyncio.new_event_loop()
    if sys.version_info < (3, 12):  # newer ones do so by themselves
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)  # one that is not of this loop refuses every program
        asyncio.set_child_watcher(watcher)
    return loop
