"""Alerts of one group of reasons: what is said now replaces what was said before."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from standfast.ports.events import Alert, EventSink


@dataclass(slots=True)
class Alarms:
    """What was raised and not cleared.

    Args:
        sink: Where alerts go.
        source: Who says so.
    """

    sink: EventSink
    source: str
    raised: set[str] = field(default_factory=set)

    def say(self, alerts: Iterable[Alert]) -> None:
        """These are true now, and no others."""
        now = {alert.reason: alert for alert in alerts}
        for alert in now.values():
            self.sink.raise_alert(self.source, alert)
        for reason in self.raised - now.keys():
            self.sink.clear_alert(self.source, reason)
        self.raised = set(now)
