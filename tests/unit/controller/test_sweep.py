"""A sweep tells what it finds, also when the API server stops answering in the middle."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from standfast.adapters.kube.client import KubeClient, UnreachableError
from standfast.adapters.kube.paths import Collection
from standfast.api.base import API_VERSION
from standfast.api.kinds import KINDS
from standfast.controller.store import Key, Store
from standfast.controller.sweep import sweep

NEWS = [Key(kind.name, "ns", "one") for kind in KINDS]


class Lists:
    """An API server with one object of each kind, which fails at the list of that number."""

    def __init__(self, generation: int, fails_at: int = len(KINDS)) -> None:
        self.generation = generation
        self.fails_at = fails_at
        self.objects = 1

    async def list(
        self, what: Collection, namespace: str, on_version: Callable[[str], None]
    ) -> AsyncIterator[dict[str, Any]]:
        number = [kind.name for kind in KINDS].index(what.kind)
        if number >= self.fails_at:
            raise UnreachableError("503 disturbed")
        on_version("100")
        metadata = {
            "name": "one",
            "namespace": namespace or "ns",
            "uid": "u",
            "resourceVersion": str(self.generation),
            "generation": self.generation,
        }
        for _ in range(self.objects):
            yield {"apiVersion": API_VERSION, "kind": what.kind, "metadata": metadata, "spec": {}}


async def swept(lists: Lists, store: Store) -> list[Key]:
    found: list[Key] = []
    await sweep(cast("KubeClient", lists), store, (), found.append)
    return found


async def test_what_changed_and_what_is_gone_is_told_once() -> None:
    store = Store()
    assert await swept(Lists(1), store) == NEWS
    assert await swept(Lists(1), store) == []
    assert await swept(Lists(2), store) == NEWS
    empty = Lists(3)
    empty.objects = 0
    assert await swept(empty, store) == NEWS
    assert await swept(empty, store) == []


async def test_a_list_that_fails_swallows_nothing_of_those_before_it() -> None:
    """The next sweep finds these in the store already, and so does the watch."""
    store, found = Store(), list[Key]()
    await swept(Lists(1), store)
    with pytest.raises(UnreachableError):
        await sweep(cast("KubeClient", Lists(2, fails_at=2)), store, (), found.append)
    assert found == NEWS[:2]
    assert await swept(Lists(2), store) == NEWS[2:]
