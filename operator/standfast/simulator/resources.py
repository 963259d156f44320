"""A node's resources under the real group: `core.group` decides, `drivers` take their time.

The shell that `agent.node` is around the group in a real VM, for a simulated one: effects begin
calls, calls end after a while and come back as events. What is physically here is kept apart from
what the group believes, because clients and checkers ask for the former.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from typing_extensions import override

from standfast.core import group as groups
from standfast.core import group_events as ev
from standfast.core.events import NO_LEASE, ReleaseRequested, Stopped
from standfast.core.group_state import Group
from standfast.core.ids import MemberUid, RunId
from standfast.core.proof import known_proof
from standfast.core.record import Proof
from standfast.core.state import State
from standfast.simulator.drivers import Call, Drivers, Here
from standfast.simulator.machine import Machine
from standfast.simulator.scenario import Case, Thing
from standfast.simulator.service import App, Service
from standfast.simulator.timeline import Due

NOBODY_US = 3_000_000
"""So long without any holder in sight means that a hand-over found no taker."""


class Resources(Service):
    """Everything that one node protects."""

    __slots__ = (
        "_agent",
        "_case",
        "_drivers",
        "_events",
        "_here",
        "_is_stepping",
        "_kept_us",
        "_lease_until_ms",
        "_others",
        "_permitted",
        "_things",
        "_tick",
        "group",
        "proof",
    )

    def __init__(self, machine: Machine, case: Case) -> None:
        super().__init__(machine)
        self._case = case
        self._things: Mapping[str, Thing] = {thing.spec.name: thing for thing in case.things}
        self._drivers = Drivers(machine, self._things, self._report, self._turned)
        self._here = self._drivers.here
        self._events: deque[ev.GroupEvent] = deque()
        self._is_stepping = False
        self._tick: Due | None = None
        self._agent = RunId("")
        self._permitted = 0
        self._lease_until_ms = 0
        self._others = (False, True)
        self._kept_us = 0
        self.group = Group()
        self.proof = ""

    # --- what clients see ----------------------------------------------------------------------

    def serves(self) -> bool:
        """Whether everything critical is up, and the kernel answers for its addresses."""
        for name, here in self._here.items():
            thing = self._things[name]
            if not thing.spec.critical:
                continue
            if here is not Here.UP or (thing.is_address and self.machine.kernel_cut_us is None):
                return False
        return True

    # --- what the member's shell asks ----------------------------------------------------------

    @override
    def consider(self) -> None:
        """The lease, the record or the proofs may have changed."""
        machine = self.machine
        state = machine.process.state
        if state is None or not machine.process.alive:
            return
        self.meet_agent()
        held = state.holding
        if held is None or not state.serves(machine.now_ms()) or held.releasing:
            return
        if machine.guard_until_ms is None:
            machine.set_deadline(held.term, held.lease_until_ms)
        suspects = state.record.suspects
        if self._permitted != held.term:
            self._permitted = held.term
            self.proof = ""
            self._take(ev.Permitted(held.term, held.lease_until_ms, suspects))
        known = (suspects, state.proofs, state.reserved)
        if known != (self.group.suspects, self.group.proofs, self.group.reserved):
            self._take(ev.ProofsChanged(*known))

    @override
    def stop_in_order(self, run: RunId) -> None:
        self.meet_agent()
        self._take(ev.StopAll(emergency=False))

    @override
    def go_on(self) -> None:
        self._take(ev.Resumed())

    @override
    def kill(self, run: RunId | None = None) -> None:
        """The agent's emergency stop, or the guard's, which asks nobody."""
        if run is not None:
            self.meet_agent()
            self._take(ev.StopAll(emergency=True, why="the lease is over"))
            return
        machine = self.machine
        machine.close_address()
        for name, here in self._here.items():
            if here is not Here.DOWN:
                wait_us = machine.world.kill_ms(machine) * 1000
                machine.world.timeline.after(wait_us, self._killed, name, machine.boot)
        if not self.anything_runs():
            machine.all_stopped()

    def _killed(self, name: str, boot: str) -> None:
        if self.machine.boot == boot and self._here[name] is not Here.DOWN:
            self.fail(name, "killed by the guard")
            if not self.anything_runs():
                self.machine.all_stopped()

    # --- what happens to it --------------------------------------------------------------------

    @override
    def crash(self) -> None:
        """Something dies by itself: the first application that is up."""
        for name, thing in self._things.items():
            if not thing.is_address and self._here[name] is Here.UP:
                self.fail(name, "its main process was killed")
                return

    def fail(self, name: str, why: str) -> None:
        """This resource dies by itself; the agent notices a little later."""
        if self._here[name] is Here.DOWN:
            return
        world = self.machine.world
        world.note(self.machine.name, f"{name} dies: {why}")
        event = self._drivers.die(name, why)
        wait_us = self._drivers.draw_us(self._case.assumed.noticed)
        world.timeline.after(wait_us, self._report, self._agent, event)

    @override
    def vanish(self) -> None:
        """The machine lost power."""
        world = self.machine.world
        self._drivers.clear()
        world.timeline.call_off(self._tick)
        self._tick = None
        self._agent = RunId("")
        self.group = Group()
        self.machine.process.eligible = False
        self.machine.kernel_cut_us = None

    def shut_down(self) -> None:
        """The init system stops everything; the agent is gone."""
        world = self.machine.world
        for name, thing in self._things.items():
            self._drivers.give_up(name)
            if not thing.is_address and self._here[name] is not Here.DOWN:
                wait_us = self._drivers.draw_us(thing.stop)
                world.timeline.after(wait_us, self._ended, name, self.machine.boot)

    def _ended(self, name: str, boot: str) -> None:
        if self.machine.boot == boot:
            self._drivers.turn(name, Here.DOWN)

    @override
    def freeze(self) -> None:
        self.machine.world.timeline.call_off(self._tick)
        self._drivers.freeze()

    @override
    def thaw(self) -> None:
        self._drivers.thaw()
        self._set_timer()

    # --- the agent around the group -----------------------------------------------------------

    def meet_agent(self) -> None:
        """A new run of the agent knows nothing but what was declared and what it may adopt."""
        process = self.machine.process
        if process.run == self._agent:
            return
        self._agent = process.run
        self._permitted = 0
        self._lease_until_ms = 0
        self.group = Group()
        name = self.machine.name
        hindrance = "this node is in maintenance" if self._case.want.in_maintenance(name) else ""
        specs = tuple(thing.spec for thing in self._things.values())
        self._take(ev.Declared(1, specs, hindrance))
        state = process.state
        lease = state.holding if state is not None else None
        if lease is not None and not lease.renews:
            self._take(ev.Adopted(lease.term, lease.lease_until_ms))

    def _report(self, run: RunId, event: ev.GroupEvent) -> None:
        process = self.machine.process
        if process.alive and process.run == run:
            self._take(event)

    def _take(self, event: ev.GroupEvent) -> None:
        """One event at a time; what it wants done never steps within the step."""
        self._events.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        while self._events:
            self._step_news()
            self._step(self._events.popleft())
        self._is_stepping = False
        self._say_eligible()
        self._set_timer()

    def _step_news(self) -> None:
        """What the real agent tells the group with every renewal, told before it matters."""
        until_ms = self.machine.guard_until_ms
        if until_ms is not None and until_ms != self._lease_until_ms:
            self._lease_until_ms = until_ms
            self._step(ev.Extended(until_ms))
        others = (self._successor() is not None, self._somebody_holds())
        if others != self._others:
            self._others = others
            self._step(ev.OthersChanged(*others))

    def _step(self, event: ev.GroupEvent) -> None:
        self.group, effects = groups.step(self.group, event, self.machine.now_ms())
        for effect in effects:
            self._perform(effect)

    def _say_eligible(self) -> None:
        process = self.machine.process
        eligible = not groups.hindrances(self.group, self.machine.now_ms())
        if eligible != process.eligible:
            process.eligible = eligible
            process.local_changed()

    def _set_timer(self) -> None:
        machine = self.machine
        timeline = machine.world.timeline
        timeline.call_off(self._tick)
        self._tick = None
        if machine.runs and machine.process.alive:
            wake_ms = groups.wake_at_ms(self.group, machine.now_ms())
            if wake_ms is not None:
                when_us = machine.clock.when_us(wake_ms)
                self._tick = timeline.at(when_us, self._report, self._agent, ev.Tick())

    def _successor(self) -> MemberUid | None:
        """A node that this one hears and that would stand."""
        machine = self.machine
        network = machine.world.network
        for name in self._case.node_names():
            other = machine.world.machines[name]
            heard = not network.is_cut((name, machine.name)) and other.runs
            if other is not machine and heard and other.process.alive and other.process.eligible:
                return other.process.uid
        return None

    def _somebody_holds(self) -> bool:
        machine = self.machine
        state: State | None = machine.process.state
        now_us = machine.world.timeline.now_us
        now_ms = machine.now_ms()
        promise = None if state is None else state.promise
        promised = promise is not None and now_ms < promise.until_ms
        if promised or (state is not None and state.holds(now_ms)):
            self._kept_us = now_us
        return now_us - self._kept_us < NOBODY_US

    # --- effects of the group ------------------------------------------------------------------

    def _perform(self, effect: ev.GroupEffect) -> None:
        match effect:
            case ev.Look() | ev.Check() | ev.Start() | ev.Stop() | ev.Kill():
                self._say_begun(effect)
                self._drivers.begin(effect, self._agent)
            case ev.Cancel(name, call):
                self._drivers.cancel(name, call)
            case ev.AllStopped():
                self.machine.all_stopped()
                self._later(partial(self._tell_stopped, self._called_off()))
            case ev.HandOver():
                self._later(self._hand_over)
            case ev.Serving():
                self._note("everything critical runs")
            case ev.Note():
                self._tell(effect)
            case ev.Make() | ev.Drop() | ev.Alarm() | ev.Calm() | ev.GroupDeclined():
                pass

    def _say_begun(self, call: Call) -> None:
        name = call.name
        here = self._here[name]
        if isinstance(call, ev.Start):
            self._note(f"adopts {name}" if here is Here.UP else f"starts {name}")
            self.proof = self.proof or _rests_on(self.machine.process.state)
        elif isinstance(call, ev.Stop) and here is not Here.DOWN:
            self._note(f"stops {name}")

    def _later(self, act: Callable[[RunId], None]) -> None:
        """Through the mailbox, as the agent does."""
        timeline = self.machine.world.timeline
        timeline.at(timeline.now_us, act, self._agent)

    def _called_off(self) -> int:
        """What the word says that everything is stopped: it is told later, and may be late."""
        state = self.machine.process.state
        lease = None if state is None else state.holding
        return NO_LEASE if lease is None or not lease.releasing else lease.called_off

    def _tell_stopped(self, called_off: int, run: RunId) -> None:
        process = self.machine.process
        if process.alive and process.run == run:
            process.deliver(Stopped(called_off))

    def _hand_over(self, run: RunId) -> None:
        process = self.machine.process
        if not process.alive or process.run != run:
            return
        successor = self._successor()
        if successor is not None:
            process.deliver(ReleaseRequested(successor))
        state = process.state
        lease = state.holding if state is not None else None
        if lease is None or not lease.releasing:
            self._take(ev.HandOverDeclined("no other node would stand"))

    def _tell(self, note: ev.Note) -> None:
        of = note.fields
        match note.kind:
            case "Started":
                self._note(f"{of['resource']} runs after {of['took_ms']} ms")
            case "Failed":
                self._note(f"{of['resource']} failed: {of['error']}")
            case "Stopped" if of["took_ms"]:
                self._note(f"{of['resource']} is stopped after {of['took_ms']} ms")
            case "HandingOver":
                self._note(f"hands over: {of['reason']}")
            case "StopOverdue" | "KillRepeated" | "Stray":
                self._note(f"{of['resource']}: {note.message}")
            case _:
                pass

    def _note(self, text: str) -> None:
        self.machine.world.note(self.machine.name, text)

    # --- what is physically so -----------------------------------------------------------------

    def _turned(self) -> None:
        """Something here has changed: what checkers and database see of the application."""
        before = self.app
        now = self._application()
        if now is before:
            return
        self.app = now
        machine = self.machine
        if before is App.STOPPED:
            self.started_term = self.group.term
            machine.world.checkers.app_starts(machine)
        database = machine.database
        if database is not None and now is App.RUNNING:
            database.promote(self.started_term)
        elif database is not None and before is App.RUNNING:
            database.demote()
        if now is App.STOPPED:
            machine.world.checkers.app_stopped(machine)

    def _application(self) -> App:
        """All that is not an address, as one."""
        things = self._things
        found = {here for name, here in self._here.items() if not things[name].is_address}
        if found <= {Here.DOWN}:
            return App.STOPPED
        return App.RUNNING if found == {Here.UP} else App.STARTING


def _rests_on(state: State | None) -> str:
    """The proof that a start rests on: what is known of former holders, else that time passed."""
    if state is None:
        return ""
    record = state.record
    found = [known_proof(state, suspect) for suspect in record.suspects]
    found += [cleared.proof for cleared in record.cleared]
    known = [proof.value for proof in found if proof is not None]
    if known:
        return known[0]
    return Proof.LEASE_EXPIRED.value if record.suspects else ""
