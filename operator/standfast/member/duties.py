"""What a member does besides voting: an agent runs resources, a witness does nothing.

`membership` drives this port; `agent.node` and `NoDuties` implement it. No method waits that is
not marked so.
"""

from dataclasses import dataclass
from typing import Protocol

from standfast.core.events import Effect
from standfast.core.quorum import Adopted
from standfast.core.record import Record
from standfast.errors import RefusedError
from standfast.member.links import Links
from standfast.member.voter import Voter
from standfast.wire.api import (
    Accepted,
    GroupRequest,
    ProofStatus,
    QuiesceAnswer,
    QuiesceRequest,
    ReleaseRequest,
    ResourceStatus,
    StandRequest,
    TakeoverStatus,
)


@dataclass(frozen=True, slots=True)
class Report:
    """The part of a status that is not about votes.

    Attributes:
        serving_term: Newest term in which everything critical ran here.
        hindrances: Why this node does not stand; empty when it would.
    """

    serving_term: int = 0
    hindrances: tuple[str, ...] = ("a witness only votes",)
    resources: tuple[ResourceStatus, ...] = ()
    generation: int = 0
    proofs: tuple[ProofStatus, ...] = ()
    takeover: TakeoverStatus | None = None


class Duties(Protocol):
    """One cluster's business of this process, apart from its votes."""

    def adopted(self, record: Record) -> Adopted | None:
        """A lease of an earlier run in this boot that still lasts, whose holder was this node."""
        ...

    def begin(self, voter: Voter, links: Links) -> None:
        """The member starts; effects follow."""
        ...

    def on_effect(self, effect: Effect) -> None:
        """Perform one effect of the quorum that is neither a write nor a message."""
        ...

    def on_step(self) -> None:
        """A step of the quorum is over."""
        ...

    def on_links(self) -> None:
        """Who is reachable, or what they tell, has changed."""
        ...

    def next_ms(self) -> int | None:
        """When `tick` is due."""
        ...

    def tick(self) -> None:
        """Time passed."""
        ...

    def declare(self, request: GroupRequest) -> None:
        """Take the declared group.

        Raises:
            UserError, RefusedError: It is not taken, and nothing has changed.
        """
        ...

    def release(self, request: ReleaseRequest) -> Accepted:
        """Begin a planned switchover; raises RefusedError when that is not possible now."""
        ...

    def cancel_release(self, request_id: str) -> Accepted:
        """Call it off, if it is not complete."""
        ...

    def stand(self, request: StandRequest) -> Accepted:
        """Stand now; raises RefusedError when this node would not."""
        ...

    async def quiesce(self, request: QuiesceRequest) -> QuiesceAnswer:
        """Prepare for a stop of this VM by its hypervisor; raises UserError for a wrong wish."""
        ...

    async def thaw(self) -> None:
        """That is over."""
        ...

    def report(self) -> Report:
        """For the status."""
        ...

    async def abandon(self) -> None:
        """The process cannot trust itself any more: kill everything that runs here, now."""
        ...

    async def leave(self) -> None:
        """Stop everything that runs here and let it go; the member leaves the cluster."""
        ...

    async def close(self) -> None:
        """Let go of everything; what runs goes on running."""
        ...


class NoDuties:
    """A witness: only votes."""

    def adopted(self, record: Record) -> Adopted | None:
        del record
        return None

    def begin(self, voter: Voter, links: Links) -> None:
        pass

    def on_effect(self, effect: Effect) -> None:
        pass

    def on_step(self) -> None:
        pass

    def on_links(self) -> None:
        pass

    def next_ms(self) -> int | None:
        return None

    def tick(self) -> None:
        pass

    def declare(self, request: GroupRequest) -> None:
        raise _refused(f"declaration {request.generation}")

    def release(self, request: ReleaseRequest) -> Accepted:
        raise _refused(f"release {request.request_id}")

    def cancel_release(self, request_id: str) -> Accepted:
        raise _refused(f"release {request_id}")

    def stand(self, request: StandRequest) -> Accepted:
        raise _refused(f"request {request.request_id} to stand")

    async def quiesce(self, request: QuiesceRequest) -> QuiesceAnswer:
        raise _refused(f"request to be quiet for {request.for_ms} ms")

    async def thaw(self) -> None:
        pass

    def report(self) -> Report:
        return Report()

    async def abandon(self) -> None:
        pass

    async def leave(self) -> None:
        pass

    async def close(self) -> None:
        pass


def _refused(what: str) -> RefusedError:
    return RefusedError(
        f"this member is a witness, which only votes: it takes no {what}",
        remedy="send it to a data node of the cluster",
    )
