"""The lab's Kubernetes is a real one: rights, policies, controllers, and outages it survives."""

import asyncio
import json
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from standfast.errors import UserError
from standfast.lab import kube, program, tools
from standfast.lab.kube import KubeInfo
from standfast.lab.kube_client import ApiError, KubeClient
from standfast.lab.paths import LabPaths
from tests.integration.lab_parts import eventually, lab_paths

pytestmark = pytest.mark.lab

ADDRESS = "127.0.0.1"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
POLICIES = "/apis/admissionregistration.k8s.io/v1"


class Cluster:
    def __init__(self, paths: LabPaths, info: KubeInfo) -> None:
        self.paths = paths
        self.info = info
        self.kubectl = asyncio.run(tools.provide()).kubectl

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(self.kubectl), f"--kubeconfig={self.info.kubeconfig}", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab_paths("kubetest") as paths:
        info = asyncio.run(kube.up(paths, ADDRESS))
        try:
            yield Cluster(paths, info)
        finally:
            asyncio.run(kube.down(paths))


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[KubeClient]:
    async with kube.client(cluster.paths, cluster.info.server) as client:
        yield client


def test_kubectl_talks_to_it_with_a_kubeconfig_that_only_its_owner_reads(cluster: Cluster) -> None:
    shown = json.loads(cluster.run("version", "-o", "json").stdout)
    assert shown["serverVersion"]["gitVersion"] == "v1.36.3"
    assert stat.S_IMODE(cluster.info.kubeconfig.stat().st_mode) == 0o600
    assert cluster.info.server.startswith(f"https://{ADDRESS}:")


async def test_up_twice_is_one_control_plane(cluster: Cluster) -> None:
    before = [program.running(cluster.paths, name) for name in kube.PROGRAMS]
    assert None not in before
    assert await kube.up(cluster.paths, ADDRESS) == cluster.info
    assert [program.running(cluster.paths, name) for name in kube.PROGRAMS] == before


def test_a_service_account_may_do_what_it_was_granted_and_nothing_else(cluster: Cluster) -> None:
    cluster.run("create", "serviceaccount", "reader")
    cluster.run("create", "role", "reads", "--verb=get", "--resource=configmaps")
    cluster.run(
        "create", "rolebinding", "reads", "--role=reads", "--serviceaccount=default:reader"
    )
    token = cluster.run("create", "token", "reader").stdout.strip()
    bearer = (
        "--kubeconfig=/dev/null",
        f"--server={cluster.info.server}",
        f"--certificate-authority={cluster.info.ca}",
        f"--token={token}",
    )
    who = cluster.run("auth", "whoami", *bearer)
    assert "system:serviceaccount:default:reader" in who.stdout
    assert cluster.run("get", "configmap", "kube-root-ca.crt", *bearer).returncode == 0
    assert "cannot list resource" in cluster.run("get", "secrets", *bearer).stderr


async def test_an_admission_policy_refuses_in_its_own_words(api: KubeClient) -> None:
    await api.apply(
        f"{POLICIES}/validatingadmissionpolicies/no-red",
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "no-red"},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["configmaps"],
                        }
                    ]
                },
                "validations": [
                    {
                        "expression": "!has(object.data) || !('red' in object.data)",
                        "message": "red is refused",
                    }
                ],
            },
        },
    )
    await api.apply(
        f"{POLICIES}/validatingadmissionpolicybindings/no-red",
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "no-red"},
            "spec": {"policyName": "no-red", "validationActions": ["Deny"]},
        },
    )
    # A policy takes effect a moment after it was made.
    assert "red is refused" in await eventually(partial(refusal_of_red, api))


async def refusal_of_red(api: KubeClient) -> str:
    body = {"metadata": {"generateName": "red-"}, "data": {"red": "1"}}
    try:
        await api.create(CONFIGMAPS, body)
    except ApiError as error:
        return error.problem
    return ""


async def test_what_depends_on_an_object_goes_with_it(api: KubeClient) -> None:
    owner = await api.create(CONFIGMAPS, {"metadata": {"name": "owner"}})
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    await api.create(CONFIGMAPS, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    await api.delete(f"{CONFIGMAPS}/owner", {})

    async def owned_is_gone() -> bool:
        return not await api.exists(f"{CONFIGMAPS}/owned")

    await eventually(owned_is_gone)


async def test_an_outage_loses_nothing_and_moves_nothing(
    cluster: Cluster, api: KubeClient
) -> None:
    await api.create(CONFIGMAPS, {"metadata": {"name": "kept"}})
    await kube.down(cluster.paths)
    assert not kube.running(cluster.paths)
    assert not await api.ready()
    await kube.down(cluster.paths)
    assert await kube.up(cluster.paths, ADDRESS) == cluster.info
    assert await api.exists(f"{CONFIGMAPS}/kept")


async def test_a_second_lab_runs_beside_the_first(cluster: Cluster) -> None:
    with lab_paths("kubeside") as paths:
        try:
            info = await kube.up(paths, ADDRESS)
            assert info.server != cluster.info.server
            assert kube.running(cluster.paths)
        finally:
            await kube.down(paths)


async def test_an_address_of_another_machine_is_refused_with_the_address() -> None:
    with lab_paths("kubeaway") as paths:
        with pytest.raises(UserError, match=r"192\.0\.2\.1.*address of this machine"):
            await kube.up(paths, "192.0.2.1")
        await kube.down(paths)
