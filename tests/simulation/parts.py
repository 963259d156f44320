"""What the tests here share: a pair with a witness in its simplest form."""

from dataclasses import replace

from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Profile
from standfast.simulator.plan import Fault, Habits, MachinePlan, NetworkPlan, Plan
from standfast.simulator.world import World

NODE_A, NODE_B, WITNESS = "node-a", "node-b", "witness-1"
TRUE = 1_000_000


def pair(
    *faults: Fault,
    data: DataMode = DataMode.NONE,
    rates: tuple[int, int, int] = (TRUE, TRUE, TRUE),
    **changes: object,
) -> Plan:
    """Two nodes and a witness in profile Normal, everything sharp."""
    kinds = (MemberKind.DATA, MemberKind.DATA, MemberKind.WITNESS)
    machines = tuple(
        MachinePlan(name, kind, rate)
        for name, kind, rate in zip((NODE_A, NODE_B, WITNESS), kinds, rates, strict=True)
    )
    plan = Plan(
        seed="pair",
        timing=Profile.NORMAL.timing,
        machines=machines,
        data=data,
        network=NetworkPlan(50, 10),
        habits=Habits(sharp=True, start_ms_max=0, write_every_ms=100),
        faults=faults,
        busy_ms=20_000,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def promise_broken(plan: Plan) -> str:
    """Which promise the run breaks, or nothing."""
    violation = World(plan).run().violation
    return "" if violation is None else violation.promise
