"""What a run exercised: rules, events, effects, refusals, losses, proofs, transitions, faults.

A rule that no run exercises is not tested by the simulator, whatever its count of faults. The big
run fails when one of the names that must occur never did (`missing`).

Rules are counted by watching the interpreter call the functions of the core, which slows it down:
`watched` is meant for one run of many (`campaign`). Everything else is counted in every run.
"""

import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import get_args

from standfast.core import (
    asking,
    changing,
    holding,
    identity,
    in_sync,
    passive,
    proof,
    quorum,
    standing,
    tally,
    turn,
    voting,
)
from standfast.core.events import Effect, Event, Loss
from standfast.core.messages import Ask, Refusal
from standfast.core.record import Proof
from standfast.core.state import State
from standfast.simulator.plan import FaultKind

Name = tuple[str, str]
"""Family and name of a counter."""

RULES: tuple[ModuleType, ...] = (
    asking,
    changing,
    holding,
    identity,
    in_sync,
    passive,
    proof,
    quorum,
    standing,
    tally,
    turn,
    voting,
)
"""Modules each of whose functions is a rule, or part of one."""

TRANSITIONS: tuple[str, ...] = (
    "Standby → Asking",
    "Asking → Standby",
    "Asking → Standing",
    "Standing → Standby",
    "Standing → Won",
    "Standby → Serving",
    "Won → Serving",
    "Serving → Releasing",
    "Releasing → Serving",
    "Releasing → Standby",
    "Serving → Stopping",
    "Won → Stopping",
    "Releasing → Stopping",
    "Stopping → Standby",
    "Adopted → Keeping",
    "Adopted → Stopping",
    "Serving → Keeping",
    "Keeping → Won",
    "Keeping → Adopted",
    "Keeping → Stopping",
)
"""What a member must have been seen to become from what."""

UNREACHABLE: dict[Name, str] = {
    ("proof", Proof.LEASE_EXPIRED.value): "held by whoever wins, so never reported",
    ("refusal", Refusal.NOT_A_DATA_NODE.value): "no member asks that is none by its own record",
    ("refusal", Refusal.RECORD_UNKNOWN.value): "a renewal leaves out only what is on that disk",
    ("loss", Loss.HALTED.value): "a machine that goes back is off before, a copy halts itself",
    ("loss", Loss.FENCED.value): "nobody lies: a boot that is attested off never holds again",
}
"""What no run can show, each with its reason; unit tests of the core do."""


class Coverage:
    """Counters, by family and name."""

    __slots__ = ("counts", "effects", "events")

    def __init__(self) -> None:
        self.counts: Counter[Name] = Counter()
        self.events: Counter[type] = Counter()
        self.effects: Counter[type] = Counter()

    def count(self, family: str, name: str) -> None:
        self.counts[family, name] += 1

    def became(self, before: State, after: State) -> None:
        """Count what a member has become by a step, if it is something else."""
        was, is_now = role(before), role(after)
        if was != is_now:
            self.counts["transition", f"{was} → {is_now}"] += 1

    def total(self) -> Counter[Name]:
        """All counters under their names."""
        total = Counter(self.counts)
        for event, times in self.events.items():
            total["event", event.__name__] += times
        for effect, times in self.effects.items():
            total["effect", effect.__name__] += times
        return total


def role(state: State) -> str:
    """What a member is, as far as rules tell it apart."""
    lease, asked = state.holding, state.candidacy
    if state.durable.halted:
        return "Halted"
    if lease is not None:
        if asked is not None:
            return "Keeping"
        if lease.releasing:
            return "Releasing"
        if not lease.renews:
            return "Adopted"
        return "Won" if lease.committed is None else "Serving"
    if state.must_stop is not None:
        return "Stopping"
    if asked is not None:
        return "Asking" if asked.ask.pre else "Standing"
    return "Standby"


def functions() -> dict[CodeType, str]:
    """Every function of the modules of `RULES`, and every method of what they define."""
    found: dict[CodeType, str] = {}
    for module in RULES:
        short = module.__name__.rpartition(".")[2]
        places: list[tuple[str, object]] = [("", module)]
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__:
                places.append((f"{name}.", kind))
        for prefix, place in places:
            for name, function in inspect.getmembers(place, inspect.isfunction):
                if function.__code__.co_filename == module.__file__:
                    found[function.__code__] = f"{short}.{prefix}{name}"
    return found


@contextmanager
def watched(counts: Counter[Name]) -> Iterator[None]:
    """Count the rules that are asked while this lasts, and what candidates tell themselves."""
    named = functions()
    judge = voting.judge.__code__

    def look(frame: FrameType, event: str, found: object) -> None:
        name = named.get(frame.f_code)
        if name is None:
            return
        if event == "call":
            counts["rule", name] += 1
        elif event == "return" and frame.f_code is judge and isinstance(found, tuple):
            reason = found[0]
            if isinstance(reason, Refusal):
                counts["judged", reason.value] += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def expected() -> Iterator[Name]:
    """Everything that a big run must have shown at least once."""
    for name in functions().values():
        yield "rule", name
    for event in get_args(Event):
        yield "event", event.__name__
    for effect in get_args(Effect):
        yield "effect", effect.__name__
    for reason in Refusal:
        yield "refusal", reason.value
    for ask in Ask:
        yield "refused", ask.value
    for loss in Loss:
        yield "loss", loss.value
    for kind in Proof:
        yield "proof", kind.value
    for transition in TRANSITIONS:
        yield "transition", transition
    for fault in FaultKind:
        yield "fault", fault.value


def missing(total: Counter[Name]) -> list[Name]:
    """Expected names that never occurred; a refusal counts although only its asker saw it."""

    def shown(family: str, name: str) -> int:
        return total[family, name] + (total["judged", name] if family == "refusal" else 0)

    return [name for name in expected() if not shown(*name) and name not in UNREACHABLE]
