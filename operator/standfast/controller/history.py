"""What happened, told from the durable logs of the nodes: moves of service, and why. Pure.

The logs are read whether or not the operator was there, so a failover during its absence is
recorded as well. A move is a term that began to be served by another node than the term before.
The clocks of two machines are never compared: each length is taken from one log. What the node
that failed logged may only be read when it is back; the record is completed then.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from standfast.api.record import (
    DataLoss,
    FailoverRecordStatus,
    LossKnown,
    ProofUsed,
)
from standfast.api.switchover import Step
from standfast.core.record import DataMode, Proof
from standfast.wire.api import LogEntry

Logs = Mapping[str, Sequence[LogEntry]]
"""By the node's name, in the order in which it happened there."""

_ENDS = {"Released", "LeaseLost"}
_STEPS = {
    "LeaseWon": "Lease won",
    "RecordCommitted": "Record committed",
    "ProofFound": "Proof found",
    "Started": "Resource started",
    "Serving": "Serving",
}
TIMELINE_MAX = 32


@dataclass(frozen=True, slots=True)
class Move:
    """Service began to be served elsewhere.

    Attributes:
        cause: One word.
        planned: Somebody had asked for it.
        complete: The log of the node that it left has been read.
    """

    term: int
    from_: str
    to: str
    cause: str
    planned: bool
    complete: bool
    started_at: datetime
    completed_at: datetime
    evidence: tuple[str, ...]
    proofs: tuple[ProofUsed, ...]
    timeline: tuple[Step, ...]

    @property
    def took_ms(self) -> int:
        return _ms(self.started_at, self.completed_at)


@dataclass(frozen=True, slots=True)
class _Tenure:
    node: str
    term: int
    begins: int
    serves: int


def moves(logs: Logs, names: Mapping[str, str]) -> list[Move]:
    """All moves that the logs tell, oldest first.

    Args:
        logs: Of the nodes.
        names: Member uid to name.
    """
    tenures = sorted(
        (tenure for node in logs for tenure in _tenures(node, logs[node])),
        key=lambda tenure: tenure.term,
    )
    return [
        _move(before, after, logs, names)
        for before, after in itertools.pairwise(tenures)
        if before.node != after.node
    ]


def _tenures(node: str, log: Sequence[LogEntry]) -> list[_Tenure]:
    """Terms that this node came to serve, each with where it begins in the log."""
    won: dict[int, int] = {}
    found: dict[int, _Tenure] = {}
    for place, entry in enumerate(log):
        term = entry.fields.get("term")
        if not isinstance(term, int):
            continue
        if entry.kind == "LeaseWon":
            won[term] = place
        if entry.kind == "Serving" and term not in found:
            found[term] = _Tenure(node, term, won.get(term, place), place)
    return list(found.values())


def _move(before: _Tenure, after: _Tenure, logs: Logs, names: Mapping[str, str]) -> Move:
    end = _end_of(before, logs[before.node])
    log = logs[after.node][after.begins : after.serves + 1]
    proofs = tuple(_proof(entry, log[0], names) for entry in log if entry.kind == "ProofFound")
    cause, planned = _cause(end, proofs)
    return Move(
        term=after.term,
        from_=before.node,
        to=after.node,
        cause=cause,
        planned=planned,
        complete=bool(end),
        started_at=log[0].at,
        completed_at=log[-1].at,
        evidence=tuple(_evidence(before.node, entry) for entry in end),
        proofs=proofs,
        timeline=_timeline(log),
    )


def _end_of(tenure: _Tenure, log: Sequence[LogEntry]) -> list[LogEntry]:
    """What led to the end of a tenure, as its node logged it; empty while that is not known."""
    told = {"Failed", "HandingOver", "ReleaseRequested", *_ENDS}
    found: list[LogEntry] = []
    for entry in log[tenure.serves + 1 :]:
        if entry.kind == "LeaseWon":
            break
        if entry.kind in told:
            found.append(entry)
        if entry.kind in _ENDS:
            return found
    return []


