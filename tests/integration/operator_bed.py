"""The operator as a process among real parts: an API server, a vCenter, agents and a witness.

The agents are those of `member_bed` (their resources are files), each in a mount namespace of its
own so that it has a boot id of its own. The far side of vCenter's power orders kills and starts
them, so a fence through the API of vSphere ends a process group.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.paths import CONFIG_MAPS, EVENTS, LEASES, SECRETS, Collection
from standfast.api.base import API_VERSION
from standfast.api.kinds import BY_NAME
from standfast.core.record import MemberKind
from standfast.lab.ports import free_port
from tests.integration.kube_parts import KubeLab
from tests.integration.member_bed import ROOT, Party
from tests.integration.vcenter_parts import VM_A, VM_B, Switchboard, VcenterLab

NAMESPACE = "databases"
CLUSTER = "orders"
QUIET_S = 5.0
"""Whoever wrote nothing for so long has come to rest."""


def kind(name: str) -> Collection:
    return Collection(API_VERSION, name, BY_NAME[name].plural)


@dataclass
class Machine(Party):
    """An agent with a boot of its own at every start."""

    boot: str = ""

    def start(self) -> None:
        self.boot = str(uuid.uuid4())
        self.start_again()

    def start_again(self) -> None:
        """The agent alone, after an upgrade: the machine was not restarted."""
        self.directory.mkdir(parents=True, exist_ok=True)
        boot_file = self.directory / "boot_id"
        boot_file.write_text(self.boot + "\n")
        environment = {
            **os.environ,
            "PYTHONPATH": self.python_path,
            "STANDFAST_STATE": str(self.directory / "state"),
            "STANDFAST_RUN": str(self.directory / "run"),
            "STANDFAST_BUNDLE": str(self.directory / "bundle.json"),
            "STANDFAST_REAL_TIME": "no",
        }
        mount = f"mount --bind {boot_file} /proc/sys/kernel/random/boot_id"
        agent = f"exec {sys.executable} -m tests.integration.member_process"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", f"{mount} && {agent}"],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def off(self) -> None:
        """Pull the plug."""
        if self.runs:
            self.signal(signal.SIGKILL)

    def on(self) -> None:
        """A machine that was off starts with nothing running."""
        self.off()
        for thing in (self.directory / "things").glob("*.json"):
            thing.unlink()
        for left in (self.directory / "run").glob("*"):
            with suppress(OSError):
                left.unlink()
        self.start()


@dataclass
class Operator:
    """One replica as a process.

    Attributes:
        group: Id of its group, by which a packet filter knows it.
        more: Of its environment.
    """

    kubeconfig: Path
    directory: Path
    name: str
    image: str = ""
    group: int = 0
    more: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ops_port: int = 0

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        self.ops_port = free_port(
            self.directory / f"{self.name}.port", "127.0.0.1", preferred=18080
        )
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(self.kubeconfig),
            "STANDFAST_POD_NAME": self.name,
            "STANDFAST_NAMESPACE": NAMESPACE,
            "STANDFAST_OPS_ADDRESS": "127.0.0.1",
            "STANDFAST_OPS_PORT": str(self.ops_port),
            "STANDFAST_LOG_LEVEL": "debug",
            "STANDFAST_WITNESS_IMAGE": self.image,
            **self.more,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "standfast.controller.main", "run"],
                group=self.group,
                env=environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to leave; its exit status."""
        self.signal(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(20)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(10)

    @property
    def cpu_ticks(self) -> int:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def lines(self, message: str) -> list[dict[str, Any]]:
        """What it logged under one message."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("msg") == message:
                    found.append(entry)
        return found

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.ops_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def writes(self) -> float:
        """How many it has sent to the API server."""
        name = "standfast_operator_api_writes "
        rows = (await self.metrics()).splitlines()
        return float(next(row for row in rows if row.startswith(name)).removeprefix(name))

    async def writes_at_rest(self) -> float:
        """How many it had sent when it was quiet for a while after the last."""
        found, before = await self.writes(), -1.0
        async with asyncio.timeout(60):
            while found != before:
                await asyncio.sleep(QUIET_S)
                found, before = await self.writes(), found
        return found


@dataclass
class OperatorBed:
    """All of it.

    Attributes:
        subnet: Third number of the loopback addresses.
    """

    kube: KubeLab
    vcenter: VcenterLab
    client: KubeClient
    directory: Path
    subnet: int
    machines: dict[str, Machine] = field(default_factory=dict)
    witness: Party | None = None
    operators: list[Operator] = field(default_factory=list)

    # ---------------------------------------------------------------- making

    def operator(self, name: str = "op-1") -> Operator:
        made = Operator(self.kube.kubeconfig, self.directory, name)
        self.operators.append(made)
        return made

    async def apply(self, of: str, name: str, spec: dict[str, Any]) -> None:
        document = {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
        path = kind(of).path(NAMESPACE, name)
        await self.client._write(
            "PATCH",
            path,
            query={"fieldManager": "test", "force": "true"},
            body=kind(of).of(document),
            content="application/apply-patch+yaml",
        )

    async def declare(self, on_failure: dict[str, Any] | None = None, **changed: Any) -> None:
        """Infrastructure, witness, cluster and two resources.

        Args:
            on_failure: `spec.onFailure` of the resources, when not the default.
            changed: Fields of the cluster's spec.
        """
        more = {} if on_failure is None else {"onFailure": on_failure}
        info = self.vcenter.info
        await self.client.apply(
            SECRETS,
            NAMESPACE,
            "vcenter",
            {"stringData": {"username": info.username, "password": info.password}},
        )
        await self.apply(
            "Infrastructure",
            "lab",
            {
                "vsphere": {
                    "server": info.server,
                    "credentialsSecretRef": {"name": "vcenter"},
                    "caBundle": info.ca_file.read_text(),
                }
            },
        )
        await self.apply("Witness", "third", {"agent": {"addresses": [self._address(13)]}})
        await self.apply("HACluster", CLUSTER, {**self.cluster_spec(), **changed})
        await self.apply(
            "HAResource",
            "web",
            {"clusterRef": {"name": CLUSTER}, "systemd": {"unit": "web.service"}, **more},
        )
        await self.apply(
            "HAResource",
            "vip",
            {
                "clusterRef": {"name": CLUSTER},
                "dependsOn": [{"name": "web"}],
                "vip": {"address": "10.9.9.9/24"},
                **more,
            },
        )

    def cluster_spec(self) -> dict[str, Any]:
        return {
            "infrastructureRef": {"name": "lab"},
            "nodes": [
                {
                    "name": name,
                    "vm": {"instanceUUID": vm.instance_uuid},
                    "addresses": [self._address(11 + at)],
                }
                for at, (name, vm) in enumerate((("vm-a", VM_A), ("vm-b", VM_B)))
            ],
            "witnesses": [{"name": "third"}],
        }

    def _address(self, last: int) -> str:
        return f"127.0.{self.subnet}.{last}"

    async def enrol(self) -> None:
        """Do what a person does with the bundles and the witness's identity."""
        identity = await self.secret("third-identity")
        place = self.directory / "third" / "identity"
        place.mkdir(parents=True)
        for name, text in identity.items():
            (place / name).write_text(text)
        self.witness = Party(
            "third", self._address(13), self.directory / "third", MemberKind.WITNESS
        )
        self.witness.start()
        for at, name in enumerate(("vm-a", "vm-b")):
            await self.enrol_node(name, 11 + at)

    async def enrol_node(self, name: str, last: int) -> Machine:
        bundle = (await self.secret(f"{CLUSTER}-{name}-bundle"))["bundle.json"]
        machine = Machine(name, self._address(last), self.directory / name, MemberKind.DATA)
        machine.directory.mkdir(parents=True, exist_ok=True)
        (machine.directory / "bundle.json").write_text(bundle)
        machine.start()
        self.machines[name] = machine
        return machine

    async def secret(self, name: str) -> dict[str, str]:
        try:
            async with asyncio.timeout(60):
                while (found := await self.client.find(SECRETS, NAMESPACE, name)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            logs = "\n".join(each.log.read_text()[-6000:] for each in self.operators)
            raise AssertionError(f"no Secret {name}\n{logs}") from error
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    # ---------------------------------------------------------------- looking

    async def get(self, of: str, name: str) -> dict[str, Any]:
        return await self.client.get(kind(of), NAMESPACE, name)

    async def cluster(self) -> dict[str, Any]:
        return await self.get("HACluster", CLUSTER)

    async def until(
        self,
        claim: Callable[[dict[str, Any]], bool],
        of: str = "HACluster",
        name: str = CLUSTER,
        within_s: float = 60,
    ) -> dict[str, Any]:
        """Read an object until the claim holds.

        The bound is no claim of speed: an operator that follows a killed one starts, and waits for
        the end of its Lease, which takes 15 s by itself.
        """
        seen: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    seen = await self.client.find(kind(of), NAMESPACE, name) or {}
                    if seen and claim(seen):
                        return seen
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            logs = "\n".join(each.log.read_text()[-3000:] for each in self.operators)
            raise AssertionError(
                f"never came true: {json.dumps(seen, indent=1)}\n{logs}"
            ) from error

    async def settled(self, within_s: float = 60) -> dict[str, Any]:
        return await self.until(
            lambda c: truth(c, "Ready") == "True" and truth(c, "Protected") == "True",
            within_s=within_s,
        )

    async def active(self) -> str:
        return str((await self.cluster())["status"]["active"])


def truth(document: dict[str, Any], type_: str) -> str:
    return str(condition(document, type_).get("status", ""))


def condition(document: dict[str, Any], type_: str) -> dict[str, Any]:
    found = document.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == type_), {})


