"""What a client sees of a simulated cluster, millisecond by millisecond, and what a picture shows.

It looks from outside: an application that runs, an address that the kernel answers for, a network
that carries. What members believe is not asked.
"""

from typing import TYPE_CHECKING

from standfast.simulator.machine import Machine, Power
from standfast.simulator.resources import Resources
from standfast.simulator.scenario import CLIENTS, Band

if TYPE_CHECKING:
    from standfast.simulator.directed import DirectedWorld


class Client:
    """Asks every millisecond from the first fault on."""

    __slots__ = (
        "_has_address",
        "_two_answer",
        "away_for_ms",
        "both_ms",
        "outage_ms",
        "served_by",
        "served_for_ms",
        "stage",
    )

    def __init__(self, stage: "DirectedWorld") -> None:
        self.stage = stage
        self.served_by: str | None = None
        self.served_for_ms = 0
        self.away_for_ms = 0
        self.outage_ms = 0
        self.both_ms = 0
        self._two_answer = False
        self._has_address = any(thing.is_address for thing in stage.case.things)

    def ask(self, *, changed: bool) -> None:
        """One more millisecond has passed, and something happened in it or nothing did."""
        if changed:
            self._look()
        if self.served_by is None:
            self.outage_ms += 1
            self.away_for_ms += 1
            self.served_for_ms = 0
        else:
            self.served_for_ms += 1
            self.away_for_ms = 0
        self.both_ms += self._two_answer

    def _look(self) -> None:
        machines = self.stage.nodes
        server = next((m.name for m in machines if self._reaches(m) and serves(m)), None)
        if server != self.served_by:
            self.served_for_ms = 0
        self.served_by = server
        self._two_answer = sum(self._answers(machine) for machine in machines) > 1

    def _reaches(self, machine: Machine) -> bool:
        return machine.name not in self.stage.isolated

    def _answers(self, machine: Machine) -> bool:
        """Whether it would answer whoever reached it: for its address, or without one as a whole.

        A node that is cut off counts as well: nobody may answer beside it, reached or not.
        """
        if not self._has_address:
            return serves(machine)
        return machine.runs and machine.kernel_cut_us is not None


def serves(machine: Machine) -> bool:
    """Whether everything critical is up there, and the machine is not stopped."""
    service = machine.service
    return machine.runs and isinstance(service, Resources) and service.serves()


class Recorder:
    """Bands of a picture: what was so on which lane, from when to when."""

    __slots__ = ("_open", "bands", "stage")

    def __init__(self, stage: "DirectedWorld") -> None:
        self.stage = stage
        self.bands: list[Band] = []
        self._open: dict[tuple[str, str], int] = {}

    def look(self, at_ms: int, served_by: str | None) -> None:
        """Note what is so at a moment of the scenario's clock."""
        now = {(CLIENTS, served_by or "")}
        for name, machine in self.stage.machines.items():
            now |= {(name, word) for word in self._words(machine)}
        for key in [key for key in self._open if key not in now]:
            self.bands.append(Band(*key, self._open.pop(key), at_ms))
        for key in now:
            self._open.setdefault(key, at_ms)

    def close(self, at_ms: int) -> tuple[Band, ...]:
        self.bands += [Band(*key, since, at_ms) for key, since in self._open.items()]
        self._open.clear()
        return tuple(sorted(self.bands, key=lambda b: (b.from_ms, b.lane, b.word)))

    def _words(self, machine: Machine) -> list[str]:
        if machine.power is Power.OFF:
            return ["Down"]
        words = ["Isolated"] if machine.name in self.stage.isolated else []
        if machine.power is Power.STOPPED:
            return [*words, "Stunned"]
        state = machine.process.state
        if state is not None and state.holds(machine.now_ms()):
            words.append("Holds")
        service = machine.service
        if isinstance(service, Resources) and service.anything_runs():
            words.append("Serves" if service.serves() else "Partly")
        return words
