"""The thread that listens to one vCenter and turns what it hears into an `Inventory`.

One long poll after the other (`WaitForUpdatesEx`) on a collector of its own, over exactly the VMs
that clusters name, their hosts and their running tasks. Anything unexpected (session, view, filter
or collector gone, connection broken) throws away everything heard so far and builds it anew from
version "": a gap must not look like silence. A vCenter that cannot be heard is told at once, by an
`Inventory` with a problem.
"""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.faults import SessionLostError, vcenter_faults
from standfast.adapters.vsphere.picture import HOST_PATHS, TASK_PATHS, VM_PATHS, Picture
from standfast.adapters.vsphere.scope import Scope
from standfast.adapters.vsphere.search import find, moid
from standfast.adapters.vsphere.session import WAIT_S_MAX, Connection, Session
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import Inventory

Query = vmodl.query.PropertyCollector
Publish = Callable[[Inventory], None]

RETRY_MS_MIN, RETRY_MS_MAX = 500, 15_000
USER_ERROR_RETRY_MS = 300_000
"""After a wrong password or certificate: seldom, or vCenter locks the account."""
LOOK_AGAIN_S = 30
"""A watched VM that was not found is looked up again this often."""


@dataclass(slots=True)
class _Collecting:
    """One collector with its filter, and what it heard."""

    connection: Connection
    collector: vmodl.query.PropertyCollector
    picture: Picture
    missing: Mapping[str, str]
    watched: frozenset[str]
    vms_in_scope: int
    version: str = ""
    waits: int = 0


