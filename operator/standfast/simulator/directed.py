"""A directed run: a declared cluster serves, the declared faults happen, clients watch.

`play` is the entry. The world is the simulator's own, with its real core, its machines and its
checkers; what differs is whose cluster it is (`scenario.Case`), that the resources are those
declared (`resources`), that the operator follows the declared policy (`steward`), and that a run
ends as soon as nothing more is to come.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from typing_extensions import override

from standfast.core.record import DataMode, MemberKind
from standfast.simulator.aftermath import protection, why_nobody, why_not_begun
from standfast.simulator.checkers import Violation, ViolationError
from standfast.simulator.client import Client, Recorder, serves
from standfast.simulator.declared import DeclaredFaults
from standfast.simulator.machine import Machine
from standfast.simulator.plan import Habits, MachinePlan, Plan, dice
from standfast.simulator.resources import Resources
from standfast.simulator.scenario import Case, DeclaredFault, Run, Span, Why
from standfast.simulator.steward import Steward
from standfast.simulator.timeline import Due
from standfast.simulator.world import World

WRITE_EVERY_MS = 83
"""How often a client of a replicated database writes: never in step with what looks at it."""

LOOKS = 20
"""Milliseconds between two thoughts about whether a run is over."""

LEAD_MS = 300
"""A run is looked at from so long before the first fault."""

FIRST_SERVICE_MS = 20_000
"""On top of timers and starts: a cluster that does not serve by then never will."""

GIVE_UP_MS = 3_000
"""On top of timers and starts: service that is not back by then does not come back."""

FENCED_MS = 30_000
"""More patience where a takeover waits for a power-off."""

FAILBACK_MS = 35_000
"""More patience where service is to return to the preferred node by itself."""


def play(case: Case, faults: Sequence[DeclaredFault], seed: str, *, traced: bool = False) -> Run:
    """One run; the same seed is the same run.

    Args:
        case: Whose cluster.
        faults: In order of time, at least one.
        seed: Chance of everything that is not declared.
        traced: Keep story and picture.
    """
    return Performance(DirectedWorld(case, seed, traced=traced), faults).run()


class DirectedWorld(World):
    """The world of one declared cluster."""

    __slots__ = ("case", "isolated", "nodes", "steward", "traced")

    def __init__(self, case: Case, seed: str, *, traced: bool = False) -> None:
        self.case = case
        self.isolated: set[str] = set()
        self.traced = traced
        super().__init__(_plan(case, seed), tracing=True)
        self.nodes = tuple(self.machines[name] for name in case.node_names())
        self.steward = Steward(self, "operator")
        self.operators = [self.steward]

    @override
    def _add_machine(self, plan: MachinePlan, name: str) -> Machine:
        machine = super()._add_machine(plan, name)
        machine.process.eligible = False
        if machine.is_data_node:
            machine.service = Resources(machine, self.case)
        return machine

    @override
    def note(self, who: str, text: str) -> None:
        """Whatever is worth telling is worth the operator's attention, kept or not."""
        self.tell(who, text)
        self.steward.wake()

    def tell(self, who: str, text: str) -> None:
        """A line of the story that changes nothing."""
        if self.traced:
            super().note(who, text)

    @override
    def _look(self) -> None:
        """Liveness under faults that last is what the run is to show, not to check."""

    def later(self, span: Span, act: Callable[..., None], *arguments: object) -> Due:
        """Put something down for after a while."""
        wait_us = self.between(span.low_ms * 1000, span.high_ms * 1000)
        return self.timeline.after(wait_us, act, *arguments)

    def begin(self) -> None:
        self._start()

    def in_service(self) -> bool:
        """One node serves, and every other one could."""
        serving = [machine for machine in self.nodes if serves(machine)]
        if len(serving) != 1:
            return False
        state = serving[0].process.state
        if state is None or state.holding is None or state.holding.committed is None:
            return False
        term = state.durable.term
        record = state.record
        replicated = self.plan.data is DataMode.REPLICATED
        if replicated and record.in_sync != frozenset(record.config.data_nodes()):
            return False
        for machine in self.machines.values():
            journal = machine.journal
            if journal is None or journal.record.version.term != term:
                return False
            idle = not machine.is_data_node or self.case.want.in_maintenance(machine.name)
            if not idle and not machine.process.eligible:
                return False
        return True


def _plan(case: Case, seed: str) -> Plan:
    """The simulator's plan of this cluster; clocks differ by all that the protocol allows."""
    want = case.want
    chance = dice(f"{seed}/clocks")
    drift = want.timing.drift_ppm

    def machine(name: str, kind: MemberKind) -> MachinePlan:
        return MachinePlan(name, kind, 1_000_000 + chance.randint(-drift, drift))

    nodes = tuple(machine(name, MemberKind.DATA) for name in case.node_names())
    witnesses = tuple(machine(name, MemberKind.WITNESS) for name in want.witnesses)
    replicated = want.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}
    return Plan(
        seed=seed,
        timing=want.timing,
        machines=(*nodes, *witnesses),
        data=want.data,
        network=case.assumed.network,
        habits=Habits(write_every_ms=WRITE_EVERY_MS if replicated else 0),
        busy_ms=0,
    )


