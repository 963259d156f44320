"""The shared disk: who may write to it when the storage itself keeps somebody out.

A reservation is the strongest proof for the disk and for nothing else: whoever seized it is the
only one whose writes do not bounce, until it is given back.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standfast.simulator.machine import Machine

STORAGE = "storage"
"""What the disk is called where a proof is good for it only."""


class Storage:
    """One disk that every data node sees."""

    __slots__ = ("_owner",)

    def __init__(self) -> None:
        self._owner: str | None = None

    def seize(self, machine: "Machine") -> None:
        """Shut everybody else out."""
        self._owner = machine.name

    def give_back(self) -> None:
        """Everybody may write again: all old holders are proven stopped."""
        self._owner = None

    def may_write(self, machine: "Machine") -> bool:
        return self._owner is None or self._owner == machine.name
