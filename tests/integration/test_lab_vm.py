"""VMs for real: boot, silent power-off, stun, death, what is hidden, what is left. Needs root."""

import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standfast.errors import RefusedError, UserError
from standfast.lab import layer
from standfast.lab.commands import NETNS_DIR
from standfast.lab.inside import in_namespace
from standfast.lab.lab import Lab
from standfast.lab.orders import ShownVm
from tests.integration.lab_bed import bare_lab

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = 5000
ACCEPT = (
    "import socket; s = socket.create_server(('', 5000)); held = []\n"
    "while True: held.append(s.accept())"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with bare_lab("vm") as lab:
        yield lab


@pytest.fixture(autouse=True)
def both_on(lab: Lab) -> None:
    lab.net.heal()
    for vm in lab.vms():
        now = vm.now()
        if now.stunned or now.power == "suspended":
            vm.thaw()
        if now.power == "off":
            vm.on()
        vm.machine.wait_ready()


def until(lab: Lab, vm: str, claim: Callable[[ShownVm], bool]) -> ShownVm:
    """What a VM is doing, once the claim about it holds."""
    deadline = time.monotonic() + 10
    while not claim(now := lab.vm(vm).now()):
        assert time.monotonic() < deadline, f"still {now}"
        time.sleep(0.01)
    return now


def drain(sock: socket.socket) -> None:
    """Read what a packet socket has heard so far."""
    while select.select([sock], [], [], 0)[0]:
        sock.recv(2048)


def frames_from(sock: socket.socket, mac: str, seconds: float) -> int:
    """How many frames of a sender a packet socket hears in that time."""
    deadline = time.monotonic() + seconds
    heard = 0
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            heard += sock.recv(2048)[6:12].hex(":") == mac
    return heard


def in_client(lab: Lab, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket of the client namespace."""
    namespace = NETNS_DIR / lab.state.addressing.client_namespace
    return in_namespace(namespace, lambda: socket.socket(family, kind, protocol))


def listening(lab: Lab, vm: str) -> None:
    lab.vm(vm).exec(["systemd-run", "--unit=accept", "python3", "-c", ACCEPT])
    wait = f"until ss -Hltn sport = :{PORT} | grep -q {PORT}; do sleep 0.02; done"
    lab.vm(vm).exec(["sh", "-c", wait])


def hears_all(lab: Lab) -> socket.socket:
    everything = in_client(lab, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    everything.bind(("eth0", 0))
    return everything


def test_a_vm_has_a_systemd_of_its_own_without_failed_units(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    assert vm.exec(["cat", "/proc/1/comm"]).strip() == "systemd"
    assert vm.exec(["systemctl", "is-system-running"]).strip() == "running"
    assert vm.exec(["hostname"]).strip() == "vm-a"


def test_what_is_enabled_starts_at_the_next_boot(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    vm.exec(["sh", "-c", f"printf '{unit}' > /etc/systemd/system/kept.service"])
    vm.exec(["systemctl", "enable", "kept"])
    vm.reset()
    assert vm.exec(["systemctl", "is-active", "kept"]).strip() == "active"


def test_the_disk_and_the_machine_id_stay_and_the_boot_id_changes(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    vm.exec(["sh", "-c", "echo kept > /srv/kept; echo gone > /run/gone"])
    before = vm.now().boot, vm.exec(["cat", "/etc/machine-id"])
    assert before[0] == vm.exec(["cat", "/proc/sys/kernel/random/boot_id"]).strip()
    vm.reset()
    assert vm.exec(["cat", "/srv/kept"]) == "kept\n"
    assert vm.machine.run(["cat", "/run/gone"]).returncode != 0
    assert vm.now().boot != before[0]
    assert vm.exec(["cat", "/etc/machine-id"]) == before[1]


def test_a_vm_says_which_sources_it_was_booted_with(lab: Lab) -> None:
    assert lab.vm("vm-a").machine.layer() == layer.current(lab.paths).name


def test_homes_keys_databases_and_the_lab_itself_are_hidden(lab: Lab) -> None:
    hidden = ["/root", "/home", "/etc/ssh", "/var/lib/postgresql", "/var/lib/standfast-lab"]
    there = [path for path in hidden if Path(path).exists()]
    assert lab.vm("vm-a").exec(["find", *there, "-type", "f"]) == ""
    checkout = Path(__file__).resolve().parents[2]
    assert lab.vm("vm-a").machine.run(["ls", str(checkout / "pyproject.toml")]).returncode != 0
    passwords = lab.vm("vm-a").exec(["cut", "-d:", "-f2", "/etc/shadow"])
    assert set(passwords.split()) == {"*"}


def test_the_host_is_not_touched_by_what_a_vm_writes(lab: Lab) -> None:
    lab.vm("vm-a").exec(["touch", "/etc/written-by-a-vm", "/usr/local/written-by-a-vm"])
    assert not Path("/etc/written-by-a-vm").exists()
    assert not Path("/usr/local/written-by-a-vm").exists()


@pytest.mark.parametrize("way", [[], ["systemd-run", "--wait", "--pipe", "--quiet"]])
def test_no_program_in_a_vm_may_set_the_clock_or_change_the_kernel(
    lab: Lab, way: list[str]
) -> None:
    """Both are this machine's. The rights are looked at, not tried."""
    shown = lab.vm("vm-a").exec([*way, "grep", "-E", "Cap(Eff|Bnd)", "/proc/self/status"])
    rights = [int(line.split()[1], 16) for line in shown.splitlines()]
    assert len(rights) == 2
    for number in (16, 17, 25):  # SYS_MODULE, SYS_RAWIO, SYS_TIME
        assert not any(right >> number & 1 for right in rights)


def test_only_the_settings_of_its_network_are_a_vms_own(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    vm.exec(["sysctl", "-w", "net.ipv4.conf.all.arp_notify=1"])
    same = Path("/proc/sys/vm/swappiness").read_text().strip()
    assert vm.machine.run(["sysctl", "-w", f"vm.swappiness={same}"]).returncode != 0


def test_the_agents_environment_runs_on_the_vms_own_interpreter(lab: Lab) -> None:
    say = "import sys, standfast, aiohttp, cryptography; print(sys.executable, standfast.__file__)"
    said = lab.vm("vm-a").exec(["/opt/standfast/bin/python", "-c", say])
    assert said.split() == [
        "/opt/standfast/bin/python",
        "/opt/standfast/lib/python3.11/site-packages/standfast/__init__.py",
    ]


def test_power_off_is_silent_to_a_connected_peer(lab: Lab) -> None:
    """No FIN, no RST, no ARP: the peer's socket stays established, as after a power cut."""
    vm = lab.vm("vm-a")
    listening(lab, "vm-a")
    mac = lab.state.addressing.vm_interfaces("vm-a")[0].mac
    peer = in_client(lab, socket.AF_INET, socket.SOCK_STREAM)
    with peer, hears_all(lab) as everything:
        peer.connect((vm.addresses[0], PORT))
        assert frames_from(everything, mac, 0.2) > 0, "the listener hears what there is"
        vm.off()
        while select.select([everything], [], [], 0)[0]:
            everything.recv(2048)
        assert frames_from(everything, mac, 2.0) == 0
        state = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        assert state == 1, "TCP_ESTABLISHED"


def test_a_killed_process_is_not_silent(lab: Lab) -> None:
    """The difference that the test above rests on."""
    vm = lab.vm("vm-b")
    listening(lab, "vm-b")
    with in_client(lab, socket.AF_INET, socket.SOCK_STREAM) as peer:
        peer.connect((vm.addresses[0], PORT))
        pid = vm.exec(["systemctl", "show", "-P", "MainPID", "accept"]).strip()
        vm.exec(["kill", "-9", pid])
        peer.settimeout(2)
        assert peer.recv(1) == b"", "the peer is told at once"


def test_power_off_leaves_no_process_no_port_and_no_mount(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    vm.off()
    assert vm.machine.cgroup.pids() == []
    assert vm.now() == ShownVm("off", stunned=False, boot="", since_ns=0)
    deadline = time.monotonic() + 5
    while vm.machine.cgroup.exists or (NETNS_DIR / vm.machine.namespace).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not [port for port in lab.net.ports() if port.startswith("vm-a")]
    assert str(vm.machine.directory) not in Path("/proc/self/mountinfo").read_text()


def test_the_journal_survives_a_power_cut(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    vm.exec(["systemd-run", "--wait", "--unit=witnessed", "echo", "said before the cut"])
    vm.exec(["journalctl", "--sync"])
    vm.off()
    assert "said before the cut" in vm.logs("witnessed")
    vm.on()
    assert "said before the cut" in vm.logs("witnessed")
    assert vm.exec(["systemctl", "is-system-running"]).strip() == "running"


def test_orders_that_do_not_fit_the_state_are_refused(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    with pytest.raises(RefusedError, match="vm-a is on already"):
        vm.hypervisor.power("vm-a", "on", report=False)
    vm.off()
    for order in ("off", "reset", "suspend"):
        with pytest.raises(RefusedError, match="vm-a is off already"):
            vm.hypervisor.power("vm-a", order, report=False)
    with pytest.raises(UserError, match="no VM 'vm-z'"):
        vm.hypervisor.power("vm-z", "off", report=False)


def test_a_stunned_vm_stands_still_and_answers_nobody(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    clock = "import time, sys\nwhile True: open('/run/now','w').write(str(time.time()))"
    vm.exec(["systemd-run", "--unit=clock", "nice", "python3", "-c", clock])
    vm.exec(["sh", "-c", "until test -s /run/now; do sleep 0.02; done"])
    mac = lab.state.addressing.vm_interfaces("vm-a")[0].mac
    with hears_all(lab) as everything:
        vm.freeze()
        drain(everything)  # what it said before
        written = (vm.machine.root() / "run/now").read_text()
        lab.client_exec(["arping", "-c", "1", "-w", "1", "-I", "eth0", vm.addresses[0]])
        assert frames_from(everything, mac, 0.3) == 0
        assert (vm.machine.root() / "run/now").read_text() == written
        assert vm.now().stunned
        vm.thaw()
        arping = ["arping", "-c", "1", "-w", "1", "-I", "eth0", vm.addresses[0]]
        assert lab.client_exec(arping).returncode == 0
    vm.exec(["systemctl", "stop", "clock"])


def test_a_stun_for_a_time_ends_by_itself(lab: Lab) -> None:
    began = time.monotonic()
    lab.vm("vm-a").freeze(300)
    assert 0.3 <= time.monotonic() - began < 1.5
    assert not lab.vm("vm-a").now().stunned


def test_a_stunned_vm_can_be_powered_off(lab: Lab) -> None:
    lab.vm("vm-a").freeze()
    lab.vm("vm-a").off()
    assert lab.vm("vm-a").now().power == "off"
    lab.vm("vm-a").on()
    assert lab.net.rules().stunned == frozenset()


def test_a_program_entered_from_outside_is_killed_with_the_vm(lab: Lab) -> None:
    vm = lab.vm("vm-a")
    command = vm.machine.command(["sleep", "1000"])
    with subprocess.Popen(command) as entered:
        group = Path(f"/proc/{entered.pid}/cgroup")
        deadline = time.monotonic() + 5
        while f"/{lab.name}/vm-a" not in group.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        vm.off()
        assert entered.wait(5) == -signal.SIGKILL


def test_a_vm_that_loses_its_first_process_is_seen_as_off(lab: Lab) -> None:
    pid = lab.vm("vm-a").machine.pid1
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lab, "vm-a", lambda now: now.power == "off")


def test_shutdown_from_inside_is_a_power_off(lab: Lab) -> None:
    lab.vm("vm-a").machine.run(["systemctl", "poweroff"])
    until(lab, "vm-a", lambda now: now.power == "off" and now.since_ns == 0)


def test_reboot_from_inside_is_a_reboot(lab: Lab) -> None:
    before = lab.vm("vm-a").now().boot
    lab.vm("vm-a").machine.run(["systemctl", "reboot"])
    until(lab, "vm-a", lambda now: now.boot not in {"", before})


def test_kill_names_what_runs_when_nothing_has_that_name(lab: Lab) -> None:
    with pytest.raises(UserError) as refused:
        lab.vm("vm-a").kill("oracle")
    assert "systemd-journal" in refused.value.remedy
    lab.vm("vm-a").exec(["systemd-run", "--unit=victim", "sleep", "1000"])
    lab.vm("vm-a").kill("sleep")
    shown = lab.vm("vm-a").exec(["systemctl", "show", "-P", "Result", "victim"])
    assert re.match("signal|success", shown)


def test_the_kernel_says_who_held_an_address_and_when(lab: Lab) -> None:
    vip = f"10.{lab.state.addressing.octet}.1.150"
    began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    a, b = lab.vm("vm-a"), lab.vm("vm-b")
    a.exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
    a.exec(["ip", "addr", "del", f"{vip}/24", "dev", "eth0"])
    b.exec(
        ["ip", "addr", "add", f"{vip}/24", "dev", "eth0", "valid_lft", "1", "preferred_lft", "1"]
    )
    deadline = time.monotonic() + 5
    while b.exec(["ip", "-o", "addr", "show", "to", vip]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    held = lab.holders(vip, began)
    (first,), (second,) = held["vm-a"], held["vm-b"]
    assert first.end_ns <= second.begin_ns
    assert 0.9 < (second.end_ns - second.begin_ns) / 1e9 < 2.5
    assert lab.both_held_s(vip, began) == 0


def test_a_power_cut_ends_the_tenure_of_an_address(lab: Lab) -> None:
    vip = f"10.{lab.state.addressing.octet}.1.151"
    lab.vm("vm-a").exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
    lab.vm("vm-a").off()
    lab.vm("vm-b").exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
    lab.vm("vm-a").on()
    assert lab.both_held_s(vip) == 0
    assert len(lab.holders(vip)["vm-a"]) == 1
    lab.vm("vm-b").exec(["ip", "addr", "del", f"{vip}/24", "dev", "eth0"])


def test_the_probe_sees_who_answers_and_for_how_long_nobody_does(lab: Lab) -> None:
    vip = f"10.{lab.state.addressing.octet}.1.152"
    for vm in lab.vms():
        vm.exec(["sh", "-c", "mkdir -p /run/web; hostname > /run/web/index.html"])
        serve = ["python3", "-m", "http.server", "--directory", "/run/web", "80"]
        vm.exec(["systemd-run", "--unit=web", *serve])
    a, b = lab.vm("vm-a"), lab.vm("vm-b")
    a.exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
    with lab.probe_vip(vip) as probe:
        probe.wait_for("vm-a")
        a.off()
        probe.wait_for_silence()
        b.exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
        b.machine.run(["arping", "-U", "-c", "1", "-I", "eth0", vip])
        probe.wait_for("vm-b")
    seen = probe.summary
    assert set(seen.answered_by) == {"vm-a", "vm-b"}
    assert 0.02 < seen.longest_s < 5
    assert (seen.both_s, seen.both_claimed_s) == (0, 0)
    a.on()
    a.exec(["ip", "addr", "add", f"{vip}/24", "dev", "eth0"])
    with lab.probe_vip(vip) as probe:
        probe.wait_for()
        deadline = time.monotonic() + 5
        while len({line.claimed_by for line in probe.lines} - {""}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        settled = time.monotonic() + 0.4
        while time.monotonic() < settled:
            time.sleep(0.05)
    assert probe.summary.both_claimed_s > 0.1, "both claim it, though one alone is asked"
    for vm in lab.vms():
        vm.exec(["systemctl", "stop", "web"], check=False)
        vm.exec(["ip", "addr", "del", f"{vip}/24", "dev", "eth0"])
