"""The node as the API shows it: the lab's machine, always ready while a pod runner says so."""

import os
import platform
from pathlib import Path

from standfast.lab.kube_client import Json, KubeClient
from standfast.lab.pods_pod import Node
from standfast.lab.pods_status import now

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PODS_MAX = 200


async def declare(api: KubeClient, node: Node, logs_port: int) -> None:
    """Makes the node, or says again that it is there.

    Args:
        api: The API.
        node: Its name and address.
        logs_port: Where the API server asks for what containers print.
    """
    path = f"/api/v1/nodes/{node.name}"
    arch = ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
    }
    metadata = {"name": node.name, "labels": labels}
    # Admission taints a new node until somebody says that it is ready: that is us.
    spec: Json = {"taints": []}
    await api.apply(path, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    await api.merge(path, {"spec": {"taints": None}})
    await api.merge(f"{path}/status", {"status": _status(node, arch, logs_port)})


def _status(node: Node, arch: str, logs_port: int) -> Json:
    cpus = str(os.cpu_count())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    capacity = {"cpu": cpus, "memory": str(memory), "pods": str(PODS_MAX)}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "PodRunnerReady",
        "message": "the lab's pod runner is there",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [ready],
        "addresses": [
            {"type": "InternalIP", "address": node.address},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": logs_port}},
        "nodeInfo": {
            "architecture": arch,
            "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "containerRuntimeVersion": "standfast-lab://1",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": "v0.0.0-standfast-lab",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "this machine",
            "systemUUID": "",
        },
    }
