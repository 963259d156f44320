"""What the benchmark writes down of one kind of fault, for web pairs and databases alike."""

from collections.abc import Callable
from dataclasses import dataclass, field

Fault = Callable[[str, str], object]
"""Does something to a pair, told the names of active and standby."""


@dataclass
class Case:
    """What was measured of one kind of fault.

    Args:
        goal_s: The median that is aimed at; none: nothing is judged.
        outage_s: What the client saw, run by run.
        both_s: For how long two nodes held the address.
        lost_acked: Acknowledged writes that are missing; none where nothing is written.
        steps_ms: What the new active says of its takeover: won, record, proof, serving.
    """

    profile: str = "Normal"
    resource: str = "systemd web.service behind a vip"
    goal_s: float | None = None
    outage_s: list[float] = field(default_factory=list)
    both_s: list[float] = field(default_factory=list)
    lost_acked: list[int] = field(default_factory=list)
    steps_ms: list[dict[str, int | None]] = field(default_factory=list)
