"""Whether the disk under the journal answers: asked by a helper process, with a limit in time.

A write to a disk that hangs does not fail, it does not come back, and whoever waits for it cannot
even be killed (F57). So the agent does not ask: a helper, forked before the agent is real-time and
locked in memory, writes and flushes a few bytes every few seconds and says so on a pipe. When it
falls silent, or says that the disk is read-only or broken, this node does not stand: it could not
make its vote durable, and would hang in the attempt. One that is active goes on, since a renewal
writes nothing; a person is told.

The helper dies with the agent, as soon as its disk lets it.
"""

import asyncio
import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from standfast.ports.events import Alert, EventSink

EVERY_S = 2.0
HUNG_S = 6.0
LOOK_S = 1.0
PROBE = "disk-probe"
HANGS = "DiskHangs"
UNWATCHED = "DiskNotWatched"
_SOURCE = "disk"
_BAD = frozenset({errno.EIO, errno.EROFS, errno.EUCLEAN})
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class DiskProbe:
    """The agent's end of the helper.

    Args:
        directory: What is probed.
        pid: Of the helper.
        pipe: One byte per answer: 0, or the number of the error.
    """

    directory: Path
    pid: int
    pipe: int

    @classmethod
    def fork(cls, directory: Path, every_s: float = EVERY_S) -> "DiskProbe":
        """Make the helper. Before any thread or loop is started."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _keep_probing(directory / PROBE, writer, every_s)
        os.close(writer)
        os.set_blocking(reader, False)
        return cls(directory, pid, reader)


def _keep_probing(file: Path, pipe: int, every_s: float) -> None:
    """The helper's life; never returns."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    while True:
        try:
            os.write(pipe, bytes([_answer(file) & 0xFF]))
        except OSError:
            os._exit(0)  # the agent has gone
        time.sleep(every_s)


def _answer(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, str(time.monotonic_ns()).encode(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno or 0
    return 0


class DiskWatch:
    """What the node concludes from the helper's answers.

    Args:
        probe: The helper; none where there is nothing to probe.
        sink: Takes the alert.
        changed: Called when `hindrance` has changed.
        hung_s: A helper that is silent for so long hangs.
        look_s: How often that is looked at.
    """

    def __init__(
        self,
        probe: DiskProbe | None,
        sink: EventSink,
        changed: Callable[[], None],
        *,
        hung_s: float = HUNG_S,
        look_s: float = LOOK_S,
    ) -> None:
        self._probe = probe
        self._sink = sink
        self._changed = changed
        self._hung_s = hung_s
        self._look_s = look_s
        self._heard_s = time.monotonic()
        self._error = 0
        self._hindrance = ""

    @property
    def hindrance(self) -> str:
        """Why this node does not stand, as a sentence; empty when the disk is no reason."""
        return self._hindrance

    async def run(self) -> None:
        """Look for ever."""
        if self._probe is None:
            return
        self._heard_s = time.monotonic()
        while True:
            if not self._look(self._probe):
                return
            await asyncio.sleep(self._look_s)

    def _look(self, probe: DiskProbe) -> bool:
        """Judge what it says; answers whether it is there to say any more."""
        try:
            answers = os.read(probe.pipe, 4096)
        except BlockingIOError:
            pass
        else:
            if not answers:
                self._end(probe)
                return False
            self._heard_s, self._error = time.monotonic(), answers[-1]
        silent_s = time.monotonic() - self._heard_s
        said = ""
        if silent_s > self._hung_s:
            said = f"a write to {probe.directory} has not come back for {self._hung_s:g} s"
        elif self._error in _BAD:
            said = f"{probe.directory} cannot be written: {os.strerror(self._error)}"
        if said != self._hindrance:
            self._hindrance = said
            self._tell(said)
            self._changed()
        return True

    def _end(self, probe: DiskProbe) -> None:
        """Nobody asks any more, so nobody knows: that is no reason not to stand."""
        self._hindrance = ""
        self._tell("")
        said = f"the helper that asks the disk of {probe.directory} has ended"
        remedy = "systemctl restart standfast-agent"
        self._sink.raise_alert(_SOURCE, Alert(UNWATCHED, said, remedy))
        self._changed()

    def _tell(self, said: str) -> None:
        if not said:
            self._sink.clear_alert(_SOURCE, HANGS)
            return
        remedy = "look at the disk below it (dmesg, findmnt -T, the hypervisor's datastore)"
        self._sink.raise_alert(_SOURCE, Alert(HANGS, said, remedy))
