"""What happened, told from the durable logs of the nodes: moves of service, and why. Pure.

The logs are read whether or not the operator was there, so a failover during its absence is
recorded as well. A move is a term that began to be served by another node than the term before.
The clocks of two machines are never compared: each length is taken from one log. What the node
that failed logged may only be read when it is back; the record is completed then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from standfast.api.record import (
    DataLoss,
    FailoverRecordStatus,
    LossKnown,
    ProofUsed,
)
from standfast.api.switchover import Step
from standfast.core.record import DataMode, Proof
from standfast.core.sizes import size
from standfast.wire.api import LogEntry, TakeoverStatus

Logs = Mapping[str, Sequence[LogEntry]]
"""By the node's name, in the order in which it happened there."""

_ENDS = {"Released", "LeaseLost"}
SWITCHOVER = "Switchover"
"""Cause of a move that a person asked for; a Switchover's request begins with this word."""
_PLANNED = {"maintenance": "Maintenance", "failback": "Failback"}
"""Reasons of the hand-overs that policy asks for, each with its cause."""
_NOT_A_CAUSE = {"AgentRestarted"}
"""What a node says after it was back: it tells that it was gone, not why."""
_STEPS = {
    "LeaseWon": "Lease won",
    "RecordCommitted": "Record committed",
    "ProofFound": "Proof",
    "Started": "Started",
    "Serving": "Serving",
}
_WORDS = {"Consented", "Attested", "Recovered"}
TIMELINE_MAX = 32


@dataclass(frozen=True, slots=True)
class Move:
    """Service began to be served elsewhere.

    Attributes:
        cause: One word.
        planned: Somebody had asked for it.
        complete: The log of the node that it left has been read.
        outage_ms: From the last word of the old node, as the new one heard it, to service.
        lacked_bytes: How much the new node lacked of what was recorded: asynchronous data.
        approved_by: Who consented to a loss, or vouched, so that it could be.
        accepted: What they were shown as lost; "" when nobody was asked.
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
    outage_ms: int | None = None
    lacked_bytes: int | None = None
    approved_by: str = ""
    accepted: str = ""

    @property
    def took_ms(self) -> int:
        return _ms(self.started_at, self.completed_at)


@dataclass(frozen=True, slots=True)
class _Tenure:
    """A term that a node served.

    Attributes:
        begins: Place of its first entry in the node's log.
        serves: Place of the entry that says it serves.
        follows: Member uid of the holder before, as the node that took over knows it.
    """

    node: str
    term: int
    begins: int
    serves: int
    follows: str = ""


def moves(
    logs: Logs, names: Mapping[str, str], takeovers: Mapping[int, TakeoverStatus]
) -> list[Move]:
    """All moves that the logs tell, oldest first.

    Args:
        logs: Of the nodes.
        names: Member uid to name.
        takeovers: By term, as the nodes that took over measured them; the newest only.
    """
    tenures = sorted(
        (tenure for node in logs for tenure in _tenures(node, logs[node])),
        key=lambda tenure: tenure.term,
    )
    found: list[Move] = []
    for place, after in enumerate(tenures):
        before = tenures[place - 1] if place else None
        follows = names.get(after.follows, "")
        if before is None or (follows and before.node != follows):
            before = _Tenure(follows, 0, 0, 0) if follows else None
        if before is not None and before.node != after.node:
            found.append(_timed(_move(before, after, logs, names), takeovers))
    return found


def _tenures(node: str, log: Sequence[LogEntry]) -> list[_Tenure]:
    """Terms that this node came to serve, each with where it begins in the log."""
    won: dict[int, int] = {}
    follows: dict[int, str] = {}
    found: dict[int, _Tenure] = {}
    for place, entry in enumerate(log):
        term = entry.fields.get("term")
        if not isinstance(term, int):
            continue
        if entry.kind == "LeaseWon":
            won[term] = place
        if entry.kind == "RecordCommitted":
            follows.setdefault(term, str(entry.fields.get("peer", "")))
        if entry.kind == "Serving" and term not in found:
            begins = won.get(term, place)
            found[term] = _Tenure(node, term, begins, place, follows.get(term, ""))
    return list(found.values())


def _move(before: _Tenure, after: _Tenure, logs: Logs, names: Mapping[str, str]) -> Move:
    end = _end_of(before, logs[before.node]) if before.term else []
    log = logs[after.node][after.begins : after.serves + 1]
    said = _said(logs[after.node], after)
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
        evidence=(
            *(_evidence(before.node, entry) for entry in end),
            *(_evidence(after.node, entry) for entry in said),
        ),
        proofs=proofs,
        timeline=_timeline(log, names),
        outage_ms=_number(log[-1], "outage_ms"),
        lacked_bytes=_number(log[-1], "lacked_bytes"),
        approved_by="; ".join(str(e.fields["approver"]) for e in said if "approver" in e.fields),
        accepted="; ".join(filter(None, map(_accepted, said))),
    )


def _said(log: Sequence[LogEntry], tenure: _Tenure) -> list[LogEntry]:
    """What people said that let this tenure begin: since the node last held, until it served."""
    begins = max(
        (at for at in range(tenure.begins) if log[at].kind in {"Serving", *_ENDS}), default=0
    )
    return [entry for entry in log[begins : tenure.serves] if entry.kind in _WORDS]


def _accepted(entry: LogEntry) -> str:
    """What a person's word gave up."""
    match entry.kind:
        case "Consented":
            return f"a person consented: {entry.fields.get('error', 'not on record')}"
        case "Recovered":
            return "the cluster was begun anew: what only members have that are gone is lost"
        case _:
            return ""


