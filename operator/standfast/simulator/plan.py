"""What a run is made of: the cluster, its surroundings, and every fault with its moment.

A plan is data. The same plan gives the same run, a failing one can be made smaller by leaving
faults out (`shrink`), and a person can write one by hand. `draw` makes a plan from a seed.
"""

from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Self

from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Timing


def dice(seed: str) -> Random:
    """A source of chance that belongs to one seed."""
    return Random(seed)  # noqa: S311 - chance in a simulation, nothing to keep secret


class FaultKind(Enum):
    """What can go wrong, or be asked for at a bad moment.

    Comments say what `who`, `other`, `lasts_ms` and `value` of a `Fault` mean to it.
    """

    CRASH = "Crash"  # who dies and boots after lasts_ms
    POWER_CUT = "PowerCut"  # who dies and stays down until somebody powers it on
    REBOOT = "Reboot"  # who shuts down in order and is back after lasts_ms
    AGENT_KILL = "AgentKill"  # the process dies; its supervisor restarts it after lasts_ms
    STALL = "Stall"  # the process stands still; kernel and guard work
    STUN = "Stun"  # the hypervisor stops the machine for lasts_ms
    SUSPEND = "Suspend"  # like a stun, many leases long
    CUT_STEP = "CutStep"  # die (lasts_ms 0) or stall within the effects of the next step
    AMBUSH = "Ambush"  # what `other` says happens to whoever next does what `who` says
    CLOCK_RATE = "ClockRate"  # the clock of who runs at value parts per million
    CLOCK_SUSPECT = "ClockSuspect"  # the clocks of who contradict each other
    ISOLATE = "Isolate"  # nobody hears who, and who hears nobody
    MUTE = "Mute"  # nobody hears who, and who hears everybody
    LATE_TO = "LateTo"  # what is sent to who takes value ms longer
    CUT = "Cut"  # who is not heard by other (one way)
    CUT_BOTH = "CutBoth"  # neither hears the other
    FLAP = "Flap"  # the link goes and comes every value ms
    STORM = "Storm"  # value per mille of all messages are lost
    SLOW = "Slow"  # every message takes up to value ms
    DISK_WIPED = "DiskWiped"  # who comes back after lasts_ms as a stranger
    DISK_FULL = "DiskFull"  # nothing can be made durable for lasts_ms
    REVERT = "Revert"  # the machine goes back to a snapshot of value ms ago
    CLONE = "Clone"  # a copy of the machine runs beside it for lasts_ms
    APP_CRASH = "AppCrash"
    START_FAILS = "StartFails"  # the next start on who fails
    BOOT_STARTS = "BootStarts"  # at the next boot of who the application starts with the machine
    STOP_HANGS = "StopHangs"  # the next graceful stop never ends
    KILL_HANGS = "KillHangs"  # the next kill takes lasts_ms, whatever was promised
    MAINTENANCE = "Maintenance"  # who may not stand for lasts_ms
    REPLICATION_CUT = "ReplicationCut"  # no data reach the copy on who
    SWITCHOVER = "Switchover"  # asked of whoever holds; other is the successor, or nobody named
    SWITCHOVER_CANCELLED = "SwitchoverCancelled"
    STAND = "Stand"  # who is asked to stand now
    WATCHDOG_OFF = "WatchdogOff"  # the holder says that its watchdog is about to be disarmed
    LONGER_TTL = "LongerTtl"  # the holder asks for value ms, back after lasts_ms
    FENCE = "Fence"  # the operator has who powered off
    FENCE_BROKEN = "FenceBroken"  # the hypervisor's API does not answer
    OPERATOR_DOWN = "OperatorDown"  # operator number value
    RETIME = "Retime"  # other timers, value picks which
    ADD_VOTER = "AddVoter"
    REMOVE_VOTER = "RemoveVoter"
    CONSENT = "Consent"  # a person accepts the loss if who leads
    MAJORITY_LOST = "MajorityLost"  # so many machines are destroyed that no majority is left
    DISK_SEIZED = "DiskSeized"  # the storage is asked to shut who out


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune: when, what, whom, for how long."""

    at_ms: int
    kind: FaultKind
    who: str = ""
    other: str = ""
    lasts_ms: int = 0
    value: int = 0

    def later(self, by_ms: int) -> Self:
        return replace(self, at_ms=self.at_ms + by_ms)

    def text(self) -> str:
        """In words."""
        parts = [f"{self.at_ms} ms: {self.kind.value}"]
        if self.who:
            parts.append(self.who)
        if self.other:
            parts.append(f"→ {self.other}")
        if self.value:
            parts.append(f"({self.value})")
        if self.lasts_ms:
            parts.append(f"for {self.lasts_ms} ms")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """One machine with its member.

    Attributes:
        rate_ppm: Speed of its clock, a million being true time.
        hypervisor_clock: After a stun it learns how long it stood still.
        watchdog_ms: Timeout of its watchdog; 0 for none.
        watchdog_outside: It ticks while the hypervisor has the machine stopped, and resets it.
        generation_id: Its hypervisor tells it that it was reverted or copied.
    """

    name: str
    kind: MemberKind
    rate_ppm: int = 1_000_000
    hypervisor_clock: bool = False
    watchdog_ms: int = 0
    watchdog_outside: bool = False
    generation_id: bool = False


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """How the network is when nothing special happens to it."""

    delay_us_min: int = 100
    delay_us_spread: int = 400
    lost_per_mille: int = 0
    copied_per_mille: int = 0
    late_per_mille: int = 0
    late_us_max: int = 0


@dataclass(frozen=True, slots=True)
class Habits:
    """How the rest behaves.

    Attributes:
        sharp: Everything that has a budget uses all of it: looks at the clock, kills, starts
            that wait for a majority. Finds arithmetic that is off by little.
        address_first: The address does not wait for the application.
        start_ms_max: Longest start of the application.
        write_every_ms: How often a client writes; 0 for never.
        fences: Operators power off suspects by themselves.
        attests: A person attests a suspect that no one could prove stopped, after a while.
        powers_on: Operators power on what was fenced.
        repairs: Operators replace members that were wiped or may take no part any more.
    """

    sharp: bool = False
    address_first: bool = False
    start_ms_max: int = 300
    write_every_ms: int = 0
    fences: bool = True
    attests: bool = True
    powers_on: bool = True
    repairs: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run.

    Attributes:
        seed: Chance of everything that is not written down here.
        machines: In order of preference; data nodes and witnesses.
        spares: Machines that configuration changes may add.
        stores: Voters without a process.
        busy_ms: For how long faults may happen.
        loss_max: Declared bound of loss in asynchronous replication, in writes.
        beyond_bound: Clocks may break the declared bound: S1 is not promised then.
    """

    seed: str
    timing: Timing
    machines: tuple[MachinePlan, ...]
    data: DataMode = DataMode.NONE
    spares: tuple[MachinePlan, ...] = ()
    stores: tuple[str, ...] = ()
    network: NetworkPlan = NetworkPlan()
    habits: Habits = Habits()
    faults: tuple[Fault, ...] = ()
    busy_ms: int = 30_000
    loss_max: int = 0
    beyond_bound: bool = False

    def without(self, faults: frozenset[Fault]) -> Self:
        """The same plan with some faults left out."""
        return replace(self, faults=tuple(f for f in self.faults if f not in faults))

    def with_faults(self, faults: tuple[Fault, ...]) -> Self:
        return replace(self, faults=faults)

    def until(self, at_ms: int) -> Self:
        """The same plan without what comes after a moment."""
        left = tuple(fault for fault in self.faults if fault.at_ms <= at_ms)
        return replace(self, faults=left, busy_ms=min(self.busy_ms, at_ms + 1))

    def data_nodes(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.machines if m.kind is MemberKind.DATA)
