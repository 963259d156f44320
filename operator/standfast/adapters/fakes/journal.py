"""A journal in memory, with a disk that can refuse and a process that can restart."""

from typing import Self

from standfast.errors import TransientError


class MemoryJournal:
    """The `Journal` port.

    Levers: `is_broken` makes the next stores fail; `restarted` is what a new process would open.
    """

    def __init__(self, value: bytes | None = None, generation: int = 0) -> None:
        self._value = value
        self._generation = generation
        self.is_broken = False

    @property
    def generation(self) -> int:
        return self._generation

    def load(self) -> bytes | None:
        return self._value

    def store(self, value: bytes) -> None:
        if self.is_broken:
            raise TransientError(
                f"the journal did not take {len(value)} bytes: no space; generation "
                f"{self._generation} stays in force"
            )
        self._value = value
        self._generation += 1

    def close(self) -> None:
        """Nothing is open."""

    def restarted(self) -> Self:
        """The journal as another process finds it now."""
        return type(self)(self._value, self._generation)
