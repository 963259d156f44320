"""A ledger of acknowledged writes: the proof that nothing a client was told is written gets lost.

Called by the demo, the benchmark, the end-to-end tests and whoever breaks things at random:

    ledger = Ledger(lab, "10.77.1.100")
    with ledger.writing() as running:
        ...            # any fault
        running.wait_for(50)
    ledger.check()     # every number ever acknowledged is there once, or it raises

One ledger lives as long as its table. It never writes a number twice and forgets none, so a later
check also finds what an earlier failover lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from standfast.errors import InvariantError
from standfast.lab.databases import dsn, numbers
from standfast.lab.lab import Lab
from standfast.lab.writing import RunningWriter, Verdict, judge

SHOWN_MAX = 10


class Ledger:
    """What was acknowledged so far, against the table of `databases.make_application`.

    Args:
        lab: Where the database is.
        address: The VIP that leads to its active copy.
    """

    def __init__(self, lab: Lab, address: str) -> None:
        self._acknowledged: set[int] = set()
        self._last = 0
        self._running: RunningWriter | None = None
        self._lab = lab
        self._address = address

    @contextmanager
    def writing(self, *, first_acknowledged: int = 50) -> Iterator[RunningWriter]:
        """Let a client write all the time while the block lasts.

        Args:
            first_acknowledged: The block begins after so many acknowledged writes.

        Raises:
            TransientError: They were not acknowledged.
        """
        with self._lab.write_sql(dsn(self._address), self._last + 1) as running:
            self._running = running
            try:
                running.wait_for(first_acknowledged)
                yield running
            finally:
                running.end()
                self._acknowledged = self.acknowledged
                self._last = max((write.number for write in running.writes), default=self._last)
                self._running = None

    @property
    def acknowledged(self) -> set[int]:
        """Every number of which a client was told that it is written."""
        now = [] if self._running is None else self._running.acknowledged
        return self._acknowledged.union(now)

    def verdict(self) -> Verdict:
        """Compare with the table as it is on the node that holds the address.

        A client may be writing: what is acknowledged by now must be there.
        """
        promised = self.acknowledged
        return judge(promised, numbers(self._lab, self._address))

    def check(self, loss_max: int = 0) -> Verdict:
        """The verdict, when it is a good one.

        Args:
            loss_max: So many acknowledged writes may be missing: asynchronous mode.

        Raises:
            InvariantError: A write was lost, or is there twice.
        """
        verdict = self.verdict()
        if len(verdict.lost) > loss_max or verdict.twice:
            raise InvariantError(
                f"of {verdict.acknowledged} acknowledged writes {len(verdict.lost)} are lost "
                f"({_few(verdict.lost)}) and {len(verdict.twice)} are there twice "
                f"({_few(verdict.twice)}); {loss_max} may be lost"
            )
        return verdict


def _few(found: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in found[:SHOWN_MAX])
    return f"{shown}, ..." if len(found) > SHOWN_MAX else shown or "none"
