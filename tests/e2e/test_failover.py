"""Faults of the active, on real parts, watched from the client and from inside both kernels."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from standfast.lab.kubectl import until
from standfast.lab.rules import Shape
from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab

STUN_S = 5.0
"""Several leases of the example's profile."""
RESTARTS = 3
"""`onFailure.restarts` of the example, its default."""


def test_the_example_converges_as_it_stands(pair: Pair) -> None:
    row = pair.cluster.kubectl.run("get", "hac", "web")
    assert pair.active in row
    for kind in ("Ready", "Protected", "Quorate"):
        condition = pair.cluster.condition(kind)
        assert condition["status"] == "True", condition
        assert condition["message"].endswith("."), condition
    assert pair.standby in pair.cluster.condition("Protected")["message"]


def test_f14_power_off_of_the_active_through_vcenter(pair: Pair) -> None:
    before = len(pair.records())
    with pair.watched() as watch:
        pair.lab.vm(pair.active).off()
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)

    def look() -> str | None:
        return None if len(pair.records()) > before else "no new FailoverRecord"

    until("a FailoverRecord of the failover", look, 20)


def test_f82_a_power_cut_that_vcenter_does_not_see(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.vm(pair.active).off(seen=False)
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)


def test_f01_a_killed_application_is_restarted_in_place(pair: Pair) -> None:
    with pair.watched() as watch:
        kill_web(pair, pair.active)
        watch.probe.wait_for_silence()
        watch.probe.wait_for(pair.active)
    assert pair.cluster.active == pair.active


def test_f02_an_application_that_keeps_dying_goes_to_the_standby(pair: Pair) -> None:
    with pair.watched() as watch:
        for _ in range(RESTARTS + 1):
            kill_web(pair, pair.active)
            watch.probe.wait_for_silence()
            if watch.probe.wait_for().by == pair.standby:
                break
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)
    pair.cluster.wait("Protected", "False")
    assert "cools down" in pair.cluster.condition("Protected")["message"]
    # The cool-down lasts as long as the window of `onFailure`; an agent that starts has none.
    pair.lab.vm(pair.active).exec(["systemctl", "restart", "standfast-agent"])


