"""The lab's pods: what a chart, a StatefulSet and an operator may expect of a node, for real."""

import asyncio
import json
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from standfast.lab import kube, pods, program, tools
from standfast.lab.kube import KubeInfo
from standfast.lab.kube_client import Json, KubeClient
from standfast.lab.paths import LabPaths
from tests.integration.lab_parts import eventually, lab_paths

pytestmark = [pytest.mark.root, pytest.mark.lab]

ADDRESS = "127.0.0.1"
NS = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
FOREVER = "while :; do sleep 0.1; done"
OBEYS_TERM = "trap 'exit 0' TERM; "
RESTRICTED = {
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


class Cluster:
    """The lab's Kubernetes with a node, as a user of kubectl sees it."""

    def __init__(self, paths: LabPaths, info: KubeInfo, bin_dir: Path) -> None:
        self.paths = paths
        self.info = info
        self.bin_dir = bin_dir
        self.kubectl = asyncio.run(tools.provide()).kubectl

    def run(self, *words: str) -> str:
        argv = [str(self.kubectl), f"--kubeconfig={self.info.kubeconfig}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=40)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def container_pid(self, pod: str) -> int:
        return next(c.pid for c in pods.containers(self.paths) if c.pod == pod)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab_paths("podtest") as paths:
        info = asyncio.run(kube.up(paths, ADDRESS))
        bin_dir = paths.root / "bin"
        bin_dir.mkdir()
        witness = bin_dir / "standfast-witness"
        witness.write_text(f'#!/bin/sh\n{OBEYS_TERM} echo witness: $0 "$@"; {FOREVER}\n')
        witness.chmod(0o755)
        asyncio.run(pods.up(paths, info, bin_dir))
        try:
            yield Cluster(paths, info, bin_dir)
        finally:
            asyncio.run(pods.down(paths))
            left = pods.containers(paths)
            asyncio.run(kube.down(paths))
            assert left == []


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[KubeClient]:
    async with kube.client(cluster.paths, cluster.info.server) as client:
        yield client


def pod(name: str, script: str, **container: Any) -> Json:
    """A pod of one container that runs a shell script; SIGTERM ends it at once."""
    spec = container.pop("pod", {})
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 3,
            "containers": [
                {
                    "name": "main",
                    "image": "any",
                    "command": ["sh", "-c", OBEYS_TERM + script],
                    **container,
                }
            ],
            **spec,
        },
    }


class Pods:
    """Pods of one test, gone when it ends."""

    def __init__(self, api: KubeClient, cluster: Cluster) -> None:
        self.api = api
        self.cluster = cluster
        self.names: list[str] = []

    async def create(self, manifest: Json) -> str:
        name = str(manifest["metadata"]["name"])
        await self.api.create(f"{NS}/pods", manifest)
        self.names.append(name)
        return name

    async def get(self, name: str) -> Json:
        return await self.api.get(f"{NS}/pods/{name}")

    async def when(self, name: str, holds: Callable[[Json], bool]) -> Json:
        async def seen() -> Json | None:
            found = await self.get(name)
            return found if holds(found) else None

        return await eventually(seen) or {}

    async def ready(self, manifest: Json) -> str:
        name = await self.create(manifest)
        await self.when(name, is_ready)
        return name

    def log(self, name: str) -> str:
        return (self.cluster.paths.pod_log_dir / f"default_{name}_main.log").read_text()

    async def said(self, name: str, lines: int = 1) -> str:
        """What it has printed, once that is so many lines."""

        async def seen() -> str:
            text = self.log(name)
            return text if text.count("\n") >= lines else ""

        return await eventually(seen)

    async def gone(self, name: str) -> None:
        async def seen() -> bool:
            return not await self.api.exists(f"{NS}/pods/{name}")

        await eventually(seen)


@pytest.fixture
async def mine(api: KubeClient, cluster: Cluster) -> AsyncIterator[Pods]:
    made = Pods(api, cluster)
    yield made
    for name in made.names:
        await api.delete(f"{NS}/pods/{name}", {"gracePeriodSeconds": 1})
    for name in made.names:
        await made.gone(name)


def state(found: Json) -> Json:
    return found.get("status", {}).get("containerStatuses", [{}])[0]


