"""The only writer of status: by server-side apply, only when it differs, never from an old object.

A status is compared with what the API server last showed; equal ones are not sent. A conflict
means that the object changed meanwhile: it is read anew, and the next pass judges again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standfast.adapters.kube.client import ConflictError, KubeClient
from standfast.adapters.kube.paths import Collection
from standfast.adapters.kube.recorder import Happening, Recorder, Regarding
from standfast.api.base import API_VERSION, Model
from standfast.api.conditions import Condition, ConditionType, find_condition, with_condition
from standfast.api.kinds import BY_NAME
from standfast.api.scalars import Truth
from standfast.controller.store import Held, Key, Store
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.errors import UserError

Claims = Mapping[ConditionType, Claim | None]
"""What is claimed of each type; None takes a condition away."""


def collection(kind: str) -> Collection:
    """Where objects of one of our kinds live."""
    return Collection(API_VERSION, kind, BY_NAME[kind].plural)


@dataclass(frozen=True, slots=True)
class Judged:
    """An object as it was when it was judged."""

    key: Key
    held: Held

    @property
    def generation(self) -> int:
        return int(self.held.metadata.get("generation") or 0)

    @property
    def regarding(self) -> Regarding:
        key = self.key
        return Regarding(API_VERSION, key.kind, key.namespace, key.name, self.held.uid)

    def conditions(self) -> tuple[Condition, ...]:
        """What was claimed before, as far as it reads."""
        shown = (self.held.document.get("status") or {}).get("conditions") or ()
        return tuple(Condition.model_validate(each, extra="ignore") for each in shown)

    def claimed(self, claims: Claims) -> tuple[Condition, ...]:
        """The conditions with these claims, times kept where the truth is the same."""
        conditions = self.conditions()
        now = datetime.now(UTC)
        for kind, claim in claims.items():
            if claim is None:
                conditions = tuple(each for each in conditions if each.type != kind.value)
                continue
            conditions = with_condition(
                conditions,
                kind,
                claim.holds,
                reason=claim.reason.value,
                message=claim.message,
                generation=self.generation,
                now=now,
                remedy=claim.remedy,
            )
        return tuple(sorted(conditions, key=lambda each: _ORDER.get(each.type, len(_ORDER))))


_ORDER = {kind.value: place for place, kind in enumerate(ConditionType)}
_NEWS = {ConditionType.READY, ConditionType.PROTECTED, ConditionType.STALLED}
"""Conditions whose change is worth an Event."""


class StatusWriter:
    """Writes statuses.

    Args:
        client: The API server.
        store: Takes the written object, so that the next write starts from it.
        recorder: Tells users of conditions that changed.
    """

    def __init__(self, client: KubeClient, store: Store, recorder: Recorder) -> None:
        self._client = client
        self._store = store
        self._recorder = recorder
        self._locks: dict[Key, asyncio.Lock] = {}

    def lock(self, key: Key) -> asyncio.Lock:
        """Held from reading an object to having written its status, where two may write it."""
        return self._locks.setdefault(key, asyncio.Lock())

    def forget(self, key: Key) -> None:
        self._locks.pop(key, None)

    async def write(self, judged: Judged, status: Model) -> bool:
        """Write a status unless it is shown already.

        Returns:
            Whether it was written.

        Raises:
            ConflictError: The object changed or vanished; the store holds what is there now.
            TransientError: The API server cannot be asked.
        """
        return await self.write_raw(judged, status.to_object())

    async def write_raw(self, judged: Judged, document: Mapping[str, Any]) -> bool:
        """The same for a status as plain JSON."""
        key = judged.key
        shown: Mapping[str, Any] = judged.held.document.get("status") or {}
        if document == shown:
            return False
        what = collection(key.kind)
        try:
            after = await self._client.apply_status(
                what, key.namespace, key.name, document, judged.held.version
            )
        except ConflictError:
            await self._read_again(key)
            raise
        self._store.put(BY_NAME[key.kind], after)
        self._tell(judged, document)
        return True

    async def refuse(self, judged: Judged, error: UserError) -> None:
        """The spec does not read: say so, and change nothing else of the status."""
        shown = dict(judged.held.document.get("status") or {})
        stalled = Claim(True, Reason.SPEC_REFUSED, error.problem, error.remedy)
        conditions = judged.claimed({ConditionType.STALLED: stalled})
        shown["observedGeneration"] = judged.generation
        shown["conditions"] = [each.to_object() for each in conditions]
        await self.write_raw(judged, shown)

    async def _read_again(self, key: Key) -> None:
        document = await self._client.find(collection(key.kind), key.namespace, key.name)
        if document is None:
            self._store.drop(key)
        else:
            self._store.put(BY_NAME[key.kind], document)

    def _tell(self, judged: Judged, document: Mapping[str, Any]) -> None:
        before = judged.conditions()
        for shown in document.get("conditions") or ():
            condition = Condition.model_validate(shown)
            if condition.type not in {kind.value for kind in _NEWS}:
                continue
            old = find_condition(before, condition.type)
            if old is not None and old.status is condition.status:
                continue
            if condition.status is Truth.UNKNOWN and old is None:
                continue
            is_good = (condition.status is Truth.TRUE) != (
                condition.type == ConditionType.STALLED.value
            )
            self._recorder.record(
                Happening(
                    judged.regarding,
                    condition.reason,
                    f"{condition.type}={condition.status.value}: {condition.message}",
                    warning=not is_good,
                    action="Judge",
                )
            )
