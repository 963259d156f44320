"""A plan from a seed: a different kind of bad day each time.

Swarm testing: a seed first draws which kinds of faults its run knows at all, how the network is,
how clocks run, and how exactly everything uses its budgets; then the faults themselves. Many
narrow runs find more than one kind of run that does a little of everything.
"""

from random import Random

from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Profile, Timing
from standfast.simulator.plan import (
    Fault,
    FaultKind,
    Habits,
    MachinePlan,
    NetworkPlan,
    Plan,
    dice,
)
from standfast.simulator.recipes import CANDIDATE, HOLDER, MOMENTS, STANDBY, VOTER, cooked

K = FaultKind

PARTS = (HOLDER, HOLDER, STANDBY, VOTER, CANDIDATE)
"""Victims that are named by the part they play."""

SHAPES: tuple[tuple[int, int, int], ...] = (
    (2, 1, 10),
    (3, 0, 4),
    (3, 2, 2),
    (2, 3, 1),
    (2, 2, 1),
    (2, 0, 1),
    (1, 0, 1),
    (1, 2, 1),
)
"""Data nodes, witnesses, and how often that shape is drawn."""

ALWAYS = (K.CRASH, K.AGENT_KILL, K.STALL, K.CUT_BOTH, K.ISOLATE, K.CUT_STEP)
"""Kinds that most runs know."""

WEIGHTS: dict[FaultKind, int] = {
    K.CRASH: 6,
    K.POWER_CUT: 2,
    K.REBOOT: 3,
    K.AGENT_KILL: 8,
    K.STALL: 8,
    K.STUN: 4,
    K.SUSPEND: 1,
    K.CUT_STEP: 10,
    K.AMBUSH: 6,
    K.CLOCK_RATE: 4,
    K.CLOCK_SUSPECT: 1,
    K.ISOLATE: 6,
    K.MUTE: 4,
    K.LATE_TO: 3,
    K.CUT: 6,
    K.CUT_BOTH: 6,
    K.FLAP: 2,
    K.STORM: 3,
    K.SLOW: 3,
    K.DISK_WIPED: 1,
    K.DISK_FULL: 2,
    K.REVERT: 1,
    K.CLONE: 1,
    K.APP_CRASH: 3,
    K.START_FAILS: 2,
    K.BOOT_STARTS: 2,
    K.STOP_HANGS: 2,
    K.KILL_HANGS: 1,
    K.MAINTENANCE: 2,
    K.REPLICATION_CUT: 4,
    K.SWITCHOVER: 6,
    K.SWITCHOVER_CANCELLED: 2,
    K.STAND: 4,
    K.LONGER_TTL: 3,
    K.FENCE: 3,
    K.FENCE_BROKEN: 2,
    K.OPERATOR_DOWN: 2,
    K.RETIME: 3,
    K.ADD_VOTER: 2,
    K.REMOVE_VOTER: 2,
    K.CONSENT: 1,
    K.MAJORITY_LOST: 1,
    K.DISK_SEIZED: 3,
    K.WATCHDOG_OFF: 1,
}

BEYOND = "beyond-"
"""Seeds that begin so have clocks that break their bound: S1 and the address are not promised."""

FAR_PPM = (300_000, 600_000, 900_000, 1_200_000, 2_000_000)
"""How fast such clocks run."""

WHOLE_RUN = 60
"""How many faults a run has about."""


