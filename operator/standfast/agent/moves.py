"""The lease goes to another node: because the operator asks, or because this one cannot serve.

A planned switchover is prepared while everything still runs, and can be called off until it is
complete. The same request asked again is answered by what became of it.
"""

from collections.abc import Callable
from functools import partial

from standfast.agent.drivers import Drivers
from standfast.agent.seat import Seat
from standfast.core.events import ReleaseCancelled, ReleaseRequested
from standfast.core.ids import MemberUid
from standfast.core.state import Holding
from standfast.errors import RefusedError
from standfast.member.chronicle import values
from standfast.member.membership import Membership
from standfast.member.voter import Voter
from standfast.wire.api import Accepted, ReleaseRequest

PREPARE_S = 10.0
"""How long a planned switchover may be prepared while the service goes on."""


class Moves:
    """At most one at a time.

    Args:
        seat: The node's.
        drivers: What is to be prepared.
        membership: Of this node.
        resume: A move was called off and the lease is still held: go on with the service.
    """

    def __init__(
        self,
        seat: Seat,
        drivers: Drivers,
        membership: Membership,
        resume: Callable[[Holding], None],
    ) -> None:
        self._seat = seat
        self._drivers = drivers
        self._mailbox = membership.process.mailbox
        self._clock = membership.process.clock
        self._chronicle = membership.chronicle
        self._resume = resume
        self._request_id = ""
        self._is_preparing = False

    # ---------------------------------------------------------------- asked for

    def release(self, request: ReleaseRequest) -> Accepted:
        """Begin a planned switchover; raises RefusedError when that is not possible now."""
        voter = self._seat.voter_for("release")
        if request.request_id == self._request_id:
            return Accepted(accepted=True)
        successor = None if request.successor is None else MemberUid(request.successor)
        if successor is not None and successor in self._seat.record.config.data_nodes():
            self._refuse_unready(voter, successor)
        fields = values(peer=successor or "", reason=request.reason)
        if self._drivers.replicas and voter.state.serves(self._clock.now_ms()):
            self._request_id, self._is_preparing = request.request_id, True
            self._chronicle.note("ReleaseRequested", "A planned switchover is prepared", fields)
            self._mailbox.start(self._prepare(request.request_id, successor), "prepare release")
            return Accepted(accepted=True)
        voter.insist(ReleaseRequested(successor))
        self._request_id = request.request_id
        self._chronicle.note("ReleaseRequested", "A planned switchover begins", fields)
        return Accepted(accepted=True)

    async def _prepare(self, request_id: str, successor: MemberUid | None) -> None:
        """What would make the stop slow is done while everything still runs."""
        await self._drivers.prepare(PREPARE_S)
        self._mailbox.put(partial(self._release, request_id, successor))

    def _release(self, request_id: str, successor: MemberUid | None) -> None:
        """Prepared; the same request asked again is answered by what comes of this."""
        if self._seat.voter is None or request_id != self._request_id:
            return
        self._is_preparing = False
        declined = self._seat.voter.declined(ReleaseRequested(successor))
        if declined is not None:
            self._request_id = ""
            self._chronicle.note("Declined", "Not handed over", values(error=declined.problem))

    def _refuse_unready(self, voter: Voter, successor: MemberUid) -> None:
        """Do not stop a service for a node that would not take it over."""
        assert self._seat.links is not None, "begun"
        if successor == voter.state.me or successor in self._seat.links.eligible():
            return
        member = self._seat.record.config.member(successor)
        name = successor if member is None else member.name
        raise RefusedError(
            f"{name} would not take over: it is not reachable from here, or says that it does not "
            "stand",
            remedy=f"see what is in its way (standfast-agent status on {name})",
        )

    def cancel(self, request_id: str) -> Accepted:
        """Call it off, if it is not complete."""
        voter = self._seat.voter_for("cancel")
        lease = voter.state.holding
        is_under_way = lease is not None and (lease.releasing or self._is_preparing)
        if lease is None or not is_under_way or request_id != self._request_id:
            return Accepted(accepted=False)
        self._request_id, self._is_preparing = "", False
        if not lease.releasing:
            return Accepted(accepted=True)
        voter.take(ReleaseCancelled())
        self._resume(lease)
        self._chronicle.note("ReleaseCancelled", "The planned switchover is called off")
        return Accepted(accepted=True)

    # ---------------------------------------------------------------- by this node itself

    def hand_over(self) -> str:
        """A resource does not get to run here: release the lease to another node, if one would.

        Returns:
            Why not; empty when it is released.
        """
        voter = self._seat.voter
        if voter is None:
            return ""
        successor = self._seat.successor()
        if successor is None:
            return "no other node would stand"
        declined = voter.declined(ReleaseRequested(successor))
        return "" if declined is None else declined.problem

    def hand_over_for(self, hindrance: str) -> None:
        """A node that should not go on serving hands over if another one would take over."""
        voter, lease = self._seat.voter, self._seat.lease
        if voter is None or lease is None or lease.releasing or not hindrance:
            return
        successor = self._seat.successor()
        if successor is not None and voter.declined(ReleaseRequested(successor)) is None:
            fields = values(peer=successor, reason=hindrance)
            self._chronicle.note("HandingOver", "Handing over for want of a guard", fields)
