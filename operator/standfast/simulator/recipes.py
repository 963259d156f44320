"""Bad days with a plan: several faults that together aim at one rule of the protocol.

Faults drawn one by one seldom meet in the moment that matters. A recipe names its victims by the
part they play when it happens (`@holder`, `@standby`, `@voter`, `@candidate`), so it meets the
member that a rule is about, and puts its steps into the order that the rule is there for.
"""

from collections.abc import Callable, Iterator
from random import Random

from standfast.core.in_sync import PATIENCE_MS
from standfast.simulator.plan import Fault, FaultKind, Plan

K = FaultKind

HOLDER, STANDBY, VOTER, CANDIDATE = "@holder", "@standby", "@voter", "@candidate"
"""The holder; another data node; a member that is neither; whoever is asking for votes."""

MOMENTS = ("wins", "commits", "releases", "stands", "proposes")
"""What an ambush may wait for."""

Recipe = Callable[[Random, int], Iterator[Fault]]
"""Chance and the ttl in milliseconds; moments count from the recipe's beginning."""


def forgotten_promise(chance: Random, ttl: int) -> Iterator[Fault]:
    """A rival waits, cut off from the holder; the voter between them restarts and forgets."""
    yield Fault(0, K.CUT_BOTH, HOLDER, STANDBY, lasts_ms=4 * ttl)
    for _ in range(chance.randrange(1, 5)):
        at_ms = chance.randrange(ttl, 4 * ttl)
        if chance.random() < 0.7:
            yield Fault(at_ms, K.CUT, HOLDER, VOTER, lasts_ms=chance.randrange(50, ttl))
        yield Fault(at_ms + 5, K.AGENT_KILL, VOTER, lasts_ms=chance.randrange(5, 120))
        yield Fault(at_ms + chance.randrange(20, 200), K.STAND, STANDBY)


