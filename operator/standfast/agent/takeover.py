"""The story of the last time this node took over, step by step, with what each step cost."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from standfast.core.record import Proof, Record, Suspect
from standfast.wire.api import ProofStatus, SuspectStatus, TakeoverStatus


@dataclass(frozen=True, slots=True)
class _Times:
    """Moments on this node's clock; none: not yet."""

    began_ms: int
    began_at: datetime
    term: int = 0
    won_ms: int | None = None
    record_ms: int | None = None
    proof_ms: int | None = None
    serving_ms: int | None = None
    heard_ms: int | None = None
    lacked_bytes: int | None = None
    proof: str = ""


class Takeover:
    """Follows one candidacy after the other; keeps the last that was won."""

    def __init__(self) -> None:
        self._candidacy: _Times | None = None
        self._last: _Times | None = None
        self._proofs: list[ProofStatus] = []
        self._suspects: tuple[Suspect, ...] = ()

    def stood(
        self, now_ms: int, heard_ms: int | None = None, lacked_bytes: int | None = None
    ) -> None:
        """A first question went out; the time counts from here.

        Args:
            now_ms: Now.
            heard_ms: When the last word came from whoever held before; none when none came.
            lacked_bytes: How much this node lacks of what is recorded; asynchronous data only.
        """
        if self._candidacy is None:
            self._candidacy = _Times(
                now_ms, datetime.now(UTC), heard_ms=heard_ms, lacked_bytes=lacked_bytes
            )

    def gave_up(self) -> None:
        self._candidacy = None

    def won(self, term: int, now_ms: int) -> None:
        began = self._candidacy or _Times(now_ms, datetime.now(UTC))
        self._last = replace(began, term=term, won_ms=now_ms)
        self._candidacy = None
        self._proofs = []

    def committed(self, record: Record, now_ms: int) -> None:
        """The first record of the term: with nobody suspected, or none that matters, go."""
        if self._last is not None and self._last.record_ms is None:
            self._last = replace(self._last, record_ms=now_ms)
            self._suspects = record.suspects

    def proven(self, suspect: Suspect, proof: Proof, now_ms: int) -> None:
        if self._last is None or self._last.won_ms is None:
            return
        of = SuspectStatus(member=suspect.member, boot=suspect.boot, term=suspect.term)
        took_ms = now_ms - self._last.won_ms
        self._proofs.append(ProofStatus(suspect=of, proof=proof.value, took_ms=took_ms))
        if self._last.proof_ms is None and self._last.serving_ms is None:
            self._last = replace(self._last, proof_ms=now_ms, proof=proof.value)

    def served(self, term: int, now_ms: int) -> None:
        last = self._last
        if last is None or last.term != term:
            return
        proof = last.proof
        if not proof and self._suspects:
            proof = Proof.LEASE_EXPIRED.value
        self._last = replace(last, serving_ms=now_ms, proof=proof)

    @property
    def outage_ms(self) -> int | None:
        """From the last word of whoever held before to service: as users feel it, at most."""
        last = self._last
        if last is None or last.serving_ms is None or last.heard_ms is None:
            return None
        return last.serving_ms - last.heard_ms

    @property
    def lacked_bytes(self) -> int | None:
        """How much this node lacked when it stood, of what the members had agreed on."""
        return None if self._last is None else self._last.lacked_bytes

    @property
    def proofs(self) -> tuple[ProofStatus, ...]:
        return tuple(self._proofs)

    def status(self) -> TakeoverStatus | None:
        last = self._last
        if last is None:
            return None

        def since(at_ms: int | None) -> int | None:
            return None if at_ms is None else at_ms - last.began_ms

        return TakeoverStatus(
            term=last.term,
            started_at=last.began_at,
            won_ms=since(last.won_ms),
            record_ms=since(last.record_ms),
            proof_ms=since(last.proof_ms),
            serving_ms=since(last.serving_ms),
            proof=last.proof,
        )
