"""Doing to a directed world what was declared: one method per verb, and how each ends.

A fault that lasts ends after its time, or with the next `heal`, or not at all. `faults` has the
misfortunes that are drawn by chance; these are the ones a person can name, with what vCenter and
the operator would make of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from standfast.core.fencing import Contact, Power
from standfast.core.view import VmSeen
from standfast.simulator.client import serves
from standfast.simulator.machine import Machine
from standfast.simulator.machine import Power as MachinePower
from standfast.simulator.network import Link
from standfast.simulator.resources import Resources
from standfast.simulator.scenario import (
    ACTIVE,
    OPERATOR,
    STANDBY,
    VCENTER,
    DeclaredFault,
    Span,
    Verb,
    Why,
)
from standfast.simulator.seen import WELL
from standfast.simulator.timeline import Due

if TYPE_CHECKING:
    from standfast.simulator.directed import DirectedWorld

End = Callable[[], None]

SHUTDOWN = Span(500, 1_500)
"""From the order to reboot until the machine is down."""

WITNESS_BACK = Span(1_000, 3_000)
"""A witness's process or pod starts."""

UNKNOWN_VM = VmSeen(problem="vCenter does not answer")


class DeclaredFaults:
    """The faults of one run.

    Attributes:
        busy_until_us: Until then something that was declared is still to come.
        hoped_until_us: Until then something may still come by itself.
        refused: Why a switchover was refused.
    """

    __slots__ = (
        "_begin",
        "_booting",
        "_ends",
        "busy_until_us",
        "hoped_until_us",
        "refused",
        "stage",
    )

    def __init__(self, stage: "DirectedWorld") -> None:
        self.stage = stage
        self.busy_until_us = 0
        self.hoped_until_us = 0
        self.refused: Why | None = None
        self._booting: set[str] = set()
        self._ends: dict[int, tuple[End, Due | None]] = {}
        self._begin: dict[Verb, Callable[[DeclaredFault], End | None]] = {
            Verb.CRASH: self._crash,
            Verb.HOST_DOWN: self._host_down,
            Verb.POWER_OFF: self._power_off,
            Verb.REBOOT: self._reboot,
            Verb.KILL: self._kill,
            Verb.KILL_AGENT: self._kill_agent,
            Verb.ISOLATE: self._isolate,
            Verb.CUT: self._cut,
            Verb.STUN: self._stun,
            Verb.LOSE: self._lose,
            Verb.SWITCHOVER: self._switchover,
            Verb.HEAL: self._heal,
        }

    def begin(self, declared: DeclaredFault) -> None:
        """Do it; its end is put down for later."""
        stage = self.stage
        fault = replace(declared, who=self._named(declared.who), other=self._named(declared.other))
        stage.note("fault", str(fault))
        end = self._begin[fault.verb](fault)
        if end is None:
            return
        number = stage.timeline.events
        due = None
        if fault.lasts_ms is not None:
            due = stage.timeline.after(fault.lasts_ms * 1000, self._end, number)
            self._wait_for(due)
        self._ends[number] = (end, due)

    def _end(self, number: int) -> None:
        end, due = self._ends.pop(number)
        self.stage.timeline.call_off(due)
        end()

    def _wait_for(self, due: Due) -> None:
        self.busy_until_us = max(self.busy_until_us, due[0])

    # --- whom ----------------------------------------------------------------------------------

    def _named(self, who: str) -> str:
        """The node that a role means now."""
        if who not in {ACTIVE, STANDBY}:
            return who
        active = self.active()
        if who == ACTIVE:
            return active.name
        others = [machine for machine in self.stage.nodes if machine is not active]
        able = [machine for machine in others if machine.process.eligible]
        return (able or others or [active])[0].name

    def active(self) -> Machine:
        """Who serves, or holds the lease, or would be first."""
        nodes = self.stage.nodes
        serving = [machine for machine in nodes if serves(machine)]
        holding = [
            machine
            for machine in nodes
            if machine.process.state is not None and machine.process.state.holds(machine.now_ms())
        ]
        return (serving or holding or list(nodes))[0]

    def _machine(self, fault: DeclaredFault) -> Machine:
        return self.stage.machines[fault.who]

    # --- machines ------------------------------------------------------------------------------

    def _crash(self, fault: DeclaredFault) -> End:
        """The guest is dead; the hypervisor sees a VM that is powered on."""
        machine = self._machine(fault)
        machine.power_off("its guest is dead")
        return lambda: self._boot(machine)

    def _host_down(self, fault: DeclaredFault) -> End:
        machine = self._machine(fault)
        machine.power_off("its host is dead")
        self.stage.steward.vms[machine.name] = VmSeen(power=Power.ON, contact=Contact.LOST)
        return lambda: self._boot(machine)

    def _power_off(self, fault: DeclaredFault) -> End:
        stage = self.stage
        machine = self._machine(fault)
        machine.power_off("somebody powers it off")
        stage.later(stage.case.assumed.vcenter, self._vcenter_tells, machine)
        return lambda: self._boot(machine)

    def _vcenter_tells(self, machine: Machine) -> None:
        """The news of a power-off arrives, unless it was switched on again before."""
        if machine.power is MachinePower.OFF and machine.name not in self._booting:
            self.stage.steward.learn(machine.name, replace(WELL, power=Power.OFF))

    def _reboot(self, fault: DeclaredFault) -> None:
        """The init system ends everything at once; the agent releases nothing on its way out."""
        stage = self.stage
        machine = self._machine(fault)
        machine.process.die()
        if isinstance(machine.service, Resources):
            machine.service.shut_down()
        self._wait_for(stage.later(SHUTDOWN, machine.power_off, "it reboots"))
        boot = stage.case.assumed.boot
        if fault.lasts_ms is not None:
            boot = Span(fault.lasts_ms, fault.lasts_ms)
        back = Span(boot.low_ms + SHUTDOWN.high_ms, boot.high_ms + SHUTDOWN.high_ms)
        due = stage.later(back, machine.power_on)
        self.hoped_until_us = max(self.hoped_until_us, due[0])
        if fault.lasts_ms is not None:
            self._wait_for(due)

    def _boot(self, machine: Machine) -> None:
        """Whatever kept it down is over."""
        stage = self.stage
        boot = stage.case.assumed.boot if machine.is_data_node else WITNESS_BACK
        if machine.is_data_node:
            stage.steward.learn(machine.name, WELL)
        self._booting.add(machine.name)
        self._wait_for(stage.later(boot, self._booted, machine))

    def _booted(self, machine: Machine) -> None:
        self._booting.discard(machine.name)
        machine.power_on()

    def _stun(self, fault: DeclaredFault) -> End:
        machine = self._machine(fault)
        machine.stop_by_hypervisor()
        return machine.resume

    def _kill(self, fault: DeclaredFault) -> None:
        service = self.active().service
        if isinstance(service, Resources):
            service.fail(fault.who, "its main process was killed")

    def _kill_agent(self, fault: DeclaredFault) -> None:
        stage = self.stage
        machine = self._machine(fault)
        machine.process.die()
        back = stage.case.assumed.agent
        if fault.lasts_ms is not None:
            back = Span(fault.lasts_ms, fault.lasts_ms)
        self._wait_for(stage.later(back, self._start_agent, machine))

    def _start_agent(self, machine: Machine) -> None:
        machine.process.start()
        if isinstance(machine.service, Resources) and machine.process.alive:
            machine.service.meet_agent()

    # --- network -------------------------------------------------------------------------------

    def _isolate(self, fault: DeclaredFault) -> End:
        stage = self.stage
        name = fault.who
        others = [other for other in (*stage.machines, stage.steward.name) if other != name]
        links = [link for other in others for link in ((name, other), (other, name))]
        stage.isolated.add(name)
        end = self._cut_links(links)

        def over() -> None:
            stage.isolated.discard(name)
            end()

        return over

    def _cut(self, fault: DeclaredFault) -> End:
        return self._cut_links([(fault.who, fault.other), (fault.other, fault.who)])

    def _cut_links(self, links: list[Link]) -> End:
        self.stage.network.cut(links)
        return lambda: self.stage.mend(links)

    # --- everything else -----------------------------------------------------------------------

    def _lose(self, fault: DeclaredFault) -> End:
        stage = self.stage
        steward = stage.steward
        match fault.who:
            case name if name == VCENTER:
                stage.fence_broken += 1
                before = dict(steward.vms)
                steward.vms = dict.fromkeys(before, UNKNOWN_VM)

                def answers() -> None:
                    stage.fence_broken -= 1
                    steward.vms = before
                    steward.wake()

                return answers
            case name if name == OPERATOR:
                steward.up = False

                def back() -> None:
                    steward.up = True
                    steward.wake()

                return back
            case _:
                machine = self._machine(fault)
                machine.power_off("it is lost")
                return lambda: self._boot(machine)

    def _switchover(self, fault: DeclaredFault) -> None:
        stage = self.stage
        due = stage.later(stage.case.assumed.operator, self._ask_for_it, fault.other)
        self._wait_for(due)

    def _ask_for_it(self, to: str) -> None:
        stage = self.stage
        self.refused = stage.steward.switch_over(to)
        if self.refused is not None:
            stage.note(stage.steward.name, f"refuses the switchover: {self.refused.message}")

    def _heal(self, _fault: DeclaredFault) -> None:
        for number in list(self._ends):
            self._end(number)
