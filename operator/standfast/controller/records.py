"""Collects the nodes' logs and keeps a `FailoverRecord` per move that nobody had asked for.

The records are bounded by count and age. A record is made once and completed once, when the node
that failed is back and its log has been read; while nothing happens nothing is read or written.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from standfast.adapters.kube.client import ConflictError, KubeClient
from standfast.adapters.kube.paths import Document, Owner
from standfast.adapters.kube.recorder import Happening, Recorder, Regarding
from standfast.api.base import API_VERSION
from standfast.api.cluster import HACluster, loss_bytes_max
from standfast.api.cluster_status import LastFailover
from standfast.api.conditions import ConditionType, find_condition, with_condition
from standfast.api.kinds import FAILOVERRECORD
from standfast.api.record import FailoverRecord
from standfast.api.scalars import Truth
from standfast.api.switchover import Switchover
from standfast.controller.calling import Caller, Door
from standfast.controller.history import Move, moves, record_of
from standfast.controller.statuses import collection
from standfast.controller.store import Key, Store
from standfast.core.reasons import Reason
from standfast.core.record import DataMode
from standfast.wire.api import (
    LOG_ENTRIES_MAX,
    LOG_PATH,
    LogAnswer,
    LogEntry,
    TakeoverStatus,
)

KEPT_MAX = 50
KEPT_FOR = timedelta(days=365)
RECORDS = collection(FAILOVERRECORD.name)


@dataclass(slots=True)
class Story:
    """What the logs of one cluster's nodes told so far.

    Attributes:
        entries: By node.
        read: Number of the last entry read, by node.
        told: Moves that were put on record, by term, with whether the record was complete.
    """

    entries: dict[str, deque[LogEntry]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    told: dict[int, bool] = field(default_factory=dict)
    _moves: list[Move] = field(default_factory=list)
    _told_from: object = None

    def wants(self, node: str, log_seq: int) -> bool:
        """Whether the node has logged something that was not read."""
        return log_seq > self.read.get(node, -1)

    def begin(self, node: str, answer: LogAnswer) -> None:
        """A node's whole log; for nothing when some of it was read before."""
        if node not in self.read:
            self.take(node, answer, 0)

    def take(self, node: str, answer: LogAnswer, log_seq: int) -> None:
        log = self.entries.setdefault(node, deque(maxlen=2 * LOG_ENTRIES_MAX))
        log.extend(answer.entries)
        last = answer.entries[-1].seq if answer.entries else log_seq
        self.read[node] = max(self.read.get(node, 0), last, log_seq)

    def moves(
        self, names: Mapping[str, str], takeovers: Mapping[int, TakeoverStatus]
    ) -> list[Move]:
        """All moves that the logs tell so far; told anew only when there is news."""
        news = (dict(self.read), set(takeovers))
        if news != self._told_from:
            logs = {node: list(log) for node, log in self.entries.items()}
            self._told_from, self._moves = news, moves(logs, names, takeovers)
        return self._moves

    def settled(self, found: Sequence[Move], unread: Collection[str]) -> list[Move]:
        """Moves whose whole story can be known: what the left node logged is read, or cannot be.

        Args:
            found: All moves.
            unread: Nodes that are heard and have logged what was not read yet.
        """
        return [move for move in found if move.complete or move.from_ not in unread]


async def read_log(caller: Caller, door: Door, story: Story, node: str, log_seq: int) -> None:
    """Read what a node logged since the last time."""
    after = max(story.read.get(node, 0), 0)
    answer = await caller.get(door, LOG_PATH, LogAnswer, query={"after": str(after)})
    story.take(node, answer, log_seq)


def last_failover(cluster: HACluster, found: Sequence[Move], store: Store) -> LastFailover | None:
    """The newest move, or what the status knew of one that no log tells any more."""
    known = cluster.status.last_failover
    newest = max(found, key=lambda move: move.term, default=None)
    if newest is None or (known is not None and known.term > newest.term):
        return known
    namespace, name = cluster.key
    return LastFailover(
        time=newest.completed_at.replace(microsecond=0),
        **{"from": newest.from_},
        to=newest.to,
        term=newest.term,
        planned=newest.planned,
        cause=newest.cause,
        took_ms=newest.took_ms,
        outage_ms=None if newest.planned else newest.outage_ms,
        record=_switchover_of(newest, namespace, name, store)
        if newest.planned
        else record_name(name, newest.term),
    )


