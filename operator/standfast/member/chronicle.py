"""What a member tells people: a bounded durable log of what happened, and what is the matter now.

Entries are lines of JSON in one file. Writing one costs a system call and no flush: they decide
nothing, a power cut may take the last second of them, and the lease must never wait for the disk.
Numbers are never used twice: after a cut the file is behind, and a new run leaves a gap.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from standfast.ports.events import Alert
from standfast.wire.api import LOG_ENTRIES_MAX, AlertStatus, LogEntry

GAP = 100
"""More entries than a cut can take: a new run begins its numbers so much later."""

_WARNINGS = frozenset(
    {"EmergencyStop", "KillRepeated", "StopOverdue", "Failed", "Stray", "Halted", "HandingOver"}
)
_decoder = msgspec.json.Decoder(LogEntry)
log = logging.getLogger("standfast")


def values(**fields: str | int) -> Mapping[str, str | int]:
    """The fields of an entry, by the names of the style guide."""
    return fields


class Chronicle:
    """The `EventSink` of a process, for one cluster."""

    def __init__(self, path: Path, on_change: Callable[[], None], cluster: str = "") -> None:
        self._path = path
        self._on_change = on_change
        self._cluster = cluster
        self._entries: deque[LogEntry] = deque(_read(path), maxlen=LOG_ENTRIES_MAX)
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._seq = self._entries[-1].seq + GAP if self._entries else 0
        self._lines = LOG_ENTRIES_MAX  # of the file; at this many it is written anew
        self._file = -1
        self._rewrite()

    # ---------------------------------------------------------------- the EventSink port

    def note(self, kind: str, message: str, fields: Mapping[str, str | int] | None = None) -> None:
        self._seq += 1
        entry = LogEntry(
            seq=self._seq,
            at=datetime.now(UTC),
            kind=kind,
            message=message,
            fields=dict(fields or {}),
        )
        self._entries.append(entry)
        self._append(entry)
        level = logging.WARNING if kind in _WARNINGS else logging.INFO
        shown = {"cluster": self._cluster, "kind": kind, **entry.fields}
        log.log(level, message, extra={"fields": shown})
        self._on_change()

    def raise_alert(self, source: str, alert: Alert) -> None:
        if self._alerts.get((source, alert.reason)) == alert:
            return
        is_new = (source, alert.reason) not in self._alerts
        self._alerts[source, alert.reason] = alert
        if is_new:
            self.note(
                "AlertRaised",
                "Something needs attention",
                {"resource": source, "reason": alert.reason, "error": alert.message},
            )
        self._on_change()

    def clear_alert(self, source: str, reason: str) -> None:
        if self._alerts.pop((source, reason), None) is not None:
            self.note("AlertCleared", "It is over", {"resource": source, "reason": reason})

    # ---------------------------------------------------------------- reading

    @property
    def seq(self) -> int:
        return self._seq

    def after(self, seq: int) -> tuple[LogEntry, ...]:
        return tuple(entry for entry in self._entries if entry.seq > seq)

    def alerts(self) -> tuple[AlertStatus, ...]:
        return tuple(
            AlertStatus(
                reason=alert.reason, message=alert.message, remedy=alert.remedy, source=source
            )
            for (source, _), alert in sorted(self._alerts.items(), key=lambda item: item[0])
        )

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ---------------------------------------------------------------- the file

    def _append(self, entry: LogEntry) -> None:
        if self._lines >= 2 * LOG_ENTRIES_MAX:
            self._rewrite()
            return
        try:
            os.write(self._file, msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            self._disk_refused(error)
        else:
            self._lines += 1
            self._alerts.pop(("log", "LogNotWritten"), None)

    def _rewrite(self) -> None:
        """Begin a new file with the entries that are kept."""
        fresh = self._path.with_name(self._path.name + ".new")
        text = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._entries)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            file = os.open(fresh, flags, 0o600)
            os.write(file, text)
            fresh.replace(self._path)
        except OSError as error:
            self._disk_refused(error)
            return
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._lines = len(self._entries)

    def _disk_refused(self, error: OSError) -> None:
        message = f"the log {self._path} cannot be written: {error.strerror}"
        remedy = f"check the disk under {self._path.parent} (df, dmesg)"
        self._alerts["log", "LogNotWritten"] = Alert("LogNotWritten", message, remedy)


def _read(path: Path) -> list[LogEntry]:
    """What an earlier run wrote, without a line that a crash cut off."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found: list[LogEntry] = []
    for line in lines[-LOG_ENTRIES_MAX:]:
        try:
            found.append(_decoder.decode(line))
        except msgspec.DecodeError:
            continue
    return found