def holder_restarts(chance: Random, ttl: int) -> Iterator[Fault]:
    """The holder's agent restarts while its links come and go."""
    for _ in range(chance.randrange(1, 4)):
        at_ms = chance.randrange(ttl)
        yield Fault(at_ms, K.AGENT_KILL, HOLDER, lasts_ms=chance.randrange(1, ttl // 2))
        other = chance.choice((STANDBY, VOTER))
        kind = chance.choice((K.CUT, K.CUT_BOTH))
        yield Fault(at_ms, kind, HOLDER, other, lasts_ms=chance.randrange(20, ttl))
        if chance.random() < 0.5:
            yield Fault(at_ms + chance.randrange(ttl), K.STAND, STANDBY)


def rivals(chance: Random, ttl: int) -> Iterator[Fault]:
    """Everybody wants to hold at once, with a slow network between them."""
    yield Fault(0, K.STALL, HOLDER, lasts_ms=chance.randrange(ttl // 2, 2 * ttl))
    yield Fault(0, K.SLOW, lasts_ms=2 * ttl, value=chance.randrange(5, ttl // 2))
    for _ in range(chance.randrange(2, 6)):
        who = chance.choice((STANDBY, HOLDER, CANDIDATE))
        yield Fault(chance.randrange(2 * ttl), K.STAND, who)
        kind = chance.choice((K.CUT_STEP, K.AGENT_KILL, K.CUT))
        at_ms = chance.randrange(2 * ttl)
        lasts_ms = chance.randrange(1, ttl)
        yield Fault(at_ms, kind, CANDIDATE, VOTER, lasts_ms=lasts_ms, value=chance.randrange(6))


def spoiled_switchover(chance: Random, ttl: int) -> Iterator[Fault]:
    """A planned hand-over, and something happens to one of the two."""
    yield Fault(0, K.SWITCHOVER, other=chance.choice((STANDBY, "")))
    kinds = (K.AGENT_KILL, K.CUT_BOTH, K.CUT, K.STALL, K.CUT_STEP, K.ISOLATE, K.CRASH, K.STUN)
    for _ in range(chance.randrange(1, 4)):
        kind = chance.choice(kinds)
        who = chance.choice((HOLDER, STANDBY, VOTER))
        other = VOTER if who != VOTER else HOLDER
        at_ms = chance.randrange(ttl)
        lasts_ms = chance.randrange(5, 2 * ttl)
        yield Fault(at_ms, kind, who, other, lasts_ms=lasts_ms, value=chance.randrange(6))
    if chance.random() < 0.3:
        yield Fault(chance.randrange(400), K.SWITCHOVER_CANCELLED)


def longer_and_gone(chance: Random, ttl: int) -> Iterator[Fault]:
    """A longer promise is asked for; then voters restart, timers change, the holder is cut off."""
    yield Fault(0, K.LONGER_TTL, lasts_ms=2 * ttl, value=chance.randrange(2 * ttl, 6 * ttl))
    at_ms = chance.randrange(300, ttl + 300)
    yield Fault(at_ms, K.ISOLATE, HOLDER, lasts_ms=chance.randrange(ttl, 5 * ttl))
    for _ in range(chance.randrange(1, 4)):
        who = chance.choice((VOTER, STANDBY))
        yield Fault(at_ms + chance.randrange(ttl), K.AGENT_KILL, who, lasts_ms=20)
    if chance.random() < 0.4:
        yield Fault(at_ms // 2, K.RETIME, value=chance.choice((60, 140)))


def changed_in_mid_fault(chance: Random, ttl: int) -> Iterator[Fault]:
    """Voters or timers change while the cluster comes apart."""
    kind = chance.choice((K.RETIME, K.ADD_VOTER, K.REMOVE_VOTER, K.RETIME))
    who = "" if kind is K.RETIME else chance.choice((VOTER, "witness-spare", "node-spare"))
    yield Fault(0, kind, who, value=chance.choice((60, 140, 300)))
    for _ in range(chance.randrange(1, 5)):
        at_ms = chance.randrange(3000)
        kind = chance.choice((K.ISOLATE, K.CUT, K.CUT_BOTH, K.AGENT_KILL, K.CUT_STEP, K.STALL))
        who = chance.choice((HOLDER, STANDBY, VOTER))
        other = chance.choice([part for part in (HOLDER, STANDBY, VOTER) if part != who])
        lasts_ms = chance.randrange(20, 3 * ttl)
        yield Fault(at_ms, kind, who, other, lasts_ms=lasts_ms, value=chance.randrange(6))


def fenced_and_back(chance: Random, ttl: int) -> Iterator[Fault]:
    """A machine is powered off and runs again before anybody is told."""
    who = chance.choice((HOLDER, STANDBY))
    yield Fault(0, K.FENCE, who, value=chance.randrange(2))
    yield Fault(chance.randrange(200, 2000), K.CRASH, who, lasts_ms=chance.randrange(20, 300))
    yield Fault(chance.randrange(ttl), K.AGENT_KILL, VOTER, lasts_ms=chance.randrange(5, 200))


def overtaken_by_a_change(chance: Random, ttl: int) -> Iterator[Fault]:
    """Timers change; a voter restarts, and hears old renewals after new ones."""
    yield Fault(0, K.RETIME, value=chance.choice((140, 300)))
    for number in range(5):
        at_ms = 160 * number + chance.randrange(160)
        value = chance.randrange(ttl // 4, ttl)
        yield Fault(at_ms, K.LATE_TO, VOTER, lasts_ms=chance.randrange(60, 250), value=value)
        at_ms += chance.randrange(60, 400)
        yield Fault(at_ms, K.AGENT_KILL, VOTER, lasts_ms=chance.randrange(2, 30))


def enabled_at_boot(chance: Random, ttl: int) -> Iterator[Fault]:
    """The holder restarts, and what it ran starts with the machine, before its agent."""
    yield Fault(0, K.BOOT_STARTS, HOLDER)
    yield Fault(5, K.KILL_HANGS, HOLDER, lasts_ms=chance.randrange(100, 3 * ttl))
    yield Fault(10, chance.choice((K.CRASH, K.REBOOT)), HOLDER, lasts_ms=chance.randrange(20, ttl))


def old_data(chance: Random, ttl: int) -> Iterator[Fault]:
    """A copy falls behind; then the one that has everything is lost in the wrong moment."""
    long_ms = chance.choice((2, 2, 8)) * ttl
    yield Fault(
        0, K.REPLICATION_CUT, STANDBY, lasts_ms=PATIENCE_MS + chance.randrange(ttl, 2 * long_ms)
    )
    at_ms = 600 + chance.choice((0, PATIENCE_MS)) + chance.randrange(long_ms)
    kind = chance.choice((K.ISOLATE, K.CRASH, K.STALL, K.CUT_STEP, K.AGENT_KILL, K.STUN))
    lasts_ms = chance.randrange(20, 3 * ttl)
    yield Fault(at_ms, kind, HOLDER, lasts_ms=lasts_ms, value=chance.randrange(6))
    yield Fault(at_ms + chance.randrange(ttl), K.AGENT_KILL, VOTER, lasts_ms=20)
    if chance.random() < 0.5:
        yield Fault(at_ms + chance.randrange(2 * ttl), K.CRASH, STANDBY, lasts_ms=ttl)


def left_behind(chance: Random, ttl: int) -> Iterator[Fault]:
    """A copy hears nothing for a while; it is back when everybody who went on is gone."""
    gone_ms = PATIENCE_MS + chance.randrange(200, 2500) + chance.randrange(2 * ttl)
    yield Fault(0, K.ISOLATE, STANDBY, lasts_ms=gone_ms)
    kind = chance.choice((K.ISOLATE, K.CRASH, K.STALL, K.SUSPEND))
    lasts_ms = chance.randrange(2 * ttl, 6 * ttl)
    yield Fault(gone_ms - chance.randrange(1, 150), kind, HOLDER, lasts_ms=lasts_ms)
    if chance.random() < 0.3:
        yield Fault(gone_ms + chance.randrange(ttl), K.AGENT_KILL, VOTER, lasts_ms=20)


def ambushed(chance: Random, ttl: int) -> Iterator[Fault]:
    """Whoever wins, commits or proposes next is struck at that very moment, on a slow network."""
    if chance.random() < 0.6:
        yield Fault(0, K.SLOW, lasts_ms=3 * ttl, value=chance.randrange(10, 11 + ttl // 4))
    for _ in range(chance.randrange(1, 4)):
        moment = chance.choice(MOMENTS)
        what = chance.choice((K.ISOLATE, K.ISOLATE, K.STALL, K.AGENT_KILL, K.CRASH))
        lasts_ms = chance.randrange(20, 4 * ttl)
        value = chance.choice((0, 0, chance.randrange(60)))
        yield Fault(0, K.AMBUSH, moment, what.value, lasts_ms, value)
    trigger = chance.choice((K.STALL, K.ISOLATE, K.AGENT_KILL, K.SWITCHOVER, K.CRASH))
    who = "" if trigger is K.SWITCHOVER else HOLDER
    lasts_ms = chance.randrange(ttl // 2, 3 * ttl)
    yield Fault(chance.randrange(1, 300), trigger, who, lasts_ms=lasts_ms)


def late_answers(chance: Random, ttl: int) -> Iterator[Fault]:
    """What is sent to the holder takes long, and suddenly nobody hears it any more."""
    who = chance.choice((HOLDER, HOLDER, STANDBY))
    value = chance.randrange(5, 10 + ttl // 2)
    yield Fault(0, K.LATE_TO, who, lasts_ms=5 * ttl, value=value)
    if who == STANDBY:
        yield Fault(10, K.AMBUSH, "wins", K.MUTE.value, lasts_ms=4 * ttl)
        yield Fault(20, chance.choice((K.STALL, K.CRASH)), HOLDER, lasts_ms=4 * ttl)
        return
    for _ in range(chance.randrange(1, 3)):
        at_ms = chance.randrange(ttl, 4 * ttl)
        yield Fault(at_ms, K.MUTE, HOLDER, lasts_ms=chance.randrange(ttl, 3 * ttl))


def stunned_holder(chance: Random, ttl: int) -> Iterator[Fault]:
    """The holder is stopped by its hypervisor, taken over from, and wakes."""
    lasts_ms = chance.randrange(ttl // 2, 3 * ttl)
    yield Fault(0, K.STUN, HOLDER, lasts_ms=lasts_ms)
    if chance.random() < 0.5:
        yield Fault(lasts_ms - 5, K.CUT, STANDBY, HOLDER, lasts_ms=chance.randrange(20, ttl))
    if chance.random() < 0.5:
        yield Fault(lasts_ms + chance.randrange(ttl), K.CUT_STEP, STANDBY, value=1)


def everything_off(chance: Random, ttl: int) -> Iterator[Fault]:
    """A site loses power; machines come back one after the other."""
    for who in (HOLDER, STANDBY, VOTER):
        at_ms = chance.randrange(50)
        yield Fault(at_ms, K.CRASH, who, lasts_ms=chance.randrange(ttl // 2, 4 * ttl))


RECIPES: tuple[Recipe, ...] = (
    forgotten_promise,
    holder_restarts,
    rivals,
    spoiled_switchover,
    longer_and_gone,
    changed_in_mid_fault,
    fenced_and_back,
    overtaken_by_a_change,
    enabled_at_boot,
    old_data,
    left_behind,
    late_answers,
    ambushed,
    ambushed,
    stunned_holder,
    everything_off,
)


def cooked(chance: Random, plan: Plan, count: int) -> list[Fault]:
    """The steps of `count` recipes, each begun at a moment of its own."""
    ttl_ms = plan.timing.ttl_ms
    chosen = chance.sample(RECIPES, chance.choice((1, 2, 4, len(RECIPES))))
    made: list[Fault] = []
    for _ in range(count):
        begins_ms = chance.randrange(2000, plan.busy_ms)
        made += [step.later(begins_ms) for step in chance.choice(chosen)(chance, ttl_ms)]
    return made
