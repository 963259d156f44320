"""Where the parts that touch the world report what a person should know.

Two kinds: an *event* happened once (an address conflict, a kill after a graceful stop ran out of
time); an *alert* is true until it is cleared (no packet filter on this host). Neither decides
anything: decisions travel as `ResourceEvent` and as exceptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that stays true until somebody changes it.

    Args:
        reason: A word in CamelCase, the same for the same cause.
        message: A sentence with the values.
        remedy: What to type or change.
    """

    reason: str
    message: str
    remedy: str


class EventSink(Protocol):
    """Takes events and alerts. No method blocks, fails or awaits."""

    def note(self, kind: str, message: str, fields: Mapping[str, str | int] | None = None) -> None:
        """Record one thing that happened.

        Args:
            kind: A word in CamelCase.
            message: Constant text, capitalised, no full stop; values go into `fields`.
            fields: Values by the field names of the style guide (`resource`, `took_ms`, ...).
        """
        ...

    def raise_alert(self, source: str, alert: Alert) -> None:
        """State that `alert` is true now; again with another message replaces it.

        Args:
            source: Who says so (name of a resource, of an adapter). With the reason it is the key.
            alert: What is the matter.
        """
        ...

    def clear_alert(self, source: str, reason: str) -> None:
        """State that it is over; clearing what was never raised is fine."""
        ...
