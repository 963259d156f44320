"""What a node's status says of its resources, and what of that is news."""

from datetime import UTC, datetime, timedelta

from standfast.agent.replicas import Replicas
from standfast.core.group_state import Cell, Group, Phase
from standfast.wire.api import ResourceStatus, State

_STATES: dict[Phase, State] = {
    Phase.UNKNOWN: "Unknown",
    Phase.STOPPED: "Stopped",
    Phase.FOUND: "Running",
    Phase.STARTING: "Starting",
    Phase.RUNNING: "Running",
    Phase.STOPPING: "Stopping",
    Phase.KILLING: "Stopping",
}


def shown(group: Group) -> tuple[object, ...]:
    """What of a group is news when it changes; that somebody looked is none."""
    cells = (
        (cell.spec, cell.phase, cell.fault, len(cell.failures), cell.failed_checks, cell.message)
        for cell in group.cells.values()
    )
    return (group.serving_term, group.generation, *cells)


class Showing:
    """The resources of the group, as the status has them."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._sinces: dict[str, tuple[int, datetime]] = {}

    def resources(self, group: Group, now_ms: int) -> tuple[ResourceStatus, ...]:
        return tuple(self._status_of(cell, now_ms) for cell in group.cells.values())

    def _status_of(self, cell: Cell, now_ms: int) -> ResourceStatus:
        failed = cell.fault is not None and cell.phase is Phase.STOPPED
        copy = self._replicas.status(cell.spec.name)
        state = "Failed" if failed else _STATES[cell.phase]
        if state == "Stopped" and copy is not None and copy.role == "Standby":
            state = "Standby"
        return ResourceStatus(
            name=cell.spec.name,
            type=cell.spec.kind,
            state=state,
            message=cell.fault.message if failed and cell.fault is not None else cell.message,
            reason=cell.fault.reason if cell.fault is not None else "",
            restarts=len(cell.failures),
            failed_checks=cell.failed_checks,
            since=self._since(cell, now_ms),
            replication=copy,
        )

    def _since(self, cell: Cell, now_ms: int) -> datetime:
        """When its phase began, on the wall clock; stays the same whatever that clock does."""
        known = self._sinces.get(cell.spec.name)
        if known is None or known[0] != cell.since_ms:
            at = datetime.now(UTC) - timedelta(milliseconds=now_ms - cell.since_ms)
            known = self._sinces[cell.spec.name] = (cell.since_ms, at)
        return known[1]
