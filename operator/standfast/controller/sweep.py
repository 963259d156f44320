"""Lists everything and compares: what watching cannot tell, above all deletions during a gap.

At the start of leadership and every few minutes. Reads only.
"""

from collections.abc import Sequence

from standfast.adapters.kube.client import KubeClient
from standfast.api.kinds import KINDS
from standfast.controller.statuses import collection
from standfast.controller.store import Key, Store

SWEEP_S = 300


async def sweep(client: KubeClient, store: Store, namespaces: Sequence[str]) -> set[Key]:
    """Bring the store to what the API server holds.

    Args:
        client: The API server.
        store: Is brought up to date.
        namespaces: Which; empty for all.

    Returns:
        Keys of objects that changed or vanished.
    """
    changed: set[Key] = set()
    for kind in KINDS:
        there: set[Key] = set()
        for namespace in namespaces or ("",):
            async for document in client.list(collection(kind.name), namespace):
                key, is_news = store.put(kind, document)
                there.add(key)
                if is_news:
                    changed.add(key)
        for key in store.keys(kind.name):
            if key not in there and store.drop(key):
                changed.add(key)
    return changed
