"""The command lines of the control plane."""

from dataclasses import replace
from pathlib import Path

from standfast.lab import kube_flags
from standfast.lab.ca import Pair
from standfast.lab.kube_flags import Plan
from standfast.lab.tools import Tools

TOOLS = Tools(*(Path(f"/bin/{name}") for name in ("etcd", "api", "kcm", "kubectl", "helm", "vc")))
PAIR = Pair(Path("/pki/x.crt"), Path("/pki/x.key"))
PLAN = Plan(
    address="10.77.0.1",
    port=6443,
    etcd_port=2379,
    etcd_peer_port=2380,
    etcd_data=Path("/etcd"),
    ca=Path("/pki/ca.crt"),
    etcd_ca=Path("/etcd-pki/ca.crt"),
    server=PAIR,
    etcd=PAIR,
    kubelet_client=PAIR,
    token_key=Path("/pki/sa.key"),
    controller_kubeconfig=Path("/kcm"),
)


def test_etcd_is_on_loopback_and_asks_for_a_certificate() -> None:
    argv = kube_flags.etcd(PLAN, TOOLS)
    assert "--listen-client-urls=https://127.0.0.1:2379" in argv
    assert "--client-cert-auth=true" in argv


def test_the_api_server_listens_where_it_is_known_and_judges_by_rbac() -> None:
    argv = kube_flags.kube_apiserver(PLAN, TOOLS)
    assert argv[0] == "/bin/api"
    assert "--bind-address=10.77.0.1" in argv
    assert "--authorization-mode=RBAC" in argv
    assert PLAN.url == "https://10.77.0.1:6443"


def test_who_called_what_is_written_only_when_asked_for() -> None:
    assert not [flag for flag in kube_flags.kube_apiserver(PLAN, TOOLS) if "audit" in flag]
    argv = kube_flags.kube_apiserver(replace(PLAN, audit=Path("/audit")), TOOLS)
    assert {"--audit-policy-file=/audit/policy.yaml", "--audit-log-path=/audit/log"} <= {*argv}


def test_pods_are_not_evicted_because_the_machine_slept() -> None:
    argv = kube_flags.kube_controller_manager(PLAN, TOOLS)
    (controllers,) = [flag for flag in argv if flag.startswith("--controllers=*")]
    assert "-node-lifecycle-controller" in controllers
    assert "-statefulset-controller" not in controllers