class Plant(Switchboard):
    """vCenter's power orders reach the machines."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, Machine] = {}

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        answer = await super().order(request)
        machine = self.machines.get(order["vm"])
        if answer.status < 300 and machine is not None:
            if order["op"] in {"off", "reset"}:
                machine.off()
            if order["op"] in {"on", "reset"}:
                machine.on()
        return answer


@asynccontextmanager
async def operator_bed(
    kube: KubeLab, vcenter: VcenterLab, directory: Path, subnet: int
) -> AsyncIterator[OperatorBed]:
    """A bed with nothing declared and no operator yet; what a test declares is gone afterwards."""
    client = kube.client()
    bed = OperatorBed(kube, vcenter, client, directory, subnet)
    if isinstance(vcenter.hypervisor, Plant):
        vcenter.hypervisor.machines = bed.machines
    try:
        yield bed
    finally:
        for operator in bed.operators:
            operator.kill()
        for machine in bed.machines.values():
            machine.off()
        if bed.witness is not None and bed.witness.process is not None:
            with suppress(ProcessLookupError):
                bed.witness.signal(signal.SIGKILL)
        await clear(client)
        await client.close()


async def clear(client: KubeClient) -> None:
    """The garbage collector does not always run in tests: everything is deleted by name."""
    for each in (*(kind(name) for name in BY_NAME), SECRETS, CONFIG_MAPS, LEASES, EVENTS):
        async for found in client.list(each, NAMESPACE):
            metadata = found["metadata"]
            await client.delete(each, NAMESPACE, metadata["name"], metadata["uid"])


def now() -> datetime:
    return datetime.now(UTC)
