"""A switchover while it goes on, and what became of it. Pure."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from standfast.api.switchover import Switchover, SwitchoverPhase
from standfast.cli import text
from standfast.cli.render_history import step_line
from standfast.errors import RefusedError, StandfastError, TransientError

_ORDER = (
    SwitchoverPhase.PENDING,
    SwitchoverPhase.PREPARING,
    SwitchoverPhase.RELEASING,
    SwitchoverPhase.STARTING,
    SwitchoverPhase.COMPLETED,
)
_MEANING = {
    SwitchoverPhase.PENDING: "waiting for the operator",
    SwitchoverPhase.PREPARING: "checking that the other node can serve",
    SwitchoverPhase.RELEASING: "stopping on the old node",
    SwitchoverPhase.STARTING: "starting on the new node",
    SwitchoverPhase.COMPLETED: "serving",
}


def progress(switchover: Switchover) -> RenderableType:
    """Return the phases as a list that fills, for a terminal."""
    phase = switchover.status.phase or SwitchoverPhase.PENDING
    took = {step.name: step.took_ms for step in switchover.status.steps}
    reached = _ORDER.index(phase) if phase in _ORDER else len(_ORDER)
    lines: list[RenderableType] = []
    for at, each in enumerate(_ORDER):
        done = at < reached if phase in _ORDER else took.get(each.value) is not None
        said = f"{each.value:<10} {_MEANING[each]}"
        if done or phase is SwitchoverPhase.COMPLETED:
            length = took.get(each.value)
            after = f"  {text.length(length)}" if length is not None else ""
            lines.append(Text(f"✓ {said}{after}", style="good"))
        elif at == reached and not phase.final:
            lines.append(Spinner("dots", Text(said)))
        else:
            lines.append(Text(f"  {said}", style="quiet"))
    return Group(*lines)


def new_lines(before: Switchover | None, now: Switchover) -> list[str]:
    """Return what is new since `before`, one line each, for a pipe."""
    lines: list[str] = []
    if before is None or before.status.phase != now.status.phase:
        phase = now.status.phase or SwitchoverPhase.PENDING
        meaning = _MEANING.get(phase, "")
        lines.append(f"{phase.value}: {meaning}" if meaning else phase.value)
    known = (
        {step.name for step in before.status.steps if step.took_ms is not None}
        if before
        else set()
    )
    since = now.status.started_at
    if since is not None:
        lines += [
            f"  {step_line(step, since)}"
            for step in now.status.steps
            if step.took_ms is not None and step.name not in known
        ]
    return lines


def outcome(switchover: Switchover) -> str:
    """Return one sentence about a completed switchover.

    Raises:
        RefusedError: It was refused; nothing has moved.
        TransientError: It failed.
    """
    status = switchover.status
    cluster = switchover.spec.cluster_ref.name
    match status.phase:
        case SwitchoverPhase.COMPLETED if switchover.spec.dry_run:
            return status.message or f"{cluster} could be switched over to {status.to}."
        case SwitchoverPhase.COMPLETED:
            said = f"{cluster} is served by {status.to}"
            return f"{said}; the move took {text.length(status.took_ms)}."
        case SwitchoverPhase.REFUSED:
            raise RefusedError(
                f"cannot switch over {cluster}: {_why(switchover)}",
                remedy=status.remedy or f"kubectl standfast explain {cluster}",
            )
        case _:
            raise TransientError(
                f"the switchover of {cluster} failed: {_why(switchover)}",
                remedy=status.remedy or f"kubectl standfast status {cluster}",
            )


def overdue(switchover: Switchover, waited_ms: int) -> StandfastError:
    """Return what to say when it is not final and nobody knows why."""
    name = switchover.metadata.name
    phase = switchover.status.phase
    waited = text.length(waited_ms)
    if phase is None:
        return TransientError(
            f"nobody has taken up Switchover {name} for {waited}: the operator does not run, or "
            "does not watch this namespace",
            remedy="kubectl get pods -A -l app.kubernetes.io/name=standfast-operator; to cancel: "
            f"kubectl delete switchover {name}",
        )
    return TransientError(
        f"Switchover {name} is {phase.value} after {waited}; it goes on",
        remedy=f"kubectl get switchover {name} -w",
    )


def summary(switchover: Switchover, at: datetime) -> str:
    """Return the line that says what was asked for."""
    spec = switchover.spec
    to = f" to {spec.to}" if spec.to else ""
    dry = " (dry run: nothing will move)" if spec.dry_run else ""
    name = switchover.metadata.name
    return f"Switchover {name}: {spec.cluster_ref.name}{to}, asked for at {text.moment(at)}{dry}"


def _why(switchover: Switchover) -> str:
    status = switchover.status
    return status.message or status.reason or "no reason was given"