class Performance:
    """One run on its way to an end."""

    def __init__(self, world: DirectedWorld, faults: Sequence[DeclaredFault]) -> None:
        self._world = world
        self._declared = faults
        self._faults = DeclaredFaults(world)
        self._client = Client(world)
        self._recorder = Recorder(world) if world.traced else None
        self._zero_us = 0
        self._last_us = 0
        self._before: str | None = None
        self._told: str | None = None

    def run(self) -> Run:
        violation = None
        try:
            if self._come_into_service():
                self._let_it_happen()
        except ViolationError as broken:
            violation = broken.violation
        return self._result(violation)

    def _come_into_service(self) -> bool:
        """Boot and start, and wait for a moment that has nothing to do with any timer."""
        world = self._world
        timing = world.plan.timing
        limit_ms = FIRST_SERVICE_MS + 4 * timing.ttl_ms + 2 * world.case.start_ms_max
        world.begin()
        while not world.in_service():
            if world.timeline.now_us > limit_ms * 1000:
                return False
            world.timeline.run_until(world.timeline.now_us + 20_000)
        wait_us = world.between(0, 2000 * timing.heartbeat_ms + 1000 * timing.tick_ms)
        world.timeline.run_until(world.timeline.now_us + wait_us)
        self._before = self._told = self._faults.active().name
        return True

    def _let_it_happen(self) -> None:
        world, client, recorder = self._world, self._client, self._recorder
        timeline = world.timeline
        first_us = timeline.now_us + LEAD_MS * 1000
        self._zero_us = first_us - self._declared[0].at_ms * 1000
        for fault in self._declared:
            due = timeline.at(self._zero_us + fault.at_ms * 1000, self._faults.begin, fault)
            self._last_us = due[0]
        if recorder is not None:
            recorder.look(self._at_ms(), self._before)
        timeline.run_until(first_us)
        while not self._is_over():
            for _ in range(LOOKS):
                before = timeline.events
                timeline.run_until(timeline.now_us + 1000)
                changed = timeline.events != before
                client.ask(changed=changed)
                if recorder is not None and changed:
                    self._tell_clients(client.served_by)
                    recorder.look(self._at_ms(), client.served_by)

    def _tell_clients(self, served_by: str | None) -> None:
        """What clients see, as a line of the story whenever it changes."""
        if served_by != self._told:
            self._told = served_by
            said = "nobody answers" if served_by is None else f"{served_by} answers"
            self._world.tell("clients", said)

    def _is_over(self) -> bool:
        """Served without a break for long enough, or not to be expected any more."""
        world = self._world
        now_us = world.timeline.now_us
        last_us = max(self._last_us, self._faults.busy_until_us)
        if now_us <= last_us:
            return False
        ttl_ms = world.plan.timing.ttl_ms
        waited_ms = (now_us - last_us) // 1000
        if self._client.served_by is not None:
            settled_ms = ttl_ms * 3 // 2
            if self._will_fail_back():
                settled_ms = FAILBACK_MS
            return min(self._client.served_for_ms, waited_ms) >= settled_ms
        patience_ms = GIVE_UP_MS + 4 * ttl_ms + 2 * world.case.start_ms_max
        if world.case.want.needs_power_off:
            patience_ms += FENCED_MS
        hoped_ms = (now_us - self._faults.hoped_until_us) // 1000
        return min(waited_ms, hoped_ms, self._client.away_for_ms) > patience_ms

    def _will_fail_back(self) -> bool:
        world = self._world
        preferred = world.nodes[0]
        healthy = preferred.runs and preferred.process.eligible
        elsewhere = self._client.served_by != preferred.name
        return world.case.want.failback and healthy and elsewhere

    def _why_nobody(self) -> Why:
        return why_not_begun(self._world) if self._before is None else why_nobody(self._world)

    def _at_ms(self) -> int:
        return (self._world.timeline.now_us - self._zero_us) // 1000

    def _result(self, violation: Violation | None) -> Run:
        world, client = self._world, self._client
        after = client.served_by
        finished = violation is None
        service = world.machines[after].service if after is not None else None
        took_over = isinstance(service, Resources) and after != self._before
        first_us = self._zero_us + (self._declared[0].at_ms * 1000 if self._before else 0)
        notes = tuple(
            replace(note, at_us=note.at_us - self._zero_us)
            for note in world.notes
            if note.at_us >= first_us
        )
        end_ms = self._at_ms()
        return Run(
            seed=world.plan.seed,
            before=self._before,
            after=after,
            outage_ms=client.outage_ms if after is not None else None,
            proof=service.proof if took_over and isinstance(service, Resources) else "",
            nobody=self._why_nobody() if after is None and finished else None,
            refused=self._faults.refused,
            afterwards=protection(world) if finished else "",
            both_ms=client.both_ms,
            lost_writes=world.checkers.lost_writes,
            violation=violation,
            end_ms=end_ms,
            notes=notes,
            bands=() if self._recorder is None else self._recorder.close(end_ms),
        )
