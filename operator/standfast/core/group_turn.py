"""One step of the group in the making: the cells so far and the effects so far.

The only mutable thing of the group, and it never leaves `group.step`. It keeps the bookkeeping of
driver calls in one place: at most one per resource, each with a number and a moment at which it
counts as hung.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

from standfast.core import group_events as ev
from standfast.core.group_spec import Spec, dependents
from standfast.core.group_state import (
    KILL_MS,
    LOOK_MS,
    STOP_SLACK_MS,
    Cell,
    Doing,
    Fault,
    Group,
    Phase,
    Want,
)
from standfast.core.record import Proof, Suspect


class CellChanges(TypedDict, total=False):
    """Fields of `Cell` that a rule may change; those of a call are the turn's own."""

    spec: Spec
    fresh: Spec | None
    removed: bool
    phase: Phase
    restart: bool
    checks: tuple[bool, ...]
    failures: tuple[int, ...]
    retry_at_ms: int
    fault: Fault | None
    spent: bool
    abandoned: bool
    kills: int
    ran_term: int
    look_at_ms: int
    obstacles: tuple[str, ...] | None
    message: str


class GroupChanges(TypedDict, total=False):
    """Fields of `Group` that a rule may change."""

    generation: int
    hindrance: str
    want: Want
    term: int
    until_ms: int
    report_owed: bool
    suspects: tuple[Suspect, ...]
    proofs: Mapping[Suspect, Proof]
    reserved: Mapping[str, frozenset[Suspect]]
    others_eligible: bool
    somebody_holds: bool
    cool_until_ms: int
    cool_why: str
    handing_over: bool
    hand_over_at_ms: int
    serving_term: int


class GroupTurn:
    """What one event has changed until now."""

    __slots__ = ("cells", "effects", "group", "now_ms")

    def __init__(self, group: Group, now_ms: int) -> None:
        self.group = group
        self.now_ms = now_ms
        self.cells: dict[str, Cell] = dict(group.cells)
        self.effects: list[ev.GroupEffect] = []

    def set(self, name: str, **changes: Unpack[CellChanges]) -> Cell:
        """Change one cell; `phase` notes since when it is so."""
        cell = self.cells[name]
        moved = "phase" in changes and changes["phase"] is not cell.phase
        since_ms = self.now_ms if moved else cell.since_ms
        self.cells[name] = cell = replace(cell, since_ms=since_ms, **changes)
        return cell

    def change(self, **changes: Unpack[GroupChanges]) -> None:
        """Change the group as a whole."""
        self.group = replace(self.group, **changes)

    def emit(self, effect: ev.GroupEffect) -> None:
        self.effects.append(effect)

    def note(self, kind: str, message: str, **fields: str | int) -> None:
        self.emit(ev.Note(kind, message, fields))

    def alarm(self, name: str, reason: str, message: str, remedy: str) -> None:
        cell = self.cells[name]
        self.cells[name] = replace(cell, alarms=cell.alarms | {reason})
        self.emit(ev.Alarm(name, reason, message, remedy))

    def calm(self, name: str, *reasons: str) -> None:
        """End the alarms of these reasons; of all of them when none is named."""
        cell = self.cells[name]
        over = cell.alarms & frozenset(reasons) if reasons else cell.alarms
        if over:
            self.cells[name] = replace(cell, alarms=cell.alarms - over)
            for reason in sorted(over):
                self.emit(ev.Calm(name, reason))

    # ---------------------------------------------------------------- calls

    def call(self, name: str, doing: Doing) -> None:
        """Begin a call; one that is under way is given up first."""
        self.give_up_call(name)
        number = self.group.calls + 1
        self.group = replace(self.group, calls=number)
        cell = self.cells[name]
        spec = cell.spec
        budget_ms = KILL_MS
        effect: ev.GroupEffect
        match doing:
            case Doing.LOOK | Doing.VERIFY:
                ready = doing is Doing.LOOK and not self.group.report_owed
                effect, budget_ms = ev.Look(name, number, ready), LOOK_MS
            case Doing.CHECK:
                effect, budget_ms = ev.Check(name, number), spec.check_ms
            case Doing.START:
                effect = ev.Start(name, number, self.group.until_ms)
                budget_ms = spec.start_ms
            case Doing.STOP:
                effect = ev.Stop(name, number, spec.stop_ms)
                budget_ms = spec.stop_ms + STOP_SLACK_MS
            case Doing.KILL:
                effect = ev.Kill(name, number)
            case Doing.NOTHING:
                raise AssertionError("nothing is not a call")
        self.emit(effect)
        self.cells[name] = replace(
            self.cells[name],
            doing=doing,
            call=number,
            began_ms=self.now_ms,
            due_ms=self.now_ms + budget_ms,
        )

    def give_up_call(self, name: str) -> None:
        cell = self.cells[name]
        if cell.is_busy:
            self.emit(ev.Cancel(name, cell.call))
            self._call_over(name)

    def answered(self, name: str, call: int) -> Cell | None:
        """The cell whose call this answers; none when nobody waits for it any more."""
        cell = self.cells.get(name)
        if cell is None or not cell.is_busy or cell.call != call:
            return None
        self._call_over(name)
        return cell

    def _call_over(self, name: str) -> None:
        self.cells[name] = replace(self.cells[name], doing=Doing.NOTHING, call=0)

    # ---------------------------------------------------------------- the graph

    def dependents(self, name: str) -> list[Cell]:
        specs = {key: cell.spec for key, cell in self.cells.items()}
        return [self.cells[other] for other in dependents(specs, name)]

    def dependencies(self, name: str) -> list[Cell]:
        wanted = self.cells[name].spec.depends_on
        return [self.cells[other] for other in wanted if other in self.cells]

    def finish(self) -> tuple[Group, tuple[ev.GroupEffect, ...]]:
        return replace(self.group, cells=self.cells), tuple(self.effects)
