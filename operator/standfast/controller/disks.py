"""Disks that move: the active node's VM gets its shared disks, after every other one has let go.

The node decides: its agent starts a `sharedDisk` only under the lease and with proof against every
former holder, and says `Starting` while it waits for the device. That word, asked for again right
before the act, is the order to move the disk to that node; without it no disk is ever moved.
Another node that says it still uses the disk stands in the way, whatever else is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from standfast.api.resource import HAResource, SharedDisk, SharedDiskMode
from standfast.controller.authorities import Declared
from standfast.controller.calling import Caller
from standfast.controller.errands import Errands
from standfast.controller.execution import Executor, Field, hypervisor_of
from standfast.controller.listening import Line
from standfast.controller.logs import logger
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.errors import StandfastError, TransientError
from standfast.wire import resources as wire
from standfast.wire.api import STATUS_PATH, MemberStatus, ResourceStatus

WHAT = "disk"
MOVE_MS = 60_000
"""One try: to detach and to attach take a second or two each."""
AGAIN_MS_MAX = 2_000
"""Between two tries: while the node waits, nothing is served."""
_specs = msgspec.json.Decoder(wire.ResourceSpec)
_LEADS = frozenset({"Holding", "Active"})
_USES = frozenset({"Starting", "Running", "Stopping"})


@dataclass(frozen=True, slots=True)
class Move:
    """A disk that a node waits for."""

    resource: str
    disk: SharedDisk
    to: str


class DiskMover:
    """Moves the disks of clusters.

    Args:
        errands: Each move is one.
        executor: Knows whether this replica may act.
        caller: Asks the node again.
    """

    def __init__(self, errands: Errands, executor: Executor, caller: Caller) -> None:
        self._errands = errands
        self._executor = executor
        self._caller = caller

    def step(
        self,
        field: Field,
        resources: Sequence[HAResource],
        declared: Mapping[str, Declared],
    ) -> None:
        """Start the moves that are waited for and not under way."""
        for move in waited_for(disks_of(resources, declared), field.lines):
            name = (WHAT, move.resource, move.to)
            self._errands.want(field.key, name, partial(self._move, field, move), AGAIN_MS_MAX)

    async def _move(self, field: Field, move: Move) -> None:
        still = partial(self._still_waited_for, field, move)
        await still()
        others = frozenset(vm for node, vm in field.vms.items() if node != move.to)
        moved = await hypervisor_of(field, move.to).move_disk(
            _vmdk_of(move.disk), move.disk.uuid, field.vms[move.to], others, MOVE_MS, still=still
        )
        logger(cluster=field.key.name, node=move.to, resource=move.resource).info(
            "Disk moved", disk=moved.vmdk, left=list(moved.left), took_ms=moved.took_ms
        )

    async def _still_waited_for(self, field: Field, move: Move) -> None:
        """A replica that was frozen wakes up with an old picture: it asks before it pulls.

        And once more when vCenter has said who has the disk: meanwhile the node that waited may
        have lost its lease, and the one that has the disk may serve again.
        """
        self._executor.must_lead()
        line = field.lines[move.to]
        status = await self._caller.get(line.door, STATUS_PATH, MemberStatus)
        if not _waits(status, move.resource):
            raise TransientError(f"{move.to} does not wait for {move.resource} any more")
        for node, other in field.lines.items():
            found = None if other.now is None else _of(other.now, move.resource)
            if node != move.to and found is not None and found.state in _USES:
                raise TransientError(
                    f"{node} says that {move.resource} is {found.state} there, so the disk is "
                    f"not taken from it",
                    remedy=f"see what it does: kubectl describe har {move.resource}",
                )
        self._executor.must_lead()


def disks_of(
    resources: Sequence[HAResource], declared: Mapping[str, Declared]
) -> Mapping[str, SharedDisk]:
    """Those that move, by resource; also of objects that are gone, where agents keep them.

    Args:
        resources: Those that there are.
        declared: As the agents have them.
    """
    names = {resource.metadata.name for resource in resources}
    kept = {name: _disk_of(each) for name, each in declared.items() if name not in names}
    there = {resource.metadata.name: resource.spec.shared_disk for resource in resources}
    return {
        name: disk
        for name, disk in {**kept, **there}.items()
        if disk is not None and disk.mode is SharedDiskMode.MOVING
    }


def _vmdk_of(disk: SharedDisk) -> str:
    assert disk.vmdk is not None, "a rule of the kind"
    return disk.vmdk


def _disk_of(declared: Declared) -> SharedDisk | None:
    try:
        found = _specs.decode(declared.spec)
    except msgspec.DecodeError:
        return None  # of a newer operator: it is told where the group is handed over
    if not isinstance(found, wire.SharedDisk):
        return None
    return SharedDisk(vmdk=declared.target.removeprefix("disk "), uuid=found.uuid)


def waited_for(disks: Mapping[str, SharedDisk], lines: Mapping[str, Line]) -> list[Move]:
    """Disks that the node which leads waits for; none when two claim to lead in one term."""
    leading = [
        (line.now.term, name)
        for name, line in lines.items()
        if line.now is not None and line.now.role in _LEADS
    ]
    newest = max((term for term, _ in leading), default=0)
    names = [name for term, name in leading if term == newest]
    if len(names) != 1:
        return []
    status = lines[names[0]].now
    return [
        Move(name, disk, names[0])
        for name, disk in disks.items()
        if status is not None and _waits(status, name)
    ]


def claim_of(
    errors: Mapping[tuple[str, ...], StandfastError], resource: str, node: str
) -> Claim | None:
    """Why a disk could not be moved to a node; none when that did not fail."""
    error = errors.get((WHAT, resource, node))
    if error is None:
        return None
    return Claim(
        False,
        Reason.DISK_NOT_MOVED,
        f"it waits on {node} for its disk, which cannot be moved there: {error.problem}",
        error.remedy,
    )


def _waits(status: MemberStatus, resource: str) -> bool:
    found = _of(status, resource)
    return status.role in _LEADS and found is not None and found.state == "Starting"


def _of(status: MemberStatus, resource: str) -> ResourceStatus | None:
    return next((each for each in status.resources if each.name == resource), None)
