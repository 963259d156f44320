"""What the node does with pods whose end its mirror has not heard of yet."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from standfast.lab import pods_runner
from standfast.lab.kube_client import Json, KubeClient
from standfast.lab.paths import LabPaths
from standfast.lab.pods_network import PodNetwork
from standfast.lab.pods_pod import Node
from standfast.lab.pods_runner import Runner

WEB = {"metadata": {"name": "web", "namespace": "shop", "uid": "1"}, "spec": {"nodeName": "lab"}}


class Ended:
    """A pod that has come to its end at once."""

    begun: list[str]
    label, number = "shop/web", 10

    def __init__(self, *parts: object) -> None:
        self.begun.append(str(cast("Json", parts[-1])["metadata"]["uid"]))

    def update(self, manifest: Json) -> None:
        """Nothing of it is left that could change."""

    async def run(self) -> None:
        """Nothing of it is left."""


async def test_a_pod_whose_deletion_is_not_heard_of_yet_is_not_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else it is plugged in once more, and its card stays until the deletion is heard."""
    Ended.begun = []
    monkeypatch.setattr(pods_runner, "Pod", Ended)
    paths = LabPaths("lab", tmp_path)
    paths.pods_dir.mkdir(parents=True)
    node = Node(paths, "lab", "", "", 0, tmp_path, (), (), tmp_path, tmp_path)
    runner = Runner(cast("KubeClient", None), node, cast("PodNetwork", None), 0)
    anew: Json = {**WEB, "metadata": {**WEB["metadata"], "uid": "2"}}
    for heard in ([WEB], [WEB], [], [anew]):
        async with asyncio.TaskGroup() as group:
            runner._take(heard, group)
    assert Ended.begun == ["1", "2"]
