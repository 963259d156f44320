"""The parts of the acting operator, put together once when this replica is elected."""

from dataclasses import dataclass

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.recorder import Recorder
from standfast.controller.authorities import Authorities
from standfast.controller.calling import Caller
from standfast.controller.errands import Errands
from standfast.controller.execution import Executor
from standfast.controller.infrastructures import Infrastructures
from standfast.controller.listening import Switchboard
from standfast.controller.provision import Provider
from standfast.controller.records import Records
from standfast.controller.statuses import StatusWriter
from standfast.controller.store import Key, Store
from standfast.controller.witnesses import Witnesses
from standfast.controller.workqueue import WorkQueue
from standfast.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """What passes work with. Each has one job; none knows the others but by name."""

    store: Store
    queue: WorkQueue[Key]
    clock: Clock
    client: KubeClient
    caller: Caller
    authorities: Authorities
    switchboard: Switchboard
    infrastructures: Infrastructures
    witnesses: Witnesses
    errands: Errands
    executor: Executor
    provider: Provider
    recorder: Recorder
    statuses: StatusWriter
    records: Records
