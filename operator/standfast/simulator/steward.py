"""The operator of a directed run: the real `core.placement` decides, here it is carried out.

`overseer` has operators that do whatever is allowed, to find faults of the protocol. This one does
what the declared policy says, as soon as a real one would know: it is woken by changes, learns of
power from vCenter a little later, and notices that a member's network is gone only when TCP does.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from standfast.core.events import FencedReported, ReleaseRequested
from standfast.core.fencing import Contact, Power
from standfast.core.messages import Fenced
from standfast.core.placement import (
    Action,
    Brace,
    Fence,
    HandOver,
    PowerOn,
    Tell,
    not_ready,
    plan,
    successor,
)
from standfast.core.reasons import Reason
from standfast.core.view import BootOf, FenceSeen, MemberSeen, Observed, Role, VmSeen
from standfast.simulator.machine import Power as MachinePower
from standfast.simulator.overseer import Operator
from standfast.simulator.scenario import Span, Why
from standfast.simulator.seen import WELL, Vms, observed
from standfast.simulator.timeline import Due

if TYPE_CHECKING:
    from standfast.simulator.directed import DirectedWorld

SWEEP_US = 1_000_000
"""How often the operator looks although nothing woke it."""

READ_BACK = Span(20, 200)
"""How long vCenter takes to be asked once more."""

RETRY_US = 2_000_000
"""Pause after a fence that proved nothing."""

POWER_ON = Span(1_000, 2_000)
"""From the order to power a VM on until it has power."""


class Steward(Operator):
    """One operator with a policy."""

    __slots__ = (
        "_due",
        "_errands",
        "_fences",
        "_heard",
        "_holding",
        "_ready",
        "_said",
        "_told",
        "fence_error",
        "stage",
        "vms",
    )

    def __init__(self, stage: "DirectedWorld", name: str) -> None:
        super().__init__(stage, name)
        self.stage = stage
        self.vms: Vms = dict.fromkeys(stage.case.node_names(), WELL)
        self.fence_error = ""
        self._due: Due | None = None
        self._errands: set[object] = set()
        self._fences: dict[str, FenceSeen] = {}
        self._told: set[BootOf] = set()
        self._heard: dict[str, tuple[int, MemberSeen]] = {}
        self._ready: dict[str, int] = {}
        self._holding: dict[tuple[str, int], int] = {}
        self._said = ""

    # --- observing -----------------------------------------------------------------------------

    @override
    def look(self) -> None:
        """The sweep."""
        self.stage.timeline.after(SWEEP_US, self.look)
        self.wake()

    def wake(self) -> None:
        """Something changed; what comes of it follows shortly."""
        if self._due is None and self.up:
            self._due = self.stage.later(self.stage.case.assumed.operator, self._decide)

    def learn(self, node: str, vm: VmSeen) -> None:
        """VCenter shows a node's VM in another state."""
        if not self.stage.fence_broken:
            self.vms[node] = vm
            self.wake()

    def picture(self) -> Observed:
        """What the operator takes for true now; who has just fallen silent counts as heard."""
        world = self.stage
        now_us = world.timeline.now_us
        silence_us = world.case.assumed.silence.high_ms * 1000
        seen = observed(world, self.name, self.vms)
        members = []
        for member in seen.members:
            machine = world.machines[member.name]
            known = member
            since_us, before = self._heard.get(member.name, (now_us, member))
            silent = not machine.runs or not self.reaches(machine)
            if member.heard:
                self._heard[member.name] = (now_us, member)
            elif silent and before.heard and now_us - since_us < silence_us:
                known = replace(before, vm=member.vm)
            members.append(self._with_moments(known, seen.now_ms))
        holder = seen.holder
        suspected = {suspect for member in members for suspect in member.suspects}
        suspected |= {holder} if holder is not None else set()
        over = frozenset(b for b in suspected if self._is_off(b.node))
        return replace(
            seen,
            members=tuple(members),
            over=over,
            told=frozenset(self._told),
            fence_error=self.fence_error,
        )

    def _is_off(self, node: str) -> bool:
        vm = self.vms.get(node, VmSeen())
        return vm.power is Power.OFF and vm.contact is Contact.CONNECTED

    def _with_moments(self, member: MemberSeen, now_ms: int) -> MemberSeen:
        name, holding = member.name, (member.name, member.term)
        ready = member.name in self.vms and not_ready(self.stage.case.want, member) is None
        if not ready:
            self._ready.pop(name, None)
        if member.role is not Role.HOLDING:
            self._holding.pop(holding, None)
        return replace(
            member,
            fence=self._fences.get(name),
            ready_since_ms=self._ready.setdefault(name, now_ms) if ready else None,
            holding_since_ms=self._holding.setdefault(holding, now_ms)
            if member.role is Role.HOLDING
            else None,
        )

    # --- deciding and acting -------------------------------------------------------------------

    def _decide(self) -> None:
        self._due = None
        if not self.up:
            return
        decision = plan(self.stage.case.want, self.picture())
        if decision.actions and decision.message != self._said:
            self._said = decision.message
            self.stage.note(self.name, decision.message)
        for action in decision.actions:
            if action not in self._errands:
                self._errands.add(action)
                self._begin(action)

    def _begin(self, action: Action) -> None:
        stage = self.stage
        match action:
            case Tell(node, boot):
                stage.later(READ_BACK, self._tell, action, node, boot)
            case Fence(node, boot):
                self._fences[node] = FenceSeen(boot=boot, term=action.term)
                stage.later(stage.case.assumed.fence, self._fence, action)
            case PowerOn(node):
                stage.later(POWER_ON, self._give_power, node)
            case HandOver(node, to):
                stage.later(stage.case.assumed.operator, self._hand_over, node, to)
            case Brace():
                pass  # no task runs on a VM of these stories

    def _give_power(self, node: str) -> None:
        """Give it power; it boots."""
        self._errands.discard(PowerOn(node))
        if self._fences.pop(node, None) is not None and self._is_off(node):
            self.learn(node, WELL)
            self.stage.later(self.stage.case.assumed.boot, self.stage.machines[node].power_on)

    def _tell(self, errand: object, node: str, boot: str) -> None:
        """Every member that is heard learns that this boot is over."""
        self._errands.discard(errand)
        machine = self.stage.machines[node]
        if not self.up or (machine.boot == boot and machine.runs):
            return
        self._told.add(BootOf(node, boot))
        fenced = Fenced(machine.process.uid, machine.boot, f"the VM of {node} is powered off")
        self.stage.note(self.name, f"tells the members that {node} is proven off")
        for other in self.stage.machines.values():
            link = (self.name, other.name)
            self.stage.network.carry(link, other.receive, FencedReported(fenced))

    def _fence(self, action: Fence) -> None:
        """The power-off, as far as vCenter can do it."""
        stage = self.stage
        machine = stage.machines[action.node]
        problem = ""
        if stage.fence_broken:
            problem = "vCenter does not answer"
        elif self.vms[action.node].contact is not Contact.CONNECTED:
            problem = (
                f"vCenter has lost contact with the host of {action.node}, and a host that it "
                "does not hear takes no orders"
            )
        if problem or not self.up:
            self.fence_error = problem
            stage.timeline.after(RETRY_US, self._errands.discard, action)
            return
        if machine.boot == action.boot:
            if machine.power is MachinePower.OFF:
                stage.note(action.node, "is powered off by vCenter")
            machine.power_off(f"by {self.name} through vCenter")
        self.fence_error = ""
        self.vms[action.node] = replace(WELL, power=Power.OFF)
        self._fences[action.node] = replace(self._fences[action.node], proven=True)
        self._tell(action, action.node, action.boot)

    def _hand_over(self, node: str, to: str) -> None:
        stage = self.stage
        uid = stage.machines[to].process.uid
        machine = stage.machines[node]
        stage.network.carry((self.name, node), machine.receive, ReleaseRequested(uid))

    # --- a person asks -------------------------------------------------------------------------

    def switch_over(self, to: str) -> Why | None:
        """Move service as planned, or say why not. As `controller.switchovers` does."""
        want, seen = self.stage.case.want, self.picture()
        if not self.up:
            return Why(Reason.NOBODY_HEARD, "no operator is there to carry it out")
        active = seen.active
        if active is None:
            return Why(Reason.NOT_CONVERGED, f"no node of {want.name} is heard serving")
        if to == active.name:
            return Why(Reason.ALREADY_THERE, f"{to} is active already: nothing moves")
        target = seen.member(to) if to else successor(want, seen, active.name)
        others = [m for m in seen.members if m.name in self.vms and m.name != active.name]
        asked = [target] if target is not None else others
        causes = [why for member in asked if (why := not_ready(want, member)) is not None]
        if target is None or causes:
            return Why(Reason.TARGET_NOT_READY, "; ".join(causes))
        self._hand_over(active.name, target.name)
        return None
