"""Modelled drivers of one node: calls take their time, and what is physically here stays here.

A call that ends changes the thing first and reports afterwards, to the run of the agent that had
begun it. A dead agent hears nothing; what it had begun goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from standfast.core import group_events as ev
from standfast.core.ids import RunId
from standfast.simulator.machine import Machine
from standfast.simulator.scenario import Span, Thing
from standfast.simulator.timeline import Due

LOOK = Span(2, 20)
"""How long a look or a check takes, and an order to do what is done already."""

Call = ev.Look | ev.Check | ev.Start | ev.Stop | ev.Kill
Report = Callable[[RunId, ev.GroupEvent], None]


class Here(Enum):
    """What is physically so of one resource."""

    DOWN = "down"
    BETWEEN = "between"
    UP = "up"


@dataclass(slots=True)
class Work:
    """A call under way.

    Attributes:
        run: Of the agent that waits for it.
        left_us: How much of it was left when the machine was stopped.
    """

    call: Call
    run: RunId
    due: Due
    left_us: int = 0


class Drivers:
    """All drivers of one node.

    Args:
        machine: Where.
        things: What, by name.
        report: Takes what came of a call.
        turned: Told whenever something here has changed.
    """

    __slots__ = ("_machine", "_report", "_things", "_turned", "_work", "here")

    def __init__(
        self,
        machine: Machine,
        things: Mapping[str, Thing],
        report: Report,
        turned: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._things = things
        self._report = report
        self._turned = turned
        self._work: dict[str, Work] = {}
        self.here = dict.fromkeys(things, Here.DOWN)

    # --- calls ---------------------------------------------------------------------------------

    def begin(self, call: Call, run: RunId) -> None:
        """Begin a call; one of the same resource that is under way is given up."""
        name = call.name
        thing = self._things[name]
        here = self.here[name]
        idle = here is (Here.UP if isinstance(call, ev.Start) else Here.DOWN)
        span = LOOK
        match call:
            case ev.Look() | ev.Check():
                pass
            case ev.Start():
                if not idle:
                    span = thing.start
                    self.turn(name, Here.BETWEEN)
            case ev.Stop():
                if thing.is_address:
                    self._machine.close_address()
                if not idle:
                    span = thing.stop
                    self.turn(name, Here.BETWEEN)
            case ev.Kill():
                if thing.is_address:
                    self._machine.close_address()
                elif not idle:
                    kill_ms = self._machine.world.kill_ms(self._machine)
                    span = Span(kill_ms, kill_ms)
        self.give_up(name)
        wait_us = self.draw_us(span)
        due = self._machine.world.timeline.after(wait_us, self._end, name)
        self._work[name] = Work(call, run, due)

    def cancel(self, name: str, call: int) -> None:
        """Give one call up; a start that was under way leaves the thing half up."""
        work = self._work.get(name)
        if work is not None and work.call.call == call:
            self.give_up(name)

    def give_up(self, name: str) -> None:
        work = self._work.pop(name, None)
        if work is not None:
            self._machine.world.timeline.call_off(work.due)

    def _end(self, name: str) -> None:
        work = self._work.pop(name)
        event = self._outcome(work.call)
        self._report(work.run, event)

    def _outcome(self, call: Call) -> ev.GroupEvent:
        name = call.name
        match call:
            case ev.Look(ready=ready):
                seen = ev.Seen.STOPPED if self.here[name] is Here.DOWN else ev.Seen.RUNNING
                return ev.Looked(name, call.call, seen, "", () if ready else None)
            case ev.Check():
                is_up = self.here[name] is Here.UP
                verdict = ev.Verdict.UP if is_up else ev.Verdict.DOWN
                return ev.Checked(name, call.call, verdict, "")
            case ev.Start():
                self.turn(name, Here.UP)
                if self._things[name].is_address:
                    self._machine.open_address()
                return ev.Started(name, call.call)
            case ev.Stop() | ev.Kill():
                self.turn(name, Here.DOWN)
                return ev.StopEnded(name, call.call)
            case _:
                assert_never(call)

    # --- what is physically so -----------------------------------------------------------------

    def turn(self, name: str, here: Here) -> None:
        """One thing is now so."""
        if self.here[name] is not here:
            self.here[name] = here
            self._turned()

    def die(self, name: str, why: str) -> ev.GroupEvent:
        """It is gone by itself; the event is what the agent will notice.

        A start that was under way fails; a stop that was finds nothing left to do.
        """
        if self._things[name].is_address:
            self._machine.close_address()
        self.turn(name, Here.DOWN)
        work = self._work.get(name)
        if work is not None and isinstance(work.call, ev.Start):
            self.give_up(name)
            return ev.StartFailed(name, work.call.call, why)
        return ev.Changed(name, ev.Turned.DIED, why)

    def clear(self) -> None:
        """Power is gone."""
        for name in self.here:
            self.give_up(name)
            self.turn(name, Here.DOWN)

    def freeze(self) -> None:
        """The machine stands still."""
        timeline = self._machine.world.timeline
        for work in self._work.values():
            work.left_us = work.due[0] - timeline.now_us
            timeline.call_off(work.due)

    def thaw(self) -> None:
        timeline = self._machine.world.timeline
        for name, work in self._work.items():
            work.due = timeline.after(work.left_us, self._end, name)

    def draw_us(self, span: Span) -> int:
        return self._machine.world.between(span.low_ms * 1000, span.high_ms * 1000)
