"""Messages on their way: lost, late, doubled, overtaken, or not carried at all.

Links are directed pairs of places (names of machines, `operator-1` and so on). A message that
meets a cut, at its sending or at its arrival, is lost. Every message that chance loses, delays or
doubles counts as one injected fault; what a cut or a slow phase does to messages counts as that
one.
"""

from collections.abc import Callable, Iterable

from standfast.simulator.plan import NetworkPlan, dice
from standfast.simulator.timeline import Timeline

Link = tuple[str, str]


class Network:
    """Carries messages between places."""

    __slots__ = (
        "_chance",
        "_cuts",
        "_timeline",
        "copied",
        "disturbed_us",
        "late",
        "late_to_us",
        "lost",
        "plan",
        "slow_us",
        "storm_per_mille",
    )

    def __init__(self, timeline: Timeline, plan: NetworkPlan, seed: str) -> None:
        self.plan = plan
        self._timeline = timeline
        self._chance = dice(f"{seed}/network").random
        self._cuts: dict[Link, int] = {}
        self.storm_per_mille = 0
        self.slow_us = 0
        self.late_to_us: dict[str, int] = {}
        self.lost = 0
        self.late = 0
        self.copied = 0
        self.disturbed_us: dict[Link, int] = {}

    @property
    def faults(self) -> int:
        """How many messages fared worse than on a quiet network."""
        return self.lost + self.late + self.copied

    def is_cut(self, link: Link) -> bool:
        return self._cuts.get(link, 0) > 0

    def cut(self, links: Iterable[Link]) -> None:
        """Cut links; a link cut twice must be mended twice."""
        for link in links:
            self._cuts[link] = self._cuts.get(link, 0) + 1

    def mend(self, links: Iterable[Link]) -> list[Link]:
        """Mend links; returns those that carry again."""
        whole = []
        for link in links:
            self._cuts[link] -= 1
            if self._cuts[link] == 0:
                whole.append(link)
                self._disturb(link)
        return whole

    def calm(self) -> None:
        """From now on nothing is lost, late or doubled; cuts stay as they are."""
        self.plan = NetworkPlan(self.plan.delay_us_min, self.plan.delay_us_spread)
        self.storm_per_mille = 0
        self.slow_us = 0

    def carry(self, link: Link, deliver: Callable[..., None], payload: object) -> None:
        """Send one message; `deliver(payload)` happens once, twice or never."""
        if self._cuts.get(link):
            self._disturb(link)
            return
        plan = self.plan
        lost = plan.lost_per_mille + self.storm_per_mille
        fate = self._chance() * 1000
        if fate < lost:
            self.lost += 1
            self._disturb(link)
            return
        fate -= lost
        wait_us = plan.delay_us_min + int(self._chance() * plan.delay_us_spread)
        if self.slow_us:
            wait_us += int(self._chance() * self.slow_us)
            self._disturb(link, wait_us)
        more_us = self.late_to_us.get(link[1])
        if more_us is not None:
            wait_us += more_us
            self._disturb(link, wait_us)
        if fate < plan.copied_per_mille:
            self.copied += 1
            again_us = wait_us + int(self._chance() * max(plan.late_us_max, 2_000))
            self._timeline.after(again_us, self._arrive, link, deliver, payload)
        elif fate < plan.copied_per_mille + plan.late_per_mille:
            self.late += 1
            wait_us += int(self._chance() * plan.late_us_max)
            self._disturb(link, wait_us)
        self._timeline.after(wait_us, self._arrive, link, deliver, payload)

    def _arrive(self, link: Link, deliver: Callable[..., None], payload: object) -> None:
        if self._cuts.get(link):
            self._disturb(link)
        else:
            deliver(payload)

    def _disturb(self, link: Link, for_us: int = 0) -> None:
        """Remember until when a link did not do its work: L2 promises nothing for then."""
        until_us = self._timeline.now_us + for_us
        if until_us > self.disturbed_us.get(link, -1):
            self.disturbed_us[link] = until_us
