"""What may be lost in an asynchronous mode, in sentences: the bound and the distance to it.

The record holds a position, never older than a second and a commit; a node takes over by itself
only while its own position is no further behind it than `maxDataLoss`. What the active
acknowledged after that position comes on top, and nobody can count it: the sentences say so.

Source: `docs/protocol.md`, section "Rules", "Voting"; ADR-0017, ADR-0031.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from standfast.core.record import Config
from standfast.core.sizes import at_most, size
from standfast.ports.events import Alert
from standfast.ports.replication import Replication

BEYOND = "BeyondMaxDataLoss"
UNRECORDED_MS = 1000
"""What the active acknowledged so long before it fell silent may not be in the record yet."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a node is from leading.

    Args:
        holder: Name of the node that served last.
        recorded: The record's position.
        position: This node's, where it may be compared.
    """

    holder: str
    recorded: int | None
    position: int | None

    @property
    def bytes(self) -> int | None:
        """How much this node lacks of what is recorded; none when nobody knows."""
        if self.recorded is None or self.position is None:
            return None
        return max(0, self.recorded - self.position)


def follows_within(found: Sequence[Replication], loss_max: int) -> bool:
    """Whether one other node follows all resources, together within the bound."""
    lags: dict[str, list[int]] = {}
    for one in found:
        for follower in one.followers:
            if follower.is_connected:
                lags.setdefault(follower.uid, []).append(follower.lag_bytes)
    return any(len(lag) == len(found) and sum(lag) <= loss_max for lag in lags.values())


def unfollowed_alert(found: Sequence[Replication], loss_max: int) -> Alert:
    """On the active node: nobody would take over by himself now."""
    lags = [f.lag_bytes for one in found for f in one.followers if f.is_connected]
    absent = [lacking for one in found for _, lacking in one.absent]
    known = [*lags, *absent]
    behind = f"the nearest copy lacks {at_most(min(known))}" if known else "no copy follows"
    return Alert(
        BEYOND,
        f"{behind}, and spec.maxDataLoss is {size(loss_max)}: if this node died now, nobody would "
        "take over without a person's consent",
        "look at the network between the nodes and at the standby's disk; "
        "kubectl standfast status shows how it catches up",
    )


def withheld_alert(distance: Distance, config: Config, node: str) -> Alert:
    """On a node that could serve, and does not, because too much would be lost.

    Args:
        distance: What stands in its way.
        config: With the bound.
        node: Its own name.
    """
    lacking = distance.bytes
    unrecorded_s = (UNRECORDED_MS + config.ttl_ms) / 1000
    if lacking is None:
        said = (
            f"how much this copy lacks of what {distance.holder} had is not known, and at most "
            f"{size(config.loss_max)} may be lost (spec.maxDataLoss)"
        )
    else:
        said = (
            f"this copy lacks {size(lacking)} of what {distance.holder} had, and at most "
            f"{size(config.loss_max)} may be lost (spec.maxDataLoss)"
        )
    return Alert(
        BEYOND,
        f"{said}: it does not take over by itself. Lost would be that, and what "
        f"{distance.holder} acknowledged in its last {unrecorded_s:.1f} s",
        f"bring {distance.holder} back, and nothing is lost; or accept the loss: kubectl "
        f"standfast consent CLUSTER --lose {node}",
    )
