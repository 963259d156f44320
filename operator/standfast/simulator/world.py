"""The world: builds a cluster from a plan, lets it happen, and says how it ended.

A run has a busy phase, in which faults happen, and a calm one, in which nothing does, people and
operators do their work, and everything must find its way back: one node serves, nothing is left
half done. True time, chance and the list of what goes on belong to the world alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standfast.core import in_sync
from standfast.core.ids import FIRST, ClusterUid, MemberUid
from standfast.core.passive import Slot
from standfast.core.proof import default_need
from standfast.core.quorum import durable_for
from standfast.core.record import Config, DataMode, Member, MemberKind, Record, first_record
from standfast.core.standing import RANK_HEARTBEATS
from standfast.core.timing import Timing
from standfast.simulator.checkers import Checkers, Violation, ViolationError
from standfast.simulator.coverage import Coverage
from standfast.simulator.database import Database
from standfast.simulator.faults import Faults
from standfast.simulator.machine import Machine, Power
from standfast.simulator.network import Link, Network
from standfast.simulator.overseer import Operator, People
from standfast.simulator.plan import FaultKind, MachinePlan, Plan, dice
from standfast.simulator.process import Process
from standfast.simulator.service import App, Service
from standfast.simulator.storage import Storage
from standfast.simulator.store import Store
from standfast.simulator.timeline import EndlessError, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_US = 250_000
"""How often liveness is looked at."""

CALM_MS_MAX = 120_000 + in_sync.CALM_MS_MAX
"""After so much calm everything must be well again; a copy that was dropped often comes last."""

STEADY_US = 8_000_000
"""For how long all must stay well."""

CALM_ROUNDS = 6
"""Failed candidacies that a calm cluster may need before one succeeds."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the story."""

    at_us: int
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        faults: Injected, those of the plan and those that chance did to messages.
        planned: Those of the plan alone.
        recovered_ms: From calm to everything being well.
        lost_writes: Acknowledged writes lost within what was declared or consented.
    """

    violation: Violation | None
    faults: int
    planned: int
    events: int
    at_ms: int
    recovered_ms: int | None
    lost_writes: int
    coverage: Coverage
    notes: tuple[Note, ...]


class World:
    """One run in the making."""

    __slots__ = (
        "_calm_due_us",
        "_chance",
        "_clones",
        "_last_disturbed_us",
        "_random",
        "_takes_snapshots",
        "_uids",
        "_writes",
        "address_first",
        "calm",
        "checkers",
        "coverage",
        "down",
        "faults",
        "fence_broken",
        "fence_us_max",
        "lost",
        "machines",
        "names",
        "need",
        "network",
        "notes",
        "operators",
        "people",
        "places",
        "plan",
        "storage",
        "stores",
        "timeline",
        "timing_wanted",
        "tracing",
        "wanted",
    )

    def __init__(self, plan: Plan, *, tracing: bool = False) -> None:
        self.plan = plan
        self.tracing = tracing
        self.notes: list[Note] = []
        self.timeline = Timeline()
        self._random = dice(f"{plan.seed}/world")
        self.network = Network(self.timeline, plan.network, plan.seed)
        self.coverage = Coverage()
        self.checkers = Checkers(self)
        self.storage = Storage()
        self.faults = Faults(self)
        self.need = default_need(plan.data, exclusive=False)
        self.address_first = plan.habits.address_first
        self.timing_wanted = plan.timing
        self.fence_broken = 0
        self.fence_us_max = 3_000_000
        self.calm = False
        self.down: set[str] = set()
        self.lost: set[str] = set()
        self.wanted = [machine.name for machine in plan.machines]
        self.machines: dict[str, Machine] = {}
        self.stores: dict[str, Store] = {}
        self.names: dict[MemberUid, str] = {}
        self.places: dict[MemberUid, list[Machine]] = {}
        self._uids: dict[str, int] = {}
        self._takes_snapshots = any(f.kind is FaultKind.REVERT for f in plan.faults)
        self._clones = 0
        self._writes = 0
        self._last_disturbed_us = 0
        self._calm_due_us: int | None = None
        self._build()
        self.operators = [Operator(self, f"operator-{number}") for number in (1, 2)]
        self.people = People(self)

    # --- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        plan = self.plan
        for machine_plan in (*plan.machines, *plan.spares):
            self._add_machine(machine_plan, machine_plan.name)
        members = tuple(
            Member(self.machines[m.name].process.uid, m.name, m.kind) for m in plan.machines
        ) + tuple(Member(MemberUid(name), name, MemberKind.WITNESS) for name in plan.stores)
        config = Config(
            ClusterUid("cluster"), members, plan.timing, data=plan.data, loss_max=plan.loss_max
        )
        for machine_plan in plan.machines:
            machine = self.machines[machine_plan.name]
            machine.journal = durable_for(config, machine.process.uid)
        for name in plan.stores:
            self.stores[name] = Store(name, Slot(MemberUid(name), first_record(config)))
            self.names[MemberUid(name)] = name

    def _add_machine(self, plan: MachinePlan, name: str) -> Machine:
        machine = Machine(self, plan, name)
        self.machines[name] = machine
        machine.process = Process(machine, MemberUid(""))
        machine.process.uid = self.new_uid(machine)
        if machine.is_data_node:
            machine.service = Service(machine)
            if self.plan.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}:
                machine.database = Database(machine)
        return machine

    def new_uid(self, machine: Machine) -> MemberUid:
        """A new identity for a machine; the old one stays known by its name."""
        number = self._uids.get(machine.name, 0) + 1
        self._uids[machine.name] = number
        uid = MemberUid(machine.name if number == 1 else f"{machine.name}/{number}")
        places = self.places.get(machine.process.uid)
        if places is not None and machine in places:
            places.remove(machine)
        self.names[uid] = machine.name
        self.places[uid] = [machine]
        return uid

    def clone(self, original: Machine) -> Machine:
        """A second machine with a copy of everything on the first one's disk."""
        self._clones += 1
        copy = self._add_machine(original.plan, f"{original.name}~{self._clones}")
        del self.names[copy.process.uid]
        del self.places[copy.process.uid]
        copy.process.uid = original.process.uid
        self.places[original.process.uid].append(copy)
        copy.origin = original.name
        copy.journal = original.journal
        if original.database is not None and copy.database is not None:
            copy.database.log = list(original.database.log)
            copy.database.line = original.database.line
        return copy

    def forget(self, copy: Machine) -> None:
        """The copy is deleted."""
        self.machines.pop(copy.name, None)
        for places in self.places.values():
            if copy in places:
                places.remove(copy)

    # --- chance --------------------------------------------------------------------------------

    def chance(self) -> float:
        return self._random.random()

    def between(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low))

    def late_us(self) -> int:
        """How late an idle member's timer fires."""
        return 0 if self.plan.habits.sharp else int(self._random.random() * 10_000)

    def guard_late_ms(self, machine: Machine) -> int:
        tick_ms = self._timing_on(machine).tick_ms
        return tick_ms if self.plan.habits.sharp else int(self._random.random() * tick_ms)

    def kill_ms(self, machine: Machine) -> int:
        budget_ms = self._timing_on(machine).stop_budget_ms
        return budget_ms if self.plan.habits.sharp else int(self._random.random() * budget_ms)

    def _timing_on(self, machine: Machine) -> Timing:
        journal = machine.journal
        return self.plan.timing if journal is None else journal.record.config.timing

    def start_us(self) -> int:
        return int(self._random.random() * self.plan.habits.start_ms_max * 1000)

    def stop_us(self) -> int:
        return int(self._random.random() * 400_000)

    def stop_budget_us(self) -> int:
        return 1_500_000

    # --- what others tell it -------------------------------------------------------------------

    def note(self, who: str, text: str) -> None:
        """Add a line to the story, if one is told."""
        if self.tracing:
            self.notes.append(Note(self.timeline.now_us, who, text))

    def mend(self, links: list[Link]) -> None:
        """Links carry again; members notice that a peer is back."""
        for sender, receiver in self.network.mend(links):
            machine, other = self.machines.get(sender), self.machines.get(receiver)
            if machine is not None and other is not None:
                self.timeline.after(
                    self.between(1000, 60_000), machine.process.connected, other.process.uid
                )

    def disturbed(self) -> None:
        """Something happened that liveness does not have to survive at once."""
        self._last_disturbed_us = self.timeline.now_us
        self._calm_due_us = None

    def can_go_on(self, uid: MemberUid) -> bool:
        """Whether some machine is this member, with its disk and a part to take."""
        return any(
            place.journal is not None and not place.journal.halted and not place.is_a_copy()
            for place in self.places.get(uid, ())
        )

    def may_lose_a_member(self) -> bool:
        """Whether a majority is left when one more member is lost for good.

        A cluster that never had a holder needs every member of its first config to confirm it.
        """
        record = self.newest_record()
        config = record.config
        if record.version == FIRST or self.lost:
            return False
        gone = 0
        nodes = 0
        for member in config.everyone():
            known = member.name in self.stores or self.can_go_on(member.uid)
            gone += not known
            nodes += known and member.uid in config.data_nodes()
        twins = any(len(places) > 1 for places in self.places.values())
        smallest = min(len(electorate) for electorate in config.electorates())
        return not twins and nodes > 1 and smallest - gone - 1 > smallest // 2

    def find_again(self) -> None:
        """Machines that were lost for good turn up after all.

        A person switches on the next one when the one before has met the others: of two that
        meet only each other, nothing could keep the old cluster from coming back.
        """
        if not self.lost:
            return
        self.timeline.after(2_000_000, self.find_again)
        record = self.newest_record()
        old = [m.uid for m in record.left_out if self.names[m.uid] not in self.lost]
        if record.left_out and not any(self._may_still_vote(uid) for uid in old):
            name = min(self.lost)
            self.lost.discard(name)
            self.note("world", f"{name} is found again, with its old disk")

    def _may_still_vote(self, uid: MemberUid) -> bool:
        """Whether a machine still has the disk of a member that has not stopped for good."""
        return any(
            place.journal is not None
            and not place.journal.halted
            and (place.runs or place.name in self.wanted)
            for place in self.places.get(uid, ())
        )

    def newest_record(self) -> Record:
        known = [m.journal.record for m in self.machines.values() if m.journal is not None]
        return max(known, key=lambda record: (record.config.incarnation, record.version))

    def newest_config(self) -> Config:
        return self.newest_record().config

    def somebody_holds(self) -> bool:
        return any(self._holders())

    def _holders(self) -> "Iterator[Machine]":
        for machine in self.machines.values():
            state = machine.process.state
            if state is not None and state.serves(machine.now_ms()):
                yield machine

    def best_copy(self) -> Machine | None:
        """The node a person would choose: alive, not halted, with the most of the data."""
        best: tuple[int, int, Machine] | None = None
        for order, machine in enumerate(self.machines.values()):
            state = machine.process.state
            if not machine.runs or state is None or machine.database is None:
                continue
            if state.me not in state.record.config.data_nodes() or state.durable.halted:
                continue
            rank = (len(machine.database.log), -order, machine)
            if best is None or rank[:2] > best[:2]:
                best = rank
        return best[2] if best is not None else None

    def loss_allowed(self) -> int:
        """Writes that an asynchronous failover may lose: the bound, one second, and a ttl."""
        every_ms = self.plan.habits.write_every_ms
        window_ms = 1200 + self.checkers.longest_ttl_ms * 102 // 100
        return self.plan.loss_max + (window_ms // every_ms + 2 if every_ms else 0)

    # --- running -------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Everything that the plan holds, then calm until all is well."""
        violation = None
        recovered_ms = None
        try:
            self._start()
            self.timeline.run_until(self.plan.busy_ms * 1000)
            recovered_ms = self._calm_down()
        except ViolationError as broken:
            violation = broken.violation
            self.note("check", f"BROKEN: {violation.text()}")
        except EndlessError as endless:
            violation = Violation("endless", self.timeline.now_us, str(endless))
        return Outcome(
            violation,
            self.faults.count + self.network.faults,
            self.faults.count,
            self.timeline.events,
            self.timeline.now_us // 1000,
            recovered_ms,
            self.checkers.lost_writes,
            self.coverage,
            tuple(self.notes),
        )

    def _start(self) -> None:
        timeline = self.timeline
        for name in self.wanted:
            timeline.at(self.between(0, 300_000), self.machines[name].power_on)
        for fault in self.plan.faults:
            timeline.at(fault.at_ms * 1000, self.faults.begin, fault)
        for operator in self.operators:
            timeline.at(self.between(0, 1_000_000), operator.look)
        timeline.at(1_000_000, self.people.look)
        timeline.at(LOOK_US, self._look)
        if self.plan.habits.write_every_ms:
            timeline.at(500_000, self._write)

    def _write(self) -> None:
        """Clients write to whatever takes it."""
        self.timeline.after(self.plan.habits.write_every_ms * 1000, self._write)
        for machine in self.machines.values():
            database = machine.database
            if database is not None and database.primary and machine.runs:
                self._writes += 1
                database.write(self._writes)

    def _look(self) -> None:
        """L1: a calm cluster has a holder in time; and snapshots are taken now and then."""
        self.timeline.after(LOOK_US, self._look)
        if self._takes_snapshots:
            for machine in self.machines.values():
                machine.take_snapshot()
        uncertain = self._network_is_bad() or self.plan.beyond_bound
        if self.faults.going_on or self.down or uncertain:
            self._calm_due_us = None
            return
        if self.somebody_holds():
            self._calm_due_us = None
            return
        if self._calm_due_us is None:
            self._calm_due_us = self._holder_due_us()
        elif self.timeline.now_us > self._calm_due_us and self._somebody_may_hold():
            waited_ms = (self.timeline.now_us - self._last_disturbed_us) // 1000
            self.checkers.broken("L1", f"nobody holds after {waited_ms} ms without a fault")

    def _network_is_bad(self) -> bool:
        plan = self.network.plan
        return plan.lost_per_mille > 0 or plan.late_per_mille > 0

    def _holder_due_us(self) -> int:
        """By when somebody must hold if nothing else happens.

        The longest promise or boot hold that is running, an emergency stop, the rank delay of the
        last in line, and a few failed candidacies.
        """
        longest_ms = 0
        config = self.newest_config()
        timing = config.timing
        for machine in self.machines.values():
            state = machine.process.state
            if state is None or not machine.runs:
                continue
            now_ms = machine.now_ms()
            ends = [state.boot_hold_until_ms]
            if state.promise is not None:
                ends.append(state.promise.until_ms)
            if state.window is not None:
                ends.append(state.window.until_ms)
            if state.holding is not None:
                ends.append(now_ms + config.ttl_ms)
            longest_ms = max(longest_ms, *(end - now_ms for end in ends))
        heartbeat_ms = timing.heartbeat_ms
        rank_ms = (len(config.members) * RANK_HEARTBEATS + 1) * heartbeat_ms
        round_ms = timing.give_up_ms + 4 * heartbeat_ms
        stop_ms = timing.stop_budget_ms + timing.tick_ms
        wait_ms = longest_ms + rank_ms + CALM_ROUNDS * round_ms + stop_ms + config.ttl_ms
        return self.timeline.now_us + wait_ms * 1030

    def _somebody_may_hold(self) -> bool:
        """Whether a majority is there with a node that may lead by its data."""
        members = self.newest_config()
        for electorate in members.electorates():
            there = sum(self._takes_part(member.uid) for member in electorate)
            if there <= len(electorate) // 2:
                return False
        newest = self.newest_record()
        for uid in members.data_nodes():
            if not self._takes_part(uid):
                continue
            machine = self.places[uid][0]
            service = machine.service
            if service is None or service.killing or service.app is App.STOPPING:
                continue
            if not machine.process.eligible:
                continue
            if self.plan.data is DataMode.REPLICATED and uid not in newest.in_sync:
                continue
            if self.plan.data is DataMode.REPLICATED_ASYNC:
                continue
            return True
        return False

    def _takes_part(self, uid: MemberUid) -> bool:
        if uid in self.stores:
            return True
        places = self.places.get(uid, [])
        if len(places) != 1:
            return False
        machine = places[0]
        state = machine.process.state
        return machine.runs and state is not None and not state.durable.halted

    # --- calm ----------------------------------------------------------------------------------

    def _calm_down(self) -> int:
        """End every fault and wait until all is well; a state without an exit is a violation."""
        self.faults.end_all()
        self.network.calm()
        if self.plan.beyond_bound:
            for machine in self.machines.values():
                machine.set_rate(machine.plan.rate_ppm)
        self.down.clear()
        self.calm = True
        self.disturbed()
        self.note("world", "calm from here on")
        since_us = self.timeline.now_us
        step_us = 500_000
        problem = "not looked at"
        well_since_us: int | None = None
        while self.timeline.now_us - since_us < CALM_MS_MAX * 1000:
            self.timeline.run_until(self.timeline.now_us + step_us)
            problem = self._what_is_left()
            if problem:
                well_since_us = None
            elif well_since_us is None:
                well_since_us = self.timeline.now_us
            elif self.timeline.now_us - well_since_us > STEADY_US:
                return (well_since_us - since_us) // 1000
        self.checkers.broken("exit", f"after {CALM_MS_MAX} ms of calm: {problem}")
        raise AssertionError

    def _what_is_left(self) -> str:
        """What is not yet as it should be; nothing when all is well."""
        holders = list(self._holders())
        if not holders:
            return "nobody holds"
        holder = holders[0]
        state = holder.process.state
        assert state is not None
        service = holder.service
        assert service is not None
        record = state.record
        names = set(self.wanted) | set(self.stores)
        members = {member.name for member in record.config.members}
        checks = {
            f"the application on {holder.name} is {service.app.value}": (
                service.app is not App.RUNNING
            ),
            f"the address does not answer on {holder.name}": holder.kernel_cut_us is None,
            "a configuration change is not finished": record.config.leaving is not None,
            f"the members are {sorted(members)}, not {sorted(names)}": members != names,
            "the timers are not those wanted": record.config.timing != self.timing_wanted,
            f"suspects are left: {record.suspects}": bool(record.suspects),
            "a release is under way": state.holding is not None and state.holding.releasing,
            f"in sync are only {sorted(record.in_sync)}": (
                self.plan.data is DataMode.REPLICATED
                and record.in_sync != frozenset(record.config.data_nodes())
            ),
        }
        for problem, there in checks.items():
            if there:
                return problem
        for name in self.wanted:
            machine = self.machines[name]
            member = machine.process.state
            if machine.power is not Power.ON or member is None or member.durable.halted:
                return f"{name} does not take part"
            theirs, newest = member.record.version, record.version
            if theirs.term != newest.term or theirs.seq < newest.seq - 1:
                return f"{name} has record {theirs}, not {newest}"
            if member.must_stop is not None:
                return f"{name} has not finished its stop"
        return ""