def _cause(end: Sequence[LogEntry], proofs: Sequence[ProofUsed]) -> tuple[str, bool]:
    kinds = [entry.kind for entry in end]
    if "ReleaseRequested" in kinds:
        return "Requested", True
    if "HandingOver" in kinds or kinds[-1:] == ["Released"]:
        return "ResourceFailed", False
    if kinds[-1:] == ["LeaseLost"]:
        return str(end[-1].fields.get("reason", "LeaseExpired")), False
    if any(proof.proof is Proof.POWERED_OFF for proof in proofs):
        return "PoweredOff", False
    return "NodeLost", False


def _proof(entry: LogEntry, first: LogEntry, names: Mapping[str, str]) -> ProofUsed:
    peer = str(entry.fields.get("peer", ""))
    return ProofUsed(
        suspect=names.get(peer, "unknown"),
        proof=Proof(str(entry.fields.get("reason", Proof.LEASE_EXPIRED.value))),
        took_ms=_ms(first.at, entry.at),
        message=f"{names.get(peer, peer)} was proven stopped in term {entry.fields.get('term')}",
    )


def _evidence(node: str, entry: LogEntry) -> str:
    said = ", ".join(f"{name} {value}" for name, value in entry.fields.items() if value != "")
    return f"{node}: {entry.message}{f' ({said})' if said else ''}"


def _timeline(log: Sequence[LogEntry]) -> tuple[Step, ...]:
    """The steps of the node that took over; each lasts until the next."""
    shown = [entry for entry in log if entry.kind in _STEPS][:TIMELINE_MAX]
    steps: list[Step] = []
    for place, entry in enumerate(shown):
        later = shown[place + 1] if place + 1 < len(shown) else None
        what = str(entry.fields.get("resource") or entry.fields.get("reason") or "")
        number = f" {place + 1}" if entry.kind in {"Started", "ProofFound"} else ""
        steps.append(
            Step(
                name=f"{_STEPS[entry.kind]}{number}",
                started_at=entry.at,
                took_ms=None if later is None else _ms(entry.at, later.at),
                message=what,
            )
        )
    return tuple(steps)


def _ms(first: datetime, last: datetime) -> int:
    return max(int((last - first).total_seconds() * 1000), 0)


def record_of(move: Move, data: DataMode, fence: str = "") -> FailoverRecordStatus:
    """The status of the record of a move.

    Args:
        move: What happened.
        data: Where the cluster's data lives.
        fence: Evidence of a power-off for it; "" when there was none.
    """
    evidence = (*move.evidence, *((fence,) if fence else ()))
    if not move.complete:
        evidence = (*evidence, f"{move.from_} has not been heard since, so its log is not known")
    proof = _first_proof(move, data)
    status = FailoverRecordStatus(
        observed_generation=1,
        to=move.to,
        cause=move.cause,
        message=(
            f"{move.to} took over from {move.from_} in term {move.term} "
            f"({move.cause}); {move.took_ms / 1000:.1f} s from winning the lease to service"
        ),
        evidence=evidence[:16],
        proofs=move.proofs[:8],
        proof=proof.value,
        started_at=move.started_at,
        completed_at=move.completed_at,
        took_ms=move.took_ms,
        data_loss=_loss(data),
        timeline=move.timeline,
    )
    return status.model_copy(update={"from_": move.from_})


def _first_proof(move: Move, data: DataMode) -> Proof:
    """What the start waited for: the end of the lease, unless the data needs more."""
    if data is DataMode.SHARED_DISK and move.proofs:
        return move.proofs[0].proof
    released = [proof for proof in move.proofs if proof.proof is Proof.RELEASED]
    return Proof.RELEASED if released else Proof.LEASE_EXPIRED


def _loss(data: DataMode) -> DataLoss:
    if data is DataMode.REPLICATED_ASYNC:
        return DataLoss(known=LossKnown.BOUNDED, message="at most the declared bound")
    said = {
        DataMode.NONE: "the cluster declares no data",
        DataMode.SHARED_DISK: "both nodes use one disk",
        DataMode.REPLICATED: "only a node with every acknowledged write may take over",
    }[data]
    return DataLoss(known=LossKnown.NONE, message=said)
