"""The agent in the lab's VMs, installed by its own command. Needs root."""

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
