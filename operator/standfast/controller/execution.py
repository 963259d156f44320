"""The only writer to members and to power: carries out what was decided, one errand each.

Nothing here decides. Every act asks first whether this replica may act, looks again at what it is
about to change, and says only what it has proven. A power-off goes: remember it, order it, prove
it, ask the node itself (a node that still answers in the boot that is said to be over refutes its
own infrastructure), tell the members.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPMethod
from typing import assert_never

from standfast.adapters.kube.elector import Elector
from standfast.api.cluster_status import FenceStatus
from standfast.controller.calling import Caller, NotReachedError
from standfast.controller.errands import Errands, Name
from standfast.controller.infrastructures import FACTS_AGE_MS_MAX, Connected
from standfast.controller.listening import Line
from standfast.controller.logs import logger
from standfast.controller.memory import Memory
from standfast.controller.observation import listeners, off_seen
from standfast.controller.store import Key
from standfast.core.fencing import OffSeen, boot_is_over
from standfast.core.placement import Action, Brace, Fence, HandOver, PowerOn, Tell, stunning
from standfast.errors import RefusedError, StandfastError, TransientError, UserError
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import Evidence, Hypervisor, NotProvenError
from standfast.wire.api import (
    BRACE_PATH,
    FENCED_PATH,
    RELEASE_PATH,
    STATUS_PATH,
    Accepted,
    BraceRequest,
    Done,
    FencedRequest,
    MemberStatus,
    ReleaseRequest,
)

FENCE_MS = 30_000
"""One try to power a VM off with proof; the fence as a whole does not give up."""
POWER_ON_MS = 60_000
BRACE_EVERY_S = 3.0
BRACE_MS = 15_000
"""Asked for each time: a stun of that length and an operator that dies in it both end well."""
ALIVE_S = 0.2
"""How long a node may take to refute the news of its own death."""


@dataclass(frozen=True, slots=True)
class Field:
    """What the acts on one cluster need to know.

    Attributes:
        uids: Member uid by name.
        vms: Instance UUID by node.
        persist: Writes the status now; raises when it cannot.
    """

    key: Key
    lines: Mapping[str, Line]
    uids: Mapping[str, str]
    vms: Mapping[str, str]
    infrastructures: Mapping[str, Connected]
    memory: Memory
    persist: Callable[[], Awaitable[None]]


class Executor:
    """Carries out actions.

    Args:
        errands: Each action is one.
        caller: Speaks to members.
        elector: Whether this replica may act.
        clock: For moments.
    """

    def __init__(self, errands: Errands, caller: Caller, elector: Elector, clock: Clock) -> None:
        self._errands = errands
        self._caller = caller
        self._elector = elector
        self._clock = clock

    def execute(self, field: Field, actions: tuple[Action, ...]) -> list[Action]:
        """Start what is not under way.

        Returns:
            The actions that were started now.
        """
        return [
            action
            for action in actions
            if self._errands.want(field.key, name_of(action), partial(self._act, field, action))
        ]

    async def _act(self, field: Field, action: Action) -> None:
        self.must_lead()
        match action:
            case Tell(node, boot):
                await self._tell(field, node, boot)
            case Fence(node, boot, term):
                await self._fence(field, node, boot, term)
            case PowerOn(node):
                await hypervisor_of(field, node).power_on(field.vms[node], POWER_ON_MS)
                logger(cluster=field.key.name, node=node).info("Powered on")
            case HandOver():
                await self.hand_over(field, action)
            case Brace(node):
                await self._brace(field, node)
            case _:
                assert_never(action)

    def must_lead(self) -> None:
        """Ask right before every act.

        Raises:
            TransientError: Another replica may be acting now.
        """
        if not self._elector.held():
            raise TransientError("this replica's lease has lapsed, so it does not act")

    async def hand_over(self, field: Field, action: HandOver) -> None:
        """Ask the active node to release its lease. The same request again changes nothing.

        Raises:
            RefusedError: The node says no, and why.
        """
        self.must_lead()
        body = ReleaseRequest(
            successor=field.uids[action.successor],
            reason=action.why,
            request_id=action.request,
        )
        door = field.lines[action.node].door
        await self._caller.send(door, HTTPMethod.POST, RELEASE_PATH, body, Accepted)
        logger(cluster=field.key.name, node=action.node).info(
            "Asked to hand over", to=action.successor, request=action.request
        )

    async def _brace(self, field: Field, node: str) -> None:
        """While such tasks run: a node that stands still does not hear it, and is asked again."""
        while True:
            self.must_lead()
            inventory = field.infrastructures[node].inventory
            facts = inventory.vm(field.vms[node], self._clock.now_ms(), FACTS_AGE_MS_MAX)
            tasks = stunning(facts.tasks)
            body = BraceRequest(for_ms=BRACE_MS if tasks else 0, reason=", ".join(tasks))
            with contextlib.suppress(NotReachedError):
                door = field.lines[node].door
                await self._caller.send(door, HTTPMethod.POST, BRACE_PATH, body, Done)
            if not tasks:
                return
            await asyncio.sleep(BRACE_EVERY_S)

    async def _tell(self, field: Field, node: str, boot: str) -> None:
        """The VM was found off: read it afresh, and say which boot that ended."""
        evidence = await hypervisor_of(field, node).verify_off(field.vms[node])
        await self._announce(field, node, boot, evidence, self._found(field, node, evidence))

    async def _fence(self, field: Field, node: str, boot: str, term: int) -> None:
        before = field.memory.fences.get(node)
        is_resumed = before is not None and before.boot_id == boot
        evidence = await self._ordered_before(field, node, boot)
        if evidence is not None:
            off = OffSeen(ordered=True, asked_at_ms=self._clock.now_ms())
        else:
            asked_at_ms = self._clock.now_ms()
            evidence = await self._power_off(field, node, boot, term)
            off = (
                OffSeen(ordered=True, asked_at_ms=asked_at_ms)
                if evidence.ordered
                else self._found(field, node, evidence)
            )
        try:
            await self._announce(field, node, boot, evidence, off)
        except StandfastError as error:
            self._note(field, node, message=error.problem)
            raise
        if evidence.ordered or is_resumed:
            self._note(field, node, proven=True, message=evidence.sentence())
        else:
            # Somebody else switched it off: that is not ours to undo.
            del field.memory.fences[node]
        logger(cluster=field.key.name, node=node, term=term).info(
            "Fenced", evidence=evidence.sentence(), took_ms=evidence.took_ms
        )
        await field.persist()

    async def _ordered_before(self, field: Field, node: str, boot: str) -> Evidence | None:
        """It was ordered for this very boot, and the end was not seen: the task tells."""
        fence = field.memory.fences.get(node)
        if fence is None or fence.boot_id != boot:
            return None
        try:
            hypervisor = hypervisor_of(field, node)
            return await hypervisor.verify_since(field.vms[node], fence.ordered_at)
        except NotProvenError:
            return None

    def _found(self, field: Field, node: str, evidence: Evidence) -> OffSeen:
        """How a VM that nobody ordered off came to be seen off."""
        now_ms = self._clock.now_ms()
        inventory = field.infrastructures[node].inventory
        facts = inventory.vm(field.vms[node], now_ms, FACTS_AGE_MS_MAX)
        return off_seen(facts, evidence.read_at_ms)

    async def _power_off(self, field: Field, node: str, boot: str, term: int) -> Evidence:
        await self._still_wanted(field, node, boot)
        before = field.memory.fences.get(node)
        if before is None or before.boot_id != boot:
            field.memory.fences[node] = FenceStatus(
                boot_id=boot,
                term=term,
                ordered_at=await hypervisor_of(field, node).clock(),
                message="the power-off is being ordered",
            )
        await field.persist()
        self.must_lead()
        logger(cluster=field.key.name, node=node, term=term).info("Fencing")
        try:
            return await self._proven(field, node)
        except StandfastError as error:
            self._note(field, node, message=error.problem)
            raise

    async def _proven(self, field: Field, node: str) -> Evidence:
        """Order it; the task is remembered before it is waited for."""
        loop = asyncio.get_running_loop()
        ordered: asyncio.Future[str] = loop.create_future()

        def on_task(task: str) -> None:
            loop.call_soon_threadsafe(_resolve, ordered, task)

        proof = asyncio.create_task(
            hypervisor_of(field, node).power_off_with_proof(field.vms[node], FENCE_MS, on_task)
        )
        await asyncio.wait((proof, ordered), return_when=asyncio.FIRST_COMPLETED)
        if ordered.done():
            self._note(field, node, task=ordered.result())
            with contextlib.suppress(TransientError):
                await field.persist()
        return await proof

    async def _still_wanted(self, field: Field, node: str, boot: str) -> None:
        """Somebody who holds the lease still names this boot as one that may not be stopped.

        A replica that was frozen wakes up with an old picture: it asks before it shoots.
        """
        uid = field.uids[node]
        for name, line in field.lines.items():
            if name == node or line.now is None or line.now.role not in {"Holding", "Active"}:
                continue
            status = await self._caller.get(line.door, STATUS_PATH, MemberStatus)
            suspects = {(suspect.member, suspect.boot) for suspect in status.suspects}
            if status.role in {"Holding", "Active"} and (uid, boot) in suspects:
                return
        raise TransientError(f"nobody who holds the lease suspects {node} any more")

    async def _announce(
        self, field: Field, node: str, boot: str, evidence: Evidence, off: OffSeen
    ) -> None:
        """Say that a boot is over, after all that could speak against it was asked."""
        known_at_ms = field.memory.boot_known_at(node, boot, self._clock.now_ms())
        if not boot_is_over(known_at_ms, off):
            raise NotProvenError(
                f"{evidence.sentence()}; but {node} was first heard of in this boot so shortly "
                "before that it may have begun afterwards",
                retry_after_ms=5_000,
            )
        await self._refute_if_alive(field, node, boot)
        self.must_lead()
        request = FencedRequest(member=field.uids[node], boot=boot, evidence=evidence.sentence())
        told = field.memory.told.setdefault((node, boot), set())
        waiting = sorted(listeners(field.lines, node) - told)
        failed = await asyncio.gather(
            *(self._tell_one(field.lines[name], request) for name, _ in waiting)
        )
        told.update(who for who, error in zip(waiting, failed, strict=True) if error is None)
        first = next((error for error in failed if error is not None), None)
        if first is not None:
            raise TransientError(first.problem, remedy=first.remedy)

    async def _tell_one(self, line: Line, request: FencedRequest) -> StandfastError | None:
        try:
            await self._caller.send_urgently(
                line.door, HTTPMethod.POST, FENCED_PATH, request, Done
            )
        except StandfastError as error:
            return error
        return None

    async def _refute_if_alive(self, field: Field, node: str, boot: str) -> None:
        line = field.lines.get(node)
        if line is None:
            return
        try:
            status = await self._caller.get(line.door, STATUS_PATH, MemberStatus, total_s=ALIVE_S)
        except NotReachedError:
            return
        if status.boot_id == boot:
            raise RefusedError(
                f"the infrastructure calls the VM of {node} off, but its agent answers in the "
                "boot that would be over",
                remedy=f"correct vm.instanceUUID of node {node}: it names another VM",
            )

    def _note(
        self,
        field: Field,
        node: str,
        *,
        task: str | None = None,
        proven: bool | None = None,
        message: str | None = None,
    ) -> None:
        fence = field.memory.fences.get(node)
        if fence is None:
            return
        changed: dict[str, object] = {"task": task, "proven": proven, "message": message}
        update = {name: value for name, value in changed.items() if value is not None}
        field.memory.fences[node] = fence.model_copy(update=update)


def name_of(action: Action) -> Name:
    """The errand that carries out an action."""
    match action:
        case Tell(node, boot):
            return ("tell", node, boot)
        case Fence(node, boot, _):
            return ("fence", node, boot)
        case PowerOn(node):
            return ("power-on", node)
        case HandOver(node, _, request, _):
            return ("hand-over", node, request)
        case Brace(node):
            return ("brace", node)
        case _:
            assert_never(action)


def _resolve(ordered: "asyncio.Future[str]", task: str) -> None:
    if not ordered.done():
        ordered.set_result(task)


def hypervisor_of(field: Field, node: str) -> Hypervisor:
    """Who runs the VM of a node; raises UserError when nobody can be asked."""
    held = field.infrastructures.get(node)
    if held is None or held.vcenter is None:
        problem = held.problem if held is not None else None
        raise UserError(
            problem.problem if problem is not None else f"{node} has no infrastructure",
            remedy=problem.remedy if problem is not None else "set infrastructureRef",
        )
    return held.vcenter