def is_ready(found: Json) -> bool:
    return bool(state(found).get("ready"))


def waits_because(reason: str) -> Callable[[Json], bool]:
    return lambda found: state(found).get("state", {}).get("waiting", {}).get("reason") == reason


def test_a_deployment_rolls_out_when_its_probe_passes_and_logs_are_read(cluster: Cluster) -> None:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "main",
                            "image": "python:3",
                            "command": ["python3", "-m", "http.server", "18095"],
                            "ports": [{"name": "http", "containerPort": 18095}],
                            "readinessProbe": {"httpGet": {"path": "/etc/", "port": "http"}},
                            "livenessProbe": {"tcpSocket": {"port": "http"}},
                            "securityContext": RESTRICTED,
                        }
                    ],
                },
            },
        },
    }
    file = cluster.paths.root / "web.json"
    file.write_text(json.dumps(manifest))
    cluster.run("apply", "-f", str(file))
    cluster.run("rollout", "status", "deployment/web", "--timeout=20s")
    assert '"GET /etc/ HTTP/1.1" 200' in cluster.run("logs", "deployment/web", "--tail=1")
    cluster.run("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
    assert cluster.run("get", "pods", "-l", "app=web", "-o", "name") == ""


async def test_a_statefulset_finds_its_data_again(cluster: Cluster, api: KubeClient) -> None:
    script = OBEYS_TERM + "echo $HOSTNAME >> /data/log; cat /data/log; " + FOREVER
    manifest = {
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {
                    "securityContext": {"fsGroup": 65532},
                    "containers": [
                        {
                            "name": "main",
                            "image": "any",
                            "command": ["sh", "-c", script],
                            "securityContext": RESTRICTED,
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        }
                    ],
                },
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Mi"}},
                    },
                }
            ],
        },
    }
    await api.create(f"{APPS}/statefulsets", manifest)
    mine = Pods(api, cluster)

    async def exists() -> bool:
        return await api.exists(f"{NS}/pods/db-0")

    await eventually(exists)
    first = await mine.when("db-0", is_ready)
    assert await mine.said("db-0") == "db-0\n"
    await api.delete(f"{NS}/pods/db-0", {})
    uid = first["metadata"]["uid"]

    async def second() -> Json | None:
        listed = await api.get(f"{NS}/pods")
        return next((it for it in listed["items"] if it["metadata"]["uid"] != uid), None)

    await eventually(second)
    await mine.when("db-0", is_ready)
    assert await mine.said("db-0", lines=2) == "db-0\ndb-0\n"
    volumes = list(cluster.paths.volumes_dir.iterdir())
    assert [path.joinpath("log").read_text() for path in volumes] == ["db-0\ndb-0\n"]
    await api.delete(f"{APPS}/statefulsets/db", {"propagationPolicy": "Foreground"})
    await mine.gone("db-0")
    await api.delete(f"{NS}/persistentvolumeclaims/data-db-0", {})

    async def volumes_are_gone() -> bool:
        return not list(cluster.paths.volumes_dir.iterdir())

    await eventually(volumes_are_gone)


