"""The process itself: punctual, hard to kill by a full machine, known to systemd.

Everything here is best effort except the refusal of `python -O`: assertions guard invariants, and
a process without them must not take part. What could not be had is logged once, with why.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import socket
import sys
from pathlib import Path

from standfast.errors import UserError

MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4
PRIORITY = 10
"""SCHED_FIFO priority of the agent; the guard's is above."""
GC_THRESHOLDS = (20_000, 20, 50)
"""Rare collections: what lives from turn to turn is frozen, what dies is not in cycles."""
log = logging.getLogger("standfast")


def refuse_optimised() -> None:
    """Assertions are kept on in production.

    Raises:
        UserError: Python runs with `-O` or PYTHONOPTIMIZE.
    """
    if sys.flags.optimize:
        raise UserError(
            "this program was started under python -O, which drops the assertions that guard "
            "against two active nodes",
            remedy="start it without -O and without PYTHONOPTIMIZE",
        )


def make_punctual(*, real_time: bool) -> None:
    """Let neither a busy machine nor a full one delay the lease (F09, F10)."""
    _try("mlockall", _lock_memory)
    if real_time:
        _try("SCHED_FIFO", _real_time)
    _try("oom_score_adj", _spare_from_oom)


def settle_memory() -> None:
    """Called once everything is loaded: collect what is garbage, never look at the rest again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def notify(state: str) -> None:
    """Tell systemd something, if it wants to know (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect(address)
        told.send(state.encode())


async def keep_notifying() -> None:
    """Show systemd's watchdog that the loop turns; returns at once when there is none."""
    watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    if watchdog_us <= 0:
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(watchdog_us / 3_000_000)


def _try(what: str, act: "object") -> None:
    assert callable(act)
    try:
        act()
    except OSError as error:
        log.info("NotHad", extra={"fields": {"reason": what, "error": str(error)}})


def _lock_memory() -> None:
    """Lock what is touched, when it is touched: locking all that is mapped would cost tenfold."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _real_time() -> None:
    """First among ordinary processes, with all its threads; children are ordinary again."""
    policy, urgency = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY)
    os.sched_setscheduler(0, policy, urgency)
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setscheduler(int(thread.name), policy, urgency)


def _spare_from_oom() -> None:
    Path("/proc/self/oom_score_adj").write_text("-900", encoding="ascii")
