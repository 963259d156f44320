"""A probe that runs beside a test or the demo: started, asked what it has seen, stopped.

Called by `lab.Lab` and by `standfast-lab probe`. The probe itself is `probe`, a process in the
client namespace; this reads its lines.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import msgspec
from typing_extensions import override

from standfast.errors import TransientError
from standfast.lab.outages import Summary

STOP_S = 10.0
MODULE = (sys.executable, "-m", "standfast.lab.probe")


class Line(msgspec.Struct, frozen=True):
    """One line of a probe.

    Args:
        ms: When the attempt began, on CLOCK_BOOTTIME.
        by: Who answered; empty when nobody did.
        error: Why nobody did.
        took_ms: How long it took.
        claimed_by: In a line that says who claims the address: its link-layer address.
    """

    ms: float
    by: str = ""
    error: str = ""
    took_ms: float = 0.0
    claimed_by: str = ""


def vip_probe(address: str, port: int) -> list[str]:
    """The command of a probe for a TCP service; it watches ARP for an IPv4 address."""
    watching = [] if ":" in address else ["--interface", "eth0"]
    return [*MODULE, "vip", address, "--port", str(port), *watching]


def sql_probe(dsn: str) -> list[str]:
    """The command of a probe for a database."""
    return [*MODULE, "sql", dsn]


class RunningProbe(AbstractContextManager["RunningProbe"]):
    """A probe for as long as a `with` block lasts; afterwards `summary` says what it saw.

    Args:
        command: Its command line, in the client namespace.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.lines: list[Line] = []
        self._command = command
        self._summary: Summary | None = None
        self._news = threading.Condition()

    @override
    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, name="probe", daemon=True)
        self._reader.start()
        self._wait(lambda: bool(self.lines), "its first line", STOP_S)
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def summary(self) -> Summary:
        """What it saw, from beginning to end.

        Raises:
            TransientError: It was killed before it could say.
        """
        if self._summary is None:
            raise TransientError(f"`{' '.join(self._command)}` ended without a summary")
        return self._summary

    def wait_for(self, by: str | None = None, *, timeout_s: float = 30.0) -> Line:
        """Waits for an answer that begins from now on.

        Args:
            by: From whom; from anybody when it is None.
            timeout_s: How long.

        Raises:
            TransientError: There was none.
        """
        now_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000

        def found() -> Line | None:
            fresh = (line for line in reversed(self.lines) if line.ms >= now_ms and line.by)
            return next((line for line in fresh if by in {None, line.by}), None)

        self._wait(lambda: found() is not None, f"an answer by {by or 'anybody'}", timeout_s)
        line = found()
        assert line is not None
        return line

    def wait_for_silence(self, *, timeout_s: float = 30.0) -> None:
        """Waits for an attempt, begun from now on, that fails."""
        now_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
        self._wait(
            lambda: any(line.error and line.ms >= now_ms for line in self.lines[-50:]),
            "a failed attempt",
            timeout_s,
        )

    def _wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        with self._news:
            if (
                not self._news.wait_for(
                    lambda: condition() or not self._reader.is_alive(), timeout_s
                )
                or not condition()
            ):
                raise TransientError(
                    f"the probe did not see {what} within {timeout_s:g} s; last: {self.lines[-3:]}"
                )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            row = json.loads(text)
            with self._news:
                if "summary" in row:
                    self._summary = msgspec.convert(row["summary"], Summary)
                else:
                    self.lines.append(msgspec.convert(row, Line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()
