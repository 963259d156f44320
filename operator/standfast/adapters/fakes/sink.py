"""An event sink that keeps everything, for tests to read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from standfast.ports.events import Alert


@dataclass(frozen=True, slots=True)
class Note:
    """One event as it came."""

    kind: str
    message: str
    fields: Mapping[str, str | int]


@dataclass(slots=True)
class RecordingSink:
    """The `EventSink` port: `notes` in order, `alerts` that are true now."""

    notes: list[Note] = field(default_factory=list)
    alerts: dict[tuple[str, str], Alert] = field(default_factory=dict)

    def note(self, kind: str, message: str, fields: Mapping[str, str | int] | None = None) -> None:
        self.notes.append(Note(kind, message, dict(fields or {})))

    def raise_alert(self, source: str, alert: Alert) -> None:
        self.alerts[source, alert.reason] = alert

    def clear_alert(self, source: str, reason: str) -> None:
        self.alerts.pop((source, reason), None)
