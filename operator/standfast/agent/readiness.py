"""What this node says of itself: whether it would stand, where its copy is, what guards it.

The quorum and the other members are told at every change; the quorum through the mailbox, because
readiness changes within its own steps as well.
"""

from collections.abc import Callable
from functools import partial

from standfast.agent.replicas import Replicas
from standfast.agent.seat import Seat
from standfast.core.events import LocalChanged
from standfast.core.record import WatchdogArmed
from standfast.core.state import Local
from standfast.member.board import Board
from standfast.member.mailbox import Mailbox
from standfast.wire.frames import Facts


class Readiness:
    """Of this node.

    Args:
        seat: Whom to tell.
        replicas: Where its copies are.
        mailbox: How the quorum is told.
        board: Told that the status has changed.
        hindrances: Everything that is in the way now.
    """

    def __init__(
        self,
        seat: Seat,
        replicas: Replicas,
        mailbox: Mailbox,
        board: Board,
        hindrances: Callable[[], tuple[str, ...]],
    ) -> None:
        self._seat = seat
        self._replicas = replicas
        self._mailbox = mailbox
        self._board = board
        self._hindrances = hindrances
        self._is_eligible = False
        self._watchdog: WatchdogArmed | None = None

    def judge(self) -> None:
        """Tell the quorum and the others when this node's readiness changes."""
        if self._seat.voter is None:
            return
        eligible = not self._hindrances()
        if eligible == self._is_eligible:
            return
        self._is_eligible = eligible
        self._board.change()
        self._mailbox.put(partial(self._tell_local, eligible=eligible))
        self.tell_facts()

    def armed(self, watchdog: WatchdogArmed | None) -> None:
        """The watchdog is armed and tested from now on, or none is."""
        self._watchdog = watchdog
        self._tell_local(eligible=self._is_eligible)

    def tell_again(self) -> None:
        """A disk that refuses swallows the step, and with it what the quorum was told once."""
        if self._seat.voter is None:
            return
        known = self._seat.voter.state.local
        if (known.eligible, known.watchdog) != (self._is_eligible, self._watchdog):
            self._tell_local(eligible=self._is_eligible)

    def look_at_copies(self) -> None:
        """A copy has news: where it is, and whom it invites."""
        voter = self._seat.voter
        if voter is not None:
            known = voter.state.local.position
            if known != self._replicas.position(voter.state):
                self._tell_local(eligible=self._is_eligible)
        self.tell_facts()

    def tell_facts(self) -> None:
        """What the other members are told over their links."""
        if self._seat.links is not None:
            invitations = self._replicas.invitations()
            positions = self._replicas.positions()
            self._seat.links.tell(Facts(self._is_eligible, invitations, positions))

    def _tell_local(self, *, eligible: bool) -> None:
        voter = self._seat.voter
        if voter is not None:
            position = self._replicas.position(voter.state)
            local = Local(eligible=eligible, position=position, watchdog=self._watchdog)
            voter.take(LocalChanged(local))
