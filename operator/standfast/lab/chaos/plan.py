"""What happens in one run of a campaign: drawn from a seed, the same for the same seed. Pure.

Called by `campaign`. Nodes are named by their role at the beginning of the run, because who has
which role depends on the runs before. Each run has a seed of its own, so that one may be repeated
alone.
"""

import random
from collections.abc import Callable, Mapping
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
    STUN = "stun"
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
    WITNESS_CUT = "witness-cut"
    OPERATOR_KILL = "operator-kill"
    API_SERVER_DOWN = "api-server-down"
    VCENTER_DOWN = "vcenter-down"
    CPU_HOG = "cpu-hog"
    MEMORY_HOG = "memory-hog"
    NO_DESCRIPTORS = "no-descriptors"
    NO_DISK = "no-disk"
    SWITCHOVER = "switchover"


class Part(Enum):
    """Which process of ours a signal goes to."""

    AGENT = "agent"
    GUARD = "guard"
    BOTH = "both"


STUNS_S: Final = (0.2, 1.0, 2.0, 5.0, 20.0)
LOSSES: Final = (0.1, 0.3, 0.6)
SPREAD_S: Final = 3.0
"""Faults of one run begin within so many seconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens.

    Args:
        kind: What.
        role: To whom.
        at_s: When, counted from the beginning of the run.
        lasts_s: How long; 0 for what is done in a moment.
        part: Whose process, for signals.
        size: How much: lost part of the frames, number of busy processes, number of a network.
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


def draw(seed: int, number: int) -> Plan:
    """The run of that number: one to three faults."""
    chance = random.Random(f"{seed}/{number}")
    count = chance.choices((1, 2, 3), weights=(4, 4, 2))[0]
    faults = [_fault(chance, first=position == 0) for position in range(count)]
    return Plan(number, tuple(sorted(faults, key=lambda fault: fault.at_s)))


def _fault(chance: random.Random, *, first: bool) -> Fault:
    kind = chance.choices(tuple(_WEIGHTS), weights=tuple(_WEIGHTS.values()))[0]
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
    if kind is Kind.STUN:
        return chance.choices(STUNS_S, weights=(3, 3, 3, 2, 1))[0]
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
        Kind.OPERATOR_KILL,
        Kind.SWITCHOVER,
    }
)
_SIZES: Final[Mapping[Kind, Callable[[random.Random], float]]] = {
    Kind.LOSS: lambda chance: chance.choice(LOSSES),
    Kind.CPU_HOG: lambda chance: float(chance.choice((4, 16, 64))),
    Kind.ONE_NETWORK: lambda chance: float(chance.choice((1, 2))),
}
_WEIGHTS: Final[Mapping[Kind, int]] = {
    Kind.POWER_OFF: 3,
    Kind.POWER_CUT: 4,
    Kind.RESET: 2,
    Kind.STUN: 8,
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
    Kind.WITNESS_CUT: 3,
    Kind.OPERATOR_KILL: 2,
    Kind.API_SERVER_DOWN: 1,
    Kind.VCENTER_DOWN: 2,
    Kind.CPU_HOG: 2,
    Kind.MEMORY_HOG: 2,
    Kind.NO_DESCRIPTORS: 2,
    Kind.NO_DISK: 2,
    Kind.SWITCHOVER: 4,
}
