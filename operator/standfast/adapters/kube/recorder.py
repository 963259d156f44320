"""Kubernetes Events: told once, counted when repeated, and never a flood.

`record` returns at once; one task posts. An Event is a courtesy: one that cannot be posted is
counted and dropped, because conditions and records hold what matters.
"""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from standfast.adapters.kube.client import FIELD_MANAGER, KubeClient
from standfast.adapters.kube.paths import EVENTS, Document
from standfast.errors import StandfastError
from standfast.ports.clock import Clock

SAME_MS = 600_000
"""The same words about the same object within this time are one Event with a count."""
COUNT_MS_MIN = 60_000
"""A count is written at most this often."""
BURST, REFILL_MS = 25, 60_000
"""Events of one object: this many at once, then one per interval."""
REMEMBERED = 4_096
QUEUED = 1_000
NOTE_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def reference(self) -> Document:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }


@dataclass(frozen=True, slots=True)
class Happening:
    """What an Event says.

    Attributes:
        reason: The reason enum's word.
        note: The sentence.
        warning: Somebody might have to act.
        action: What was done, in one word.
    """

    regarding: Regarding
    reason: str
    note: str
    warning: bool = False
    action: str = "Reconcile"


@dataclass(slots=True)
class _Told:
    name: str
    first_at_ms: int
    written_at_ms: int
    count: int = 1


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: int


class Recorder:
    """Posts Events.

    Args:
        client: The API server.
        clock: For de-duplication and rate.
        instance: Our own name: the pod's.
    """

    def __init__(self, client: KubeClient, clock: Clock, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance
        self._queue: asyncio.Queue[Happening] = asyncio.Queue(QUEUED)
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.dropped = 0
        """Events that were not posted: too many, or the API server did not take them."""

    def record(self, happening: Happening) -> None:
        """Post it soon, or count it, or drop it."""
        try:
            self._queue.put_nowait(happening)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Post what was recorded, until cancelled."""
        while True:
            happening = await self._queue.get()
            try:
                await self._post(happening)
            except StandfastError:
                self.dropped += 1

    async def _post(self, happening: Happening) -> None:
        now_ms = self._clock.now_ms()
        key = (happening.regarding.uid, happening.reason, happening.note)
        told = self._told.get(key)
        if told is not None and now_ms - told.first_at_ms < SAME_MS:
            await self._count(happening, told, now_ms)
            return
        if not self._allowed(happening.regarding.uid, now_ms):
            self.dropped += 1
            return
        name = f"{happening.regarding.name}.{secrets.token_hex(8)}"
        await self._client.create(
            EVENTS, happening.regarding.namespace, self._document(happening, name)
        )
        self._told[key] = _Told(name, now_ms, now_ms)
        _forget(self._told)

    async def _count(self, happening: Happening, told: _Told, now_ms: int) -> None:
        told.count += 1
        if now_ms - told.written_at_ms < COUNT_MS_MIN:
            return
        told.written_at_ms = now_ms
        series = {"count": told.count, "lastObservedTime": _now()}
        await self._client.merge(
            EVENTS, happening.regarding.namespace, told.name, {"series": series}
        )

    def _allowed(self, uid: str, now_ms: int) -> bool:
        bucket = self._buckets.setdefault(uid, _Bucket(BURST, now_ms))
        bucket.tokens = min(BURST, bucket.tokens + (now_ms - bucket.at_ms) / REFILL_MS)
        bucket.at_ms = now_ms
        _forget(self._buckets)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _document(self, happening: Happening, name: str) -> Document:
        return {
            "metadata": {"name": name, "namespace": happening.regarding.namespace},
            "eventTime": _now(),
            "reportingController": f"standfast.dev/{FIELD_MANAGER}",
            "reportingInstance": self._instance[:128],
            "action": happening.action,
            "reason": happening.reason,
            "regarding": happening.regarding.reference(),
            "note": happening.note[:NOTE_CHARS],
            "type": "Warning" if happening.warning else "Normal",
        }


def _forget(
    memory: "OrderedDict[tuple[str, str, str], _Told] | OrderedDict[str, _Bucket]",
) -> None:
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
