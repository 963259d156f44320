"""Pods in the lab's switch: addresses of their own, reached from VMs, cut like anything else."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from standfast.lab import kube, pods
from standfast.lab.kube import KubeInfo
from standfast.lab.kube_client import Json
from standfast.lab.lab import Lab
from standfast.lab.pods import Attachment
from standfast.lab.power import rules_file
from tests.integration.lab_bed import bare_lab
from tests.integration.lab_parts import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab]

NS = "/api/v1/namespaces/default"
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=1).status)"


@dataclass
class Bed:
    lab: Lab
    info: KubeInfo


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with bare_lab("pod", vms=1, networks=1) as lab:
        info = asyncio.run(kube.up(lab.paths, lab.state.addressing.control_address))
        attach = Attachment(lab.state.addressing, str(rules_file(lab.paths)))
        asyncio.run(pods.up(lab.paths, info, lab.paths.root, attach))
        try:
            yield Bed(lab, info)
        finally:
            asyncio.run(pods.down(lab.paths))
            asyncio.run(kube.down(lab.paths))


def web(name: str) -> Json:
    probe = {"httpGet": {"path": "/etc/hostname", "port": 80}}
    container = {
        "name": "main",
        "image": "python:3",
        "command": ["python3", "-m", "http.server", "80"],
        "readinessProbe": probe,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"metadata": {"name": name}, "spec": spec}


async def ready_address(bed: Bed, name: str) -> str:
    async with kube.client(bed.lab.paths, bed.info.server) as api:

        async def address() -> str:
            found = (await api.get(f"{NS}/pods/{name}"))["status"]
            ready = found.get("containerStatuses", [{}])[0].get("ready")
            return str(found["podIP"]) if ready else ""

        return await eventually(address)


async def start(bed: Bed, name: str) -> str:
    async with kube.client(bed.lab.paths, bed.info.server) as api:
        await api.create(f"{NS}/pods", web(name))
    return await ready_address(bed, name)


async def end(bed: Bed, name: str) -> None:
    async with kube.client(bed.lab.paths, bed.info.server) as api:
        await api.delete(f"{NS}/pods/{name}", {})

        async def is_gone() -> bool:
            return not await api.exists(f"{NS}/pods/{name}")

        await eventually(is_gone)


def reaches(bed: Bed, address: str) -> bool:
    (vm,) = bed.lab.vms()
    url = f"http://{address}/etc/hostname"
    return vm.exec(["python3", "-c", FETCH, url], check=False).strip() == "200"


async def test_two_pods_listen_on_the_same_port_and_a_vm_reaches_both(bed: Bed) -> None:
    first, second = await start(bed, "web-a"), await start(bed, "web-b")
    subnet = bed.lab.state.addressing.subnet(0).rsplit(".", 1)[0]
    assert first != second
    assert {address.rsplit(".", 1)[0] for address in (first, second)} == {subnet}
    assert reaches(bed, first)
    assert reaches(bed, second)
    await end(bed, "web-a")
    await end(bed, "web-b")
    assert not [port for port in bed.lab.net.ports() if port.startswith("pod-")]


async def test_a_pod_is_cut_and_healed_by_its_name(bed: Bed) -> None:
    address = await start(bed, "web-c")
    bed.lab.net.cut("web-c")
    assert not reaches(bed, address)
    bed.lab.net.heal("web-c")
    assert reaches(bed, address)
    await end(bed, "web-c")


async def test_a_pod_that_comes_again_has_its_address_again(bed: Bed) -> None:
    address = await start(bed, "web-d")
    other = await start(bed, "web-e")
    await end(bed, "web-d")
    assert await start(bed, "web-d") == address != other
    await end(bed, "web-d")
    await end(bed, "web-e")
