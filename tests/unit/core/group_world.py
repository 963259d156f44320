"""A node in memory on which the group's effects really happen, with a clock of its own.

Resources here start and stop in time, hang, fail, die. The world checks after every effect what
must always be true; tests give it faults and look at what runs.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from standfast.core import group
from standfast.core import group_events as ev
from standfast.core.group_spec import Spec
from standfast.core.group_state import Group, Phase, Want

HOUR_MS = 3_600_000


@dataclass
class Thing:
    """How one resource behaves."""

    spec: Spec
    running: bool = False
    start_ms: int = 10
    stop_ms: int = 10
    start_fails: int = 0
    lasting: bool = False
    start_hangs: bool = False
    stop_hangs: bool = False
    stop_fails: bool = False
    kill_hangs: int = 0
    kill_lies: int = 0
    look_hangs: bool = False
    look_blind: bool = False
    check_hangs: bool = False
    health: ev.Verdict = ev.Verdict.UP
    obstacles: tuple[str, ...] = ()
    call: int = 0
    starts: int = 0
    stops: int = 0
    kills: int = 0


@dataclass
class World:
    """One node. `now_ms` moves only by `run`."""

    group: Group = field(default_factory=Group)
    now_ms: int = 1000
    things: dict[str, Thing] = field(default_factory=dict)
    log: list[ev.GroupEffect] = field(default_factory=list)
    due: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    alarms: set[tuple[str, str]] = field(default_factory=set)
    order: "itertools.count[int]" = field(default_factory=itertools.count)
    steps: int = 0

    # ---------------------------------------------------------------- driving

    def feed(self, *events: ev.GroupEvent) -> "World":
        for event in events:
            self.group, effects = group.step(self.group, event, self.now_ms)
            self.steps += 1
            for effect in effects:
                self.log.append(effect)
                self.perform(effect)
            again, none = group.step(self.group, ev.Tick(), self.now_ms)
            assert none == (), f"a tick at the same moment does something more: {none}"
            assert again == self.group
        return self

    def run(self, length_ms: int) -> "World":
        end_ms = self.now_ms + length_ms
        while True:
            wake_ms = group.wake_at_ms(self.group, self.now_ms)
            next_ms = min(
                [end_ms]
                + ([self.due[0][0]] if self.due else [])
                + ([wake_ms] if wake_ms is not None else [])
            )
            self.now_ms = max(self.now_ms, next_ms)
            if self.due and self.due[0][0] <= self.now_ms:
                heapq.heappop(self.due)[2]()
            elif wake_ms is not None and wake_ms <= self.now_ms:
                self.feed(ev.Tick())
            if self.now_ms >= end_ms and not (self.due and self.due[0][0] <= end_ms):
                return self

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self.due, (self.now_ms + delay_ms, next(self.order), act))

    # ---------------------------------------------------------------- shortcuts

    def declare(self, *specs: Spec, generation: int = 1, hindrance: str = "") -> "World":
        return self.feed(ev.Declared(generation, specs, hindrance))

    def permit(self, term: int = 1, for_ms: int = HOUR_MS) -> "World":
        return self.feed(ev.Permitted(term, self.now_ms + for_ms))

    def serve(self, *specs: Spec) -> "World":
        return self.declare(*specs).run(100).permit().run(1000)

    def release(self) -> "World":
        return self.feed(ev.StopAll(emergency=False))

    def emergency(self) -> "World":
        return self.feed(ev.StopAll(emergency=True, why="LeaseExpired"))

    def die(self, name: str) -> "World":
        self.things[name].running = False
        return self.feed(ev.Changed(name, ev.Turned.DIED, f"{name} died"))

    def appear(self, name: str) -> "World":
        self.things[name].running = True
        return self.feed(ev.Changed(name, ev.Turned.APPEARED, f"{name} was started by hand"))

    @property
    def running(self) -> set[str]:
        return {name for name, thing in self.things.items() if thing.running}

    def phase(self, name: str) -> Phase:
        return self.group.cells[name].phase

    def said(self, kind: type) -> list[ev.GroupEffect]:
        return [effect for effect in self.log if isinstance(effect, kind)]

    def noted(self, kind: str) -> list[ev.Note]:
        return [
            effect for effect in self.log if isinstance(effect, ev.Note) and effect.kind == kind
        ]

    def order_of(self, kind: type) -> list[str]:
        return [effect.name for effect in self.said(kind)]

    def hindrances(self) -> tuple[str, ...]:
        return group.hindrances(self.group, self.now_ms)

    # ---------------------------------------------------------------- drivers

    def perform(self, effect: ev.GroupEffect) -> None:
        match effect:
            case ev.Make(spec):
                old = self.things.get(spec.name)
                assert old is None or not old.running or spec.name not in self.group.cells
                if old is None:
                    self.things[spec.name] = Thing(spec)
                else:
                    old.spec, old.call = spec, 0
            case ev.Drop(name):
                assert not self.things[name].running or self.group.want is Want.IDLE
                assert self.things[name].call == 0
                del self.things[name]
            case ev.Cancel(name, call):
                assert self.things[name].call == call
                self.things[name].call = 0
            case ev.Look(name, call, ready):
                self._look(self._begin(name, call), call, ready=ready)
            case ev.Check(name, call):
                self._check(self._begin(name, call), call)
            case ev.Start(name, call, until_ms):
                self._start(self._begin(name, call), call, until_ms)
            case ev.Stop(name, call, budget_ms):
                self._stop(self._begin(name, call), call, budget_ms)
            case ev.Kill(name, call):
                self._kill(self._begin(name, call), call)
            case ev.AllStopped():
                assert not self.running, f"reported all stopped, but {self.running} run"
            case ev.Alarm(name, reason, message, _):
                assert message
                self.alarms.add((name, reason))
            case ev.Calm(name, reason):
                self.alarms.remove((name, reason))
            case ev.HandOver() | ev.Serving() | ev.Note() | ev.GroupDeclined():
                pass

    def _begin(self, name: str, call: int) -> Thing:
        thing = self.things[name]
        assert thing.call == 0, f"{name} has a call under way"
        thing.call = call
        return thing

    def _answer(
        self, thing: Thing, call: int, delay_ms: int, event: Callable[[], ev.GroupEvent]
    ) -> None:
        """The event is made when it arrives; it arrives also when the call was cancelled."""

        def arrive() -> None:
            if thing.call == call:
                thing.call = 0
            self.feed(event())

        self.later(delay_ms, arrive)

    def _look(self, thing: Thing, call: int, *, ready: bool) -> None:
        if thing.look_hangs:
            return

        def looked() -> ev.GroupEvent:
            seen = ev.Seen.RUNNING if thing.running else ev.Seen.STOPPED
            if thing.look_blind:
                seen = ev.Seen.UNKNOWN
            obstacles = thing.obstacles if ready else None
            name = thing.spec.name
            return ev.Looked(name, call, seen, f"{name} is {seen.value}", obstacles)

        self._answer(thing, call, 1, looked)

    def _check(self, thing: Thing, call: int) -> None:
        if thing.check_hangs:
            return

        def checked() -> ev.GroupEvent:
            verdict = thing.health
            if verdict is ev.Verdict.UP and not thing.running:
                verdict = ev.Verdict.GONE
            name = thing.spec.name
            return ev.Checked(name, call, verdict, f"{name} is {verdict.value}")

        self._answer(thing, call, 1, checked)

    def _start(self, thing: Thing, call: int, until_ms: int) -> None:
        spec = self.group.cells[thing.spec.name].spec
        assert self.group.want is Want.UP, "a start without permission"
        assert self.now_ms < self.group.until_ms == until_ms, "a start after the lease"
        for below in spec.depends_on:
            assert self.phase(below) is Phase.RUNNING, f"{spec.name} starts before {below}"
        thing.starts += 1
        if thing.start_hangs:
            return
        if thing.start_fails > 0:
            thing.start_fails -= 1
            failed = ev.StartFailed(spec.name, call, f"{spec.name} no", "fix it", thing.lasting)
            self._answer(thing, call, thing.start_ms, lambda: failed)
            return

        def up() -> None:
            if thing.call == call:
                thing.call = 0
                thing.running = True
            self.feed(ev.Started(spec.name, call))

        self.later(thing.start_ms, up)

    def _stop(self, thing: Thing, call: int, budget_ms: int) -> None:
        spec = thing.spec
        self._assert_stop_order(spec)
        thing.stops += 1
        if thing.stop_hangs:
            return
        if thing.stop_fails:
            ended = ev.StopEnded(spec.name, call, "still there")
            self._answer(thing, call, budget_ms, lambda: ended)
            return

        def down() -> None:
            if thing.call == call:
                thing.call = 0
                thing.running = False
            self.feed(ev.StopEnded(spec.name, call))

        self.later(thing.stop_ms, down)

    def _assert_stop_order(self, spec: Spec) -> None:
        total = self.group.want in {Want.DOWN, Want.RELEASE}
        for name, cell in self.group.cells.items():
            above = spec.name in cell.spec.depends_on
            if above and (total or not cell.spec.rides_out):
                assert not self.things[name].running, f"{spec.name} is stopped before {name}"

    def _kill(self, thing: Thing, call: int) -> None:
        thing.kills += 1
        if thing.kill_hangs > 0:
            thing.kill_hangs -= 1
            return
        if thing.kill_lies > 0:
            thing.kill_lies -= 1
        else:
            thing.running = False
        self._answer(thing, call, 1, lambda: ev.StopEnded(thing.spec.name, call))