async def test_a_container_gets_its_environment_its_files_and_its_rights(
    mine: Pods, api: KubeClient
) -> None:
    await api.create(f"{NS}/secrets", {"metadata": {"name": "s1"}, "stringData": {"key": "hush"}})
    data = {"A": "1", "B": "2"}
    await api.create(f"{NS}/configmaps", {"metadata": {"name": "c1"}, "data": data})
    script = (
        "import json, os, pathlib; print(json.dumps({'env': dict(os.environ), 'uid': os.getuid(),"
        " 'groups': os.getgroups(), 'host': os.uname().nodename, 'pid': os.getpid(),"
        " 'secret': pathlib.Path('/etc/app/s/key').read_text(),"
        " 'labels': pathlib.Path('/etc/app/who/name').read_text(),"
        " 'root': os.access('/etc', os.W_OK), 'admin': os.path.exists(os.environ['ADMIN']),"
        " 'own': os.access('/tmp', os.W_OK)}), flush=True)"
    )
    name = await mine.ready(
        pod(
            "inside",
            f'python3 -c "$SCRIPT"; {FOREVER}',
            env=[
                {"name": "SCRIPT", "value": script},
                {"name": "ADMIN", "value": str(mine.cluster.info.kubeconfig)},
                {"name": "GREETING", "value": "$(A) and $(SECRET) and $$(A)"},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "key"}}},
                {"name": "LATE", "value": "$(SECRET)!"},
                {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            envFrom=[{"configMapRef": {"name": "c1"}, "prefix": ""}],
            securityContext=RESTRICTED,
            volumeMounts=[
                {"name": "s", "mountPath": "/etc/app/s", "readOnly": True},
                {"name": "who", "mountPath": "/etc/app/who"},
                {"name": "scratch", "mountPath": "/tmp"},
            ],
            pod={
                "securityContext": {"fsGroup": 4000},
                "volumes": [
                    {"name": "s", "secret": {"secretName": "s1", "defaultMode": 0o400}},
                    {
                        "name": "who",
                        "downwardAPI": {
                            "items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]
                        },
                    },
                    {"name": "scratch", "emptyDir": {}},
                ],
            },
        )
    )

    said = json.loads(await mine.said(name))
    assert said["env"]["B"] == "2"
    assert said["env"]["GREETING"] == "1 and $(SECRET) and $(A)"
    assert said["env"]["LATE"] == "hush!"
    assert (said["env"]["ME"], said["env"]["IP"]) == ("inside", ADDRESS)
    assert "VIRTUAL_ENV" not in said["env"]
    assert (said["uid"], said["groups"], said["host"]) == (65532, [4000], "inside")
    assert (said["secret"], said["labels"], said["admin"]) == ("hush", "inside", False)
    assert (said["root"], said["own"]) == (False, True)


async def test_a_pods_own_token_opens_the_api(mine: Pods) -> None:
    script = (
        "import os, ssl, urllib.request as u; d = '/var/run/secrets/kubernetes.io/serviceaccount';"
        " r = u.Request(f\"https://{os.environ['KUBERNETES_SERVICE_HOST']}:"
        "{os.environ['KUBERNETES_SERVICE_PORT']}/apis/authentication.k8s.io/v1/selfsubjectreviews\","
        ' b\'{\\"apiVersion\\": \\"authentication.k8s.io/v1\\",'
        ' \\"kind\\": \\"SelfSubjectReview\\"}\','
        " {'Authorization': 'Bearer ' + open(d + '/token').read(),"
        " 'Content-Type': 'application/json'});"
        " print(open(d + '/namespace').read(),"
        " u.urlopen(r, context=ssl.create_default_context(cafile=d + '/ca.crt')).read().decode(),"
        " flush=True)"
    )
    name = await mine.ready(
        pod("asker", f'python3 -c "$SCRIPT"; {FOREVER}', env=[{"name": "SCRIPT", "value": script}])
    )

    said = await mine.said(name)
    assert said.startswith("default ")
    assert "system:serviceaccount:default:default" in said
    assert "authentication.kubernetes.io/pod-name" in said


async def test_a_changed_secret_reaches_its_files_as_a_whole(mine: Pods, api: KubeClient) -> None:
    await api.create(f"{NS}/secrets", {"metadata": {"name": "s2"}, "stringData": {"a": "1"}})
    name = await mine.ready(
        pod(
            "reader",
            "while :; do cat /s/a; sleep 0.1; done",
            volumeMounts=[{"name": "s", "mountPath": "/s"}],
            pod={"volumes": [{"name": "s", "secret": {"secretName": "s2"}}]},
        )
    )
    await api.merge(f"{NS}/secrets/s2", {"stringData": {"a": "2"}})

    async def seen() -> bool:
        return mine.log(name).endswith("2")

    await eventually(seen)
    assert "No such file" not in mine.log(name)


async def test_what_cannot_start_says_why_and_starts_when_it_can(
    mine: Pods, api: KubeClient
) -> None:
    reference = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "x"}}}
    name = await mine.create(pod("waiter", FOREVER, env=[reference]))
    found = await mine.when(name, waits_because("CreateContainerConfigError"))
    assert state(found)["state"]["waiting"]["message"] == 'secret "s3" not found'
    assert found["status"]["phase"] == "Pending"
    await api.create(f"{NS}/secrets", {"metadata": {"name": "s3"}, "stringData": {"x": "1"}})
    await mine.when(name, is_ready)


