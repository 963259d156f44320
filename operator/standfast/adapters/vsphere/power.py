"""Power with proof (the rules of fencing: `docs/protocol.md` section 6, `PoweredOff`).

A VM is off when a task that we ordered succeeded *and* a fresh read afterwards says: powered off,
VM connected, its host connected. Every other observation (a task that timed out, a VM that was off
already, a host that does not respond, suspended) proves less and is said as such. The VM is
addressed by instance UUID at every call; a call whose answer was lost is never simply repeated:
the state is read first.
"""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from pyVmomi import vim

from standfast.adapters.vsphere.faults import (
    AnswerLostError,
    BusyError,
    PowerStateError,
    SessionLostError,
    vcenter_faults,
    vendor_fault,
)
from standfast.adapters.vsphere.reading import Seen, see
from standfast.adapters.vsphere.search import find, moid, read
from standfast.adapters.vsphere.session import Connection, Session
from standfast.core.fencing import Contact, Power
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import Evidence, NotProvenError, PowerTask

T = TypeVar("T")

POLL_S_MIN, POLL_S_MAX = 0.03, 0.5
"""Between two looks at a task: a power-off takes 1 to 3 s on a real site, none in a simulator."""
RETRY_S = 0.5


class PowerSwitch:
    """Switches VMs. Blocking; every method may be called from any thread.

    Args:
        session: The login, shared with the feed; this has a connection of its own.
        clock: For deadlines and stamps.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Connection | None = None

    def keep_warm(self) -> None:
        """Prove that the fencing connection works, and keep its session alive."""
        self.reading("asking the time", _time)

    def power_off_with_proof(
        self, uuid: str, budget_ms: int, on_task: PowerTask | None = None
    ) -> Evidence:
        """See `ports.hypervisor.Hypervisor`."""
        began_ms = self._clock.now_ms()
        order = _Order(uuid, began_ms, began_ms + budget_ms, on_task)
        last = "nothing was read"
        while self._clock.now_ms() < order.deadline_ms:
            try:
                return self._power_off_once(order)
            except NotProvenError:
                raise
            except (BusyError, PowerStateError, AnswerLostError, SessionLostError) as error:
                last = error.problem
                time.sleep(RETRY_S)
        raise NotProvenError(
            f"powering off VM {uuid}: not proven within {budget_ms} ms; last: {last}",
            remedy="look at the VM and its host in vCenter; the fence is tried again",
            retry_after_ms=1_000,
        )

    def verify_off(self, uuid: str) -> Evidence:
        """See `ports.hypervisor.Hypervisor`."""
        began_ms = self._clock.now_ms()
        seen = self._see(uuid)
        if not seen.proves_off:
            raise _not_proven(seen, "reading its power")
        return self._evidence(uuid, seen, began_ms, task="")

    def verify_since(self, uuid: str, since: datetime) -> Evidence:
        """See `ports.hypervisor.Hypervisor`."""
        began_ms = self._clock.now_ms()
        seen = self._see(uuid)
        if not seen.proves_off:
            raise _not_proven(seen, "reading its power")
        task = self._task_since(seen, since)
        if not task:
            raise NotProvenError(
                f"{seen.sentence()}; no power-off of it has succeeded since {since:%H:%M:%S}"
            )
        return self._evidence(uuid, seen, began_ms, task)

    def time(self) -> datetime:
        """VCenter's own time."""
        return self.reading("asking the time", _time)

    def power_on(self, uuid: str, budget_ms: int) -> None:
        """See `ports.hypervisor.Hypervisor`."""
        deadline_ms = self._clock.now_ms() + budget_ms
        seen = self._see(uuid)
        if seen.power is Power.ON:
            return
        doing = f"powering on {seen.name}"
        try:
            with vcenter_faults(self._session.access, doing):
                task = seen.vm.PowerOn(None)
        except PowerStateError:
            if self._see(uuid).power is Power.ON:
                return
            raise
        self.finish(task, doing, deadline_ms)

    def rights(self, uuids: frozenset[str], privileges: tuple[str, ...]) -> dict[str, list[str]]:
        """Which of the privileges lack, by name of the VM."""

        def ask(connection: Connection) -> dict[str, list[str]]:
            found = find(connection, self._session.access, uuids)
            vms = [each.vms[0] for each in found.values() if len(each.vms) == 1]
            manager = connection.content.authorizationManager
            if not vms or manager is None:
                return {}
            names = [str(values.get("name", "?")) for values in read(connection, vms, "name")]
            answer = manager.HasPrivilegeOnEntities([*vms], connection.key, list(privileges))
            return {
                name: [each.privId for each in entity.privAvailability if not each.isGranted]
                for name, entity in zip(names, answer, strict=True)
            }

        return self.reading("checking privileges", ask)

    def close(self) -> None:
        """Drop the connection; the session is its owner's."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.drop()

    def _power_off_once(self, order: "_Order") -> Evidence:
        seen = self._see(order.uuid)
        if seen.proves_off:
            return self._evidence(order.uuid, seen, order.began_ms, self._own_task(seen, order))
        doing = f"powering off {seen.name}"
        if seen.host_contact is Contact.LOST:
            raise NotProvenError(
                f"{doing}: {seen.sentence()}; a host that vCenter does not hear takes no orders",
                remedy="power the host off out of band, or wait for vSphere HA",
                retry_after_ms=2_000,
            )
        if order.since is None:
            order.since = self.reading("asking the time", _time)
        with vcenter_faults(self._session.access, doing):
            task = seen.vm.PowerOff()
        if order.on_task is not None:
            order.on_task(moid(task))
        self.finish(task, doing, order.deadline_ms)
        return self._read_back(order, moid(task))

    def _read_back(self, order: "_Order", task: str) -> Evidence:
        while True:
            seen = self._see(order.uuid)
            if seen.proves_off:
                return self._evidence(order.uuid, seen, order.began_ms, task)
            if seen.power is Power.ON or self._clock.now_ms() >= order.deadline_ms:
                raise _not_proven(seen, f"task {task} succeeded")
            time.sleep(POLL_S_MAX)

    def finish(self, task: vim.Task, doing: str, deadline_ms: int) -> None:
        """Wait for the task's success by looking at it afresh."""
        pause_s = POLL_S_MIN
        while True:
            with vcenter_faults(self._session.access, doing):
                info = task.info
            if info.state == vim.TaskInfo.State.success:
                return
            if info.state == vim.TaskInfo.State.error:
                assert info.error is not None, "a task that failed says why"
                raise vendor_fault(self._session.access, doing, info.error)
            if self._clock.now_ms() >= deadline_ms:
                raise NotProvenError(
                    f"{doing}: task {moid(task)} is still {info.state}", retry_after_ms=500
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, POLL_S_MAX)

    def _own_task(self, seen: Seen, order: "_Order") -> str:
        """The power-off task of an order whose answer was lost, if it succeeded; else ""."""
        return self._task_since(seen, order.since) if order.since is not None else ""

    def _task_since(self, seen: Seen, since: datetime) -> str:
        """A power-off of this VM that was asked for since then and succeeded; else ""."""

        def look(connection: Connection) -> str:
            manager = connection.content.taskManager
            tasks = {moid(task): task for task in seen.vm.recentTask}
            tasks |= {moid(task): task for task in (manager.recentTask if manager else ())}
            for task in tasks.values():
                info = task.info
                if (
                    info.descriptionId == "VirtualMachine.powerOff"
                    and info.entity is not None
                    and moid(info.entity) == moid(seen.vm)
                    and info.state == vim.TaskInfo.State.success
                    and info.queueTime >= since
                ):
                    return moid(task)
            return ""

        return self.reading("looking for the power-off task", look)

    def _see(self, uuid: str) -> Seen:
        access = self._session.access
        return self.reading(
            f"reading VM {uuid}",
            lambda connection: see(
                connection, find(connection, access, [uuid])[uuid].only(access), self._clock
            ),
        )

    def _evidence(self, uuid: str, seen: Seen, began_ms: int, task: str) -> Evidence:
        return Evidence(
            uuid=uuid,
            vm_name=seen.name,
            ordered=bool(task),
            task=task,
            host_name=seen.host_name,
            read_at_ms=seen.at_ms,
            seen_at=datetime.now(UTC),
            took_ms=self._clock.now_ms() - began_ms,
        )

    def reading(self, doing: str, call: Callable[[Connection], T]) -> T:
        """Make a call that changes nothing; once more when session or connection had gone."""
        try:
            with vcenter_faults(self._session.access, doing):
                return call(self._connection())
        except (SessionLostError, AnswerLostError) as error:
            self._let_go(session_lost=isinstance(error, SessionLostError))
        with vcenter_faults(self._session.access, doing):
            return call(self._connection())

    def _connection(self) -> Connection:
        with self._lock:
            if self._held is None:
                self._held = self._session.fencing()
            return self._held

    def _let_go(self, *, session_lost: bool) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is None:
            return
        held.drop()
        if session_lost:
            self._session.renew(held.key)


class _Order:
    """One wish that a VM be off, over several tries.

    Attributes:
        since: vCenter's own time before the first order; a successful power-off task queued
            later is ours or as good as ours.
    """

    def __init__(
        self, uuid: str, began_ms: int, deadline_ms: int, on_task: PowerTask | None
    ) -> None:
        self.uuid = uuid
        self.began_ms = began_ms
        self.deadline_ms = deadline_ms
        self.on_task = on_task
        self.since: datetime | None = None


def _time(connection: Connection) -> datetime:
    return vim.ServiceInstance("ServiceInstance", connection.stub).CurrentTime()


def _not_proven(seen: Seen, doing: str) -> NotProvenError:
    remedy = (
        "grant the user Read-only on the hosts, propagating"
        if seen.host_contact is Contact.UNKNOWN
        else "look at the VM and its host in vCenter"
    )
    return NotProvenError(
        f"{doing}: {seen.sentence()}; that does not prove it off",
        remedy=remedy,
        retry_after_ms=1_000,
    )
