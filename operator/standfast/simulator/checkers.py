"""What must always be true, watched from outside: what runs and what was acknowledged.

S1 to S4 of `docs/protocol.md` are looked at whenever something changed that could break them; L1
and the exits are looked at by `world` in calm phases. A checker never asks a member what it
believes about another; it looks at kernel, application and log.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standfast.core.events import EmergencyStop, Loss
from standfast.core.ids import MemberUid
from standfast.core.messages import Envelope, Grant, Refuse
from standfast.core.proof import Need
from standfast.core.record import DataMode, Proof, Record, Suspect
from standfast.core.tally import needed
from standfast.simulator.machine import Machine, Power
from standfast.simulator.service import App

if TYPE_CHECKING:
    from standfast.simulator.world import World


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, when, and how."""

    promise: str
    at_us: int
    message: str

    def text(self) -> str:
        """In words."""
        return f"{self.promise} at {self.at_us / 1000:.3f} ms: {self.message}"


class ViolationError(Exception):
    """Ends a run at once: what happens after a broken promise teaches nothing."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.text())
        self.violation = violation


class Checkers:
    """All of them, for one run."""

    __slots__ = (
        "_acked",
        "_consented_term",
        "_consents",
        "_gone",
        "_grants",
        "_hung",
        "_promoted",
        "_recovered_term",
        "_released",
        "longest_ttl_ms",
        "lost_writes",
        "world",
    )

    def __init__(self, world: "World") -> None:
        self.world = world
        self._grants: dict[tuple[MemberUid, int], MemberUid] = {}
        self._gone: set[str] = set()
        self._released: set[tuple[MemberUid, int]] = set()
        self._hung: set[str] = set()
        self._acked: dict[int, int] = {}
        self._promoted: dict[str, int] = {}
        self._consented_term = 0
        self._recovered_term = 0
        self._consents: set[int] = set()
        self.lost_writes = 0
        self.longest_ttl_ms = 0

    def broken(self, promise: str, message: str) -> None:
        raise ViolationError(Violation(promise, self.world.timeline.now_us, message))

    def gone(self, promise: str) -> None:
        """A promise that rests on clocks went with them: counted once a run, beyond the bound."""
        if promise not in self._gone:
            self._gone.add(promise)
            self.world.coverage.count("beyond", promise)

    # --- S1: one holder ------------------------------------------------------------------------

    def holding_changed(self, machine: Machine) -> None:
        """A member won, extended or lost a lease."""
        state = machine.process.state
        if state is None or state.holding is None:
            return
        self.longest_ttl_ms = max(self.longest_ttl_ms, state.holding.ttl_ms)
        beyond = self.world.plan.beyond_bound
        if not state.holds(machine.now_ms()) or (self.excused(machine) and not beyond):
            return
        for other in self.world.machines.values():
            if other is machine:
                continue
            theirs = other.process.state
            if theirs is None or not theirs.holds(other.now_ms()):
                continue
            if beyond:
                self.gone("two held at once (S1)")
                continue
            if self.excused(other):
                continue
            held, their = state.holding, theirs.holding
            assert held is not None
            assert their is not None
            self.broken(
                "S1",
                f"{machine.name} holds term {held.term} and {other.name} holds term {their.term}",
            )

    def excused(self, machine: Machine) -> bool:
        """Whether this machine's clock is outside the bound: it stood still unknown to it.

        Also while a hypervisor has it stopped, and until kernel and guard have run again.
        """
        if self.world.plan.beyond_bound or machine.power is Power.STOPPED:
            return True
        return self.world.timeline.now_us < machine.excused_until_us

    # --- S2: nothing runs twice ----------------------------------------------------------------

    def app_starts(self, machine: Machine) -> None:
        exclusive = self.world.need is Need.EXCLUSIVE
        for other in self.world.machines.values():
            service = other.service
            if service is None or other is machine or service.app is App.STOPPED:
                continue
            if service.by_boot:
                continue  # nothing promises that; see `proven`
            if exclusive and self.world.storage.may_write(other) is False:
                continue
            if self.world.plan.beyond_bound and not exclusive:
                self.gone("two ran what has no data of its own (S2)")
            elif exclusive or self._bound_applies(machine, other):
                kind = "exclusive application" if exclusive else "application"
                self.broken("S2", f"{kind} starts on {machine.name} and runs on {other.name}")

    def proven(self, machine: Machine, suspect: Suspect, proof: Proof) -> None:
        """A boot is proven over by a later one: nothing may run that began with that one."""
        state = machine.process.state
        if proof is not Proof.REBOOTED or state is None:
            return
        seen = state.peers.get(suspect.member)
        for place in self.world.places.get(suspect.member, ()):
            service = place.service
            if service is None or not service.by_boot or seen is None or seen.boot != place.boot:
                continue
            what = f"{suspect.boot} is proven over by {place.boot}"
            self.broken("S2", f"{what}, in which the application runs that began with the machine")

    def address_answers(self, machine: Machine) -> None:
        now_us = self.world.timeline.now_us
        for other in self.world.machines.values():
            if other is machine:
                continue
            until_us = other.address_until_us()
            if until_us is None or until_us == now_us:
                continue  # it ends in this very moment
            if self.world.plan.beyond_bound:
                self.gone("two answered for the address (S2)")
            elif not (self.excused(machine) or self.excused(other)):
                self.broken("S2", f"{machine.name} and {other.name} both answer for the address")

    def excuse_over(self, machine: Machine) -> None:
        """Kernel, guard and agent had their time after a stop: look again."""
        if self.excused(machine) or not machine.runs or machine.service is None:
            return
        self.holding_changed(machine)
        if machine.service.app is not App.STOPPED and not machine.service.by_boot:
            self.app_starts(machine)
        if machine.kernel_cut_us is not None:
            self.address_answers(machine)

    def app_stopped(self, machine: Machine) -> None:
        self._hung.discard(machine.name)

    def kill_hung(self, machine: Machine) -> None:
        """A process that cannot be killed: only proofs stronger than the lease help."""
        self._hung.add(machine.name)

    def _bound_applies(self, one: Machine, other: Machine) -> bool:
        """Whether the lease alone promises that these two do not run together."""
        hung = one.name in self._hung or other.name in self._hung
        return not (hung or self.excused(one) or self.excused(other))

    # --- S3: no acknowledged write is lost ------------------------------------------------------

    def acknowledged(self, machine: Machine, number: int, term: int) -> None:
        """A client was told that its write is safe.

        Asynchronously nothing but the address keeps clients from a primary that could not be
        killed in time: what such a one still takes from whoever is on its node is not counted.
        """
        if term < self._consented_term:
            return
        mode = self.world.plan.data
        if mode is DataMode.REPLICATED_ASYNC and machine.kernel_cut_us is None:
            return
        if mode is DataMode.REPLICATED:
            for name, later in self._promoted.items():
                if later <= term or name == machine.name:
                    continue
                database = self.world.machines[name].database
                if database is not None and number not in database.log:
                    self.broken(
                        "S3",
                        f"{machine.name} acknowledges write {number} under term {term}, "
                        f"{name} took over in term {later} without it",
                    )
        self._acked[number] = term

    def promoted(self, machine: Machine, term: int) -> None:
        """A copy becomes the primary: it must have everything that was acknowledged."""
        database = machine.database
        assert database is not None
        have = set(database.log)
        lost = [number for number in self._acked if number not in have]
        mode = self.world.plan.data
        if lost and mode is DataMode.REPLICATED:
            self.broken(
                "S3",
                f"{machine.name} becomes primary in term {term} without {len(lost)} acknowledged "
                f"writes, the first of them {lost[0]} of term {self._acked[lost[0]]}",
            )
        too_many = mode is DataMode.REPLICATED_ASYNC and len(lost) > self.world.loss_allowed()
        if too_many and self.world.plan.beyond_bound:
            self.gone("more than the bound of an asynchronous loss was lost (S3)")
        elif too_many:
            self.broken(
                "S3",
                f"{machine.name} becomes primary in term {term} without {len(lost)} acknowledged "
                f"writes, more than the bound of {self.world.loss_allowed()}",
            )
        self.lost_writes += len(lost)
        for number in lost:
            del self._acked[number]
        self._promoted[machine.name] = term

    def recovered(self, term: int) -> None:
        """A person began a new incarnation: what nobody who is left has is given up with it.

        Its terms follow those that the ones who are left have seen, and no others.
        """
        self._promoted.clear()
        self._consented_term = 0
        self._consents = {term}
        self._recovered_term = term

    def committed(self, machine: Machine, record: Record) -> None:
        """A majority holds a record; one that a person consented to forgives what it loses."""
        term = record.version.term
        pending = [t for t in self._consents if self._consented_term < t <= term]
        by_person = record.consented or self._consented_term < self._recovered_term <= term
        if not by_person or not pending:
            return
        self._consented_term = term
        have = set(machine.database.log) if machine.database is not None else set()
        self._acked = {number: term for number in self._acked if number in have}

    # --- S4: terms -----------------------------------------------------------------------------

    def sent(self, machine: Machine, envelope: Envelope) -> None:
        """Look at what leaves: refusals are counted, grants remembered."""
        body = envelope.body
        if isinstance(body, Grant):
            if not body.pre:
                self._granted(envelope.sender, body.term, envelope.to)
        elif isinstance(body, Refuse):
            coverage = self.world.coverage
            coverage.count("refusal", body.reason.value)
            coverage.count("refused", body.ask.value)
            if self.world.tracing:
                self.world.note(
                    machine.name,
                    f"refuses {self.world.names.get(envelope.to)} term {body.asked_term} "
                    f"({body.ask.value}): {body.reason.value}",
                )

    def stands(self, uid: MemberUid, term: int) -> None:
        """A candidate votes for itself."""
        self._granted(uid, term, uid)

    def _granted(self, voter: MemberUid, term: int, candidate: MemberUid) -> None:
        earlier = self._grants.setdefault((voter, term), candidate)
        if earlier != candidate:
            names = self.world.names
            self.broken(
                "S4",
                f"{names[voter]} grants term {term} to {names[candidate]} after {names[earlier]}",
            )

    def won(self, machine: Machine, term: int, *, consented: bool, held: bool) -> None:
        """A majority has granted; `held` if it held an older lease until now."""
        if consented:
            self._consents.add(term)
        state = machine.process.state
        if state is not None and not (state.local.eligible or held):
            self.broken("eligible", f"{machine.name} wins term {term} although it may not stand")
        if (machine.process.uid, term) in self._released:
            self.broken("S4", f"{machine.name} holds term {term} again after releasing it")

    def released(self, machine: Machine, term: int) -> None:
        self._released.add((machine.process.uid, term))
        service = machine.service
        if service is not None and service.anything_runs():
            self.broken("S2", f"{machine.name} releases term {term} while something runs")

    # --- L2: nobody takes a lease from a holder that reaches a majority -------------------------

    def lost(self, machine: Machine, effect: EmergencyStop) -> None:
        if effect.loss not in {Loss.EXPIRED, Loss.SUPERSEDED}:
            return
        state = machine.process.state
        if state is None or self.world.plan.beyond_bound:
            return
        config = state.record.config
        since_us = self.world.timeline.now_us - 3000 * config.ttl_ms
        for electorate in config.electorates():
            reached = sum(self._undisturbed(machine, m.uid, since_us) for m in electorate)
            if reached < needed(electorate):
                return
        self.broken(
            "L2",
            f"{machine.name} loses term {effect.term} ({effect.loss.value}) although it reached "
            f"a majority all the time: {effect.message}",
        )

    def _undisturbed(self, machine: Machine, uid: MemberUid, since_us: int) -> bool:
        if uid in self.world.stores:
            return machine.disturbed_us <= since_us and self._linked(machine.name, uid, since_us)
        places = self.world.places.get(uid, [])
        if len(places) != 1 or machine.disturbed_us > since_us or places[0].disk_full:
            return False
        other = places[0]
        if other is machine:
            return True
        process = other.process
        if not other.runs or not process.alive or process.stalled or other.disturbed_us > since_us:
            return False
        if process.state is None or process.state.durable.halted:
            return False
        return self._linked(machine.name, other.name, since_us)

    def _linked(self, one: str, other: str, since_us: int) -> bool:
        network = self.world.network
        for link in ((one, other), (other, one)):
            if network.is_cut(link) or network.disturbed_us.get(link, 0) > since_us:
                return False
        return True