async def test_the_products_images_are_programs_and_strangers_are_refused(mine: Pods) -> None:
    manifest = pod("witness", "", image="ghcr.io/standfast/standfast-witness:1.2", args=["--x"])
    del manifest["spec"]["containers"][0]["command"]
    name = await mine.ready(manifest)

    assert (await mine.said(name)).endswith("/bin/standfast-witness --x\n")
    manifest = pod("stranger", "", image="nginx")
    del manifest["spec"]["containers"][0]["command"]
    found = await mine.when(await mine.create(manifest), waits_because("ErrImageNeverPull"))
    assert "nginx needs a command" in state(found)["state"]["waiting"]["message"]


async def test_a_crash_is_counted_and_restarted_ever_later(mine: Pods) -> None:
    name = await mine.create(pod("crasher", "exit 3"))
    found = await mine.when(name, waits_because("CrashLoopBackOff"))
    assert state(found)["restartCount"] >= 2
    assert state(found)["lastState"]["terminated"]["exitCode"] == 3
    assert not is_ready(found)


async def test_a_killed_container_starts_again(mine: Pods, cluster: Cluster) -> None:
    name = await mine.ready(pod("victim", FOREVER))
    victim = program.Process.of(cluster.container_pid(name))
    assert victim is not None
    victim.send(signal.SIGKILL)
    found = await mine.when(name, lambda found: state(found)["restartCount"] == 1)
    assert state(found)["lastState"]["terminated"]["exitCode"] == 137
    await mine.when(name, is_ready)


async def test_a_command_that_does_not_exist_is_a_start_error(mine: Pods) -> None:
    name = await mine.create(pod("typo", "", command=["/no/such/program"]))
    found = await mine.when(name, lambda found: "terminated" in state(found).get("lastState", {}))
    ended = state(found)["lastState"]["terminated"]
    assert ended["reason"] == "StartError"
    assert "No such file" in ended["message"]


