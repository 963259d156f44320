"""Drives the `Switchover` objects of a cluster: one step of each per pass (`switchovers.step`).

A step is written before it is acted on. One that vanishes while the active node is stopping its
resources for it is called off there.
"""

from datetime import UTC, datetime
from functools import partial
from http import HTTPMethod

from standfast.api.switchover import Switchover, SwitchoverPhase
from standfast.controller import switchovers
from standfast.controller.execution import Field, name_of
from standfast.controller.gathering import Scenery
from standfast.controller.history import SWITCHOVER
from standfast.controller.listening import Line
from standfast.controller.logs import logger
from standfast.controller.parts import Parts
from standfast.controller.statuses import Judged
from standfast.controller.store import Key
from standfast.controller.switchovers import Scene
from standfast.core.placement import HandOver
from standfast.core.view import Observed, Wanted
from standfast.wire.api import RELEASE_PATH, Accepted, StandRequest

ASK_RETRY_MS_MAX = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Mover:
    """Moves service by request.

    Args:
        parts: What it works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def moving(self, scenery: Scenery) -> str:
        """Which move is under way, as a sentence; "" when none is."""
        under_way = [s for s in self._all(scenery) if switchovers.is_under_way(s)]
        uids = {each.metadata.uid for each in under_way}
        for request, node in list(scenery.memory.requested.items()):
            if request not in uids:
                self._call_off(scenery, request, node)
        return f"Switchover {under_way[0].metadata.name} is under way" if under_way else ""

    def chosen(self, scenery: Scenery) -> str:
        """The node that a person moved service to, for as long as that tenure lasts."""
        status = scenery.cluster.status
        last = status.last_failover
        if last is not None and last.cause == SWITCHOVER and last.term == status.term:
            return last.to
        done = [each.status for each in self._all(scenery) if each.status.phase is not None]
        return next(
            (
                each.to or ""
                for each in reversed(done)
                if each.phase is SwitchoverPhase.COMPLETED and each.term == status.term
            ),
            "",
        )

    async def step(self, scenery: Scenery, field: Field, want: Wanted, seen: Observed) -> bool:
        """One step of every move that is not final; whether there is any."""
        is_any = False
        for switchover in self._all(scenery):
            phase = switchover.status.phase
            if phase is None or not phase.final:
                is_any = True
                await self._one(scenery, field, switchover, want, seen)
        return is_any

    def _all(self, scenery: Scenery) -> list[Switchover]:
        namespace, name = scenery.cluster.key
        found = [
            each
            for each in self._parts.store.of_cluster(Switchover, namespace, name)
            if each.metadata.deletion_timestamp is None
        ]
        found.sort(key=lambda each: (each.metadata.creation_timestamp or _EPOCH, each.key))
        return found

    async def _one(
        self,
        scenery: Scenery,
        field: Field,
        switchover: Switchover,
        want: Wanted,
        seen: Observed,
    ) -> None:
        namespace, name = switchover.key
        key = Key(Switchover.__name__, namespace, name)
        held = self._parts.store.held(key)
        if held is None:
            return
        others = [
            each
            for each in self._all(scenery)
            if each.key != switchover.key and switchovers.is_under_way(each)
        ]
        busy = f"Switchover {others[0].metadata.name} is under way" if others else ""
        asked = ("hand-over", switchover.status.from_ or "", switchover.metadata.uid)
        refusal = self._parts.errands.error(scenery.key, asked)
        scene = Scene(want, seen, busy, refusal, datetime.now(UTC))
        step = switchovers.step(switchover, scene)
        if step.action is not None:
            self._ask(scenery, field, step.action)
        if await self._parts.statuses.write(Judged(key, held), step.status):
            logger(cluster=want.name, switchover=name).info(
                "Switchover", phase=step.status.phase, reason=step.status.reason
            )
            self._parts.queue.add(scenery.key)

    def _ask(self, scenery: Scenery, field: Field, action: HandOver) -> None:
        memory = scenery.memory
        if action.node not in scenery.lines:
            return
        memory.requested[action.request] = action.node
        if memory.asked.get(action.request) == action.node:
            return

        async def act() -> None:
            await self._parts.executor.hand_over(field, action)
            memory.asked[action.request] = action.node

        self._parts.errands.want(scenery.key, name_of(action), act, ASK_RETRY_MS_MAX)

    def _call_off(self, scenery: Scenery, request: str, node: str) -> None:
        """A Switchover vanished or ended: what was asked of the node for it is void."""
        del scenery.memory.requested[request]
        scenery.memory.asked.pop(request, None)
        line = scenery.lines.get(node)
        if line is not None and line.now is not None and line.now.releasing:
            act = partial(self._cancel, line, request)
            self._parts.errands.want(scenery.key, ("call-off", request), act)

    async def _cancel(self, line: Line, request: str) -> None:
        self._parts.executor.must_lead()
        body = StandRequest(request_id=request)
        await self._parts.caller.send(line.door, HTTPMethod.DELETE, RELEASE_PATH, body, Accepted)
