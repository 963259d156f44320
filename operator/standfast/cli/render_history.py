"""Switchovers and failovers as one table, newest first, and as timelines. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from standfast.api.record import FailoverRecord
from standfast.api.switchover import Step, Switchover
from standfast.cli import text

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moved:
    """One time that service moved, or was asked to.

    Args:
        at: When it began, or was asked for.
        kind: Failover or Switchover.
        name: Of the object.
        from_: The node it left.
        to: The node it moved to.
        took_ms: How long it took; of a failover since the last word of the node it left, if known.
        outcome: How it ended: a phase, or the cause and the proof.
        why: A sentence.
        steps: What was done, in order.
    """

    at: datetime
    kind: str
    name: str
    from_: str | None
    to: str | None
    took_ms: int | None
    outcome: str
    why: str
    steps: tuple[Step, ...]


def moves(
    switchovers: Sequence[Switchover], records: Sequence[FailoverRecord]
) -> tuple[Moved, ...]:
    """Return both kinds as one history, newest first."""
    both = [*map(_of_switchover, switchovers), *map(_of_record, records)]
    return tuple(sorted(both, key=lambda moved: (moved.at, moved.name), reverse=True))


def history_table(history: Sequence[Moved]) -> RenderableType:
    """Return one line for each move."""
    titles = ("WHEN", "WHAT", "FROM", "TO", "TOOK", "OUTCOME", "NAME")
    table = text.columns(*titles, folding=frozenset({"OUTCOME", "NAME"}))
    for moved in history:
        table.add_row(
            text.moment(moved.at),
            moved.kind,
            text.word(moved.from_),
            text.word(moved.to),
            text.length(moved.took_ms),
            text.word(moved.outcome),
            moved.name,
        )
    return table


def timelines(history: Sequence[Moved]) -> RenderableType:
    """Return each move with its steps and their times."""
    parts: list[RenderableType] = []
    for moved in history:
        route = f"{moved.from_ or '-'} to {moved.to or '-'}"
        parts.append(
            Text.assemble(
                (moved.name, "name"),
                f"  {moved.kind}, {route}, {text.moment(moved.at)}, took "
                f"{text.length(moved.took_ms)}: {moved.outcome}",
            )
        )
        if moved.why:
            parts.append(Text(f"  {moved.why}"))
        parts += [Text(f"  {step_line(step, moved.at)}") for step in moved.steps]
        parts.append("")
    return Group(*parts[:-1])


def step_line(step: Step, since: datetime) -> str:
    """Return a step as one line: when it began after `since`, how long it took, what it was."""
    begun_ms = int((step.started_at - since).total_seconds() * 1_000)
    took = f" ({text.length(step.took_ms)})" if step.took_ms is not None else ""
    message = f": {step.message}" if step.message else ""
    return f"+{text.length(max(begun_ms, 0)):>8}  {step.name}{took}{message}"


def _of_switchover(switchover: Switchover) -> Moved:
    status = switchover.status
    dry = " (dry run)" if switchover.spec.dry_run else ""
    return Moved(
        at=status.started_at or switchover.metadata.creation_timestamp or _BEGINNING,
        kind="Switchover",
        name=switchover.metadata.name,
        from_=status.from_,
        to=status.to or switchover.spec.to,
        took_ms=status.took_ms,
        outcome=f"{status.phase.value if status.phase else 'Pending'}{dry}",
        why=status.message or switchover.spec.reason,
        steps=status.steps,
    )


def _of_record(record: FailoverRecord) -> Moved:
    status = record.status
    says_more = status.proof and str(status.proof) != str(status.cause)
    proof = f", proof {status.proof}" if says_more else ""
    return Moved(
        at=status.started_at or record.metadata.creation_timestamp or _BEGINNING,
        kind="Failover",
        name=record.metadata.name,
        from_=status.from_,
        to=status.to,
        took_ms=status.outage_ms or status.took_ms,
        outcome=f"{status.cause or 'not yet told'}{proof}",
        why=status.message or "",
        steps=status.timeline,
    )