def _number(serving: LogEntry, key: str) -> int | None:
    told = serving.fields.get(key)
    return told if isinstance(told, int) else None


def _timed(move: Move, takeovers: Mapping[int, TakeoverStatus]) -> Move:
    """Measured from the first question where the node still knows that, else from the lease."""
    takeover = takeovers.get(move.term)
    if takeover is None or takeover.serving_ms is None:
        return move
    length = timedelta(milliseconds=takeover.serving_ms)
    return replace(move, started_at=move.completed_at - length)


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
        why = str(end[kinds.index("ReleaseRequested")].fields.get("reason", ""))
        return _PLANNED.get(why, SWITCHOVER), True
    if "HandingOver" in kinds or kinds[-1:] == ["Released"]:
        return "ResourceFailed", False
    reason = str(end[-1].fields.get("reason", "LeaseExpired")) if end else ""
    if kinds[-1:] == ["LeaseLost"] and reason not in _NOT_A_CAUSE:
        return reason, False
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


def _timeline(log: Sequence[LogEntry], names: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps of the node that took over; each lasts until the next."""
    shown = [entry for entry in log if entry.kind in _STEPS]
    steps: dict[str, Step] = {}
    for place, entry in enumerate(shown):
        later = shown[place + 1] if place + 1 < len(shown) else None
        name = _step_name(entry, names)
        if name in steps or len(steps) == TIMELINE_MAX:
            continue
        took_ms = None if later is None else _ms(entry.at, later.at)
        steps[name] = Step(name=name, started_at=entry.at, took_ms=took_ms)
    return tuple(steps.values())


def _step_name(entry: LogEntry, names: Mapping[str, str]) -> str:
    match entry.kind:
        case "ProofFound":
            peer = str(entry.fields.get("peer", ""))
            return f"Proof {entry.fields.get('reason', '')} of {names.get(peer, peer)}"
        case "Started":
            return f"Started {entry.fields.get('resource', '')}"
        case kind:
            return _STEPS[kind]


def _ms(first: datetime, last: datetime) -> int:
    return max(int((last - first).total_seconds() * 1000), 0)


def record_of(
    move: Move, data: DataMode, fence: str = "", *, loss_max: int = 0
) -> FailoverRecordStatus:
    """The status of the record of a move.

    Args:
        move: What happened.
        data: Where the cluster's data lives.
        fence: Evidence of a power-off for it; "" when there was none.
        loss_max: How many bytes may be lost: asynchronous data.
    """
    evidence = (*move.evidence, *((fence,) if fence else ()))
    if not move.complete:
        evidence = (*evidence, f"{move.from_} has not been heard since, so its log is not known")
    proof = _first_proof(move)
    status = FailoverRecordStatus(
        observed_generation=1,
        to=move.to,
        cause=move.cause,
        message=(
            f"{move.to} took over from {move.from_} in term {move.term} ({move.cause}), "
            f"{move.took_ms / 1000:.2f} s from its first question to service"
            f"{_outage_words(move)}"
        ),
        evidence=evidence[:16],
        proofs=move.proofs[:8],
        proof=proof.value,
        started_at=move.started_at,
        completed_at=move.completed_at,
        took_ms=move.took_ms,
        outage_ms=move.outage_ms,
        data_loss=_loss(data, loss_max, move),
        timeline=move.timeline,
        approved_by=move.approved_by[:128] or None,
    )
    return status.model_copy(update={"from_": move.from_})


def _outage_words(move: Move) -> str:
    if move.outage_ms is None:
        return ""
    return f", {move.outage_ms / 1000:.2f} s after the last word of {move.from_}"


def _first_proof(move: Move) -> Proof:
    """What let the start go ahead: a proof found before it, else the end of the lease."""
    return move.proofs[0].proof if move.proofs else Proof.LEASE_EXPIRED


def _loss(data: DataMode, loss_max: int, move: Move) -> DataLoss:
    if move.accepted and data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}:
        return DataLoss(known=LossKnown.UNKNOWN, message=move.accepted)
    if data is DataMode.REPLICATED_ASYNC:
        lacked = move.lacked_bytes
        said = f"at most {size(loss_max)}" if lacked is None else size(lacked)
        return DataLoss(
            known=LossKnown.BOUNDED,
            bytes_max=loss_max if lacked is None else lacked,
            message=f"{said} of what the members had last agreed on, and what was acknowledged "
            "after that, in about a second and a lease",
        )
    why = {
        DataMode.NONE: "the cluster declares no data",
        DataMode.SHARED_DISK: "both nodes use one disk",
        DataMode.REPLICATED: "only a node with every acknowledged write may take over",
    }[data]
    return DataLoss(known=LossKnown.NONE, message=why)
