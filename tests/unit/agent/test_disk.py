"""A disk that does not answer is noticed, by a helper that may hang in the agent's stead."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from standfast.adapters.fakes import RecordingSink
from standfast.agent.disk import HANGS, UNWATCHED, DiskProbe, DiskWatch


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[DiskProbe]:
    made = DiskProbe.fork(tmp_path, every_s=0.01)
    yield made
    with suppress(ProcessLookupError):
        os.kill(made.pid, signal.SIGCONT)
        os.kill(made.pid, signal.SIGKILL)
    os.waitpid(made.pid, 0)
    os.close(made.pipe)


class Watched:
    """A watch that runs, and a way to wait for what it says."""

    def __init__(self, probe: DiskProbe | None) -> None:
        self.sink = RecordingSink()
        self.changed = asyncio.Event()
        self.watch = DiskWatch(probe, self.sink, self.changed.set, hung_s=0.3, look_s=0.01)

    async def until(self, fits: Callable[[str], bool]) -> None:
        running = asyncio.create_task(self.watch.run())
        async with asyncio.timeout(5):
            while not fits(self.watch.hindrance):
                self.changed.clear()
                await self.changed.wait()
        running.cancel()


async def test_a_helper_that_hangs_keeps_the_node_from_standing(probe: DiskProbe) -> None:
    """F57: SIGSTOP is to the helper what a hung disk is."""
    watched = Watched(probe)
    os.kill(probe.pid, signal.SIGSTOP)
    await watched.until(lambda said: "has not come back" in said)
    assert ("disk", HANGS) in watched.sink.alerts
    os.kill(probe.pid, signal.SIGCONT)
    await watched.until(lambda said: said == "")
    assert watched.sink.alerts == {}


async def test_a_helper_that_was_killed_is_told_and_is_no_hindrance(probe: DiskProbe) -> None:
    watched = Watched(probe)
    os.kill(probe.pid, signal.SIGSTOP)
    await watched.until(lambda said: "has not come back" in said)
    os.kill(probe.pid, signal.SIGKILL)
    await watched.until(lambda _: ("disk", UNWATCHED) in watched.sink.alerts)
    assert watched.watch.hindrance == ""
    assert list(watched.sink.alerts) == [("disk", UNWATCHED)]


async def test_a_disk_that_answers_is_no_hindrance(probe: DiskProbe) -> None:
    watched = Watched(probe)
    running = asyncio.create_task(watched.watch.run())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await watched.changed.wait()
    running.cancel()
    assert watched.watch.hindrance == ""


@pytest.mark.parametrize(
    ("number", "said"), [(30, "cannot be written: Read-only"), (5, "Input/output error"), (28, "")]
)
async def test_an_error_counts_when_the_journal_would_meet_it_too(number: int, said: str) -> None:
    """A full disk does not: the journal has its room already."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    watched = Watched(DiskProbe(Path("/var/lib/standfast"), 0, reader))
    os.write(writer, bytes([number]))
    watched.watch._look(DiskProbe(Path("/var/lib/standfast"), 0, reader))
    assert said in watched.watch.hindrance
    assert bool(watched.watch.hindrance) is bool(said)
    os.close(reader)
    os.close(writer)


async def test_without_a_helper_nothing_is_said() -> None:
    watched = Watched(None)
    await watched.watch.run()
    assert watched.watch.hindrance == ""
