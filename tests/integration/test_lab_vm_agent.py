"""The agent in the lab's VMs, installed by its own command. Needs root."""

import re
import time
from collections.abc import Iterator

import pytest

from standfast.lab.lab import Lab, LabVm
from tests.integration.lab_bed import bare_lab

pytestmark = [pytest.mark.root, pytest.mark.lab]

UNIT = "standfast-agent"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with bare_lab("agent", vms=1) as lab:
        lab.vm("vm-a").install_agent()
        yield lab


def wait_active(vm: LabVm) -> None:
    deadline = time.monotonic() + 20
    while vm.exec(["systemctl", "is-active", UNIT], check=False).strip() != "active":
        assert time.monotonic() < deadline, vm.logs(UNIT)
        time.sleep(0.05)


def test_it_runs_and_is_enabled(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    wait_active(vm)
    assert vm.exec(["systemctl", "is-enabled", UNIT]).strip() == "enabled"
    assert vm.exec(["systemctl", "is-system-running"]).strip() == "running"


def test_installing_twice_does_not_restart_it(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    wait_active(vm)
    pid = vm.exec(["systemctl", "show", "-P", "MainPID", UNIT])
    vm.install_agent()
    assert vm.exec(["systemctl", "show", "-P", "MainPID", UNIT]) == pid


def test_it_starts_with_the_vm(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    vm.reset()
    wait_active(vm)


def test_it_dies_with_the_vm_and_its_words_are_kept(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    wait_active(vm)
    vm.exec(["journalctl", "--sync"])
    vm.off()
    assert vm.machine.cgroup.pids() == []
    assert UNIT in vm.logs(UNIT)
    vm.on()


LEFT_BEHIND = """
import asyncio, ipaddress
from standfast.adapters.linux.addresses import KernelAddresses
from standfast.adapters.linux.clock import BootClock, boot_id
from standfast.adapters.linux.deadline import Deadline, DeadlineFile
from standfast.adapters.linux.lease_filter import NftLeaseFilter
from pathlib import Path

async def main():
    clock, addresses = BootClock(), KernelAddresses()
    filter = NftLeaseFilter(clock)
    vip = ipaddress.ip_interface("10.99.0.1/24")
    (card,) = [one for one in await addresses.interfaces() if one.name == "eth0"]
    until_ms = clock.now_ms() + 1500
    await filter.allow(vip.ip, until_ms)
    await addresses.put(vip, card, 2)
    DeadlineFile(Path("/run/standfast/lease.json")).write(Deadline(boot_id(), 7, until_ms))

asyncio.run(main())
"""
"""A lease as an agent that is active holds it."""


def test_nothing_is_left_of_it_once_it_is_uninstalled(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    wait_active(vm)
    vm.exec(["/opt/standfast/bin/python", "-c", LEFT_BEHIND])
    assert "table inet standfast" in vm.exec(["nft", "list", "tables"])
    assert "10.99.0.1/24" in vm.exec(["ip", "-o", "address"])
    vm.exec(["/opt/standfast/bin/standfast-agent", "uninstall", "--purge"])
    assert "standfast" not in vm.exec(["nft", "list", "tables"])
    assert "10.99.0.1/24" not in vm.exec(["ip", "-o", "address"])
    assert "standfast" not in vm.exec(["systemctl", "list-units", "--all", "--plain"])
    assert "standfast" not in vm.exec(["systemctl", "list-unit-files"])
    for place in ("/etc/standfast", "/run/standfast", "/var/lib/standfast"):
        assert not (vm.machine.root() / place.lstrip("/")).exists(), place
    running = vm.exec(["ps", "-e", "-o", "args"])
    assert not re.search("standfast-(agent|guard)", running), running
    vm.exec(["/opt/standfast/bin/standfast-agent", "uninstall", "--purge"])
