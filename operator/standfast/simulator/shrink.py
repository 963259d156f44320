"""Making a failing run smaller: fewer faults, a quieter network, right clocks; it still fails.

Delta debugging: leave out halves, quarters and single faults while the same promise is broken.
"""

from collections.abc import Iterator
from dataclasses import replace

from standfast.simulator.plan import Fault, NetworkPlan, Plan
from standfast.simulator.world import Outcome, World

TRIES_MAX = 400
"""How many runs a shrinking may cost."""


class Shrinker:
    """Remembers the smallest plan that still breaks the promise."""

    def __init__(self, plan: Plan, promise: str, tries_max: int = TRIES_MAX) -> None:
        self.plan = plan
        self.promise = promise
        self.tries = 0
        self._tries_max = tries_max

    def shrink(self) -> Plan:
        """The smallest found."""
        self._drop_faults()
        for simpler in self._simpler():
            self._try(simpler)
        self._drop_faults()
        return self.plan

    def _try(self, plan: Plan) -> bool:
        if self.tries >= self._tries_max:
            return False
        self.tries += 1
        outcome = World(plan).run()
        broken = outcome.violation
        if broken is None or broken.promise != self.promise:
            return False
        self.plan = plan.until(outcome.at_ms)
        return True

    def _drop_faults(self) -> None:
        size = max(len(self.plan.faults) // 2, 1)
        while size >= 1 and self.plan.faults:
            at = 0
            while at < len(self.plan.faults):
                part: frozenset[Fault] = frozenset(self.plan.faults[at : at + size])
                if not self._try(self.plan.without(part)):
                    at += size
            if size == 1:
                return
            size //= 2

    def _simpler(self) -> Iterator[Plan]:
        yield replace(self.plan, network=replace(NetworkPlan(), delay_us_spread=100))
        for number in range(len(self.plan.machines)):
            machines = list(self.plan.machines)
            machines[number] = replace(machines[number], rate_ppm=1_000_000)
            yield replace(self.plan, machines=tuple(machines))
            machines[number] = replace(machines[number], watchdog_ms=0)
            yield replace(self.plan, machines=tuple(machines))
        habits = self.plan.habits
        yield replace(self.plan, habits=replace(habits, fences=False))
        yield replace(self.plan, habits=replace(self.plan.habits, powers_on=False))
        for number, fault in enumerate(self.plan.faults):
            if fault.lasts_ms > 100:
                faults = list(self.plan.faults)
                faults[number] = replace(fault, lasts_ms=fault.lasts_ms // 2)
                yield replace(self.plan, faults=tuple(faults))


def shrunk(plan: Plan, promise: str) -> Plan:
    """The smallest plan found that breaks the same promise."""
    return Shrinker(plan, promise).shrink()


def traced(plan: Plan) -> Outcome:
    """Run once more and keep the story."""
    return World(plan, tracing=True).run()
