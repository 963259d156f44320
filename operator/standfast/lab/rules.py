"""What the lab's switch drops, as a value, and the nftables text that makes it so. Pure.

Written for the `bridge` family of nftables 1.0.6. Each port stamps what arrives through it with a
mark of its own; the mark survives the switch's router, so one rule on the way out covers traffic
inside a network and between networks alike. A whole table is replaced in one transaction: there is
no moment at which half of the rules hold.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from standfast.errors import UserError

EVERYONE = "*"
TABLE = "lab"
PARTS_PER = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """Frames that entered through one port and would leave through another are dropped.

    Args:
        source: The port they came in through, or `*`.
        target: The port they would leave through, or `*`.
    """

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Shape:
    """How bad a port is, in both directions.

    Args:
        loss: Part of the frames that is dropped, 0 to 1.
        delay_ms: How long each frame is held back.
        bytes_max: Longer packets are dropped; 0 for none.
    """

    loss: float = 0.0
    delay_ms: int = 0
    bytes_max: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise UserError(
                f"a loss of {self.loss:g} is not a part of the whole: 0 to 1 is",
                remedy="use a percentage: --loss 5%",
            )
        if not 0 <= self.delay_ms <= 10_000:
            raise UserError(
                f"a delay of {self.delay_ms} ms cannot be made: 0 to 10000 ms can",
                remedy="--delay 20ms",
            )


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything the switch does to traffic.

    Args:
        cuts: Declared by `net cut`, until `net heal`.
        stunned: Ports of VMs that the hypervisor has frozen, until thawed; no `heal` ends it.
        shapes: Port -> how bad it is.
    """

    cuts: frozenset[Cut] = frozenset()
    stunned: frozenset[str] = frozenset()
    shapes: tuple[tuple[str, Shape], ...] = ()

    def cut(self, cuts: Iterable[Cut]) -> Self:
        return replace(self, cuts=self.cuts | frozenset(cuts))

    def stun(self, ports: Iterable[str]) -> Self:
        return replace(self, stunned=self.stunned | frozenset(ports))

    def unstun(self, ports: Iterable[str]) -> Self:
        return replace(self, stunned=self.stunned - frozenset(ports))

    def shape(self, ports: Iterable[str], shape: Shape) -> Self:
        wanted = {**dict(self.shapes), **dict.fromkeys(ports, shape)}
        return replace(
            self, shapes=tuple(sorted((p, s) for p, s in wanted.items() if s != Shape()))
        )

    def heal(self, ports: Iterable[str] | None = None) -> Self:
        """Without the cuts and shapes of these ports; without any when none is named."""
        if ports is None:
            return replace(self, cuts=frozenset(), shapes=())
        healed = frozenset(ports)
        return replace(
            self,
            cuts=frozenset(c for c in self.cuts if not {c.source, c.target} & healed),
            shapes=tuple((port, shape) for port, shape in self.shapes if port not in healed),
        )

    def delays(self) -> Mapping[str, int]:
        """Port -> milliseconds, for the ports that have a delay."""
        return {port: shape.delay_ms for port, shape in self.shapes if shape.delay_ms}


def cuts_between(
    ports: Iterable[str], others: Iterable[str] | None, *, one_way: bool
) -> frozenset[Cut]:
    """The cuts that separate some ports from others.

    Args:
        ports: Of the one side.
        others: Of the other side; from everything when it is None.
        one_way: Only what the first side sends is dropped; what it receives still arrives.
    """
    far = frozenset({EVERYONE}) if others is None else frozenset(others)
    there = frozenset(Cut(port, other) for port in ports for other in far)
    return there if one_way else there | frozenset(Cut(cut.target, cut.source) for cut in there)


def ruleset(rules: Rules, ports: Iterable[str]) -> str:
    """The input of `nft -f -` that replaces what the switch did before by these rules.

    Args:
        rules: What to do.
        ports: All ports of the switch: each gets a mark.
    """
    marks = {port: number for number, port in enumerate(sorted(set(ports)), start=1)}
    silent = {cut.source for cut in rules.cuts if cut.target == EVERYONE} | rules.stunned
    deaf = {cut.target for cut in rules.cuts if cut.source == EVERYONE} | rules.stunned
    pairs = [
        f'{marks[cut.source]} . "{cut.target}"'
        for cut in sorted(rules.cuts)
        if EVERYONE not in {cut.source, cut.target} and cut.source in marks
    ]
    lossy = [(port, round(shape.loss * PARTS_PER)) for port, shape in rules.shapes if shape.loss]
    narrow = [(port, shape.bytes_max) for port, shape in rules.shapes if shape.bytes_max]
    lines = [
        f"table bridge {TABLE}",
        f"delete table bridge {TABLE}",
        f"table bridge {TABLE} {{",
        *_collection("map source", "ifname : mark", [f'"{p}" : {m}' for p, m in marks.items()]),
        *_collection("set silent", "ifname", [f'"{port}"' for port in sorted(silent)]),
        *_collection("set deaf", "ifname", [f'"{port}"' for port in sorted(deaf)]),
        *_collection("set apart", "mark . ifname", pairs),
        "  chain arriving {",
        "    type filter hook prerouting priority -300; policy accept;",
        "    iifname @silent drop",
        *(f'    iifname "{p}" numgen random mod {PARTS_PER} < {n} drop' for p, n in lossy),
        *(f'    iifname "{p}" meta length > {n} drop' for p, n in narrow),
        "    meta mark set iifname map @source",
        "  }",
        "  chain leaving {",
        "    type filter hook postrouting priority 300; policy accept;",
        "    oifname @deaf drop",
        "    meta mark . oifname @apart drop",
        *(f'    oifname "{p}" numgen random mod {PARTS_PER} < {n} drop' for p, n in lossy),
        *(f'    oifname "{p}" meta length > {n} drop' for p, n in narrow),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def loss_from(text: str) -> float:
    """`5%` or `0.05` as a part of the whole.

    Raises:
        UserError: It is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if not match:
        raise UserError(
            f"{text!r} is not a loss: a percentage or a part of 1 is", remedy="--loss 5%"
        )
    return float(match[1]) / (100 if match[2] else 1)


def ms_from(text: str) -> int:
    """`20ms`, `2s` or `1.5s` in milliseconds.

    Raises:
        UserError: It is no length of time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text.strip())
    if not match:
        raise UserError(
            f"{text!r} is not a length of time: a number with ms, s or m is",
            remedy="use 20ms or 3s",
        )
    return round(float(match[1]) * {"ms": 1, "s": 1_000, "m": 60_000}[match[2]])


def _collection(head: str, kind: str, elements: list[str]) -> list[str]:
    filled = [f"    elements = {{ {', '.join(elements)} }}"] if elements else []
    return [f"  {head} {{", f"    type {kind};", *filled, "  }"]
