"""Operators and people: they see late, act late, and never say what is not so.

Two operators run at once and do not know of each other. Each looks at the members now and then
and acts on what it saw: powers off suspects and attests it, powers on what was fenced, replaces
members that were wiped or halted, changes timers. A person attests what no machine can prove, and
consents to a loss, where nothing else helps.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from standfast.core.events import (
    ChangeRequested,
    ConsentGiven,
    FencedReported,
    ProofHeld,
    Recovered,
    ReleaseRequested,
    StandRequested,
)
from standfast.core.ids import BootId, MemberUid
from standfast.core.messages import Consent, Fenced
from standfast.core.proof import unproven
from standfast.core.quorum import durable_for
from standfast.core.record import DataMode, Member, Proof, Suspect
from standfast.core.recovering import recovered_record, recovery_problem
from standfast.core.state import State
from standfast.core.timing import Timing
from standfast.simulator.machine import Machine, Power
from standfast.simulator.storage import STORAGE

if TYPE_CHECKING:
    from standfast.simulator.world import World

LOOK_US = 700_000
"""How often an operator looks."""

PATIENCE_US = 1_000_000
"""For how long a suspect may be in the way before an operator fences it."""

HEARTBEAT_MS_MIN = 40
"""Shorter heartbeats than this make a lease that no network can keep."""

LOSS_PATIENCE_US = 6_000_000
"""For how long nobody may hold, in a calm cluster, before a person consents to a loss."""


@dataclass(slots=True)
class Fencing:
    """One power-off under way."""

    suspect: Suspect
    since_us: int
    asked: bool = False


class Operator:
    """One replica."""

    __slots__ = ("_fencing", "_seen_us", "name", "up", "world")

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self._fencing: dict[tuple[str, BootId], Fencing] = {}
        self._seen_us: dict[Suspect, int] = {}

    def look(self) -> None:
        """Observe, plan, act; then again after a while."""
        world = self.world
        world.timeline.after(world.between(LOOK_US // 2, LOOK_US), self.look)
        if not self.up:
            return
        holder = self._holder()
        if holder is not None:
            self._mind_suspects(holder)
            if world.plan.habits.repairs or world.calm:
                self._mind_members(holder)
        if world.plan.habits.powers_on or world.calm:
            self._power_on()

    def reaches(self, machine: Machine) -> bool:
        network = self.world.network
        there = (self.name, machine.name)
        return machine.runs and not network.is_cut(there) and not network.is_cut(there[::-1])

    def _answer(self, machine: Machine) -> State | None:
        """What a member says of itself, if it answers."""
        process = machine.process
        if not self.reaches(machine) or not process.alive or process.stalled:
            return None
        return process.state

    def _holder(self) -> Machine | None:
        for machine in self.world.machines.values():
            state = self._answer(machine)
            if state is not None and state.serves(machine.now_ms()):
                return machine
        return None

    # --- fencing -------------------------------------------------------------------------------

    def _mind_suspects(self, holder: Machine) -> None:
        state = holder.process.state
        assert state is not None
        world = self.world
        if not (world.plan.habits.fences or world.calm):
            return
        now_us = world.timeline.now_us
        reserved = state.reserved.get(STORAGE, frozenset())
        waiting = unproven(state.record, state.proofs, world.need, reserved=reserved)
        for suspect in state.record.suspects:
            since_us = self._seen_us.setdefault(suspect, now_us)
            mine = suspect.member == state.me
            if (suspect in waiting or world.calm) and now_us - since_us > PATIENCE_US and not mine:
                self.fence(suspect.member, suspect.boot)
            if world.calm and now_us - since_us > 10 * PATIENCE_US and world.plan.habits.attests:
                world.people.attest(holder, suspect)

    def fence(self, uid: MemberUid, boot: BootId) -> None:
        """Have the machine of a member powered off that was known to be in this boot."""
        world = self.world
        name = world.names.get(uid)
        if name is None or (name, boot) in self._fencing:
            return
        suspect = Suspect(uid, boot, 0)
        self._fencing[name, boot] = Fencing(suspect, world.timeline.now_us)
        world.note(self.name, f"asks for {name} ({boot}) to be powered off")
        wait_us = world.between(100_000, world.fence_us_max)
        world.timeline.after(wait_us, self._power_off, name, suspect)

    def _power_off(self, name: str, suspect: Suspect) -> None:
        world = self.world
        if world.fence_broken or not self.up:
            self._fencing.pop((name, suspect.boot), None)
            world.coverage.count("fence", "no answer")
            return
        machine = world.machines[name]
        late = world.chance() < 0.3
        if machine.boot == suspect.boot:
            machine.power_off(f"fenced by {self.name}")
        world.coverage.count("fence", "late" if late else "prompt")
        wait_us = world.between(50_000, 12_000_000 if late else 800_000)
        world.timeline.after(wait_us, self._report, name, suspect)

    def _report(self, name: str, suspect: Suspect) -> None:
        """Tell every member that can be reached; the others learn it from them."""
        self._fencing.pop((name, suspect.boot), None)
        if not self.up:
            return
        world = self.world
        fenced = Fenced(suspect.member, suspect.boot, f"power-off of {name} confirmed")
        world.note(self.name, f"reports {name} ({suspect.boot}) powered off")
        for machine in world.machines.values():
            link = (self.name, machine.name)
            world.network.carry(link, machine.receive, FencedReported(fenced))

    def _power_on(self) -> None:
        world = self.world
        off = [m for m in world.machines.values() if m.power is Power.OFF]
        if not off:
            return
        in_use = {world.names.get(m.uid) for m in world.newest_config().everyone()}
        in_use.update(world.wanted)
        for machine in off:
            idle = machine.name in in_use and machine.name not in world.down
            fencing = any(name == machine.name for name, _ in self._fencing)
            if idle and not fencing and (world.calm or world.chance() < 0.4):
                machine.power_on()

    # --- members -------------------------------------------------------------------------------

    def _mind_members(self, holder: Machine) -> None:
        """Make the config what is wanted, one voter at a time."""
        state = holder.process.state
        assert state is not None
        world = self.world
        config = state.record.config
        if config.leaving is not None:
            return
        for machine in world.machines.values():
            self._enrol(machine, state)
        wanted = {world.machines[name].process.uid: name for name in world.wanted}
        present = {member.uid for member in config.members if member.name not in world.stores}
        for uid, name in wanted.items():
            machine = world.machines[name]
            answer = self._answer(machine)
            left_out = {member.uid for member in state.record.left_out}
            if uid in present | left_out or answer is None or answer.durable.halted:
                continue
            if self._is_of_the_past(machine, state):
                continue  # it answers nobody of this incarnation
            order = [*world.wanted, *(m.name for m in config.members)]
            new = (*config.members, Member(uid, name, machine.plan.kind))
            members = tuple(sorted(new, key=lambda member: order.index(member.name)))
            if machine.database is not None:
                machine.database.up = True  # a copy that was to go, and comes after all
            self._change(holder, state, members, config.timing)
            return
        for uid in present - set(wanted) - {state.me}:
            if not self._enough_without({m.uid for m in config.members} - {uid}):
                continue
            for place in world.places.get(uid, ()):
                if place.database is not None and self.reaches(place):
                    place.database.up = False  # writes stop waiting for a copy that is to go
            members = tuple(member for member in config.members if member.uid != uid)
            self._change(holder, state, members, config.timing)
            return
        if config.timing != world.timing_wanted:
            self._change(holder, state, config.members, world.timing_wanted)
        elif state.me not in wanted and self._another_may_lead(state):
            world.network.carry((self.name, holder.name), holder.receive, ReleaseRequested())

    def _enough_without(self, left: set[MemberUid]) -> bool:
        """Whether those that would be left have a majority that answers."""
        answers = 0
        for uid in left:
            answers += uid in self.world.stores
            states = [self._answer(place) for place in self.world.places.get(uid, ())]
            answers += any(s is not None and not s.durable.halted for s in states)
        return answers > len(left) // 2

    def _another_may_lead(self, state: State) -> bool:
        config = state.record.config
        able = set(config.data_nodes()) - {state.me}
        if config.data is DataMode.REPLICATED:
            able &= state.record.in_sync
        return any(self._answer(place) for uid in able for place in self.world.places.get(uid, ()))

    def _enrol(self, machine: Machine, state: State) -> None:
        """Make a stranger, or a member that may take no part any more, a new member."""
        process = machine.process
        world = self.world
        if machine.name not in world.wanted or not self.reaches(machine):
            return
        halted = process.state is not None and process.state.durable.halted
        stranger = machine.journal is None or self._is_of_the_past(machine, state)
        if process.alive and machine.service is not None and machine.service.anything_runs():
            return
        if not (halted or stranger):
            return
        uid = world.new_uid(machine)
        world.note(self.name, f"enrols {machine.name} as {uid}")
        world.coverage.count("overseer", "enrolled")
        process.replace_member(uid, durable_for(state.record.config, uid, state.record))
        process.start()

    def _is_of_the_past(self, machine: Machine, state: State) -> bool:
        """Whether it was a member before a recovery, and was none when that came."""
        own = self._answer(machine)
        config = state.record.config
        return (
            own is not None
            and own.record.config.incarnation < config.incarnation
            and config.member(own.me) is None
        )

    def _change(
        self, holder: Machine, state: State, members: tuple[Member, ...], timing: Timing
    ) -> None:
        config = state.record.config
        world = self.world
        world.coverage.count("overseer", "change asked")
        if world.tracing:
            names = " ".join(member.name for member in members)
            world.note(self.name, f"asks {holder.name} for config: {names}, ttl {timing.ttl_ms}")
        request = ChangeRequested(config.id, members, timing, config.loss_max)
        world.network.carry((self.name, holder.name), holder.receive, request)


class People:
    """What only a person may do; each acts after looking, and tells the truth."""

    __slots__ = ("_nobody_since_us", "world")

    def __init__(self, world: "World") -> None:
        self.world = world
        self._nobody_since_us: int | None = None

    def attest(self, holder: Machine, suspect: Suspect) -> None:
        """Go and see: the suspect's boot is over, or it is ended now; then sign."""
        world = self.world
        name = world.names.get(suspect.member)
        machine = world.machines.get(name) if name is not None else None
        if machine is not None and machine.boot == suspect.boot:
            machine.power_off("by hand, before a person attests it")
        world.coverage.count("overseer", "attested")
        event = ProofHeld(suspect, Proof.ATTESTED)
        world.network.carry(("person", holder.name), holder.receive, event)

    def consent(self, machine: Machine) -> None:
        """Accept the loss if this node leads."""
        state = machine.process.state
        if state is None or not machine.runs:
            return
        world = self.world
        term_min = 1 + max(state.durable.term, state.term_seen)
        consent = Consent(state.me, state.boot, term_min, state.record.version, "a person")
        until_ms = machine.now_ms() + 10_000
        world.disturbed()
        world.note("person", f"consents to what is lost if {machine.name} leads")
        link = ("person", machine.name)
        world.network.carry(link, machine.receive, ConsentGiven(consent, until_ms))
        world.network.carry(link, machine.receive, StandRequested())

    def recover(self) -> None:
        """Begin a new incarnation with those who are left, once all the others are seen to be off.

        What they do not have is lost with that: whoever gives the order accepts it.
        """
        world = self.world
        left: dict[MemberUid, Machine] = {}
        for member in world.newest_config().everyone():
            place = next(iter(world.places.get(member.uid, ())), None)
            if place is None:
                continue  # its disk was wiped since: nobody is this member any more
            state = place.process.state
            if place.process.stalled:
                return  # whoever does not answer cannot be given an order
            if state is not None and not state.durable.halted:
                left[member.uid] = place
            elif member.name not in world.lost and state is None:
                return  # it is about to answer
            else:
                place.power_off("by hand, before the others are recovered without it")
        states = [place.process.state for place in left.values()]
        known = [state for state in states if state is not None]
        if not known:
            return
        newest = max((state.record for state in known), key=lambda record: record.version)
        gone = {m.uid for m in newest.config.everyone()} - set(left)
        bound = [s for s in known if s.holding is not None or s.promise is not None]
        holds = any(_is_bound(s, left[s.me].now_ms()) for s in bound)
        if recovery_problem(newest.config, set(left), gone, holds) is not None:
            return
        members = tuple(m for m in newest.config.everyone() if m.uid in left)
        term = max(max(state.durable.term, state.term_seen) for state in known)
        proofs = dict.fromkeys(gone, Proof.ATTESTED)
        record = recovered_record(newest, members, proofs, term)
        world.disturbed()  # from here on a majority is possible again
        world.coverage.count("overseer", "recovered")
        world.note("person", f"recovers with {', '.join(member.name for member in members)}")
        world.checkers.recovered(record.version.term)
        for place in left.values():
            world.network.carry(("person", place.name), place.receive, Recovered(record))
        world.timeline.after(5_000_000, world.find_again)

    def look(self) -> None:
        """In a calm cluster that nobody may lead, recover it, or consent to the best copy."""
        world = self.world
        world.timeline.after(LOOK_US, self.look)
        now_us = world.timeline.now_us
        if not world.calm or world.somebody_holds():
            self._nobody_since_us = None
            return
        if self._nobody_since_us is None:
            self._nobody_since_us = now_us
        if world.lost and now_us - self._nobody_since_us >= LOSS_PATIENCE_US:
            self._nobody_since_us = now_us
            self.recover()
        replicated = world.plan.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}
        if not replicated or now_us - self._nobody_since_us < LOSS_PATIENCE_US:
            return
        self._nobody_since_us = now_us
        best = world.best_copy()
        if best is not None:
            world.coverage.count("overseer", "consented")
            self.consent(best)


def _is_bound(state: State, now_ms: int) -> bool:
    """Whether a member holds, or has promised to whoever may hold."""
    promise = state.promise
    return state.holds(now_ms) or (promise is not None and now_ms < promise.until_ms)


def retimed(timing: Timing, percent: int) -> Timing:
    """The same profile, slower or faster, with a guard and heartbeats that fit."""
    ttl_ms = timing.ttl_ms * percent // 100
    needed_ms = timing.guard_for_ms(ttl_ms)
    guard_ms = max(timing.guard_ms * percent // 100, needed_ms)
    if ttl_ms - guard_ms < 3 * HEARTBEAT_MS_MIN:
        return timing
    return replace(
        timing,
        heartbeat_ms=min(timing.heartbeat_ms * percent // 100, (ttl_ms - guard_ms) // 3),
        ttl_ms=ttl_ms,
        ttl_max_ms=max(timing.ttl_max_ms, ttl_ms),
        guard_ms=guard_ms,
    )
