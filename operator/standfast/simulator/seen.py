"""A simulated cluster as an operator would see it: `core.view.Observed`, made from the world.

The controller makes the same picture from long polls and from vCenter; here it is read off the
machines, as far as the operator's place in the network hears them. `core.placement` and
`core.explain` are asked about it, so that a simulated cluster is explained in the words in which a
real one is.
"""

from dataclasses import replace

from standfast.core import group as groups
from standfast.core.fencing import Contact, Power
from standfast.core.ids import BootId, MemberUid
from standfast.core.record import MemberKind, Record
from standfast.core.view import BootOf, MemberSeen, Observed, ResourceSeen, Role, VmSeen
from standfast.simulator.machine import Machine
from standfast.simulator.resources import Resources
from standfast.simulator.world import World

WELL = VmSeen(power=Power.ON, contact=Contact.CONNECTED)
"""What vCenter says of a VM before anything happens."""

Vms = dict[str, VmSeen]
"""What vCenter says, by node."""


def observed(world: World, place: str, vms: Vms) -> Observed:
    """Everything that is heard at this place of the network now."""
    heard = [machine for machine in world.machines.values() if hears(world, place, machine)]
    record = newest_record(heard)
    members = tuple(
        _member(world, machine, record, heard=machine in heard, vm=vms.get(machine.name, VmSeen()))
        for machine in world.machines.values()
    )
    holder = record.holder if record is not None else None
    return Observed(
        now_ms=world.timeline.now_us // 1000,
        members=members,
        holder=None
        if record is None or holder is None
        else boot_of(world, holder.member, holder.boot, record.version.term),
    )


def hears(world: World, place: str, machine: Machine) -> bool:
    """Whether a member that lives answers at this place."""
    network = world.network
    there = (place, machine.name)
    reached = not network.is_cut(there) and not network.is_cut(there[::-1])
    process = machine.process
    return machine.runs and process.alive and process.state is not None and reached


def newest_record(machines: list[Machine]) -> Record | None:
    states = [machine.process.state for machine in machines]
    records = [state.record for state in states if state is not None]
    return max(records, key=lambda record: record.version, default=None)


def boot_of(world: World, uid: MemberUid, boot: BootId, term: int) -> BootOf:
    return BootOf(world.names.get(uid, str(uid)), boot, term)


def _member(
    world: World, machine: Machine, record: Record | None, *, heard: bool, vm: VmSeen
) -> MemberSeen:
    name = machine.name
    others = (other for other in world.machines.values() if other is not machine)
    by = tuple(o.name for o in others if hears(world, o.name, machine) and o.process.alive)
    member = MemberSeen(
        name=name,
        kind=machine.plan.kind,
        enrolled=True,
        heard=heard,
        heard_by=by if heard else (),
        boot=machine.boot if heard or by else "",
        in_sync=None if record is None else machine.process.uid in record.in_sync,
        vm=vm if machine.is_data_node else VmSeen(),
    )
    return _with_its_word(world, machine, member) if heard else member


def _with_its_word(world: World, machine: Machine, member: MemberSeen) -> MemberSeen:
    """What it says of itself."""
    state = machine.process.state
    assert state is not None, "a member that is heard lives"
    held = state.holding
    said = replace(
        member,
        role=Role.STANDBY if state.candidacy is None else Role.CANDIDATE,
        term=state.durable.term,
        halted=state.durable.halted,
        eligible=machine.process.eligible,
        suspects=tuple(boot_of(world, s.member, s.boot, s.term) for s in state.record.suspects),
        releasing=held is not None and held.releasing,
    )
    service = machine.service
    if member.kind is MemberKind.WITNESS or not isinstance(service, Resources):
        return said
    role = said.role
    if held is not None and state.holds(machine.now_ms()):
        served = held.committed is not None and service.group.serving_term == held.term
        role = Role.ACTIVE if served else Role.HOLDING
    return replace(
        said,
        role=role,
        ineligible_reasons=groups.hindrances(service.group, machine.now_ms()),
        resources=tuple(
            ResourceSeen(
                name=cell.spec.name,
                type=cell.spec.kind,
                state=cell.phase.value,
                critical=cell.spec.critical,
                message=cell.fault.message if cell.fault is not None else cell.message,
            )
            for cell in service.group.cells.values()
        ),
    )