class Feed:
    """Listens from `start` to `stop`.

    Args:
        session: The login, shared with whoever switches power.
        clock: Stamps what is heard.
        publish: Takes each new inventory; called from this thread, returns at once.
        scope: Part of the inventory that may be looked at.
    """

    def __init__(self, session: Session, clock: Clock, publish: Publish, scope: Scope) -> None:
        self._session = session
        self._clock = clock
        self._publish = publish
        self._scope = scope
        self._wanted: frozenset[str] = frozenset()
        self._wake = threading.Event()
        self._stopping = False
        self._collecting: _Collecting | None = None
        self._inventory = Inventory(endpoint=session.access.server)
        self._thread = threading.Thread(
            target=self._run, name=f"vcenter-{session.access.host}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def watch(self, uuids: frozenset[str]) -> None:
        """Follow exactly these VMs; takes effect within a round trip."""
        if uuids != self._wanted:
            self._wanted = uuids
            self.interrupt()

    def interrupt(self) -> None:
        """End the present wait, so that a change is seen now: other VMs, another login, a stop."""
        self._wake.set()
        collecting = self._collecting
        if collecting is None:
            return
        with contextlib.suppress(StandfastError), vcenter_faults(self._session.access, "waking"):
            asking = self._session.asking()
            collector = vim_collector(collecting.collector, asking)
            collector.CancelWaitForUpdates()

    def stop(self, timeout_s: float) -> None:
        """End the thread; it may outlive the timeout when vCenter answers nothing."""
        self._stopping = True
        self.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        retry_ms = RETRY_MS_MIN
        while not self._stopping:
            try:
                self._listen()
                retry_ms = RETRY_MS_MIN
            except StandfastError as error:
                self._say(replace(self._inventory, problem=error))
                wait_ms = USER_ERROR_RETRY_MS if isinstance(error, UserError) else retry_ms
                retry_ms = min(2 * retry_ms, RETRY_MS_MAX)
                self._pause(wait_ms)
        self._drop()

    def _pause(self, wait_ms: int) -> None:
        self._wake.wait(wait_ms / 1000)
        self._wake.clear()

    def _listen(self) -> None:
        """One pass: build when there is nothing to wait on, then wait once."""
        collecting = self._collecting
        try:
            if collecting is None or collecting.watched != self._wanted:
                self._drop()
                collecting = self._collecting = self._build(self._wanted)
            self._wake.clear()
            if collecting.watched != self._wanted or self._stopping:
                return
            self._wait(collecting)
        except SessionLostError as error:
            self._forget(error)
        except StandfastError:
            if self._collecting is not None:
                self._collecting.connection.drop()
            self._collecting = None
            raise

    def _forget(self, error: SessionLostError) -> None:
        """The session or the collector is gone. Between two waits that is somebody's wish."""
        collecting, self._collecting = self._collecting, None
        if collecting is None:
            self._session.renew(self._session.key)
            raise TransientError(error.problem) from error
        collecting.connection.drop()
        if not self._wake.is_set():
            self._session.renew(collecting.connection.key)

    def _wait(self, collecting: _Collecting) -> None:
        if not collecting.watched:
            self._wait_without_vms(collecting)
            return
        with vcenter_faults(self._session.access, "listening"):
            answer = collecting.collector.WaitForUpdatesEx(
                collecting.version, Query.WaitOptions(maxWaitSeconds=WAIT_S_MAX)
            )
        if answer is not None:
            for each in answer.filterSet or ():
                collecting.picture.take(each.objectSet or ())
            collecting.version = answer.version
            if answer.truncated:
                return
        self._heard(collecting)
        collecting.waits += 1
        if collecting.missing and answer is None:
            self._drop()

    def _wait_without_vms(self, collecting: _Collecting) -> None:
        with vcenter_faults(self._session.access, "asking the time"):
            service = vim.ServiceInstance("ServiceInstance", collecting.connection.stub)
            service.CurrentTime()
        self._heard(collecting)
        self._pause(WAIT_S_MAX * 1000)

    def _heard(self, collecting: _Collecting) -> None:
        now_ms = self._clock.now_ms()
        about = collecting.connection.content.about
        self._say(
            Inventory(
                endpoint=self._session.access.server,
                heard_at_ms=now_ms,
                version=about.fullName,
                identity=about.instanceUuid or "",
                vms=collecting.picture.vms(now_ms),
                missing=collecting.missing,
                vms_in_scope=collecting.vms_in_scope,
            )
        )

    def _say(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._publish(inventory)

    def _build(self, wanted: frozenset[str]) -> _Collecting:
        access = self._session.access
        asking = self._session.asking()
        vms, missing = self._scope.sift(asking, access, find(asking, access, wanted))
        listening = self._session.listening()
        try:
            with vcenter_faults(access, "preparing to listen"):
                collector = listening.content.propertyCollector.CreatePropertyCollector()
                if vms:
                    collector.CreateFilter(_filter(list(vms.values())), partialUpdates=True)
        except StandfastError:
            listening.drop()
            raise
        watched = {moid(vm): uuid for uuid, vm in vms.items()}
        counted = self._scope.count(asking, access)
        return _Collecting(listening, collector, Picture(watched), missing, wanted, counted)

    def _drop(self) -> None:
        collecting, self._collecting = self._collecting, None
        if collecting is None:
            return
        with (
            contextlib.suppress(StandfastError),
            vcenter_faults(self._session.access, "ceasing to listen"),
        ):
            collecting.collector.DestroyPropertyCollector()
        collecting.connection.drop()


def vim_collector(
    collector: vmodl.query.PropertyCollector, connection: Connection
) -> vmodl.query.PropertyCollector:
    """The same collector, spoken to over another connection."""
    return Query(moid(collector), connection.stub)


def _filter(vms: list[vim.VirtualMachine]) -> vmodl.query.PropertyCollector.FilterSpec:
    """The VMs, the hosts they run on (followed when they move), and their recent tasks."""
    follow = [
        Query.TraversalSpec(name="host", type=vim.VirtualMachine, path="runtime.host", skip=False),
        Query.TraversalSpec(name="task", type=vim.VirtualMachine, path="recentTask", skip=False),
    ]
    return Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=vm, skip=False, selectSet=follow) for vm in vms],
        propSet=[
            Query.PropertySpec(type=vim.VirtualMachine, pathSet=list(VM_PATHS), all=False),
            Query.PropertySpec(type=vim.HostSystem, pathSet=list(HOST_PATHS), all=False),
            Query.PropertySpec(type=vim.Task, pathSet=list(TASK_PATHS), all=False),
        ],
        reportMissingObjectsInResults=True,
    )