def plan_for(seed: str) -> Plan:
    """The run that belongs to this seed."""
    chance = dice(f"{seed}/plan")
    data = chance.choices(list(DataMode), (3, 4, 5, 3))[0]
    nodes, witnesses, _ = chance.choices(SHAPES, [shape[2] for shape in SHAPES])[0]
    if data is DataMode.SHARED_DISK and witnesses == 0 and nodes == 2:
        witnesses = 1
    timing = _timing(chance)
    sharp = chance.random() < 0.35
    generation_id = chance.random() < 0.5
    machines = _machines(chance, nodes, witnesses, timing, generation_id=generation_id)
    stores: tuple[str, ...] = ()
    if witnesses and chance.random() < 0.2:
        machines, stores = machines[:-1], ("store",)
    spares = (
        MachinePlan("witness-spare", MemberKind.WITNESS, _rate(chance, timing)),
        MachinePlan("node-spare", MemberKind.DATA, _rate(chance, timing)),
    )
    replicated = data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}
    habits = Habits(
        sharp=sharp,
        address_first=chance.random() < 0.3,
        start_ms_max=0 if sharp else chance.choice((50, 300, 2000)),
        write_every_ms=chance.choice((80, 150, 400)) if replicated else 0,
        fences=chance.random() < 0.8,
        powers_on=chance.random() < 0.8,
        repairs=chance.random() < 0.7,
    )
    known = _kinds(chance)
    if seed.startswith(BEYOND):
        known[K.CLOCK_RATE] = 20
    if not generation_id:
        for kind in (K.REVERT, K.CLONE):
            known.pop(kind, None)
    count = chance.randrange(WHOLE_RUN // 2, WHOLE_RUN * 3 // 2)
    pace = chance.choice((0.15, 0.35, 0.8))
    busy_ms = 3000 + int(count * pace * timing.ttl_ms)
    plan = Plan(
        seed=seed,
        timing=timing,
        machines=machines,
        spares=spares,
        stores=stores,
        data=data,
        network=_network(chance, timing),
        habits=habits,
        busy_ms=busy_ms,
        loss_max=chance.choice((0, 0, 20)) if data is DataMode.REPLICATED_ASYNC else 0,
        beyond_bound=seed.startswith(BEYOND),
    )
    cooks = chance.choice((0, 2, 4, 8))
    faults = _faults(chance, plan, known, count // 3 if cooks > 2 else count)
    faults += cooked(chance, plan, cooks)
    return plan.with_faults(tuple(sorted(faults, key=lambda fault: fault.at_ms)))


def _timing(chance: Random) -> Timing:
    """A profile, or the tightest timers that the inequalities allow."""
    draw = chance.random()
    if draw < 0.35:
        return Profile.NORMAL.timing
    if draw < 0.65:
        return Profile.FAST.timing
    if draw < 0.7:
        return Profile.TOLERANT.timing
    heartbeat_ms = chance.choice((50, 100, 150))
    tick_ms = chance.choice((20, 50, 100))
    stop_budget_ms = chance.choice((100, 200, 400))
    drift_ppm = chance.choice((10_000, 10_000, 50_000))
    for ttl_ms in range(300, 4000, 25):
        timing = Timing(heartbeat_ms, ttl_ms, 4 * ttl_ms, 0, tick_ms, stop_budget_ms, drift_ppm)
        guard_ms = timing.guard_for_ms(ttl_ms)
        tight = Timing(
            heartbeat_ms, ttl_ms, 4 * ttl_ms, guard_ms, tick_ms, stop_budget_ms, drift_ppm
        )
        if not tight.problems():
            return tight
    raise AssertionError("no ttl fits")


def _rate(chance: Random, timing: Timing) -> int:
    """A clock within the bound; often at its very ends."""
    drift = timing.drift_ppm
    return 1_000_000 + chance.choice((-drift, drift, 0, chance.randrange(-drift, drift + 1)))


def _machines(
    chance: Random, nodes: int, witnesses: int, timing: Timing, *, generation_id: bool
) -> tuple[MachinePlan, ...]:
    watchdog_ms = chance.choice((0, 0, 2000, 5000))
    watchdog_outside = chance.random() < 0.4
    hypervisor_clock = chance.random() < 0.5
    made = []
    for number in range(nodes + witnesses):
        data = number < nodes
        name = f"node-{'abcde'[number]}" if data else f"witness-{number - nodes + 1}"
        kind = MemberKind.DATA if data else MemberKind.WITNESS
        rate = _rate(chance, timing)
        made.append(
            MachinePlan(
                name,
                kind,
                rate,
                hypervisor_clock,
                watchdog_ms=watchdog_ms if data else 0,
                watchdog_outside=watchdog_outside,
                generation_id=generation_id,
            )
        )
    return tuple(made)


def _network(chance: Random, timing: Timing) -> NetworkPlan:
    draw = chance.random()
    delay_us_min = chance.choice((50, 100, 1000))
    spread_us = chance.choice((100, 1000, 10_000))
    if draw < 0.45:
        return NetworkPlan(delay_us_min, spread_us)
    return NetworkPlan(
        delay_us_min,
        spread_us,
        lost_per_mille=chance.choice((0, 5, 50, 150)),
        copied_per_mille=chance.choice((0, 20, 100)),
        late_per_mille=chance.choice((0, 20, 100)),
        late_us_max=chance.choice((20, 300, 3 * timing.ttl_ms)) * 1000,
    )


def _kinds(chance: Random) -> dict[FaultKind, int]:
    """The kinds this run knows, with their weights."""
    few = chance.choice((4, 8, 14, len(WEIGHTS)))
    kinds = {K.AGENT_KILL, *chance.sample(list(WEIGHTS), few)}
    if chance.random() < 0.6:
        kinds.update(ALWAYS)
    return {kind: WEIGHTS[kind] for kind in WEIGHTS if kind in kinds}


def _faults(chance: Random, plan: Plan, known: dict[FaultKind, int], count: int) -> list[Fault]:
    kinds, weights = list(known), list(known.values())
    moments = sorted(chance.randrange(2000, plan.busy_ms) for _ in range(count))
    return [_fault(chance, plan, at_ms, chance.choices(kinds, weights)[0]) for at_ms in moments]


def _fault(chance: Random, plan: Plan, at_ms: int, kind: FaultKind) -> Fault:
    ttl_ms = plan.timing.ttl_ms
    names = [machine.name for machine in plan.machines]
    links = [*names, *plan.stores, "operator-1"]
    nodes = plan.data_nodes()
    by_part = chance.random() < 0.4
    who = chance.choice(PARTS if by_part else names)
    node = chance.choice((HOLDER, STANDBY) if by_part else nodes)
    other = chance.choice([name for name in links if name != who])
    shortly_ms = chance.randrange(20, 600)
    about_ms = chance.randrange(ttl_ms // 4, 3 * ttl_ms)
    match kind:
        case (
            K.CRASH | K.AGENT_KILL | K.STALL | K.STUN | K.REBOOT | K.ISOLATE | K.MUTE | K.DISK_FULL
        ):
            return Fault(at_ms, kind, who, lasts_ms=chance.choice((shortly_ms, about_ms)))
        case K.POWER_CUT | K.SUSPEND | K.DISK_WIPED | K.CLONE:
            lasts_ms = chance.randrange(3 * ttl_ms, 12 * ttl_ms)
            return Fault(at_ms, kind, who, lasts_ms=lasts_ms)
        case K.CUT_STEP:
            lasts_ms = chance.choice((0, 0, shortly_ms, about_ms))
            return Fault(at_ms, kind, who, lasts_ms=lasts_ms, value=chance.randrange(8))
        case K.AMBUSH:
            what = chance.choice((K.ISOLATE, K.STALL, K.AGENT_KILL, K.CRASH, K.STUN))
            lasts_ms = chance.choice((shortly_ms, about_ms))
            return Fault(at_ms, kind, chance.choice(MOMENTS), what.value, lasts_ms)
        case K.LATE_TO:
            value = chance.randrange(5, ttl_ms // 2)
            return Fault(at_ms, kind, who, lasts_ms=about_ms, value=value)
        case K.CLOCK_RATE:
            far = plan.beyond_bound
            value = chance.choice(FAR_PPM) if far else _rate(chance, plan.timing)
            return Fault(at_ms, kind, who, value=value)
        case K.CUT | K.CUT_BOTH:
            return Fault(at_ms, kind, who, other, lasts_ms=about_ms)
        case K.FLAP:
            value = chance.randrange(30, ttl_ms)
            return Fault(at_ms, kind, who, other, lasts_ms=4 * about_ms, value=value)
        case K.STORM:
            value = chance.choice((100, 300, 700))
            return Fault(at_ms, kind, lasts_ms=about_ms, value=value)
        case K.SLOW:
            value = chance.choice((20, 100, ttl_ms // 2, ttl_ms))
            return Fault(at_ms, kind, lasts_ms=about_ms, value=value)
        case K.REVERT:
            return Fault(at_ms, kind, who, lasts_ms=shortly_ms, value=chance.randrange(100, 6000))
        case K.KILL_HANGS | K.MAINTENANCE | K.REPLICATION_CUT:
            return Fault(at_ms, kind, node, lasts_ms=3 * about_ms)
        case K.SWITCHOVER:
            return Fault(at_ms, kind, other=chance.choice((*nodes, "")))
        case K.LONGER_TTL:
            value = chance.randrange(ttl_ms, 6 * ttl_ms)
            return Fault(at_ms, kind, lasts_ms=2 * about_ms, value=value)
        case K.FENCE:
            return Fault(at_ms, kind, who, value=chance.randrange(2))
        case K.FENCE_BROKEN | K.OPERATOR_DOWN:
            return Fault(at_ms, kind, lasts_ms=4 * about_ms, value=chance.randrange(2))
        case K.WATCHDOG_OFF:
            return Fault(at_ms, kind, lasts_ms=4 * about_ms)
        case K.MAJORITY_LOST:
            return Fault(plan.busy_ms * 9 // 10, kind)
        case K.RETIME:
            return Fault(at_ms, kind, value=chance.choice((60, 100, 140, 300)))
        case K.ADD_VOTER:
            return Fault(at_ms, kind, chance.choice((*names, *(m.name for m in plan.spares))))
        case K.REMOVE_VOTER:
            return Fault(at_ms, kind, chance.choice((*names, "witness-spare", "node-spare")))
        case (
            K.CLOCK_SUSPECT
            | K.APP_CRASH
            | K.START_FAILS
            | K.BOOT_STARTS
            | K.STOP_HANGS
            | K.STAND
            | K.CONSENT
            | K.SWITCHOVER_CANCELLED
            | K.DISK_SEIZED
        ):
            return Fault(at_ms, kind, node)
