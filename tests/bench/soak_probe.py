"""The operator as it is, with a window into its process: `python -m tests.bench.soak_probe run`.

At SIGUSR1 it writes what is alive in it to the file that `SOAK_PROBE` names: tasks, objects by
type, sessions, threads, open files, resident memory. With `SOAK_PLANTED=tasks|objects` it leaks on
purpose, so that a soak can show that it would see a leak.
"""

import asyncio
import gc
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import aiohttp

from standfast.controller import main as operator
from standfast.controller.workqueue import WorkQueue

TYPES_MAX = 80
_kept: list[object] = []


def snapshot() -> dict[str, object]:
    """What is alive now, after a collection."""
    gc.collect()
    everything = gc.get_objects()
    types = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in everything)
    sessions = sum(
        isinstance(each, aiohttp.ClientSession) and not each.closed for each in everything
    )
    objects = len(everything)
    del everything
    tasks = Counter(_kind(task.get_name()) for task in asyncio.all_tasks() if not task.done())
    status = Path("/proc/self/status").read_text().splitlines()
    rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return {
        "at": time.time(),
        "pid": os.getpid(),
        "rss_kib": rss,
        "objects": objects,
        "types": dict(types.most_common(TYPES_MAX)),
        "tasks": dict(tasks),
        "sessions": sessions,
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 -- cheapest
    }


def _kind(name: str) -> str:
    """Of a task: its name without what it is about."""
    return re.split(r"[ /:]|-\d", name, maxsplit=1)[0]


def _write(_number: int, _frame: FrameType | None) -> None:
    path = Path(os.environ["SOAK_PROBE"])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(snapshot()))
    part.rename(path)


def _plant(what: str) -> None:
    """Leak with every key that is done."""
    done = WorkQueue.done

    def leaking(self: WorkQueue[object], key: object) -> None:
        if what == "tasks":
            _kept.append(asyncio.create_task(asyncio.Event().wait(), name="planted"))
        else:
            _kept.extend([[key] for _ in range(50)])
        done(self, key)

    WorkQueue.done = leaking  # type: ignore[method-assign, assignment] # it is planted


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _write)
    if os.environ.get("SOAK_PLANTED"):
        _plant(os.environ["SOAK_PLANTED"])
    operator.main()
