"""What this node can prove by itself: that others are shut out, and that an own run is over."""

from functools import partial

from standfast.agent.seat import Seat
from standfast.core.events import ProofHeld
from standfast.core.record import Proof, Record, Suspect
from standfast.member.membership import Process
from standfast.ports.resource import Claim


class Proving:
    """Of this node, for as long as it holds a lease."""

    def __init__(self, seat: Seat, process: Process) -> None:
        self._seat = seat
        self._boot = process.boot
        self._mailbox = process.mailbox

    def claim(self, term: int, record: Record) -> Claim:
        """By what right disks are taken from the others: everybody who may still run is out."""
        state = self._seat.state
        return Claim(
            cluster=state.durable.cluster,
            incarnation=record.config.incarnation,
            member=state.me,
            boot=self._boot,
            term=term,
            suspected=any(suspect.member != state.me for suspect in record.suspects),
        )

    def excluded(self, disk: str, term: int) -> None:
        """The storage of a disk shuts everybody else out: proof against every other suspect."""
        voter, lease = self._seat.voter, self._seat.lease
        if voter is None or lease is None or lease.term != term:
            return
        for suspect in self._seat.record.suspects:
            if suspect.member != voter.state.me:
                voter.take(ProofHeld(suspect, Proof.RESERVED, disk=disk))

    def settled(self) -> None:
        """An earlier run in this boot left nothing that this run has not stopped or adopted."""
        voter = self._seat.voter
        if voter is None or voter.state.holding is None:
            return
        for suspect in self._seat.record.suspects:
            mine = (suspect.member, suspect.boot) == (voter.state.me, voter.boot)
            if mine and suspect not in voter.state.proofs:
                self._mailbox.put(partial(self._observed, suspect))

    def _observed(self, suspect: Suspect) -> None:
        if self._seat.voter is not None:
            self._seat.voter.take(ProofHeld(suspect, Proof.OBSERVED))
