"""Which number a pod has among the lab's pods, and so which address.

A pod that comes again under its old name, as those of a StatefulSet do, gets its old number when
that is free: what was told its address goes on being right.
"""

from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from standfast.lab.pods_network import NUMBERS
from standfast.lab.program import write


class Numbers:
    """Numbers given to pods, remembered in a file.

    Args:
        file: Where they are remembered: `namespace/name` -> number.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._given: dict[str, int] = (
            msgspec.json.decode(file.read_bytes(), type=dict[str, int]) if file.exists() else {}
        )

    def give(self, pod: str, taken: AbstractSet[int]) -> int | None:
        """A number for a pod.

        Args:
            pod: `namespace/name`.
            taken: Numbers that pods have which are not gone yet.

        Returns:
            The number; None when all are taken.
        """
        number = self._given.get(pod)
        if number is None or number in taken:
            number = self._choose(taken)
        if number is None:
            return None
        self._given = {name: old for name, old in self._given.items() if old != number}
        self._given[pod] = number
        write(self._file, msgspec.json.encode(self._given).decode(), 0o644)
        return number

    def _choose(self, taken: AbstractSet[int]) -> int | None:
        """One that nobody ever had, else the one that was given longest ago."""
        never = [n for n in NUMBERS if n not in taken and n not in self._given.values()]
        oldest = [n for n in self._given.values() if n not in taken]
        return next(iter([*never, *oldest]), None)
