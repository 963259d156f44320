"""What `make bench-scale` measures: many clusters declared, their hollow agents, one operator.

The API server, etcd and vCenter are the lab's; the operator is a process of this machine as it is
in a pod. Bundles and the witness's identity are carried from Secrets to the agents as people do.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from standfast.adapters.kube.paths import SECRETS, Collection
from standfast.adapters.pki import Identity
from standfast.api.base import API_VERSION
from standfast.api.kinds import BY_NAME
from standfast.lab import kube_client
from standfast.lab.paths import VmSpec
from standfast.lab.ports import free_port
from standfast.lab.vcenter import VcenterInfo
from tests.bench.hollow import HollowAgents
from tests.bench.hollow_cluster import HollowCluster, HollowMember
from tests.bench.scale_share import Usage, cpu_s, usage

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "databases"
"""That of `kube_parts`."""
WITNESS = "many"
WITNESS_HOST = "127.65.0.1"
HOSTS = 20
AT_ONCE = 8
STOP_S = 30


@dataclass(frozen=True)
class Plan:
    """The names of one cluster and its parts, by its number."""

    number: int

    @property
    def name(self) -> str:
        return f"c{self.number:03}"

    @property
    def vms(self) -> tuple[VmSpec, VmSpec]:
        first, second = (
            VmSpec(
                f"{self.name}-{side}",
                _uuid(f"{self.name}-{side}"),
                _uuid(f"{self.name}-{side} bios"),
                f"esx-{(2 * self.number + at) % HOSTS}.lab",
            )
            for at, side in enumerate("ab")
        )
        return first, second

    @property
    def hosts(self) -> tuple[str, str]:
        """Addresses of its nodes."""
        first = 2 * self.number
        return _address(64, first), _address(64, first + 1)

    def cluster(self) -> dict[str, Any]:
        return {
            "infrastructureRef": {"name": "lab"},
            "nodes": [
                {"name": vm.name, "vm": {"instanceUUID": vm.instance_uuid}, "addresses": [host]}
                for vm, host in zip(self.vms, self.hosts, strict=True)
            ],
            "witnesses": [{"name": WITNESS}],
        }

    def resources(self) -> dict[str, dict[str, Any]]:
        ref = {"clusterRef": {"name": self.name}}
        web, vip = f"{self.name}-web", f"{self.name}-vip"
        address = f"{_address(64, self.number).replace('127.', '10.', 1)}/16"
        return {
            web: {**ref, "systemd": {"unit": "web.service"}},
            vip: {**ref, "dependsOn": [{"name": web}], "vip": {"address": address}},
        }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _address(second: int, number: int) -> str:
    return f"127.{second}.{number // 200}.{number % 200 + 1}"


async def declare(
    api: kube_client.KubeClient, info: VcenterInfo, plans: Sequence[Plan], agents: HollowAgents
) -> str:
    """Apply every object, and make the agents of every cluster; answers the Witness's uid."""
    login = {"stringData": {"username": info.username, "password": info.password}}
    path = SECRETS.path(NAMESPACE, "vcenter")
    await api.apply(path, SECRETS.of({"metadata": {"name": "vcenter"}, **login}))
    vsphere = {
        "server": info.server,
        "credentialsSecretRef": {"name": "vcenter"},
        "caBundle": info.ca_file.read_text(),
    }
    await apply(api, "Infrastructure", "lab", {"vsphere": vsphere})
    witness = await apply(api, "Witness", WITNESS, {"agent": {"addresses": [WITNESS_HOST]}})
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(plan: Plan) -> None:
        async with gate:
            made = await apply(api, "HACluster", plan.name, plan.cluster())
            for name, spec in plan.resources().items():
                await apply(api, "HAResource", name, spec)
        agents.add(hollow(plan, made["metadata"]["uid"]))

    await asyncio.gather(*map(one, plans))
    return str(witness["metadata"]["uid"])


async def apply(
    api: kube_client.KubeClient, of: str, name: str, spec: dict[str, Any]
) -> dict[str, Any]:
    document = kind(of).of({"metadata": {"name": name}, "spec": spec})
    return await api.apply(kind(of).path(NAMESPACE, name), document)


def hollow(plan: Plan, uid: str) -> HollowCluster:
    nodes = tuple(
        HollowMember(vm.name, "data", host, boot=str(uuid.uuid4()))
        for vm, host in zip(plan.vms, plan.hosts, strict=True)
    )
    witness = HollowMember(WITNESS, "witness", WITNESS_HOST, boot=_uuid("witness boot"))
    return HollowCluster(uid, plan.name, nodes, witness)