async def test_readiness_follows_the_probe_both_ways(mine: Pods, cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    name = await mine.create(
        pod("moody", FOREVER, readinessProbe={**probe, "failureThreshold": 1})
    )
    found = await mine.when(name, lambda found: "running" in state(found).get("state", {}))
    assert not is_ready(found)
    ready = f"/proc/{cluster.container_pid(name)}/root/tmp/ready"
    await asyncio.to_thread(Path(ready).touch)
    await mine.when(name, is_ready)
    await asyncio.to_thread(Path(ready).unlink)
    await mine.when(name, lambda found: not is_ready(found))


async def test_a_container_that_does_not_live_is_restarted(mine: Pods) -> None:
    probe = {"exec": {"command": ["false"]}, "initialDelaySeconds": 1, "failureThreshold": 1}
    name = await mine.create(pod("zombie", FOREVER, livenessProbe=probe))
    await mine.when(name, lambda found: state(found).get("restartCount", 0) >= 1)


async def test_a_pod_that_ends_well_has_succeeded(mine: Pods) -> None:
    once = pod("once", "cat /x/a", volumeMounts=[{"name": "x", "mountPath": "/x"}])
    once["spec"]["restartPolicy"] = "Never"
    once["spec"]["volumes"] = [{"name": "x", "emptyDir": {}}]
    once["spec"]["initContainers"] = [
        {
            "name": "before",
            "image": "any",
            "command": ["sh", "-c", "echo first > /x/a"],
            "volumeMounts": [{"name": "x", "mountPath": "/x"}],
        }
    ]
    name = await mine.create(once)
    found = await mine.when(name, lambda found: found["status"]["phase"] == "Succeeded")
    assert state(found)["state"]["terminated"]["reason"] == "Completed"
    assert mine.log(name) == "first\n"


async def test_deletion_asks_waits_and_leaves_nothing(
    mine: Pods, api: KubeClient, cluster: Cluster
) -> None:
    name = await mine.ready(
        pod(
            "leaver",
            f"trap 'echo asked; sleep 0.5; echo done; exit 0' TERM; echo up; {FOREVER}",
            lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo pre >> /proc/1/fd/1"]}}},
        )
    )
    assert await mine.said(name) == "up\n"
    uid = (await mine.get(name))["metadata"]["uid"]
    assert (cluster.paths.pods_dir / uid).exists()
    await api.delete(f"{NS}/pods/{name}", {})
    await mine.gone(name)
    assert mine.log(name) == "up\npre\nasked\ndone\n"
    assert name not in {container.pod for container in pods.containers(cluster.paths)}

    async def is_gone() -> bool:
        return not (cluster.paths.pods_dir / uid).exists()

    await eventually(is_gone)


async def test_who_does_not_listen_is_killed_when_the_grace_is_over(mine: Pods) -> None:
    deaf = pod("deaf", f"trap '' TERM; {FOREVER}")
    deaf["spec"]["terminationGracePeriodSeconds"] = 1
    name = await mine.ready(deaf)
    await mine.api.delete(f"{NS}/pods/{name}", {})
    await mine.gone(name)


async def test_a_new_runner_adopts_what_the_old_one_left(mine: Pods, cluster: Cluster) -> None:
    stays = await mine.ready(pod("stayer", FOREVER))
    pid = cluster.container_pid(stays)
    await program.stop(cluster.paths, pods.NAME)
    assert not pods.running(cluster.paths)
    assert program.Process.of(pid) is not None
    await pods.up(cluster.paths, cluster.info, cluster.bin_dir)
    found = await mine.when(stays, is_ready)
    assert state(found)["restartCount"] == 0
    assert cluster.container_pid(stays) == pid


async def test_a_pod_deleted_while_no_runner_was_there_is_ended_by_the_next(
    mine: Pods, cluster: Cluster
) -> None:
    name = await mine.ready(pod("orphan", FOREVER))
    await program.stop(cluster.paths, pods.NAME)
    await mine.api.delete(f"{NS}/pods/{name}", {"gracePeriodSeconds": 0})
    await pods.up(cluster.paths, cluster.info, cluster.bin_dir)

    async def is_gone() -> bool:
        return name not in {container.pod for container in pods.containers(cluster.paths)}

    await eventually(is_gone)


async def test_pods_live_through_an_outage_of_the_control_plane(
    mine: Pods, cluster: Cluster
) -> None:
    name = await mine.ready(pod("steady", FOREVER))
    pid = cluster.container_pid(name)
    await kube.down(cluster.paths)
    assert program.Process.of(pid) is not None
    await kube.up(cluster.paths, ADDRESS)
    assert cluster.container_pid(name) == pid
    await mine.ready(pod("after", FOREVER))


async def test_services_lead_to_the_ready_pod(mine: Pods, api: KubeClient) -> None:
    for name, kind in (("plain", "ClusterIP"), ("outside", "LoadBalancer")):
        ports = [{"port": 80}]
        spec = {"type": kind, "selector": {"app": "backend"}, "ports": ports}
        await api.create(f"{NS}/services", {"metadata": {"name": name}, "spec": spec})
    await mine.ready(pod("backend", FOREVER))

    async def ingress() -> Any:
        found = await api.get(f"{NS}/services/outside")
        return found["status"]["loadBalancer"].get("ingress")

    assert (await eventually(ingress))[0]["ip"] == ADDRESS
    name = await mine.ready(pod("looker", f"getent hosts plain.default.svc; {FOREVER}"))

    assert (await mine.said(name)).split()[0] == ADDRESS
    for service in ("plain", "outside"):
        await api.delete(f"{NS}/services/{service}", {})


async def test_the_node_gives_its_logs_only_to_the_api_server(cluster: Cluster) -> None:
    port = int((cluster.paths.pods_dir / "logs-port").read_text())
    context = ssl.create_default_context(cafile=cluster.info.ca)
    reader, writer = await asyncio.open_connection(ADDRESS, port, ssl=context)
    writer.write(b"GET /containerLogs/default/x/main HTTP/1.1\r\nHost: x\r\n\r\n")
    said = b""
    with suppress(ssl.SSLError, ConnectionError):  # what the end looks like is TLS's business
        said = await reader.read()
    assert said == b""
    writer.close()
    with suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
