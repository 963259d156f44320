"""How services are reached in the lab, whose service addresses lead nowhere. Pure.

Names: every pod has an `/etc/hosts` in which a service's name leads to a ready pod behind it, and
a StatefulSet's `<pod>.<service>` to that pod. Load balancers: the ingress address is that of the
ready pod behind the service, or of one that is not ready yet: a real one has its address at once
as well. Both do for a service with one pod and port numbers that the service does not change,
which is what the product has; nothing is balanced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from standfast.lab.kube_client import Json

HEAD = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
ZONE = "cluster.local"


@dataclass(frozen=True, slots=True)
class Ingress:
    """The address that a load-balanced service should show.

    Args:
        namespace: The service's.
        name: Its name.
        address: Empty when no pod is ready.
    """

    namespace: str
    name: str
    address: str


def hosts_file(services: Iterable[Json], pods: Sequence[Json]) -> str:
    """The `/etc/hosts` of every pod."""
    lines = []
    for service in sorted(services, key=_key):
        namespace, name = _key(service)
        backends = _ready_pods(service, pods)
        if not backends and service["spec"].get("publishNotReadyAddresses"):
            backends = list(filter(_address, _behind(service, pods)))
        if backends:
            lines.append(f"{_address(backends[0])} {_names(f'{name}.{namespace}')}")
        for pod in _behind(service, pods):
            spec = pod["spec"]
            if spec.get("subdomain") == name and _address(pod):
                own = spec.get("hostname", pod["metadata"]["name"])
                lines.append(f"{_address(pod)} {_names(f'{own}.{name}.{namespace}')}")
    return HEAD + "".join(f"{line}\n" for line in lines)


def stale_ingresses(services: Iterable[Json], pods: Sequence[Json]) -> list[Ingress]:
    """The load-balanced services whose status shows another address than it should."""
    stale = []
    for service in services:
        if service["spec"].get("type") != "LoadBalancer":
            continue
        backends = _ready_pods(service, pods) or list(filter(_address, _behind(service, pods)))
        shown = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        address = _address(backends[0]) if backends else ""
        if address and [entry.get("ip") for entry in shown] != [address]:
            stale.append(Ingress(*_key(service), address))
    return stale


def _ready_pods(service: Json, pods: Sequence[Json]) -> list[Json]:
    ready = [
        pod
        for pod in _behind(service, pods)
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in pod.get("status", {}).get("conditions", [])
        )
        and "deletionTimestamp" not in pod["metadata"]
    ]
    return sorted(ready, key=lambda pod: (pod["metadata"]["creationTimestamp"], _key(pod)))


def _behind(service: Json, pods: Sequence[Json]) -> list[Json]:
    selector = service["spec"].get("selector") or {}
    namespace = service["metadata"]["namespace"]
    return [
        pod
        for pod in pods
        if selector
        and pod["metadata"]["namespace"] == namespace
        and selector.items() <= pod["metadata"].get("labels", {}).items()
    ]


def _address(pod: Json) -> str:
    return str(pod.get("status", {}).get("podIP", ""))


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _names(short: str) -> str:
    return f"{short}.svc.{ZONE} {short}.svc {short}"
