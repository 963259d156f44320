"""The command lines of the lab's control plane, as a pure function of where its files are.

Read this to know what kind of Kubernetes the lab is: RBAC is on, admission is the default set with
ValidatingAdmissionPolicy, tokens are signed and bound to pods, controllers run under service
accounts of their own. Left out is what one pod runner on one machine has no use for: node life
cycle (it would evict pods whenever the machine sleeps), routes, load balancers of a cloud.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from standfast.lab.ca import Pair
from standfast.lab.tools import Tools

SERVICE_RANGE = "10.96.0.0/24"
SERVICE_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
WITHOUT = (
    "cloud-node-lifecycle-controller",
    "horizontal-pod-autoscaler-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "service-lb-controller",
    "taint-eviction-controller",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the control plane's files and ports are.

    Args:
        address: Where the API server listens.
        port: On which port.
        etcd_port: etcd's port for clients, on loopback.
        etcd_peer_port: Its port for members it does not have; it insists on one.
        etcd_data: etcd's directory.
        ca: Authority of the API server and of its clients.
        etcd_ca: Authority of etcd and of its only client.
        server: The API server's pair.
        etcd: etcd's pair, for both sides.
        kubelet_client: The pair by which the API server is known to the pod runner.
        token_key: Signs service-account tokens.
        controller_kubeconfig: The controller manager's.
        audit: Directory with `policy.yaml`; who called what is written to `log` beside it.
    """

    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    etcd_data: Path
    ca: Path
    etcd_ca: Path
    server: Pair
    etcd: Pair
    kubelet_client: Pair
    token_key: Path
    controller_kubeconfig: Path
    audit: Path | None = None

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def etcd_url(self) -> str:
        return f"https://127.0.0.1:{self.etcd_port}"


def etcd(plan: Plan, tools: Tools) -> tuple[str, ...]:
    peer = f"http://127.0.0.1:{plan.etcd_peer_port}"
    return _argv(
        tools.etcd,
        {
            "name": "lab",
            "data-dir": plan.etcd_data,
            # The lab is made again rather than recovered: no reason to wait for the disk.
            "unsafe-no-fsync": "true",
            "listen-client-urls": plan.etcd_url,
            "advertise-client-urls": plan.etcd_url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"lab={peer}",
            "cert-file": plan.etcd.certificate,
            "key-file": plan.etcd.key,
            "trusted-ca-file": plan.etcd_ca,
            "client-cert-auth": "true",
            "log-level": "warn",
        },
    )


def kube_apiserver(plan: Plan, tools: Tools) -> tuple[str, ...]:
    return _argv(
        tools.kube_apiserver,
        {
            "bind-address": plan.address,
            "advertise-address": plan.address,
            "secure-port": plan.port,
            "tls-cert-file": plan.server.certificate,
            "tls-private-key-file": plan.server.key,
            "client-ca-file": plan.ca,
            "etcd-servers": plan.etcd_url,
            "etcd-cafile": plan.etcd_ca,
            "etcd-certfile": plan.etcd.certificate,
            "etcd-keyfile": plan.etcd.key,
            "authorization-mode": "RBAC",
            "service-account-issuer": ISSUER,
            "service-account-key-file": plan.token_key,
            "service-account-signing-key-file": plan.token_key,
            "service-cluster-ip-range": SERVICE_RANGE,
            # Service addresses lead nowhere in the lab; pods are told the real address.
            "endpoint-reconciler-type": "none",
            "kubelet-certificate-authority": plan.ca,
            "kubelet-client-certificate": plan.kubelet_client.certificate,
            "kubelet-client-key": plan.kubelet_client.key,
            "kubelet-preferred-address-types": "InternalIP",
            "allow-privileged": "true",
            "profiling": "false",
            **_audited(plan),
        },
    )


def _audited(plan: Plan) -> Mapping[str, Path]:
    if plan.audit is None:
        return {}
    return {
        "audit-policy-file": plan.audit / "policy.yaml",
        "audit-log-path": plan.audit / "log",
    }


def kube_controller_manager(plan: Plan, tools: Tools) -> tuple[str, ...]:
    return _argv(
        tools.kube_controller_manager,
        {
            "kubeconfig": plan.controller_kubeconfig,
            "controllers": ",".join(["*", *(f"-{name}" for name in WITHOUT)]),
            "use-service-account-credentials": "true",
            "service-account-private-key-file": plan.token_key,
            "root-ca-file": plan.ca,
            "leader-elect": "false",
            "secure-port": 0,
            "kube-api-qps": 200,
            "kube-api-burst": 400,
            "profiling": "false",
        },
    )


def _argv(executable: Path, flags: Mapping[str, str | int | Path]) -> tuple[str, ...]:
    return (str(executable), *(f"--{name}={value}" for name, value in flags.items()))
