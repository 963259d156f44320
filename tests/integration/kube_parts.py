"""A Kubernetes API server for tests of the operator: the lab's, with the CRDs of this tree."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from standfast.adapters.kube.client import KubeClient, NotFoundError
from standfast.adapters.kube.endpoint import Endpoint, of_kubeconfig
from standfast.adapters.kube.paths import Collection
from standfast.adapters.linux.clock import BootClock
from standfast.lab import kube
from standfast.lab.kubectl import until
from standfast.lab.paths import LabPaths
from tests.integration.lab_parts import lab_paths

ROOT = Path(__file__).resolve().parents[2]
CRDS = Collection(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"
)
NAMESPACES = Collection("v1", "Namespace", "namespaces")


@dataclass
class KubeLab:
    paths: LabPaths
    kubeconfig: Path

    @property
    def endpoint(self) -> Endpoint:
        return of_kubeconfig(self.kubeconfig)

    @property
    def audit_log(self) -> Path:
        return self.paths.kube_dir / "audit" / "log"

    def client(self) -> KubeClient:
        return KubeClient(self.endpoint, BootClock())

    def stop(self) -> None:
        asyncio.run(kube.down(self.paths))

    def start(self) -> None:
        asyncio.run(kube.up(self.paths, "127.0.0.1"))


@contextmanager
def kube_lab(name: str, audit: Mapping[str, object] | None = None) -> Iterator[KubeLab]:
    """Run an API server with our kinds and a namespace `databases`.

    Args:
        name: Of the lab.
        audit: Audit policy; who called what is in `audit_log` then.
    """
    with lab_paths(name) as paths:
        paths.root.mkdir()
        if audit is not None:
            policy = paths.kube_dir / "audit" / "policy.yaml"
            policy.parent.mkdir(parents=True)
            policy.write_text(yaml.safe_dump(dict(audit)))
        info = asyncio.run(kube.up(paths, "127.0.0.1"))
        lab = KubeLab(paths, info.kubeconfig)
        try:
            asyncio.run(_furnish(lab))
            yield lab
        finally:
            lab.stop()


async def _furnish(lab: KubeLab) -> None:
    client = lab.client()
    try:
        names = []
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                names.append(document["metadata"]["name"])
                await client.apply(CRDS, "", names[-1], document)
        await client.apply(NAMESPACES, "", "databases", {})
        async with asyncio.timeout(20):
            for name in names:
                while not await _established(client, name):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    finally:
        await client.close()


async def _established(client: KubeClient, name: str) -> bool:
    try:
        crd = await client.get(CRDS, "", name)
    except NotFoundError:
        return False
    return _is_established(crd)


def _is_established(crd: Mapping[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []  # null when it is very new
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def until_established(listed: Callable[[], str]) -> None:
    """Waits until all kinds are served; `kubectl wait` fails at one without conditions yet.

    Args:
        listed: What `kubectl get crd -o json` says now.
    """

    def lacking() -> str | None:
        crds = json.loads(listed())["items"]
        new = [crd["metadata"]["name"] for crd in crds if not _is_established(crd)]
        return None if crds and not new else f"not yet: {new}"

    until("kinds are served", lacking, 30)