def test_f30_full_isolation_of_the_active(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.net.cut(pair.active)
        watch.probe.wait_for(pair.standby)
    held = pair.lab.holders("10.77.1.100", watch.began_ns)
    assert held[pair.active][-1].end_ns <= held[pair.standby][-1].begin_ns
    pair.lab.net.heal()
    pair.cluster.wait_role(pair.active, "Standby")


def test_f31_isolation_of_the_standby_touches_nothing(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.net.cut(pair.standby)
        pair.cluster.wait("Protected", "False")
        pair.lab.net.heal()
        pair.cluster.wait("Protected")
    pair.assert_undisturbed(watch)


def test_f89_killing_the_agent_of_the_active_interrupts_nothing(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.vm(pair.active).exec(
            ["systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "standfast-agent"]
        )
        time.sleep(3)
    pair.assert_undisturbed(watch)


ASK = """
import sys, urllib.request
try: print(urllib.request.urlopen(f"http://{sys.argv[1]}", timeout=5).read().decode())
except OSError as error: print(error)
"""
REFUSED = "<urlopen error [Errno 111] Connection refused>"


def asked(pair: Pair, name: str) -> str:
    """What the client gets from a VM by its own address."""
    spec = cast("dict[str, Any]", pair.cluster.document()["spec"])
    address = next(node["addresses"][0] for node in spec["nodes"] if node["name"] == name)
    return pair.lab.client_exec([sys.executable, "-c", ASK, address]).stdout.strip()


@contextmanager
def leased_port(pair: Pair) -> Iterator[None]:
    """The port of the web server is under the lease."""
    for vm in pair.lab.vms():
        file = vm.machine.root() / "etc/standfast/agent.toml"
        file.write_text(file.read_text().replace("ports = []", 'ports = ["80/tcp"]'))
    patch = ("patch", "har", "web", "--type=merge", "--patch")
    pair.cluster.kubectl.run(*patch, '{"spec": {"systemd": {"ports": [{"port": 80}]}}}')

    def look() -> str | None:
        said = asked(pair, pair.standby)
        return None if said == REFUSED and asked(pair, pair.active) == pair.active else said

    until("the standby refuses what it was asked", look, 20)
    try:
        yield
    finally:
        pair.cluster.kubectl.run(*patch, '{"spec": {"systemd": {"ports": []}}}')


def test_f48_a_dead_agent_loses_the_address_when_its_lease_ends(pair: Pair) -> None:
    """The agent cannot come back, so the kernel takes the address, and the standby serves.

    The same for a port that is reached by the nodes' own addresses.
    """
    vm = pair.lab.vm(pair.active)
    with leased_port(pair), pair.watched() as watch:
        assert asked(pair, pair.active) == pair.active
        assert asked(pair, pair.standby) == REFUSED
        vm.exec(["systemctl", "mask", "--runtime", "--now", "standfast-agent"])
        vm.exec(["systemctl", "kill", "--signal=SIGKILL", "standfast-agent"], check=False)
        watch.probe.wait_for(pair.standby)
        assert asked(pair, pair.standby) == pair.standby
        assert asked(pair, pair.active) == REFUSED
    vm.exec(["systemctl", "unmask", "--runtime", "standfast-agent"])
    vm.exec(["systemctl", "start", "standfast-agent"])


def test_f16_a_stunned_active_has_lost_the_address_when_it_wakes(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.vm(pair.active).freeze()
        watch.probe.wait_for(pair.standby)
        pair.lab.vm(pair.active).thaw()
        time.sleep(2)
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_role(pair.active, "Standby")


def test_f32_one_direction_between_the_nodes_moves_nothing(pair: Pair) -> None:
    """What the active sends does not reach the standby; the witness hears both."""
    with pair.watched() as watch:
        pair.lab.net.cut(pair.active, other=pair.standby, one_way=True)
        time.sleep(STUN_S)
        pair.lab.net.heal()
        watch.probe.wait_for(pair.active)
    assert set(watch.summary.answered_by) == {pair.active}, watch.summary


def test_f36_one_frame_of_ten_is_lost_and_nothing_moves(pair: Pair) -> None:
    """On every card of both VMs; the whole curve is `make curve`."""
    with pair.watched() as watch:
        for name in (pair.active, pair.standby):
            pair.lab.net.shape(name, Shape(loss=0.1))
        time.sleep(STUN_S)
        pair.lab.net.heal()
        watch.probe.wait_for(pair.active)
    assert set(watch.summary.answered_by) == {pair.active}, watch.summary


def test_f37_a_path_on_which_only_small_packets_pass_is_down(pair: Pair) -> None:
    """A short ping would pass there. The other path carries everything, and nothing moves."""

    def look() -> str | None:
        said = pair.cluster.condition("Degraded").get("message", "")
        wanted = f"{pair.active} does not reach {pair.standby} at 10.77.2."
        return None if wanted in said else said

    def look_again() -> str | None:
        said = pair.cluster.condition("Degraded").get("message", "")
        return said if "does not reach" in said else None

    with pair.watched() as watch:
        pair.lab.net.shape(pair.standby, Shape(bytes_max=1000), network=2)
        until("the path is told to be down", look, 20)
        pair.lab.net.heal()
        until("the path is told to be up", look_again, 20)
    assert set(watch.summary.answered_by) == {pair.active}, watch.summary
    assert pair.cluster.active == pair.active


def test_f17_f18_an_announced_stun_moves_nothing(pair: Pair) -> None:
    """vCenter shows the task before it stops the VM: the operator lets the lease bear that."""
    vm = pair.lab.vm(pair.active)

    def noted(kind: str) -> str | None:
        return None if f'"kind": "{kind}"' in vm.logs("standfast-agent") else f"no {kind} yet"

    with pair.watched() as watch:
        pair.lab.order_vcenter(lambda vcenter: vcenter.begin_task(vm.name, "createSnapshot"))
        until("the lease is longer", lambda: noted("Braced"), 20)
        vm.freeze()
        time.sleep(STUN_S)
        vm.thaw()
        pair.lab.order_vcenter(lambda vcenter: vcenter.end_task(vm.name))
        watch.probe.wait_for(pair.active)
        until("the lease is as usual", lambda: noted("Unbraced"), 20)
    print(f"\nno answer for {watch.outage_s:.2f} s, stunned for {STUN_S:g} s")
    assert set(watch.summary.answered_by) == {pair.active}, watch.summary
    assert pair.cluster.active == pair.active


def kill_web(pair: Pair, node: str) -> None:
    pair.lab.vm(node).exec(["systemctl", "kill", "--signal=SIGKILL", "web.service"])
