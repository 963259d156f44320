"""Makes this process one that runs when nothing else does: locked, real-time, spared, silent.

The unit file asks systemd for all of it; what is missing here (started by hand, a container, a
kernel with real-time group scheduling) is asked for again and reported, never fatal. With
everything in memory, no page fault waits for a disk that hangs.

Source: mlockall(2), sched(7), mallopt(3), proc(5) (oom_score_adj).
"""

import contextlib
import ctypes
import gc
import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PRIORITY = 30
"""Above everything normal, below the kernel's own threads (50 and 99)."""

SPARED = -1000
NAME = b"standfast-guard"
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PR_SET_NAME = 15
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_HEAP_STEP_BYTES = 256 * 1024
_OOM = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True, slots=True)
class Standing:
    """What this process has got, and sentences about what it has not."""

    locked: bool
    realtime: bool
    spared: bool
    troubles: tuple[str, ...]


def harden(known: Iterable[str] = ()) -> Standing:
    """Take every precaution that the kernel grants. Called once, when all modules are loaded.

    Args:
        known: What is the matter already, as sentences.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, NAME, 0, 0, 0)
    _keep_the_heap(libc)
    troubles = list(known)
    locked = _lock(libc, troubles)
    realtime = _run_first(troubles)
    spared = _be_spared(troubles)
    gc.collect()
    gc.disable()  # nothing here makes cycles; what is there stays
    gc.freeze()
    return Standing(locked, realtime, spared, tuple(troubles))


def _keep_the_heap(libc: ctypes.CDLL) -> None:
    """Memory once had is never given back, so that it never has to be asked for again."""
    libc.mallopt(_M_TRIM_THRESHOLD, -1)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TOP_PAD, _HEAP_STEP_BYTES)
    libc.mallopt(_M_ARENA_MAX, 1)


def _lock(libc: ctypes.CDLL, troubles: list[str]) -> bool:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(OSError, ValueError):  # mlockall says whether it is enough
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
        return True
    troubles.append(
        f"the guard's memory is not locked: {os.strerror(ctypes.get_errno())}; under memory "
        "pressure it may act late (LimitMEMLOCK=infinity)"
    )
    return False


def _run_first(troubles: list[str]) -> bool:
    if os.sched_getscheduler(0) in {os.SCHED_FIFO, os.SCHED_RR}:
        return True
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        troubles.append(
            f"the guard has no real-time priority: {error.strerror}; on a busy machine it may act "
            "late (CPUSchedulingPolicy=fifo; with CONFIG_RT_GROUP_SCHED also cpu.rt_runtime_us)"
        )
        return False
    return True


def _be_spared(troubles: list[str]) -> bool:
    try:
        if int(_OOM.read_text(encoding="ascii")) > SPARED:
            _OOM.write_text(str(SPARED), encoding="ascii")
    except OSError as error:
        troubles.append(
            f"the kernel may kill the guard when memory runs out: {error.strerror} "
            f"(OOMScoreAdjust={SPARED})"
        )
        return False
    return True
