"""Doing to the world what a plan says: one function per kind of fault, and its end.

Every fault that lasts ends by itself, at the latest when the busy phase is over; the world counts
those that are going on, so that calm can be told from trouble.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from standfast.core.events import (
    ClockSuspect,
    ProofHeld,
    ReleaseCancelled,
    ReleaseRequested,
    StandRequested,
    TtlRequested,
)
from standfast.core.proof import Need
from standfast.core.record import Proof
from standfast.core.tally import needed
from standfast.simulator.machine import Machine, Power
from standfast.simulator.network import Link
from standfast.simulator.overseer import retimed
from standfast.simulator.plan import Fault, FaultKind
from standfast.simulator.storage import STORAGE

if TYPE_CHECKING:
    from standfast.simulator.world import World

End = Callable[[], None]
"""Undoes a fault; may be called once."""


class Faults:
    """The misfortunes of one run."""

    __slots__ = ("_ambushes", "_begin", "_going_on", "_number", "count", "world")

    def __init__(self, world: "World") -> None:
        self.world = world
        self.count = 0
        self._number = 0
        self._ambushes: dict[str, list[Fault]] = {}
        self._going_on: dict[int, End] = {}
        self._begin: dict[FaultKind, Callable[[Fault], End | None]] = {
            FaultKind.CRASH: self._crash,
            FaultKind.POWER_CUT: self._crash,
            FaultKind.REBOOT: self._reboot,
            FaultKind.AGENT_KILL: self._agent_kill,
            FaultKind.STALL: self._stall,
            FaultKind.STUN: self._stun,
            FaultKind.SUSPEND: self._stun,
            FaultKind.CUT_STEP: self._cut_step,
            FaultKind.AMBUSH: self._ambush,
            FaultKind.CLOCK_RATE: self._clock_rate,
            FaultKind.CLOCK_SUSPECT: self._clock_suspect,
            FaultKind.ISOLATE: self._isolate,
            FaultKind.MUTE: self._cut,
            FaultKind.LATE_TO: self._late_to,
            FaultKind.CUT: self._cut,
            FaultKind.CUT_BOTH: self._cut,
            FaultKind.FLAP: self._flap,
            FaultKind.STORM: self._storm,
            FaultKind.SLOW: self._slow,
            FaultKind.DISK_WIPED: self._disk_wiped,
            FaultKind.DISK_FULL: self._disk_full,
            FaultKind.REVERT: self._revert,
            FaultKind.CLONE: self._clone,
            FaultKind.APP_CRASH: self._app_crash,
            FaultKind.START_FAILS: self._start_fails,
            FaultKind.BOOT_STARTS: self._boot_starts,
            FaultKind.STOP_HANGS: self._stop_hangs,
            FaultKind.KILL_HANGS: self._kill_hangs,
            FaultKind.MAINTENANCE: self._maintenance,
            FaultKind.REPLICATION_CUT: self._replication_cut,
            FaultKind.SWITCHOVER: self._switchover,
            FaultKind.SWITCHOVER_CANCELLED: self._switchover_cancelled,
            FaultKind.STAND: self._stand,
            FaultKind.LONGER_TTL: self._longer_ttl,
            FaultKind.FENCE: self._fence,
            FaultKind.FENCE_BROKEN: self._fence_broken,
            FaultKind.OPERATOR_DOWN: self._operator_down,
            FaultKind.RETIME: self._retime,
            FaultKind.ADD_VOTER: self._add_voter,
            FaultKind.REMOVE_VOTER: self._remove_voter,
            FaultKind.CONSENT: self._consent,
            FaultKind.MAJORITY_LOST: self._majority_lost,
            FaultKind.DISK_SEIZED: self._disk_seized,
            FaultKind.WATCHDOG_OFF: self._watchdog_off,
        }

    @property
    def going_on(self) -> bool:
        return bool(self._going_on)

    def begin(self, fault: Fault) -> None:
        """Do it; its end is put down for later."""
        world = self.world
        played = None if world.calm else self._cast(fault)
        if played is None:
            return
        fault = played
        self.count += 1
        world.coverage.count("fault", fault.kind.value)
        world.note("fault", fault.text())
        world.disturbed()
        end = self._begin[fault.kind](fault)
        if end is not None:
            self._number += 1
            self._going_on[self._number] = end
            world.timeline.after(fault.lasts_ms * 1000, self._end, self._number)

    def _cast(self, fault: Fault) -> Fault | None:
        """Put names in the place of parts; none when nobody plays a part now."""
        who = self._player(fault.who)
        other = self._player(fault.other)
        if who is None or other is None or (who and who == other):
            return None
        return replace(fault, who=who, other=other)

    def _player(self, part: str) -> str | None:
        if not part.startswith("@"):
            return part
        machines = [
            m for m in self.world.machines.values() if m.journal is not None and m.name == m.origin
        ]
        states = {m.name: m.process.state for m in machines}
        holders = [n for n, s in states.items() if s is not None and s.holding is not None]
        nodes = [m.name for m in machines if m.is_data_node and m.name not in holders]
        match part:
            case "@holder":
                found = holders
            case "@standby":
                found = nodes
            case "@candidate":
                found = [n for n, s in states.items() if s is not None and s.candidacy is not None]
            case _:
                found = [name for name in states if name not in (*holders, *nodes[:1])]
        return found[self.world.between(0, len(found))] if found else None

    def _end(self, number: int) -> None:
        end = self._going_on.pop(number, None)
        if end is not None:
            self.world.disturbed()
            end()

    def spring(self, moment: str, machine: Machine) -> None:
        """A member has reached a moment that an ambush waits for."""
        waiting = self._ambushes.get(moment)
        if waiting:
            ambush = waiting.pop()
            kind = FaultKind(ambush.other)
            fault = Fault(0, kind, machine.name, lasts_ms=ambush.lasts_ms)
            self.world.timeline.after(ambush.value * 1000, self.begin, fault)

    def _ambush(self, fault: Fault) -> None:
        self._ambushes.setdefault(fault.who, []).append(fault)

    def end_all(self) -> None:
        """The busy phase is over."""
        self._ambushes.clear()
        for number in list(self._going_on):
            self._end(number)

    def _machine(self, fault: Fault) -> Machine:
        return self.world.machines[fault.who]

    # --- machines ------------------------------------------------------------------------------

    def _crash(self, fault: Fault) -> End:
        machine = self._machine(fault)
        machine.power_off(fault.kind.value)
        self.world.down.add(machine.name)
        return lambda: self._back(machine)

    def _back(self, machine: Machine) -> None:
        self.world.down.discard(machine.name)
        machine.power_on()

    def _reboot(self, fault: Fault) -> End | None:
        """Everything is stopped in order first, as an init system does."""
        machine = self._machine(fault)
        machine.process.deliver(ReleaseRequested())
        self.world.timeline.after(400_000, self._crash_for, machine, fault.lasts_ms)
        return None

    def _crash_for(self, machine: Machine, lasts_ms: int) -> None:
        machine.power_off("reboot")
        self.world.timeline.after(lasts_ms * 1000, machine.power_on)

    def _agent_kill(self, fault: Fault) -> End | None:
        machine = self._machine(fault)
        process = machine.process
        if not machine.runs:
            return None
        process.die()
        return process.start

    def _stall(self, fault: Fault) -> End:
        process = self._machine(fault).process
        process.stall()
        return process.go_on

    def _stun(self, fault: Fault) -> End:
        machine = self._machine(fault)
        machine.stop_by_hypervisor()
        return machine.resume

    def _cut_step(self, fault: Fault) -> None:
        process = self._machine(fault).process
        if process.alive:
            process.cut_after = fault.value
            process.cut_for_ms = fault.lasts_ms

    def _clock_rate(self, fault: Fault) -> None:
        self._machine(fault).set_rate(fault.value)

    def _clock_suspect(self, fault: Fault) -> None:
        message = "CLOCK_REALTIME left CLOCK_BOOTTIME"
        self._machine(fault).process.deliver(ClockSuspect(message))

    # --- network -------------------------------------------------------------------------------

    def _links_of(self, fault: Fault) -> list[Link]:
        everywhere = [
            *self.world.machines,
            *self.world.stores,
            *(op.name for op in self.world.operators),
        ]
        others = [name for name in everywhere if name != fault.who]
        if fault.kind is FaultKind.MUTE:
            return [(fault.who, other) for other in others]
        if fault.kind is FaultKind.ISOLATE:
            return [link for o in others for link in ((fault.who, o), (o, fault.who))]
        there = (fault.who, fault.other)
        return [there] if fault.kind is FaultKind.CUT else [there, there[::-1]]

    def _isolate(self, fault: Fault) -> End:
        return self._cut(fault)

    def _cut(self, fault: Fault) -> End:
        links = self._links_of(fault)
        self.world.network.cut(links)
        return lambda: self.world.mend(links)

    def _flap(self, fault: Fault) -> End:
        links = self._links_of(fault)
        state = {"cut": False, "over": False}

        def turn() -> None:
            if state["over"]:
                return
            if state["cut"]:
                self.world.mend(links)
            else:
                self.world.network.cut(links)
            state["cut"] = not state["cut"]
            self.world.timeline.after(fault.value * 1000, turn)

        def end() -> None:
            state["over"] = True
            if state["cut"]:
                self.world.mend(links)

        turn()
        return end

    def _late_to(self, fault: Fault) -> End:
        late = self.world.network.late_to_us
        late[fault.who] = fault.value * 1000

        def end() -> None:
            late.pop(fault.who, None)

        return end

    def _storm(self, fault: Fault) -> End:
        network = self.world.network
        network.storm_per_mille += fault.value

        def end() -> None:
            network.storm_per_mille = max(0, network.storm_per_mille - fault.value)

        return end

    def _slow(self, fault: Fault) -> End:
        network = self.world.network
        network.slow_us += fault.value * 1000

        def end() -> None:
            network.slow_us = max(0, network.slow_us - fault.value * 1000)

        return end

    # --- disks ---------------------------------------------------------------------------------

    def _disk_wiped(self, fault: Fault) -> End | None:
        """The machine comes back with an empty disk: a stranger until it is enrolled."""
        world = self.world
        machine = self._machine(fault)
        if not world.may_lose_a_member():
            return None
        machine.power_off("its disk is wiped")
        machine.process.replace_member(world.new_uid(machine), None)
        if machine.database is not None:
            machine.database.log = []
            machine.database.line = None
        world.down.add(machine.name)
        return lambda: self._back(machine)

    def _disk_full(self, fault: Fault) -> End:
        machine = self._machine(fault)
        machine.disk_full = True
        machine.disturb()

        def end() -> None:
            machine.disk_full = False
            machine.disturb()

        return end

    def _revert(self, fault: Fault) -> End | None:
        """Back to a snapshot of a while ago, disk and all; memory is not part of it."""
        world = self.world
        machine = self._machine(fault)
        snapshot = machine.snapshot_before(world.timeline.now_us - fault.value * 1000)
        if snapshot is None or not world.may_lose_a_member():
            return None
        machine.power_off("reverted to a snapshot")
        machine.go_back_to(snapshot)
        world.down.add(machine.name)
        return lambda: self._back(machine)

    def _clone(self, fault: Fault) -> End | None:
        """A copy of the machine boots beside it."""
        world = self.world
        if not world.may_lose_a_member():
            return None
        copy = world.clone(self._machine(fault))
        copy.power_on()

        def end() -> None:
            copy.power_off("the copy is deleted")
            world.forget(copy)

        return end

    def _majority_lost(self, _: Fault) -> None:
        """A site burns down; one data node is left, and no majority."""
        world = self.world
        config = world.newest_config()
        twins = any(len(places) > 1 for places in world.places.values())
        if twins or world.stores or config.leaving is not None or not world.may_lose_a_member():
            return
        nodes = [world.names[uid] for uid in config.data_nodes() if world.can_go_on(uid)]
        if not nodes:
            return  # nobody would be left to go on with: another cluster takes its place
        spared = nodes[world.between(0, len(nodes))]
        names = [member.name for member in config.members if member.name != spared]
        while len(config.members) - len(world.lost) >= needed(config.members):
            name = names.pop(world.between(0, len(names)))
            world.lost.add(name)
            world.machines[name].power_off("destroyed")

    def _disk_seized(self, _: Fault) -> None:
        """The holder's driver has the storage shut everybody else out."""
        world = self.world
        for machine in world.machines.values():
            state = machine.process.state
            if state is None or not state.serves(machine.now_ms()) or not machine.is_data_node:
                continue
            if world.need is not Need.EXCLUSIVE or machine.process.stalled or not machine.runs:
                continue
            world.storage.seize(machine)
            for suspect in state.record.suspects:
                machine.process.deliver(ProofHeld(suspect, Proof.RESERVED, disk=STORAGE))

    # --- applications --------------------------------------------------------------------------

    def _app_crash(self, fault: Fault) -> None:
        service = self._machine(fault).service
        if service is not None and self._machine(fault).runs:
            service.crash()

    def _start_fails(self, fault: Fault) -> None:
        service = self._machine(fault).service
        if service is not None:
            service.start_fails = True

    def _boot_starts(self, fault: Fault) -> None:
        service = self._machine(fault).service
        if service is not None:
            service.begins_with_machine = True

    def _stop_hangs(self, fault: Fault) -> None:
        service = self._machine(fault).service
        if service is not None:
            service.stop_hangs = True

    def _kill_hangs(self, fault: Fault) -> None:
        service = self._machine(fault).service
        if service is not None:
            service.kill_hangs_ms = fault.lasts_ms

    def _maintenance(self, fault: Fault) -> End:
        process = self._machine(fault).process

        def say(eligible: bool) -> None:
            process.eligible = eligible
            process.local_changed()

        say(False)
        return lambda: say(True)

    def _replication_cut(self, fault: Fault) -> End | None:
        database = self._machine(fault).database
        if database is None:
            return None
        database.cut_off = True

        def end() -> None:
            database.cut_off = False

        return end

    # --- requests ------------------------------------------------------------------------------

    def _holder(self) -> Machine | None:
        for machine in self.world.machines.values():
            state = machine.process.state
            if machine.runs and state is not None and state.serves(machine.now_ms()):
                return machine
        return None

    def _switchover(self, fault: Fault) -> None:
        holder = self._holder()
        if holder is not None:
            successor = self.world.machines[fault.other].process.uid if fault.other else None
            holder.process.deliver(ReleaseRequested(successor))

    def _switchover_cancelled(self, _: Fault) -> None:
        holder = self._holder()
        if holder is not None:
            holder.process.deliver(ReleaseCancelled())

    def _stand(self, fault: Fault) -> None:
        self._machine(fault).receive(StandRequested())

    def _longer_ttl(self, fault: Fault) -> End | None:
        holder = self._holder()
        if holder is None:
            return None
        holder.process.deliver(TtlRequested(fault.value))
        return lambda: holder.receive(TtlRequested(0))

    def _watchdog_off(self, _: Fault) -> End | None:
        holder = self._holder()
        if holder is None or not holder.plan.watchdog_ms:
            return None
        process = holder.process
        process.watchdog_off = True
        process.local_changed()

        def end() -> None:
            process.watchdog_off = False
            process.local_changed()

        return end

    def _consent(self, fault: Fault) -> None:
        self.world.people.consent(self._machine(fault))

    # --- operators -----------------------------------------------------------------------------

    def _fence(self, fault: Fault) -> None:
        """An operator that is sure of itself has a machine powered off, holder or not."""
        machine = self._machine(fault)
        if machine.power is not Power.OFF:
            operator = self.world.operators[fault.value % len(self.world.operators)]
            operator.fence(machine.process.uid, machine.boot)

    def _fence_broken(self, _: Fault) -> End:
        world = self.world
        world.fence_broken += 1

        def end() -> None:
            world.fence_broken -= 1

        return end

    def _operator_down(self, fault: Fault) -> End:
        operator = self.world.operators[fault.value % len(self.world.operators)]
        operator.up = False

        def end() -> None:
            operator.up = True

        return end

    def _retime(self, fault: Fault) -> None:
        self.world.timing_wanted = retimed(self.world.plan.timing, fault.value)

    def _add_voter(self, fault: Fault) -> None:
        world = self.world
        machine = self._machine(fault)
        if machine.name not in world.wanted:
            world.wanted.append(machine.name)
            machine.power_on()

    def _remove_voter(self, fault: Fault) -> None:
        world = self.world
        left = [name for name in world.wanted if name != fault.who]
        if len(left) >= 2 and any(world.machines[name].is_data_node for name in left):
            world.wanted[:] = left
