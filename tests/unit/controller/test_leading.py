"""Which keys are looked at again when an infrastructure has news."""

from typing import cast

from standfast.adapters.fakes.clock import FakeClock
from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.elector import Elector
from standfast.adapters.kube.endpoint import Endpoint
from standfast.controller.leading import Leading
from standfast.controller.ops import Metrics
from standfast.controller.settings import Settings
from standfast.controller.store import Key, Store

LAB = Key("Infrastructure", "ns", "lab")
CLUSTERS = [Key("HACluster", "ns", name) for name in ("a", "b")]


async def test_news_of_one_vm_wake_the_cluster_that_names_it() -> None:
    leading = Leading(
        Settings(),
        store=Store(),
        client=cast("KubeClient", None),
        elector=Elector(
            Endpoint("https://127.0.0.1:6443"),
            FakeClock(),
            namespace="standfast",
            name="standfast-operator",
            identity="test",
            on_elected=lambda _: None,
        ),
        clock=FakeClock(),
        metrics=Metrics(),
        resign=lambda: None,
    )
    queue = leading.parts.queue
    for cluster in CLUSTERS:
        leading.parts.infrastructures.use(LAB, cluster, frozenset({f"vm-{cluster.name}"}))
    assert await queue.get() == LAB
    queue.done(LAB)
    assert len(queue) == 0
    leading._infrastructure_changed(LAB, frozenset({"vm-b"}))
    assert [await queue.get() for _ in range(len(queue))] == [LAB, CLUSTERS[1]]
    for key in (LAB, CLUSTERS[1]):
        queue.done(key)
    leading._infrastructure_changed(LAB, None)
    assert [await queue.get() for _ in range(len(queue))] == [LAB, *CLUSTERS]
    await leading.parts.caller.close()
