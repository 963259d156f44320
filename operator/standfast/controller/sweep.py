"""Lists everything and compares: what watching cannot tell, above all deletions during a gap.

At the start of leadership and every few minutes. Reads only. A change is told when it is found:
the next list may fail, and what is in the store is no news to the next sweep or to the watch.
"""

from collections.abc import Callable, Sequence

from standfast.adapters.kube.client import KubeClient
from standfast.api.kinds import KINDS
from standfast.controller.statuses import collection
from standfast.controller.store import Key, Store

SWEEP_S = 300


async def sweep(
    client: KubeClient, store: Store, namespaces: Sequence[str], news: Callable[[Key], None]
) -> None:
    """Bring the store to what the API server holds.

    Args:
        client: The API server.
        store: Is brought up to date.
        namespaces: Which; empty for all.
        news: Told of every object that changed or vanished.

    Raises:
        TransientError: The API server cannot be asked for all of it.
    """
    for kind in KINDS:
        for namespace in namespaces or ("",):
            there: set[Key] = set()
            versions: list[str] = []
            what = collection(kind.name)
            async for document in client.list(what, namespace, on_version=versions.append):
                key, is_news = store.put(kind, document)
                there.add(key)
                if is_news:
                    news(key)
            for key in store.keys(kind.name, namespace or None):
                if key not in there and store.drop_older(key, versions[0]):
                    news(key)