class Watch:
    """Objects of one kind in the namespace, as the API server tells of them.

    Args:
        api: The administrator's connection.
        path: Of the collection.
    """

    def __init__(self, api: kube_client.KubeClient, path: str) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.news = 0
        """Changes told since the start."""
        self.on_object: Callable[[str, dict[str, Any]], None] = lambda _name, _object: None
        self._api = api
        self._path = path
        self._changed = asyncio.Event()

    async def run(self) -> None:
        page = await self._api.get(self._path)
        for item in page["items"]:
            self._take("ADDED", item)
        version = page["metadata"]["resourceVersion"]
        async for event in self._api.watch(self._path, version):
            if event["type"] != "BOOKMARK":
                self.news += 1
                self._take(event["type"], event["object"])

    def _take(self, what: str, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        if what == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = document
            self.on_object(name, document)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, claim: Callable[[], bool], within_s: float) -> float:
        """When the claim came true, looked at after every change.

        Raises:
            TimeoutError: It never did.
        """
        async with asyncio.timeout(within_s):
            while not claim():
                await self._changed.wait()
        return time.monotonic()


def kind(name: str) -> Collection:
    return Collection(API_VERSION, name, BY_NAME[name].plural)


def truth(document: dict[str, Any], type_: str) -> str:
    """Status of a condition; "" when there is none."""
    found = document.get("status", {}).get("conditions", [])
    return next((str(each["status"]) for each in found if each["type"] == type_), "")


def all_ready(clusters: Watch, count: int) -> bool:
    found = clusters.objects.values()
    return len(found) == count and all(truth(each, "Ready") == "True" for each in found)


def carrier(agents: HollowAgents, witness_uid: str) -> Callable[[str, dict[str, Any]], None]:
    """Carries what is in Secrets to the agents, as people do at enrolment."""

    def carry(name: str, secret: dict[str, Any]) -> None:
        data = {key: base64.b64decode(text) for key, text in (secret.get("data") or {}).items()}
        if name.endswith("-bundle"):
            agents.take_bundle(data["bundle.json"])
        if name == f"{WITNESS}-identity":
            parts = (data[part].decode() for part in ("ca.crt", "tls.crt", "tls.key"))
            agents.take_witness_identity(witness_uid, Identity(*parts))

    return carry


@dataclass
class ScaleOperator:
    """One replica, quiet as in production.

    Args:
        directory: Takes its log and, with `is_profiled`, what cProfile says.
        name: Of its pod.
        program: The module that is run.
        more: More of its environment.
    """

    kubeconfig: Path
    directory: Path
    name: str
    is_profiled: bool = False
    source: Path = ROOT
    program: str = "standfast.controller.main"
    more: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ops_port: int = 0

    def start(self) -> None:
        file = self.directory / f"{self.name}.port"
        self.ops_port = free_port(file, "127.0.0.1", preferred=18080)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.source / 'operator'}:{self.source}",
            "KUBECONFIG": str(self.kubeconfig),
            "STANDFAST_POD_NAME": self.name,
            "STANDFAST_NAMESPACE": NAMESPACE,
            "STANDFAST_OPS_ADDRESS": "127.0.0.1",
            "STANDFAST_OPS_PORT": str(self.ops_port),
            **self.more,
        }
        profiled = ["-m", "cProfile", "-o", str(self.directory / f"{self.name}.prof")]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *(profiled if self.is_profiled else []),
                    "-m",
                    self.program,
                    "run",
                ],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self.source,
                start_new_session=True,
            )

    async def stop(self) -> None:
        """Ask it to leave, and wait until it has; one that does not is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process is not None, "it was started"
        return self.process.pid

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used."""
        return cpu_s(self.pid)

    def usage(self) -> Usage:
        """Processor time of everybody."""
        return usage(self.pid)

    @property
    def judged_at(self) -> float:
        """When it had judged every cluster, as a Unix time; 0 before."""
        lines = (self.directory / f"{self.name}.log").read_text().splitlines()
        said = next((line for line in lines if '"Judged all"' in line), None)
        return (
            0.0 if said is None else datetime.fromisoformat(json.loads(said)["time"]).timestamp()
        )

    @property
    def rss_mb(self) -> float:
        lines = self._proc("status").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    async def writes(self) -> int:
        """Writes it has sent to the API server, by its own count; its lease's are not in it."""
        url = f"http://127.0.0.1:{self.ops_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        name = "standfast_operator_api_writes "
        return int(float(next(x for x in text.splitlines() if x.startswith(name)).split()[1]))

    def _proc(self, file: str) -> str:
        return Path(f"/proc/{self.pid}/{file}").read_text()


async def quiet(count: Callable[[], Awaitable[int]], for_s: float, within_s: float) -> None:
    """Return when a number has not changed for so long."""
    last, since = await count(), time.monotonic()
    async with asyncio.timeout(within_s):
        while time.monotonic() - since < for_s:
            await asyncio.sleep(1)
            now = await count()
            if now != last:
                last, since = now, time.monotonic()
