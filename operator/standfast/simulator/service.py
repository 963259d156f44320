"""What a node protects: an application and an address, started and stopped as told.

An application counts as running from the first moment of its start to the moment its stop is
verified, because in between it may write. The address follows the application, or stands alone.
Decides nothing of the protocol: whether it may start is asked of the core each time.
"""

from enum import Enum
from typing import TYPE_CHECKING

from standfast.core.events import NO_LEASE, ReleaseRequested, Stopped
from standfast.core.ids import RunId
from standfast.core.proof import Need, unproven
from standfast.core.record import Record, Suspect
from standfast.simulator.storage import STORAGE
from standfast.simulator.timeline import Due

if TYPE_CHECKING:
    from standfast.simulator.machine import Machine


class App(Enum):
    """State of the application."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Service:
    """Application and address of one node."""

    __slots__ = (
        "_asked_by",
        "_due",
        "_left_us",
        "_then",
        "app",
        "begins_with_machine",
        "by_boot",
        "crashes",
        "kill_hangs_ms",
        "killing",
        "machine",
        "start_fails",
        "started_term",
        "stop_hangs",
    )

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.app = App.STOPPED
        self.started_term = 0
        self.killing = False
        self.begins_with_machine = False
        self.by_boot = False
        self.start_fails = False
        self.stop_hangs = False
        self.kill_hangs_ms = 0
        self.crashes = 0
        self._due: Due | None = None
        self._then = ""
        self._left_us: int | None = None
        self._asked_by: RunId | None = None

    def anything_runs(self) -> bool:
        return self.app is not App.STOPPED or self.machine.kernel_cut_us is not None

    # --- what the agent does with it -----------------------------------------------------------

    def consider(self) -> None:
        """Start what may be started now: lease, first record, proofs."""
        machine = self.machine
        state = machine.process.state
        if state is None or not state.serves(machine.now_ms()):
            return
        held = state.holding
        assert held is not None
        if held.releasing or self.killing:
            return
        if machine.guard_until_ms is None:
            machine.set_deadline(held.term, held.lease_until_ms)
        world = machine.world
        if self.app is App.STOPPED and self._due is None:
            record = held.proposals[0]
            reserved = state.reserved.get(STORAGE, frozenset())
            if not unproven(record, state.proofs, world.need, reserved=reserved):
                self._reserve(record, reserved)
                self._start(held.term)
        elif self.app is App.RUNNING:
            self.started_term = held.term
        address_due = self.app is App.RUNNING or world.address_first
        waiting = unproven(held.proposals[0], state.proofs, Need.ADDRESS)
        if address_due and machine.kernel_cut_us is None and not waiting:
            machine.open_address()

    def _start(self, term: int) -> None:
        world = self.machine.world
        self.app = App.STARTING
        self.started_term = term
        world.note(self.machine.name, f"application starts under term {term}")
        world.checkers.app_starts(self.machine)
        self._wait(world.start_us(), "started")

    def _reserve(self, record: Record, reserved: frozenset[Suspect]) -> None:
        """Keep the disk to itself while a suspect is only shut out; else give it back."""
        storage = self.machine.world.storage
        if reserved.intersection(record.suspects):
            storage.seize(self.machine)
        else:
            storage.give_back()

    def stop_in_order(self, run: RunId) -> None:
        """Address first, then the application, gracefully within its budget, else by force."""
        machine = self.machine
        machine.close_address()
        self._asked_by = run
        if self.app is App.STOPPED:
            self._call_off()
            self._verified()
            return
        if self.killing:
            return
        self.app = App.STOPPING
        world = machine.world
        if self.stop_hangs:
            self.stop_hangs = False
            world.coverage.count("service", "stop hung")
            self._wait(world.stop_budget_us(), "kill")
        else:
            self._wait(world.stop_us(), "stopped")

    def go_on(self) -> None:
        """The release was called off: start again what was stopped, or will be."""
        state = self.machine.process.state
        if state is not None and state.holding is not None and not state.holding.releasing:
            self._asked_by = None
            self.consider()

    def kill(self, run: RunId | None = None) -> None:
        """Take everything away at once; `Stopped` is reported to the run that asked."""
        machine = self.machine
        machine.close_address()
        if run is not None:
            self._asked_by = run
        if self.app is App.STOPPED:
            self._call_off()
            self._verified()
            return
        if self.killing:
            return
        self.app = App.STOPPING
        self.killing = True
        self._wait(self._kill_us(), "stopped")

    def _kill_us(self) -> int:
        hangs_ms, self.kill_hangs_ms = self.kill_hangs_ms, 0
        machine = self.machine
        if hangs_ms:
            machine.world.coverage.count("service", "kill hung")
            machine.world.checkers.kill_hung(machine)
            return hangs_ms * 1000
        kill_ms = machine.world.kill_ms(machine)
        end_us = machine.clock.when_us(machine.now_ms() + kill_ms)
        return max(end_us - machine.world.timeline.now_us, 0)

    # --- what happens to it --------------------------------------------------------------------

    def machine_boots(self) -> None:
        """Somebody enabled the application: it runs before the agent does."""
        if self.begins_with_machine:
            self.begins_with_machine = False
            self.by_boot = True
            self.app = App.RUNNING
            world = self.machine.world
            world.note(self.machine.name, "application began with the machine")
            world.coverage.count("service", "began with the machine")

    def crash(self) -> None:
        """The application dies by itself; the agent restarts it in place, or hands over."""
        if self.app is not App.RUNNING:
            return
        machine = self.machine
        machine.world.note(machine.name, "application died")
        self.crashes += 1
        self._gone()
        if self.crashes % 3:
            self._wait(20_000, "retry")
        else:
            machine.close_address()
            machine.process.deliver(ReleaseRequested())

    def vanish(self) -> None:
        """The machine lost power."""
        self._call_off()
        self.killing = False
        self.machine.kernel_cut_us = None
        self._asked_by = None
        if self.app is not App.STOPPED:
            self._gone()

    def freeze(self) -> None:
        """The machine stands still: what was under way waits."""
        if self._due is not None:
            self._left_us = self._due[0] - self.machine.world.timeline.now_us
            self.machine.world.timeline.call_off(self._due)
            self._due = None

    def thaw(self) -> None:
        if self._left_us is not None:
            left_us, self._left_us = self._left_us, None
            self._wait(left_us, self._then)

    # --- the steps -----------------------------------------------------------------------------

    def _wait(self, wait_us: int, then: str) -> None:
        timeline = self.machine.world.timeline
        timeline.call_off(self._due)
        self._then = then
        self._due = timeline.after(wait_us, self._next, then)

    def _call_off(self) -> None:
        self.machine.world.timeline.call_off(self._due)
        self._due = None
        self._left_us = None

    def _next(self, then: str) -> None:
        self._due = None
        if then == "started":
            self._started()
        elif then == "retry":
            self.consider()
        elif then == "kill":
            self.app = App.STOPPING
            self.killing = True
            self._wait(self._kill_us(), "stopped")
        else:
            self.killing = False
            self._gone()
            self._verified()

    def _started(self) -> None:
        machine = self.machine
        world = machine.world
        if self.start_fails:
            self.start_fails = False
            world.coverage.count("service", "start failed")
            world.note(machine.name, "application failed to start")
            self._gone()
            self._wait(50_000, "retry")
            return
        self.app = App.RUNNING
        world.note(machine.name, "application runs")
        if machine.database is not None:
            machine.database.promote(self.started_term)
        self.consider()

    def _gone(self) -> None:
        self.app = App.STOPPED
        self.by_boot = False
        machine = self.machine
        if machine.database is not None:
            machine.database.demote()
        machine.world.checkers.app_stopped(machine)

    def _verified(self) -> None:
        machine = self.machine
        machine.all_stopped()
        run, self._asked_by = self._asked_by, None
        if run is not None and machine.process.run == run:
            state = machine.process.state
            lease = None if state is None else state.holding
            machine.process.deliver(Stopped(NO_LEASE if lease is None else lease.called_off))
        else:
            self.consider()
