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
        for namespace in namespaces or ("",):
            there: set[Key] = set()
            versions: list[str] = []
            what = collection(kind.name)
            async for document in client.list(what, namespace, on_version=versions.append):
                key, is_news = store.put(kind, document)
                there.add(key)
                if is_news:
                    changed.add(key)
            gone = [
                key
                for key in store.keys(kind.name, namespace or None)
                if key not in there and store.drop_older(key, versions[0])
            ]
            changed.update(gone)
    return changed
