"""A protected pair in a lab: the operator installed by Helm, an example applied, VMs enrolled.

Called by the demo, the end-to-end tests and the benchmark, which all begin with the same steps
that the README shows. Everything goes through `kubectl`, `helm` and the VMs' own commands.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import cast

import aiohttp
import yaml

from standfast.errors import TransientError
from standfast.lab.kubectl import Kubectl, config_map, secret, until
from standfast.lab.lab import Lab
from standfast.lab.software import checkout

OPERATOR_NAMESPACE = "standfast-system"
UNIT_DIRECTORY = "etc/systemd/system"
PROGRAMS = "usr/local/bin"
ALLOWED = "etc/standfast/agent.toml"
AGENT_SOCKET = "run/standfast/agent.sock"
ANSWER_S = 10.0
ENROLLED_S = 30.0
CONVERGED_S = 60.0
ENROLLED_S = 120.0
"""The operator has just been installed: it may not run yet."""


def install_operator(lab: Lab, *, replicas: int = 2) -> None:
    """Installs both charts as the README says, and waits until the operator is ready."""
    kubectl = Kubectl(lab.state)
    charts = checkout() / "charts"
    kubectl.helm("upgrade", "--install", "standfast-crds", str(charts / "standfast-crds"))
    kubectl.helm(
        "upgrade",
        "--install",
        "standfast",
        str(charts / "standfast"),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--set",
        f"replicas={replicas}",
        "--wait",
        "--timeout",
        "60s",
    )


@dataclass(frozen=True, slots=True)
class LabCluster:
    """One `HACluster` of a lab, with what belongs to it.

    Args:
        lab: Where it is.
        name: Of the `HACluster`.
        namespace: Where its objects are.
    """

    lab: Lab
    name: str
    namespace: str = "default"

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.lab.state, self.namespace)

    def apply(self, example: Path) -> None:
        """Applies a directory of `examples/` as it stands, with the lab's credentials."""
        vcenter = self.lab.state.vcenter
        assert vcenter is not None, "examples name a vCenter"
        login = {"username": vcenter.username, "password": vcenter.password}
        self.kubectl.apply_text(secret("vcenter", login))
        authority = Path(vcenter.ca_file).read_text()
        self.kubectl.apply_text(config_map("vcenter-ca", {"ca.crt": authority}))
        self.install_units(example)
        self.kubectl.apply(example)

    def install_units(self, example: Path) -> None:
        """Puts the example's units, programs and mount points into every VM, not enabled.

        What the example declares, and no more, is allowed there (`/etc/standfast/agent.toml`).
        """
        units = sorted(example.glob("*.service"))
        programs = sorted(example.glob("*.py"))
        for vm in self.lab.vms():
            for unit in units:
                target = vm.machine.root() / UNIT_DIRECTORY / unit.name
                target.write_bytes(unit.read_bytes())
            for program in programs:
                (vm.machine.root() / PROGRAMS / program.name).write_bytes(program.read_bytes())
            for point in mount_points(example):
                (vm.machine.root() / point.lstrip("/")).mkdir(parents=True, exist_ok=True)
            (vm.machine.root() / ALLOWED).write_text(allowed(example))
            if units:
                vm.exec(["systemctl", "daemon-reload"])

    def enroll(self) -> None:
        """Gives every VM its bundle, as `kubectl standfast enroll` prints it."""
        for vm in self.lab.vms():
            if any(vm.name == node for node, _ in self.nodes()):
                words = ("enroll", self.name, vm.name, f"--timeout={ENROLLED_S:g}")
                bundle = self.kubectl.standfast(*words, timeout_s=2 * ENROLLED_S)
                vm.enroll(bundle.encode())

    def nodes(self) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Every declared node, with its status where it has one."""
        document = self.document()
        spec = cast("Mapping[str, list[Mapping[str, object]]]", document["spec"])
        shown = cast("list[Mapping[str, object]]", self.status().get("nodes", []))
        by_name = {str(node["name"]): node for node in shown}
        for node in spec["nodes"]:
            name = str(node["name"])
            yield name, by_name.get(name, {})

    def document(self) -> dict[str, object]:
        return self.kubectl.get("hacluster", self.name)

    def status(self) -> Mapping[str, object]:
        return cast("Mapping[str, object]", self.document().get("status", {}))

    @property
    def active(self) -> str:
        """Name of the active node, empty when there is none."""
        return str(self.status().get("active") or "")

    @property
    def standby(self) -> str:
        """Name of a node that is not active."""
        active = self.active
        return next(name for name, _ in self.nodes() if name != active)

    def condition(self, kind: str) -> Mapping[str, str]:
        """One condition; empty when it is not there."""
        found = cast("list[Mapping[str, str]]", self.status().get("conditions", []))
        return next((one for one in found if one["type"] == kind), {})

    def wait(self, kind: str, status: str = "True", timeout_s: float = CONVERGED_S) -> float:
        """Waits for a condition; answers how many seconds that took."""

        def look() -> str | None:
            condition = self.condition(kind)
            return None if condition.get("status") == status else json.dumps(condition)

        return until(f"{kind}={status} of hac/{self.name}", look, timeout_s)

    def wait_active(self, node: str, timeout_s: float = CONVERGED_S) -> float:
        """Waits until the status names this node active."""

        def look() -> str | None:
            active = self.active
            return None if active == node else f"active is {active or 'nobody'}"

        return until(f"{node} active in hac/{self.name}", look, timeout_s)

    def wait_settled(self, timeout_s: float = CONVERGED_S) -> None:
        """Waits until the pair serves and would survive the next failure."""
        self.wait("Ready", timeout_s=timeout_s)
        self.wait("Protected", timeout_s=timeout_s)

    def agent_status(self, vm: str) -> Mapping[str, object]:
        """What the agent in a VM says of itself, with the control plane up or down.

        Asked over its socket from here: whether the VM has time for another program is not asked.

        Raises:
            TransientError: It does not answer.
        """
        socket = self.lab.vm(vm).machine.root() / AGENT_SOCKET
        return cast("Mapping[str, object]", json.loads(asyncio.run(_asked(socket))))

    def wait_role(self, vm: str, role: str, timeout_s: float = CONVERGED_S) -> float:
        """Waits until the agent in a VM says that it has this role."""

        def look() -> str | None:
            try:
                now = self.agent_status(vm)
            except TransientError as error:
                return str(error)
            return None if now.get("role") == role else f"role is {now.get('role')}"

        return until(f"role {role} in {vm}", look, timeout_s, every_s=0.3)


async def _asked(socket: Path) -> bytes:
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(
        "http://agent", connector=aiohttp.UnixConnector(str(socket)), timeout=timeout
    ) as session:
        try:
            async with session.get("/v1/status") as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(
                f"no agent answers at {socket}: {error!r}",
                remedy="standfast-lab exec VM -- systemctl status standfast-agent",
            ) from error
    if answer.status != HTTPStatus.OK:
        raise TransientError(f"the agent at {socket} says: {body.decode(errors='replace')}")
    return body


def documents(directory: Path) -> list[dict[str, object]]:
    """Every manifest of a directory of `examples/`."""
    found: list[dict[str, object]] = []
    for file in sorted(directory.glob("*.yaml")):
        found += [document for document in yaml.safe_load_all(file.read_text()) if document]
    return found


def allowed(example: Path) -> str:
    """The file of a host that allows what an example declares."""
    units: list[str] = []
    addresses: list[str] = []
    ports: list[str] = []
    for document in documents(example):
        spec = cast("Mapping[str, object]", document.get("spec") or {})
        for body in spec.values():
            if document.get("kind") == "HAResource" and isinstance(body, dict):
                units += [str(body["unit"])] if "unit" in body else []
                addresses += [str(body["address"]).partition("/")[0]] if "address" in body else []
                ports += [
                    f"{each['port']}/{each.get('protocol', 'TCP').lower()}"
                    for each in body.get("ports", [])
                ]
    return (
        f"[allow]\nunits = {json.dumps(units)}\naddresses = {json.dumps(addresses)}\n"
        f"directories = {json.dumps(mount_points(example))}\n"
        f"devices = {json.dumps(devices(example))}\nports = {json.dumps(ports)}\n"
    )


def devices(example: Path) -> list[str]:
    """The disks of an example, as it names them."""
    specs = [cast("Mapping[str, object]", one.get("spec") or {}) for one in documents(example)]
    found: list[str] = []
    for kind, key in (("sharedDisk", "uuid"), ("filesystem", "device")):
        bodies = (spec.get(kind) for spec in specs)
        found += [str(body[key]) for body in bodies if isinstance(body, dict)]
    return found


def mount_points(example: Path) -> list[str]:
    """Where the file systems of an example are mounted."""
    specs = (cast("Mapping[str, object]", one.get("spec") or {}) for one in documents(example))
    found = (spec.get("filesystem") for spec in specs)
    return [str(body["mountPoint"]) for body in found if isinstance(body, dict)]


def bring_up(lab: Lab, example: Path, name: str) -> LabCluster:
    """From a fresh lab to a protected pair."""
    install_operator(lab)
    cluster = LabCluster(lab, name)
    cluster.apply(example)
    cluster.enroll()
    cluster.wait_settled()
    return cluster


def settle(seconds: float) -> None:
    """Lets a fault last; the only sleep here, because a duration is what is tested."""
    time.sleep(seconds)
