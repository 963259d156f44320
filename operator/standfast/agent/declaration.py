"""What the operator declared for this node: taken, kept, and taken up again after a restart."""

from collections.abc import Callable

from standfast.agent.allowed import OPEN
from standfast.agent.machine import Machine
from standfast.agent.port_lease import PortLease
from standfast.agent.seat import Seat
from standfast.agent.specs import check_data_mode, specs_of
from standfast.core import group_events as ev
from standfast.errors import RefusedError
from standfast.member.membership import Membership
from standfast.wire.api import GroupRequest

ALLOWED = "allowed"


class Declaration:
    """The newest one holds until the operator says otherwise.

    Args:
        membership: Where it is kept, and who tells of it.
        machine: Says what this host's administrator allows.
        seat: The node's; the data mode is known with its config.
        ports: Told whose ports are under the lease.
        take: Tells the group.
    """

    def __init__(
        self,
        membership: Membership,
        machine: Machine,
        seat: Seat,
        ports: PortLease,
        take: Callable[[ev.Declared], None],
    ) -> None:
        self._membership = membership
        self._machine = machine
        self._seat = seat
        self._ports = ports
        self._take = take
        self._newest = GroupRequest(generation=-1)

    def take_up(self) -> None:
        """What an earlier run accepted."""
        kept = self._membership.store.declared()
        if kept is not None:
            self._declare(kept)

    def begin(self) -> None:
        """The data mode is known from now on."""
        if self._newest.generation >= 0:
            self._declare(self._newest)

    def accept(self, request: GroupRequest) -> None:
        """Take another one.

        Raises:
            UserError, RefusedError: It is not taken, and nothing has changed.
        """
        if request.generation < self._newest.generation:
            raise RefusedError(
                f"declaration {request.generation} is older than {self._newest.generation}, "
                "which this node has accepted",
                remedy="send the newest declaration",
            )
        specs_of(request.resources, self._seat.data_mode)
        if self._seat.voter is not None:
            check_data_mode(request.resources, self._seat.data_mode)
        self._check_allowed(request)
        if request != self._newest:
            self._membership.store.save_declared(request)
            self._declare(request)

    def end(self) -> None:
        """Nothing is to run here any more."""
        self._declare(GroupRequest(generation=self._newest.generation + 1, maintenance=True))

    def _check_allowed(self, request: GroupRequest) -> None:
        """Refuse what this host's administrator does not allow; say what he should know."""
        allowed = self._machine.allowed()
        allowed.check(request.resources)
        concern = allowed.concern()
        if concern is None:
            self._membership.chronicle.clear_alert(ALLOWED, OPEN)
        else:
            self._membership.chronicle.raise_alert(ALLOWED, concern)

    def _declare(self, request: GroupRequest) -> None:
        self._newest = request
        hindrance = ""
        if request.maintenance:
            hindrance = "this node is in maintenance"
        elif not request.eligible:
            hindrance = request.ineligible_reason or "the operator does not let this node stand"
        specs = specs_of(request.resources, self._seat.data_mode)
        self._ports.declare(request.resources)
        self._take(ev.Declared(request.generation, specs, hindrance))
        self._membership.board.change()
