"""What happens in one run of a campaign: drawn from a seed, the same for the same seed. Pure.

Called by `campaign`. Nodes are named by their role at the beginning of the run, because who has
which role depends on the runs before. Each run has a seed of its own, so that one may be repeated
alone.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Role(Enum):
    """Whom a fault strikes."""

    ACTIVE = "active"
    STANDBY = "standby"
    NOBODY = ""
    """Something beside the two nodes."""


class Kind(Enum):
    """What happens."""

    POWER_OFF = "power-off"
    POWER_CUT = "power-cut"
    RESET = "reset"
    BLACKOUT = "blackout"
    STUN = "stun"
    ANNOUNCED_STUN = "announced-stun"
    KILL = "kill"
    STOP = "stop"
    FREEZE = "freeze"
    ISOLATION = "isolation"
    MUTE = "mute"
    DEAF = "deaf"
    PEERS_APART = "peers-apart"
    ONE_NETWORK = "one-network"
    LOSS = "loss"
    APP_KILL = "app-kill"
    REPLICATION_KILL = "replication-kill"
    WITNESS_CUT = "witness-cut"
    OPERATOR_KILL = "operator-kill"
    API_SERVER_DOWN = "api-server-down"
    VCENTER_DOWN = "vcenter-down"
    CPU_HOG = "cpu-hog"
    MEMORY_HOG = "memory-hog"
    NO_DESCRIPTORS = "no-descriptors"
    NO_DISK = "no-disk"
    NO_PROCESSES = "no-processes"
    FORK_BOMB = "fork-bomb"
    FULL_DISK = "full-disk"
    CLOCK_STEP = "clock-step"
    DELAY = "delay"
    SWITCHOVER = "switchover"


class Part(Enum):
    """Which process of ours a signal goes to."""

    AGENT = "agent"
    GUARD = "guard"
    BOTH = "both"


STUNS_S: Final = (0.2, 1.0, 2.0, 5.0, 20.0, 60.0)
LOSSES: Final = (0.1, 0.3, 0.6)
DELAYS_MS: Final = (20.0, 100.0, 400.0)
STEPS_S: Final = (3600.0, -3600.0)
OF_DATABASES: Final = frozenset({Kind.REPLICATION_KILL})
"""What only a replicated database has."""
DRAWS_MAX: Final = 50
"""A plan of few kinds may have no room for another fault."""
SPREAD_S: Final = 3.0
"""Faults of one run begin within so many seconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens.

    Args:
        kind: What.
        role: To whom; in a blackout, who comes back first.
        at_s: When, counted from the beginning of the run.
        lasts_s: How long; 0 for what is done in a moment.
        part: Whose process, for signals.
        size: How much: lost part of the frames, milliseconds at each card, number of busy
            processes, number of a network, seconds that a clock is stepped.
    """

    kind: Kind
    role: Role
    at_s: float
    lasts_s: float = 0.0
    part: Part = Part.BOTH
    size: float = 0.0

    @property
    def hampers_guard(self) -> bool:
        """Whether the guard cannot act for a time, so that only the kernel's own lease does."""
        stopped = self.kind in {Kind.STOP, Kind.FREEZE}
        return stopped and self.part in {Part.GUARD, Part.BOTH}

    def told(self) -> str:
        """As a phrase."""
        words = [self.kind.value]
        if self.kind in {Kind.STOP, Kind.FREEZE, Kind.KILL}:
            words.append(self.part.value)
        if self.size:
            words.append(f"{self.size:g}")
        if self.role is not Role.NOBODY:
            words.append(f"of {self.role.value}")
        words.append(f"at {self.at_s:.2f}")
        if self.lasts_s:
            words.append(f"for {self.lasts_s:.2f}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Args:
        number: Which of the campaign, from 1.
        faults: What happens, in the order of time.
    """

    number: int
    faults: tuple[Fault, ...]

    def told(self) -> str:
        return "; ".join(fault.told() for fault in self.faults)

    @property
    def moves_nothing(self) -> bool:
        """Whether no take-over is needed: the active can do all that its lease needs.

        Faults of the standby and of the witness count together: the active needs one of them.
        """
        others = 0
        for fault in self.faults:
            if fault.kind in _BORNE:
                continue
            one = fault.role is Role.STANDBY or fault.kind in _OF_ONE_VOTER
            if not one or fault.kind is Kind.BLACKOUT:
                return False
            others += 1
        return others <= 1


def draw(seed: int, number: int, kinds: Collection[Kind] = ()) -> Plan:
    """The run of that number: one to three faults; of these kinds alone where some are named."""
    chance = random.Random(f"{seed}/{number}")
    count = chance.choices((1, 2, 3), weights=(4, 4, 2))[0]
    faults: list[Fault] = []
    for _ in range(DRAWS_MAX):
        if len(faults) == count:
            break
        drawn = _fault(chance, kinds or _WEIGHTS, first=not faults)
        if not any(_spoil(drawn, other) for other in faults):
            faults.append(drawn)
    return Plan(number, tuple(sorted(faults, key=lambda fault: fault.at_s)))


def _spoil(one: Fault, other: Fault) -> bool:
    """Whether the one would undo the other.

    A delayed port is out of reach of the switch's rules; a unit, a clock, a disk is taken once.
    """
    kinds = {one.kind, other.kind}
    if Kind.DELAY in kinds and kinds & (_BY_RULES | {Kind.DELAY}):
        return True
    return any(kinds <= same for same in _ONE_AT_A_TIME)


def _fault(chance: random.Random, kinds: Collection[Kind], *, first: bool) -> Fault:
    chosen = [kind for kind in _WEIGHTS if kind in kinds]
    kind = chance.choices(chosen, weights=[_WEIGHTS[kind] for kind in chosen])[0]
    at_s = 0.0 if first else round(chance.uniform(0, SPREAD_S), 3)
    on_node = kind not in _BESIDE
    role = chance.choices((Role.ACTIVE, Role.STANDBY), weights=(3, 1))[0]
    return Fault(
        kind=kind,
        role=role if on_node else Role.NOBODY,
        at_s=at_s,
        lasts_s=_length(kind, chance),
        part=chance.choice(tuple(Part)),
        size=_SIZES[kind](chance) if kind in _SIZES else 0.0,
    )


def _length(kind: Kind, chance: random.Random) -> float:
    if kind in {Kind.STUN, Kind.ANNOUNCED_STUN}:
        return chance.choices(STUNS_S, weights=(3, 3, 3, 2, 1, 1))[0]
    if kind in _MOMENTS:
        return 0.0
    return round(chance.uniform(0.2, 5.0), 3)


_BESIDE: Final = frozenset(
    {
        Kind.PEERS_APART,
        Kind.WITNESS_CUT,
        Kind.OPERATOR_KILL,
        Kind.API_SERVER_DOWN,
        Kind.VCENTER_DOWN,
        Kind.SWITCHOVER,
    }
)
_MOMENTS: Final = frozenset(
    {
        Kind.POWER_OFF,
        Kind.POWER_CUT,
        Kind.RESET,
        Kind.KILL,
        Kind.APP_KILL,
        Kind.REPLICATION_KILL,
        Kind.OPERATOR_KILL,
        Kind.SWITCHOVER,
    }
)
_BORNE: Final = frozenset(
    {
        Kind.OPERATOR_KILL,
        Kind.API_SERVER_DOWN,
        Kind.VCENTER_DOWN,
        Kind.CPU_HOG,
        Kind.MEMORY_HOG,
        Kind.FORK_BOMB,
        Kind.NO_DESCRIPTORS,
        Kind.NO_DISK,
        Kind.NO_PROCESSES,
        Kind.CLOCK_STEP,
    }
)
"""They cost nobody the lease, whomever they strike."""
_OF_ONE_VOTER: Final = frozenset({Kind.WITNESS_CUT, Kind.PEERS_APART})
_BY_RULES: Final = frozenset(
    {
        Kind.STUN,
        Kind.ANNOUNCED_STUN,
        Kind.ISOLATION,
        Kind.MUTE,
        Kind.DEAF,
        Kind.PEERS_APART,
        Kind.ONE_NETWORK,
        Kind.LOSS,
    }
)
_ONE_AT_A_TIME: Final = (
    frozenset({Kind.STUN, Kind.ANNOUNCED_STUN}),
    frozenset({Kind.CPU_HOG, Kind.MEMORY_HOG, Kind.FORK_BOMB}),
    frozenset({Kind.NO_PROCESSES}),
    frozenset({Kind.FULL_DISK}),
    frozenset({Kind.CLOCK_STEP}),
)
_SIZES: Final[Mapping[Kind, Callable[[random.Random], float]]] = {
    Kind.LOSS: lambda chance: chance.choice(LOSSES),
    Kind.CPU_HOG: lambda chance: float(chance.choice((4, 16, 64))),
    Kind.ONE_NETWORK: lambda chance: float(chance.choice((1, 2))),
    Kind.DELAY: lambda chance: chance.choice(DELAYS_MS),
    Kind.CLOCK_STEP: lambda chance: chance.choice(STEPS_S),
}
_WEIGHTS: Final[Mapping[Kind, int]] = {
    Kind.POWER_OFF: 3,
    Kind.POWER_CUT: 4,
    Kind.RESET: 2,
    Kind.BLACKOUT: 3,
    Kind.STUN: 6,
    Kind.ANNOUNCED_STUN: 4,
    Kind.KILL: 5,
    Kind.STOP: 8,
    Kind.FREEZE: 6,
    Kind.ISOLATION: 6,
    Kind.MUTE: 4,
    Kind.DEAF: 4,
    Kind.PEERS_APART: 3,
    Kind.ONE_NETWORK: 3,
    Kind.LOSS: 4,
    Kind.APP_KILL: 3,
    Kind.REPLICATION_KILL: 3,
    Kind.WITNESS_CUT: 3,
    Kind.OPERATOR_KILL: 2,
    Kind.API_SERVER_DOWN: 1,
    Kind.VCENTER_DOWN: 2,
    Kind.CPU_HOG: 2,
    Kind.MEMORY_HOG: 2,
    Kind.NO_DESCRIPTORS: 2,
    Kind.NO_DISK: 2,
    Kind.NO_PROCESSES: 2,
    Kind.FORK_BOMB: 3,
    Kind.FULL_DISK: 3,
    Kind.CLOCK_STEP: 4,
    Kind.DELAY: 4,
    Kind.SWITCHOVER: 4,
}
