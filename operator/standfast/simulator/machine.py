"""One machine: power, kernel, guard, disk and what runs on it.

The layers below the agent as the Linux side promises them, each without trusting the layer above:
the kernel stops answering for the address at the end of the lease to the millisecond, the guard
kills what runs when the deadline has passed and was not moved, the watchdog resets the machine
when even that was not verified. `tests/simulation/README.md` names the test on a real kernel for
each of these promises.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from standfast.core.ids import BootId, MemberUid
from standfast.core.record import MemberKind
from standfast.core.state import Durable
from standfast.simulator.clock import MachineClock
from standfast.simulator.plan import MachinePlan
from standfast.simulator.timeline import Due

if TYPE_CHECKING:
    from standfast.simulator.database import Database, Promotion
    from standfast.simulator.process import Arrival, Process
    from standfast.simulator.service import Service
    from standfast.simulator.world import World


class Power(Enum):
    """What the hypervisor says of a machine."""

    ON = "on"
    STOPPED = "stopped"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The file under `/run`."""

    boot: BootId
    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A disk as it was."""

    at_us: int
    uid: MemberUid
    journal: Durable
    log: tuple[int, ...]
    line: "Promotion | None"


SNAPSHOTS_KEPT = 24
"""How many of a machine's past disks a revert may choose from."""