def _switchover_of(move: Move, namespace: str, cluster: str, store: Store) -> str | None:
    return next(
        (
            each.metadata.name
            for each in store.of_cluster(Switchover, namespace, cluster)
            if each.status.term == move.term
        ),
        None,
    )


def record_name(cluster: str, term: int) -> str:
    return f"{cluster}-{term}"


class Records:
    """Writes records.

    Args:
        client: The API server.
        store: Holds the records that exist.
        recorder: Tells users of a failover.
    """

    def __init__(self, client: KubeClient, store: Store, recorder: Recorder) -> None:
        self._client = client
        self._store = store
        self._recorder = recorder

    def missing(self, cluster: HACluster, story: Story, found: Sequence[Move]) -> list[Move]:
        """Unplanned moves without a record, or with one that can be completed now."""
        namespace, name = cluster.key
        wanted: list[Move] = []
        for move in found[-KEPT_MAX:]:
            if move.planned or story.told.get(move.term) is move.complete:
                continue
            held = self._store.get(FailoverRecord, namespace, record_name(name, move.term))
            if held is not None and _is_complete(held):
                story.told[move.term] = True
                continue
            wanted.append(move)
        return wanted

    async def write(self, cluster: HACluster, story: Story, move: Move, data: DataMode) -> None:
        """Make a record, or complete it."""
        namespace, cluster_name = cluster.key
        name = record_name(cluster_name, move.term)
        owner = Owner(API_VERSION, cluster.kind, cluster_name, cluster.metadata.uid)
        document: Document = {
            "metadata": {
                "name": name,
                "labels": {"standfast.dev/cluster": cluster_name},
                "ownerReferences": [owner.reference()],
            },
            "spec": {"clusterRef": {"name": cluster_name}, "term": move.term},
        }
        is_new = True
        try:
            made = await self._client.create(RECORDS, namespace, document)
        except ConflictError:
            made = await self._client.get(RECORDS, namespace, name)
            is_new = not (made.get("status") or {}).get("to")
        bound = loss_bytes_max(cluster.spec)
        status = record_of(move, data, _fence_of(cluster, move), loss_max=bound)
        conditions = with_condition(
            (),
            ConditionType.READY,
            move.complete,
            reason=(Reason.COMPLETED if move.complete else Reason.NODE_MISSING).value,
            message="the record is complete"
            if move.complete
            else f"{move.from_} has not been heard since: its own log is missing",
            generation=1,
            now=datetime.now(UTC),
        )
        status = status.model_copy(update={"conditions": conditions})
        after = await self._client.apply_status(
            RECORDS, namespace, name, status.to_object(), made["metadata"]["resourceVersion"]
        )
        self._store.put(FAILOVERRECORD, after)
        story.told[move.term] = move.complete
        if is_new:
            about = Regarding(
                API_VERSION, cluster.kind, namespace, cluster_name, cluster.metadata.uid
            )
            self._recorder.record(
                Happening(
                    about,
                    Reason.FAILED_OVER.value,
                    status.message or "",
                    warning=True,
                    action="Record",
                )
            )

    async def prune(self, cluster: HACluster) -> None:
        """Remove records beyond the bounds, oldest first."""
        namespace, name = cluster.key
        held = list(self._store.of_cluster(FailoverRecord, namespace, name))
        held.sort(key=lambda record: record.spec.term)
        oldest = datetime.now(UTC) - KEPT_FOR
        for place, record in enumerate(held):
            made = record.metadata.creation_timestamp
            if place < len(held) - KEPT_MAX or (made is not None and made < oldest):
                await self._client.delete(
                    RECORDS, namespace, record.metadata.name, record.metadata.uid
                )
                self._store.drop(Key(FAILOVERRECORD.name, namespace, record.metadata.name))


def _is_complete(record: FailoverRecord) -> bool:
    condition = find_condition(record.status.conditions, ConditionType.READY.value)
    return condition is not None and condition.status is Truth.TRUE


def _fence_of(cluster: HACluster, move: Move) -> str:
    """Evidence of a power-off that was done for this move."""
    return next(
        (
            node.fence.message
            for node in cluster.status.nodes
            if node.name == move.from_
            and node.fence is not None
            and node.fence.proven
            and node.fence.term == move.term
        ),
        "",
    )
