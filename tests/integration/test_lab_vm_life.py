"""The life of a lab: up twice, several at once, crashes of its own parts, nothing left. Root."""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from standfast.errors import UserError
from standfast.lab import installation, program, state
from standfast.lab.cgroups import lab_cgroup
from standfast.lab.commands import NETNS_DIR
from standfast.lab.installation import HYPERVISOR, Wanted
from standfast.lab.lab import Lab
from standfast.lab.paths import LabPaths
from tests.integration.lab_bed import bare_lab, name_of

pytestmark = [pytest.mark.root, pytest.mark.lab]

BARE = Wanted(vms=2, networks=1, kubernetes=False, vcenter=False, agent=False)


def remains(name: str) -> list[str]:
    """Everything of a lab that this machine still knows."""
    found = [entry.name for entry in NETNS_DIR.glob(f"lab-{name}-*")]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if f"/{name}/" in line or f"layers-{name}" in line]
    found += [str(group.path) for group in [lab_cgroup(name)] if group.exists]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words or any(f"/{name}/".encode() in word for word in words):
            found.append(b" ".join(words).decode())
    paths = LabPaths.named(name)
    return found + ([str(paths.root)] if paths.root.exists() else [])


def host_devices() -> set[str]:
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def test_down_leaves_nothing() -> None:
    before = host_devices()
    with bare_lab("gone") as lab:
        lab.vm("vm-a").off()
        lab.vm("vm-b").freeze()
        assert remains(lab.name) != []
        own = lab.state.addressing.host_device
        assert own in host_devices()
    assert remains(lab.name) == []
    assert own not in host_devices()
    assert before >= host_devices() - {own}


def test_up_twice_changes_nothing() -> None:
    with bare_lab("twice", networks=1) as lab:
        boots = {vm.name: vm.now().boot for vm in lab.vms()}
        again = Lab.up(lab.name, BARE)
        assert {vm.name: vm.now().boot for vm in again.vms()} == boots
        assert again.state == lab.state


def test_up_switches_on_what_is_off() -> None:
    with bare_lab("again", networks=1) as lab:
        lab.vm("vm-a").off()
        Lab.up(lab.name, BARE)
        assert lab.vm("vm-a").now().power == "on"


def test_other_sizes_of_an_existing_lab_are_refused() -> None:
    with bare_lab("size", networks=1) as lab:
        with pytest.raises(UserError, match="2 VMs and 1 networks") as refused:
            Lab.up(lab.name, Wanted(vms=3, networks=1))
        assert f"standfast-lab down --name {lab.name}" in refused.value.remedy


def test_labs_side_by_side_do_not_know_of_each_other() -> None:
    with bare_lab("one") as one, bare_lab("two") as two:
        assert one.state.index != two.state.index
        assert not set(one.vm("vm-a").addresses) & set(two.vm("vm-a").addresses)
        for lab in (one, two):
            arping = ["arping", "-c", "1", "-w", "1", "-I", "eth0", lab.vm("vm-b").addresses[0]]
            lab.vm("vm-a").exec(arping)
        one.net.cut("vm-a")
        two.vm("vm-a").exec(
            ["arping", "-c", "1", "-w", "1", "-I", "eth0", two.vm("vm-b").addresses[0]]
        )
        one.vm("vm-b").off()
        assert two.vm("vm-b").now().power == "on"


def test_a_name_that_begins_like_another_does_not_take_its_namespaces() -> None:
    with bare_lab("a", vms=1, networks=1) as short:
        longer = Lab.up(f"{short.name}-b"[:10], Wanted(1, 1, False, False, False))
        try:
            own = installation.namespaces(short.paths)
            assert f"lab-{longer.name}-sw" not in own
            assert f"lab-{short.name}-sw" in own
        finally:
            longer.down()


def test_a_killed_hypervisor_leaves_the_vms_running_and_the_next_one_adopts_them() -> None:
    with bare_lab("adopt", networks=1) as lab:
        boot = lab.vm("vm-a").now().boot
        process = program.running(lab.paths, HYPERVISOR)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        assert lab.vm("vm-a").exec(["true"]) == ""
        Lab.up(lab.name, BARE)
        assert lab.vm("vm-a").now().boot == boot
        pid = lab.vm("vm-a").machine.pid1
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while lab.vm("vm-a").now().power != "off":
            assert time.monotonic() < deadline, "an adopted VM's death is noticed as well"
            time.sleep(0.01)


def test_the_next_up_clears_what_a_crash_left() -> None:
    """The lab's processes are killed and its state says that `up` never ended."""
    with bare_lab("crash", networks=1) as lab:
        process = program.running(lab.paths, HYPERVISOR)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        boot = lab.vm("vm-a").machine.boot_id()
        state.store(lab.paths, msgspec.structs.replace(lab.state, complete=False))
        again = Lab.up(lab.name, BARE)
        assert again.vm("vm-a").now().boot not in {"", boot}
        assert again.state.complete


def test_down_needs_no_state_file() -> None:
    with bare_lab("lost", networks=1) as lab:
        lab.paths.state_file.unlink()
        asyncio.run(installation.down(lab.paths))
        assert remains(lab.name) == []


def test_down_of_a_lab_that_never_was_is_nothing() -> None:
    paths = LabPaths.named(name_of("none"))
    asyncio.run(installation.down(paths))
    assert not paths.root.exists()