class Machine:
    """A virtual machine with one member in it."""

    __slots__ = (
        "_bite",
        "_cut",
        "_look",
        "boot",
        "boots",
        "clock",
        "database",
        "deadline_file",
        "disk_full",
        "disturbed_us",
        "excused_until_us",
        "guard_until_ms",
        "identity",
        "is_data_node",
        "journal",
        "kernel_cut_us",
        "name",
        "origin",
        "plan",
        "power",
        "process",
        "service",
        "snapshots",
        "waiting",
        "watchdog_ms",
        "world",
    )

    def __init__(self, world: "World", plan: MachinePlan, name: str) -> None:
        self.world = world
        self.plan = plan
        self.name = name
        self.origin = name
        self.is_data_node = plan.kind is MemberKind.DATA
        self.power = Power.OFF
        self.boots = 0
        self.boot = BootId(f"{name}#0")
        self.clock = MachineClock(0, 0, plan.rate_ppm)
        self.journal: Durable | None = None
        self.disk_full = False
        self.identity = f"{name}/1" if plan.generation_id else ""
        self.deadline_file: Deadline | None = None
        self.guard_until_ms: int | None = None
        self.kernel_cut_us: int | None = None
        self.excused_until_us = -1
        self.disturbed_us = 0
        self.waiting: list[Arrival] = []
        self.watchdog_ms = plan.watchdog_ms
        self.snapshots: list[Snapshot] = []
        self._look: Due | None = None
        self._cut: Due | None = None
        self._bite: Due | None = None
        self.process: Process
        self.service: Service | None = None
        self.database: Database | None = None

    # --- power ---------------------------------------------------------------------------------

    @property
    def runs(self) -> bool:
        return self.power is Power.ON

    def now_ms(self) -> int:
        """What agent and guard read as elapsed time."""
        return self.clock.now_ms(self.world.timeline.now_us)

    def disturb(self) -> None:
        """Remember when the machine or its agent last did not run as it should, for L2."""
        self.disturbed_us = self.world.timeline.now_us

    def power_on(self) -> None:
        """Boot: `/run` is empty, the clock counts from anew, the agent is started."""
        if self.power is not Power.OFF or self.name in self.world.lost:
            return
        world = self.world
        self.boots += 1
        self.boot = BootId(f"{self.name}#{self.boots}")
        self.power = Power.ON
        since_boot_us = world.between(500_000, 4_000_000)
        self.clock = MachineClock(world.timeline.now_us, since_boot_us, self.clock.rate_ppm)
        self.deadline_file = None
        self.watchdog_ms = self.plan.watchdog_ms
        world.note(self.name, f"boots ({self.boot})")
        self.disturb()
        if self.service is not None:
            self.service.machine_boots()
        self.process.start()

    def power_off(self, why: str) -> None:
        """Everything that is not on the disk is gone."""
        if self.power is Power.OFF:
            return
        self.world.note(self.name, f"powered off: {why}")
        self.disturb()
        self.power = Power.OFF
        self.process.die()
        self._disarm()
        self.deadline_file = None
        self.guard_until_ms = None
        self.kernel_cut_us = None
        self.waiting.clear()
        if self.service is not None:
            self.service.vanish()
        if self.database is not None:
            self.database.up = False
        if self.clock.frozen:
            self.clock.thaw(self.world.timeline.now_us, told=False)

    def stop_by_hypervisor(self) -> None:
        """Stun, suspend: nothing moves in there, not even the clock."""
        if self.power is not Power.ON:
            return
        self.world.note(self.name, "stopped by its hypervisor")
        self.power = Power.STOPPED
        self.clock.freeze(self.world.timeline.now_us)
        self._disarm()
        if self.watchdog_ms and self.plan.watchdog_outside:
            timeline = self.world.timeline
            why = "its watchdog was not fed while it stood still"
            self._bite = timeline.after(self.watchdog_ms * 1000, self._reset, why)
        self.process.call_off()
        if self.service is not None:
            self.service.freeze()

    def resume(self) -> None:
        """Go on as if nothing had happened; messages that waited in buffers come in."""
        if self.power is not Power.STOPPED:
            return
        world = self.world
        now_us = world.timeline.now_us
        self.power = Power.ON
        self.disturb()
        world.timeline.call_off(self._bite)
        self._bite = None
        self.clock.thaw(now_us, told=self.plan.hypervisor_clock)
        world.note(self.name, "resumed by its hypervisor")
        self._excuse()
        if self.kernel_cut_us is not None:
            self._arm_cut(self.kernel_cut_us)
        if self.guard_until_ms is not None:
            self._arm_guard(self.guard_until_ms)
        if self.service is not None:
            self.service.thaw()
        if not self.process.alive:
            world.timeline.after(100_000, self.process.start)
        self.process.rearm()
        waiting, self.waiting = self.waiting, []
        for message in waiting:
            delay_us = world.between(0, 20_000)
            world.timeline.after(delay_us, self.receive, message)

    def _excuse(self) -> None:
        """Kernel, guard and agent have a while to find out before anybody looks at what runs.

        With a hypervisor clock until the guard has run. Without one the lease runs on as if no
        time had passed: what was asked for before the stop is counted to its end.
        """
        config = self.world.newest_config()
        timing = config.timing
        span_ms = timing.tick_ms + timing.stop_budget_ms
        if not self.plan.hypervisor_clock:
            state = self.process.state
            held = state.holding if state is not None else None
            asked_ms = config.ttl_max_ms if held is None else held.ttl_ms
            if held is not None:  # a longer ttl may have been asked for until a moment ago
                ends = [beat.sent_at_ms + beat.hold_ms for beat in held.beats.values()]
                asked_ms = max(asked_ms, max([held.lease_until_ms, *ends]) - self.now_ms())
            span_ms += asked_ms
        world = self.world
        self.excused_until_us = world.timeline.now_us + span_ms * 1020
        world.timeline.at(self.excused_until_us, world.checkers.excuse_over, self)

    def set_rate(self, rate_ppm: int) -> None:
        """The clock runs at another speed: everything that is due moves."""
        now_us = self.world.timeline.now_us
        self.clock.set_rate(now_us, rate_ppm)
        if self.power is not Power.ON:
            return
        self._disarm()
        if self.kernel_cut_us is not None:
            self._arm_cut(self.kernel_cut_us)
        if self.guard_until_ms is not None:
            self._arm_guard(self.guard_until_ms)
        self.process.rearm()

    def receive(self, event: "Arrival") -> None:
        """A message arrives at the network card."""
        if self.power is Power.ON:
            self.process.deliver(event)
        elif self.power is Power.STOPPED:
            self.waiting.append(event)

    # --- disk ----------------------------------------------------------------------------------

    def take_snapshot(self) -> None:
        """Keep what is on the disk now, for a revert; only the newest few are kept."""
        if self.journal is not None and self.runs:
            database = self.database
            log = () if database is None else tuple(database.log)
            line = None if database is None else database.line
            uid = self.process.uid
            now_us = self.world.timeline.now_us
            self.snapshots.append(Snapshot(now_us, uid, self.journal, log, line))
            del self.snapshots[:-SNAPSHOTS_KEPT]

    def is_a_copy(self) -> bool:
        """Whether its disk was written by another machine, so that its member will halt."""
        written_by = "" if self.journal is None else self.journal.machine
        return bool(written_by) and bool(self.identity) and written_by != self.identity

    def snapshot_before(self, at_us: int) -> "Snapshot | None":
        """The newest snapshot of the present member that is old enough."""
        good = (s for s in reversed(self.snapshots) if s.at_us <= at_us)
        return next((s for s in good if s.uid == self.process.uid), None)

    def go_back_to(self, snapshot: "Snapshot") -> None:
        """The disk is again what it was; the machine is off, and its hypervisor will tell it."""
        if self.plan.generation_id:
            name, _, number = self.identity.partition("/")
            self.identity = f"{name}/{int(number) + 1}"
        self.journal = snapshot.journal
        if self.database is not None:
            self.database.log = list(snapshot.log)
            self.database.line = snapshot.line

    # --- kernel and guard ----------------------------------------------------------------------

    def set_deadline(self, term: int, until_ms: int) -> None:
        """Move the end of the lease: file, guard, and the address if it answers.

        A moment that is over when this gets to the kernel opens nothing.
        """
        self.deadline_file = Deadline(self.boot, term, until_ms)
        self.guard_until_ms = until_ms
        self._arm_guard(until_ms)
        if self.kernel_cut_us is not None:
            self.open_address()

    def drop_deadline(self) -> None:
        """The lease is over: no restarted agent adopts anything."""
        self.deadline_file = None

    def all_stopped(self) -> None:
        """It is verified that nothing runs: guard and watchdog have nothing to end."""
        self.guard_until_ms = None
        timeline = self.world.timeline
        timeline.call_off(self._look)
        timeline.call_off(self._bite)
        self._look = self._bite = None

    def open_address(self) -> None:
        """Answer for the address until the end of the lease, by the kernel's own clock."""
        until_ms = self.guard_until_ms
        if until_ms is None or until_ms <= self.now_ms():
            return
        self.kernel_cut_us = until_ms * 1000 - self.clock.ahead_us
        self.world.timeline.call_off(self._cut)
        self._arm_cut(self.kernel_cut_us)
        self.world.checkers.address_answers(self)

    def close_address(self) -> None:
        self.world.timeline.call_off(self._cut)
        self._cut = None
        self.kernel_cut_us = None

    def address_until_us(self) -> int | None:
        """True moment until which the kernel answers if nobody does anything; none: not at all."""
        if self.kernel_cut_us is None:
            return None
        if self.clock.frozen:
            return self.world.timeline.now_us
        return self.clock.when_kernel_us(self.kernel_cut_us)

    def _arm_cut(self, kernel_us: int) -> None:
        when_us = self.clock.when_kernel_us(kernel_us)
        self._cut = self.world.timeline.at(when_us, self.close_address)

    def _arm_guard(self, until_ms: int) -> None:
        world = self.world
        timeline = world.timeline
        timeline.call_off(self._look)
        timeline.call_off(self._bite)
        late_ms = world.guard_late_ms(self)
        self._look = timeline.at(self.clock.when_us(until_ms + late_ms), self._guard_looks)
        if self.watchdog_ms:
            bite_us = self.clock.when_us(until_ms + self.watchdog_ms)
            self._bite = timeline.at(bite_us, self._watchdog_bites)

    def _guard_looks(self) -> None:
        self._look = None
        until_ms = self.guard_until_ms
        if until_ms is None or self.now_ms() < until_ms or self.service is None:
            return
        if self.service.anything_runs():
            self.world.note(self.name, "guard: the deadline has passed, kills what runs")
            self.world.coverage.count("guard", "killed")
        self.close_address()
        self.service.kill()

    def _watchdog_bites(self) -> None:
        self._bite = None
        if self.service is None or not self.service.anything_runs():
            return
        self._reset("its watchdog was not fed")

    def _reset(self, why: str) -> None:
        self.world.coverage.count("watchdog", why)
        self.power_off(why)
        self.world.timeline.after(self.world.between(2_000_000, 8_000_000), self.power_on)

    def _disarm(self) -> None:
        timeline = self.world.timeline
        for due in (self._look, self._cut, self._bite):
            timeline.call_off(due)
        self._look = self._cut = self._bite = None
