"""What happens during a soak: what people change, what breaks, and how calm is restored.

Each act is drawn by the seed. The hollow clusters get what comes in numbers: resources, moves,
deletion and re-creation, agents that refuse, hang or are cut off. The real pair gets what needs an
agent that decides: switchovers, maintenance, timing, machines and witness that die.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from standfast.lab.kube_client import KubeClient
from tests.bench.hollow import HollowAgents
from tests.bench.hollow_cluster import HollowCluster
from tests.bench.scale_bed import NAMESPACE, Plan, Watch, apply, hollow, kind, truth
from tests.bench.soak_api import FaultyApi, Mood
from tests.integration.operator_bed import CLUSTER, OperatorBed, condition

EXTRA_MAX = 3
"""More resources of one cluster than it had."""
GONE_S = 30
TROUBLES = ("refusing", "hanging", "cut")
PROFILES = ("Fast", "Normal", "Tolerant")


@dataclass
class Acts:
    """Everything that can be done to a soak.

    Args:
        clusters: What the API server says of every cluster.
        counts: How often each was done, by name.
    """

    api: KubeClient
    plans: list[Plan]
    agents: HollowAgents
    clusters: Watch
    faulty: FaultyApi
    pair: OperatorBed
    rng: random.Random
    hollow: dict[str, HollowCluster] = field(default_factory=dict)
    extra: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    drawn: int = 0

    async def one(self) -> str:
        """Do something; answers what."""
        acts: list[Callable[[], Awaitable[None]]] = [
            *[self.add_resource] * 4,
            *[self.remove_resource] * 3,
            *[self.change_resource] * 2,
            *[self.move] * 2,
            self.recreate,
            *[self.trouble_agents] * 3,
            *[self.refuse] * 2,
            *[self.slow_down] * 2,
            self.cut_watches,
            self.lose_history,
            self.be_away,
            *[self.switch_over] * 2,
            self.maintain,
            self.change_timing,
            self.pause,
            self.kill_node,
            self.kill_witness,
        ]
        act = self.rng.choice(acts)
        await act()
        name = act.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        return name

    def pair_spec(self) -> dict[str, Any]:
        """The real pair with long timers: the machine may be busy with something else."""
        return {**self.pair.cluster_spec(), "timing": {"profile": "Tolerant"}}

    # ---------------------------------------------------------------- what people change

    async def add_resource(self) -> None:
        name = self.rng.choice(self.plans).name
        extra = self.extra.setdefault(name, [])
        if len(extra) < EXTRA_MAX:
            self.drawn += 1
            extra.append(f"{name}-x{self.drawn}")
            await apply(self.api, "HAResource", extra[-1], self._unit(name, extra[-1]))

    async def remove_resource(self) -> None:
        full = [name for name, extra in self.extra.items() if extra]
        if full:
            await self._remove("HAResource", self.extra[self.rng.choice(full)].pop())

    async def change_resource(self) -> None:
        name = self.rng.choice(self.plans).name
        spec = {**self._unit(name, f"web-{self.rng.randrange(100)}")}
        await apply(self.api, "HAResource", f"{name}-web", spec)

    async def recreate(self) -> None:
        """The cluster is deleted and declared anew: other identities, the same names."""
        plan = self.rng.choice(self.plans)
        before = self.hollow[plan.name]
        await self._remove("HACluster", plan.name)
        await self.clusters.until(lambda: plan.name not in self.clusters.objects, GONE_S)
        self.agents.drop(before)
        made = await apply(self.api, "HACluster", plan.name, plan.cluster())
        self.hollow[plan.name] = hollow(plan, made["metadata"]["uid"])
        self.agents.add(self.hollow[plan.name])

    async def switch_over(self) -> None:
        self.drawn += 1
        spec = {"clusterRef": {"name": CLUSTER}, "reason": "soak", "deadline": "20s"}
        await apply(self.api, "Switchover", f"soak-{self.drawn}", spec)

    async def maintain(self) -> None:
        spec = self.pair_spec()
        self.rng.choice(spec["nodes"])["maintenance"] = True
        await apply(self.api, "HACluster", CLUSTER, spec)

    async def change_timing(self) -> None:
        timing = {"profile": self.rng.choice(PROFILES)}
        await apply(self.api, "HACluster", CLUSTER, {**self.pair_spec(), "timing": timing})

    async def pause(self) -> None:
        name = self.rng.choice(self.plans).name
        plan = next(each for each in self.plans if each.name == name)
        is_paused = bool(self.rng.getrandbits(1))
        await apply(self.api, "HACluster", name, {**plan.cluster(), "paused": is_paused})

    # ---------------------------------------------------------------- what breaks

    async def move(self) -> None:
        serving = [each for each in self.hollow.values() if each.active is not None]
        if serving:
            self.rng.choice(serving).move()

    async def trouble_agents(self) -> None:
        for name in self.rng.sample(sorted(self.hollow), k=min(4, len(self.hollow))):
            host = self.rng.choice(self.hollow[name].nodes).host
            self.agents.troubles[host] = self.rng.choice(TROUBLES)
        for each in self.hollow.values():
            for member in each.members:
                member.board.change()  # long polls end, so that the trouble is met

    async def refuse(self) -> None:
        self.faulty.mood = Mood(refused=self.rng.uniform(0.05, 0.3))

    async def slow_down(self) -> None:
        self.faulty.mood = Mood(slow_s=self.rng.uniform(0.2, 1.0))

    async def cut_watches(self) -> None:
        self.faulty.cut_watches(gone=False)

    async def lose_history(self) -> None:
        self.faulty.cut_watches(gone=True)

    async def be_away(self) -> None:
        """Less than a lease."""
        self.faulty.mood = Mood(away=True)
        await asyncio.sleep(self.rng.uniform(1, 4))
        self.faulty.calm()

    async def kill_node(self) -> None:
        machine = self.pair.machines[self.rng.choice(sorted(self.pair.machines))]
        machine.off()
        await asyncio.sleep(self.rng.uniform(0.5, 4))
        machine.on()

    async def kill_witness(self) -> None:
        assert self.pair.witness is not None
        self.pair.witness.signal(signal.SIGKILL)
        await asyncio.sleep(self.rng.uniform(0.5, 3))
        self.pair.witness.start()

    # ---------------------------------------------------------------- calm

    async def calm(self) -> None:
        """As at the beginning: what was declared then, and nothing broken."""
        self.faulty.calm()
        self.agents.troubles.clear()
        for extra in self.extra.values():
            while extra:
                await self._remove("HAResource", extra.pop())
        for plan in self.plans:
            await apply(self.api, "HACluster", plan.name, {**plan.cluster(), "paused": False})
            spec = plan.resources()[f"{plan.name}-web"]
            await apply(self.api, "HAResource", f"{plan.name}-web", spec)
        await apply(self.api, "HACluster", CLUSTER, self.pair_spec())
        for machine in self.pair.machines.values():
            if not machine.runs:
                machine.on()
        page = await self.api.get(kind("Switchover").path(NAMESPACE))
        for each in page["items"]:
            await self._remove("Switchover", each["metadata"]["name"])

    def not_ready(self) -> list[str]:
        """Clusters that are not as they should be, each with what it says."""
        found = []
        for name in (CLUSTER, *(plan.name for plan in self.plans)):
            document = self.clusters.objects.get(name)
            if document is None:
                found.append(f"{name} is gone")
                continue
            wanted = ("Ready", "Protected") if name == CLUSTER else ("Ready",)
            found += [f"{name}: {each}" for each in lacks(document, wanted)]
        return found

    @staticmethod
    def _unit(cluster: str, unit: str) -> dict[str, Any]:
        return {"clusterRef": {"name": cluster}, "systemd": {"unit": f"{unit}.service"}}

    async def _remove(self, of: str, name: str) -> None:
        await self.api.delete(kind(of).path(NAMESPACE, name), {})


def lacks(document: dict[str, Any], wanted: tuple[str, ...]) -> list[str]:
    """Conditions that are not as wanted, each with its own sentence, which says why."""
    found = [(each, "True") for each in wanted] + [("Reconciling", ""), ("Stalled", "")]
    lacking = [
        f"{each} is {truth(document, each)}: {condition(document, each).get('message', '')}"
        for each, right in found
        if truth(document, each) != right
    ]
    seen = document.get("status", {}).get("observedGeneration")
    if not lacking and seen != document["metadata"].get("generation"):
        lacking.append(f"its generation {document['metadata'].get('generation')} was not seen yet")
    return lacking
