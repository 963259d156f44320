"""The lab's Kubernetes: etcd, kube-apiserver, kube-controller-manager as processes of this host.

Called by `standfast-lab up` and `standfast-lab kube`, and by tests. Nodes and pods are the
business of `pods`. What is made is kept (certificates, ports, etcd's data), so `down` followed by
`up` is an outage of the control plane and not a new one; removing the lab's directory is.

Where `audit/policy.yaml` lies in its directory, the API server writes who called what to
`audit/log`.

`up` and `down` are asynchronous; what already runs is adopted.
"""

import ssl
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp

from standfast.lab import kube_flags, program
from standfast.lab.ca import Authority, Pair, Subject, signing_key
from standfast.lab.kube_client import KubeClient
from standfast.lab.kube_config import write_kubeconfig
from standfast.lab.kube_flags import Plan
from standfast.lab.paths import LabPaths
from standfast.lab.ports import free_port
from standfast.lab.program import Program
from standfast.lab.tools import Progress, provide, silent

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
READY_S = 60
STOP_S = 1  # the API server waits a minute for its watchers to leave
ADMIN = Subject("lab-admin", groups=("system:masters",))


@dataclass(frozen=True, slots=True)
class KubeInfo:
    """How to reach the lab's Kubernetes.

    Args:
        kubeconfig: The administrator's.
        server: `https://address:port`.
        ca: Authority that signed its certificate, PEM.
    """

    kubeconfig: Path
    server: str
    ca: Path


async def up(paths: LabPaths, address: str, *, progress: Progress = silent) -> KubeInfo:
    """Starts the control plane, or adopts it; returns when it serves and its controllers work.

    Args:
        paths: The lab.
        address: Where the API server listens and under which everybody knows it. This machine
            must have it already.
        progress: Told about builds.
    """
    tools = await provide(progress)
    plan = _prepare(paths, address)
    await _start_etcd(paths, plan, kube_flags.etcd(plan, tools))
    async with client(paths, plan.url) as api:
        server = _program(paths, "kube-apiserver", kube_flags.kube_apiserver(plan, tools))
        process = await program.start(server)
        await program.until(api.ready, server, process, READY_S)
        argv = kube_flags.kube_controller_manager(plan, tools)
        controllers = _program(paths, "kube-controller-manager", argv)
        process = await program.start(controllers)
        await program.until(partial(_controllers_work, api), controllers, process, READY_S)
    return KubeInfo(paths.kubeconfig, plan.url, plan.ca)


async def down(paths: LabPaths) -> None:
    """Stops the control plane; what it knows is kept."""
    for name in reversed(PROGRAMS):
        await program.stop(paths, name, STOP_S)


def running(paths: LabPaths) -> bool:
    """Whether all of it runs."""
    return all(program.running(paths, name) is not None for name in PROGRAMS)


def client(paths: LabPaths, server: str) -> KubeClient:
    """A client with the administrator's rights."""
    pki = paths.kube_dir / "pki"
    return KubeClient(server, pki / "ca.crt", Pair(pki / "admin.crt", pki / "admin.key"))


def authority(paths: LabPaths) -> Authority:
    """The authority of the API server and its clients."""
    return Authority(paths.kube_dir / "pki", "standfast lab Kubernetes authority")


def _prepare(paths: LabPaths, address: str) -> Plan:
    """Certificates, keys, ports and kubeconfigs; what is there and right is kept."""
    home = paths.kube_dir
    ca = authority(paths)
    etcd_ca = Authority(home / "etcd-pki", "standfast lab etcd authority")
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    addresses = dict.fromkeys((address, "127.0.0.1", kube_flags.SERVICE_ADDRESS))
    plan = Plan(
        address=address,
        port=free_port(home / "port", address, preferred=6443),
        etcd_port=free_port(home / "etcd-port", "127.0.0.1", preferred=2379),
        etcd_peer_port=free_port(home / "etcd-peer-port", "127.0.0.1", preferred=2380),
        etcd_data=home / "etcd",
        ca=ca.pair.certificate,
        etcd_ca=etcd_ca.pair.certificate,
        server=ca.issue("server", Subject("kube-apiserver", hosts=(*names, *addresses))),
        etcd=etcd_ca.issue("etcd", Subject("etcd", hosts=("localhost", "127.0.0.1"))),
        kubelet_client=ca.issue("kubelet-client", Subject("kube-apiserver-kubelet-client")),
        token_key=signing_key(home / "pki" / "service-accounts.key"),
        controller_kubeconfig=home / "controller-manager.kubeconfig",
        audit=home / "audit" if (home / "audit" / "policy.yaml").exists() else None,
    )
    admin = ca.issue("admin", ADMIN)
    controllers = ca.issue("controllers", Subject("system:kube-controller-manager"))
    write_kubeconfig(paths.kubeconfig, plan.url, plan.ca, ADMIN.name, admin)
    write_kubeconfig(
        plan.controller_kubeconfig, plan.url, plan.ca, "kube-controller-manager", controllers
    )
    return plan


def _program(paths: LabPaths, name: str, argv: tuple[str, ...]) -> Program:
    return Program(paths, name, argv, {})


async def _start_etcd(paths: LabPaths, plan: Plan, argv: tuple[str, ...]) -> None:
    etcd = _program(paths, "etcd", argv)
    process = await program.start(etcd)
    context = ssl.create_default_context(cafile=plan.etcd_ca)
    context.load_cert_chain(plan.etcd.certificate, plan.etcd.key)
    connector = aiohttp.TCPConnector(ssl=context)
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def serves() -> bool:
            try:
                async with session.get(f"{plan.etcd_url}/readyz") as answer:
                    return answer.status == HTTPStatus.OK
            except (aiohttp.ClientError, TimeoutError):
                return False

        await program.until(serves, etcd, process, READY_S)


async def _controllers_work(api: KubeClient) -> bool:
    """Whether a pod could be made: the default service account and the root certificate exist."""
    default = "/api/v1/namespaces/default"
    return await api.exists(f"{default}/serviceaccounts/default") and await api.exists(
        f"{default}/configmaps/kube-root-ca.crt"
    )
