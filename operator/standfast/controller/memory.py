"""What the operator remembers of a cluster between two passes: moments, no decisions.

All of it may be lost with the process. What must not be lost is in the register (`authorities`)
or in the status.
"""

from dataclasses import dataclass, field

from standfast.api.cluster_status import FenceStatus
from standfast.controller.records import Story
from standfast.core.placement import Decision
from standfast.core.view import Observed


@dataclass(slots=True)
class Memory:
    """One cluster.

    Attributes:
        began_at_ms: When it was first looked at by this process; 0 before.
        is_shown: Whether a status was made since then.
        boots: When each boot of a node was first known, by node and boot.
        told: Which runs of which members were told that a boot is over, by node and boot.
        ready_since_ms: Since when a node has been an eligible standby.
        holding_since_ms: Since when a node has held the lease without serving, by node and term.
        bundled_at_ms: When the bundle of a node was last seen to be there.
        story: What the nodes' logs told.
        requested: Hand-overs asked for Switchovers: request to node.
        asked: Those that the node has accepted.
        fences: Power-offs ordered, as they stand in the status or soon will, by node.
        decided: The last decision, to log and record only what is new.
        seen: The last picture, for what needs two (who was active before).
    """

    began_at_ms: int = 0
    is_shown: bool = False
    boots: dict[tuple[str, str], int] = field(default_factory=dict)
    told: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    ready_since_ms: dict[str, int] = field(default_factory=dict)
    holding_since_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    bundled_at_ms: dict[str, int] = field(default_factory=dict)
    requested: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    story: Story = field(default_factory=Story)
    fences: dict[str, FenceStatus] = field(default_factory=dict)
    decided: Decision | None = None
    seen: Observed | None = None

    def begun_at(self, now_ms: int) -> int:
        """When it was first looked at; it is now, if it was not before."""
        self.began_at_ms = self.began_at_ms or now_ms
        return self.began_at_ms

    def boot_known_at(self, node: str, boot: str, now_ms: int) -> int:
        """When a boot was first known; it is now, if it was not before."""
        return self.boots.setdefault((node, boot), now_ms)
