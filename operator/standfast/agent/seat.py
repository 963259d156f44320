"""A data node's seat in its cluster: its vote and its links, once it has begun.

What more than one part of the node asks of them is answered here.
"""

from standfast.core.ids import MemberUid
from standfast.core.record import DataMode, Record
from standfast.core.state import Holding, State
from standfast.errors import RefusedError
from standfast.member.links import Links
from standfast.member.voter import Voter


class Seat:
    """Empty until the first config is taken.

    Attributes:
        voter: This node's vote; none before the beginning.
        links: To the other members; none before the beginning.
    """

    def __init__(self) -> None:
        self.voter: Voter | None = None
        self.links: Links | None = None

    def begin(self, voter: Voter, links: Links) -> None:
        self.voter, self.links = voter, links

    @property
    def state(self) -> State:
        """The quorum's, as this node knows it; asked for after the beginning only."""
        assert self.voter is not None, "effects come after the beginning"
        return self.voter.state

    @property
    def record(self) -> Record:
        return self.state.record

    @property
    def lease(self) -> Holding | None:
        """The lease that this node holds, if it does."""
        return None if self.voter is None else self.voter.state.holding

    @property
    def data_mode(self) -> DataMode:
        return DataMode.NONE if self.voter is None else self.record.config.data

    def voter_for(self, what: str) -> Voter:
        """The vote; raises RefusedError while there is none to do that with."""
        if self.voter is None:
            raise RefusedError(
                f"this node has no config yet, so it cannot {what}",
                remedy="send it the first config (PUT /v1/config)",
            )
        return self.voter

    def successor(self) -> MemberUid | None:
        """A node that is reachable, says that it would stand, and may lead."""
        assert self.links is not None, "begun"
        nodes = frozenset(self.record.config.data_nodes())
        if self.data_mode is DataMode.REPLICATED:
            nodes &= self.record.in_sync
        return next((uid for uid in self.links.eligible() if uid in nodes), None)

    def holder_heard_ms(self, now_ms: int) -> int | None:
        """When the last word came from whoever wrote the newest record."""
        holder = self.record.holder
        if holder is None or self.links is None:
            return None
        peers = self.links.status(now_ms)
        ago_ms = next((p.last_heard_ms for p in peers if p.member == holder.member), None)
        return None if ago_ms is None else now_ms - ago_ms
