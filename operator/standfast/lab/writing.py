"""A writer that runs beside a test or the demo, and the judgement over what it wrote.

Called by `lab.Lab`. The writer itself is `writer`, a process in the client namespace; this reads
its lines and compares them with the numbers that the table has in the end.
"""

import itertools
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
from typing_extensions import override

from standfast.errors import TransientError

STOP_S = 10.0
MODULE = (sys.executable, "-m", "standfast.lab.writer")


class Write(msgspec.Struct, frozen=True):
    """One line of a writer.

    Args:
        ms: When it was acknowledged or given up, on CLOCK_BOOTTIME.
        number: What was written.
        took_ms: How long it took.
        error: Why it was not acknowledged.
    """

    ms: float
    number: int
    took_ms: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the acknowledged writes.

    Args:
        acknowledged: How many there were.
        lost: Acknowledged and not in the table.
        twice: In the table more than once.
        unasked: In the table although the client was told that they failed, or nothing: allowed.
    """

    acknowledged: int
    lost: tuple[int, ...]
    twice: tuple[int, ...]
    unasked: int


def judge(acknowledged: Iterable[int], found: Iterable[int]) -> Verdict:
    """Compare what was acknowledged with what is there."""
    promised, counted = set(acknowledged), Counter(found)
    return Verdict(
        acknowledged=len(promised),
        lost=tuple(sorted(promised - counted.keys())),
        twice=tuple(sorted(number for number, times in counted.items() if times > 1)),
        unasked=len(counted.keys() - promised),
    )


def before_the_last(window_ms: float, writes: Sequence[Write], lost: Collection[int]) -> list[int]:
    """Lost writes without the newest of each loss: what asynchronous data may always lack.

    Args:
        window_ms: How long before the end of a loss its newest writes were acknowledged.
        writes: All of them.
        lost: Numbers of acknowledged ones that are not there; those that were acknowledged in a
            row, none between them found, were lost together.
    """
    told = sorted((write for write in writes if not write.error), key=lambda write: write.ms)
    older: list[int] = []
    for is_lost, row in itertools.groupby(told, key=lambda write: write.number in lost):
        together = list(row)
        if is_lost:
            until_ms = together[-1].ms - window_ms
            older += [write.number for write in together if write.ms < until_ms]
    return older


def longest_silence_ms(writes: Sequence[Write], since_ms: float = 0) -> float:
    """The longest time between two acknowledged writes, by when they were acknowledged."""
    moments = sorted(write.ms for write in writes if not write.error and write.ms >= since_ms)
    gaps = (later - earlier for earlier, later in itertools.pairwise(moments))
    return max(gaps, default=0.0)


class RunningWriter(AbstractContextManager["RunningWriter"]):
    """A writer for as long as a `with` block lasts.

    Args:
        command: Its command line, in the client namespace.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.writes: list[Write] = []
        self._command = command
        self._news = threading.Condition()

    @override
    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, name="writer", daemon=True)
        self._reader.start()
        try:
            self.wait_for(1)
        except TransientError:
            self.end()
            raise
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop it; every line that it printed has been read on return. Idempotent."""
        if self._process.stdout is None or self._process.stdout.closed:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    @property
    def acknowledged(self) -> list[int]:
        """Numbers that the client was told are written."""
        return [write.number for write in self.writes if not write.error]

    def wait_for(self, count: int, *, timeout_s: float = 30.0) -> None:
        """Waits for so many more acknowledged writes.

        Raises:
            TransientError: There were fewer.
        """
        with self._news:
            goal = len(self.acknowledged) + count
            done = self._news.wait_for(
                lambda: len(self.acknowledged) >= goal or not self._reader.is_alive(), timeout_s
            )
            if not done or len(self.acknowledged) < goal:
                raise TransientError(
                    f"{count} more writes were not acknowledged within {timeout_s:g} s; last: "
                    f"{self.writes[-3:]}"
                )

    def wait_for_failure(self, since_ms: float, *, timeout_s: float = 30.0) -> None:
        """Waits until a write was not acknowledged: the fault has reached the client.

        Args:
            since_ms: Failures before this moment of CLOCK_BOOTTIME do not count.
            timeout_s: How long to wait.

        Raises:
            TransientError: All were acknowledged.
        """
        with self._news:
            if not self._news.wait_for(
                lambda: any(write.error and write.ms >= since_ms for write in self.writes),
                timeout_s,
            ):
                raise TransientError(f"every write was acknowledged for {timeout_s:g} s")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            write = msgspec.convert(json.loads(text), Write)
            with self._news:
                self.writes.append(write)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def writer(dsn: str, first: int = 1) -> list[str]:
    """The command of a writer."""
    return [*MODULE, dsn, "--first", str(first)]
