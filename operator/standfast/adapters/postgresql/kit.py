"""What both roles of a copy work with."""

from dataclasses import dataclass

from standfast.adapters.postgresql.instance import Instance
from standfast.adapters.postgresql.note import Notebook
from standfast.adapters.postgresql.role import PasswordFile
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink


@dataclass(frozen=True, slots=True)
class Kit:
    """One copy, and where its doings are told.

    Args:
        resource: Name of the resource.
        instance: The database cluster.
        notes: What is remembered of the copy.
        passwords: Where the password of our role is kept.
    """

    resource: str
    instance: Instance
    notes: Notebook
    passwords: PasswordFile
    clock: Clock
    sink: EventSink

    def note(self, kind: str, message: str, **fields: str | int) -> None:
        """One thing that happened."""
        self.sink.note(kind, message, {"resource": self.resource, **fields})
