"""The PostgreSQL example, whole: applied, a client writes all the time, and nothing is lost (I2).

The lab is one of its own, so the addresses of the example are moved to where it is.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from standfast.errors import TransientError, UserError
from standfast.lab.agents import PROGRAM
from standfast.lab.cluster import LabCluster
from standfast.lab.databases import (
    CLUSTER,
    bring_up,
    kill_postmaster,
    settle,
    signal_server,
    sql,
    vip,
)
from standfast.lab.installation import Wanted
from standfast.lab.kubectl import until
from standfast.lab.lab import Lab, LabVm
from standfast.lab.ledger import Ledger
from standfast.lab.writing import RunningWriter, longest_silence_ms
from tests.e2e.conftest import mend

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

NAME = "e2epg"
RESTARTS = 3
STUN_S = 4.0
MARKS = 4
"""So many records follow an image that was announced (ADR-0034)."""


@dataclass
class Orders:
    """The pair, and all that a client was ever told is written."""

    lab: Lab
    cluster: LabCluster
    ledger: Ledger

    @contextmanager
    def writing(self) -> Iterator[RunningWriter]:
        """A client writes while the block lasts; afterwards nothing acknowledged is missing."""
        with self.ledger.writing() as running:
            yield running
            running.wait_for(50)
        verdict = self.ledger.check()
        silence_ms = longest_silence_ms(running.writes)
        print(f"\n{verdict.acknowledged} acknowledged; longest silence {silence_ms:.0f} ms")

    def started(self) -> str:
        """When the server of the active node was started: another moment for each run of it."""
        vm = self.lab.vm(self.cluster.active)
        return sql(vm, "SELECT pg_postmaster_start_time()")


def now_ms() -> float:
    """As the writer tells its times."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


@pytest.fixture(scope="module")
def made() -> Iterator[Orders]:
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    try:
        yield Orders(lab, bring_up(lab), Ledger(lab, vip(lab)))
    finally:
        if "KEEP_LAB" not in os.environ:
            lab.down()


@pytest.fixture
def orders(made: Orders) -> Iterator[Orders]:
    settle(made.cluster)
    yield made
    mend(made.lab)
    settle(made.cluster)


def test_the_example_converges_as_it_stands(orders: Orders) -> None:
    assert orders.cluster.active == "vm-a", "the data begin with those of the first"
    message = orders.cluster.condition("Protected")["message"]
    assert "no acknowledged write would be lost" in message
    path = "jsonpath={range .status.nodes[*]}{.node} {.state} {.replication.role};{end}"
    shown = orders.cluster.kubectl.run("get", "haresource", "orders-pg", "-o", path)
    assert "vm-b Standby Standby" in shown.split(";")


def test_power_off_of_the_active_loses_no_acknowledged_write(orders: Orders) -> None:
    active, standby = orders.cluster.active, orders.cluster.standby
    with orders.writing() as writing:
        orders.lab.vm(active).off()
        orders.cluster.wait_active(standby)
        writing.wait_for(50)


def test_isolation_of_the_active_loses_no_acknowledged_write(orders: Orders) -> None:
    active, standby = orders.cluster.active, orders.cluster.standby
    with orders.writing() as writing:
        orders.lab.net.cut(active)
        writing.wait_for(50)
    orders.lab.net.heal()
    orders.cluster.wait_active(standby)


def test_a_planned_switchover(orders: Orders) -> None:
    standby = orders.cluster.standby
    with orders.writing() as writing:
        command = ("switchover", "orders", "--to", standby, "--reason", "maintenance")
        orders.cluster.kubectl.standfast(*command)
        orders.cluster.wait_active(standby)
        writing.wait_for(50)


def test_a_lost_standby_is_said_and_costs_writes_a_stated_time(orders: Orders) -> None:
    standby = orders.cluster.standby
    with orders.writing() as writing:
        orders.lab.vm(standby).off(seen=False)
        orders.cluster.wait("InSync", "False")
        orders.cluster.wait("Protected", "False")
        writing.wait_for(50)


def test_a_killed_server_is_started_in_place_and_after_some_times_handed_over(
    orders: Orders,
) -> None:
    lab, active, standby = orders.lab, orders.cluster.active, orders.cluster.standby
    with orders.writing() as writing:
        for count in range(RESTARTS + 1):
            since_ms = now_ms()
            kill_postmaster(lab.vm(active))
            writing.wait_for_failure(since_ms)
            writing.wait_for(50)
            if count == 0:
                assert orders.cluster.active == active
        orders.cluster.wait_active(standby)
        writing.wait_for(50)
    # The cool-down lasts as long as the window of `onFailure`; an agent that starts has none.
    lab.vm(active).exec(["systemctl", "restart", "standfast-agent"])


def test_killed_processes_of_the_replication_move_nothing(orders: Orders) -> None:
    """Each takes all connections of its server with it, which recovers by itself."""
    lab, active, standby = orders.lab, orders.cluster.active, orders.cluster.standby
    with orders.writing() as writing:
        since_ms = now_ms()
        signal_server(lab.vm(active), "walsender", "KILL")
        writing.wait_for_failure(since_ms)
        writing.wait_for(50)
        signal_server(lab.vm(standby), "walreceiver", "KILL")
        writing.wait_for(50)
    assert orders.cluster.active == active


def test_without_the_witness_writes_go_on(orders: Orders) -> None:
    active, since = orders.cluster.active, orders.started()
    with orders.writing() as writing:
        orders.lab.cut_witness("third")
        orders.cluster.wait("Protected", "False")
        writing.wait_for(50)
    assert (orders.cluster.active, orders.started()) == (active, since)


def test_what_was_given_up_waits_for_the_one_that_has_everything(orders: Orders) -> None:
    """Both nodes down, and first to return is the copy that lacks writes."""
    lab, cluster = orders.lab, orders.cluster
    active, standby = cluster.active, cluster.standby
    with orders.ledger.writing() as writing:
        lab.vm(standby).off()
        cluster.wait("InSync", "False")
        assert "at risk until it has them" in cluster.condition("InSync")["message"]
        writing.wait_for(50)
        lab.vm(active).off()
    lab.vm(standby).on()
    cluster.wait_role(standby, "Standby")
    time.sleep(3)  # longer than an election takes: what is tested is that nothing happens
    assert cluster.agent_status(standby)["role"] == "Standby"
    lab.vm(active).on()
    cluster.wait_active(active)
    with orders.writing():
        pass


def test_f20_a_restored_image_of_the_active_comes_up_as_a_standby(orders: Orders) -> None:
    """F18 as well: the image is taken while it serves, and that is no failover."""
    lab, cluster = orders.lab, orders.cluster
    old, new = cluster.active, cluster.standby
    vm = lab.vm(old)
    with orders.writing() as writing:
        image, version = image_of(cluster, vm)
        until("records newer than the image", lambda: not_beyond(cluster, old, version), 30)
        writing.wait_for(50)
        assert cluster.active == old
        vm.off()
        cluster.wait_active(new)
        restored_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        restore(vm, image)
        vm.on()
        until("the restored node takes no part", lambda: not_halted(cluster, old), 30)
        writing.wait_for(50)
        time.sleep(3)  # longer than an election takes: what is tested is that nothing happens
        assert "postgres" not in vm.exec(["ps", "-eo", "comm"]).split()
        assert cluster.active == new
        cluster.kubectl.standfast("replace", CLUSTER, old, "--yes")
        vm.enroll(cluster.kubectl.standfast("enroll", CLUSTER, old, timeout_s=60).encode())
        cluster.wait_role(old, "Standby")
        settle(cluster)
        writing.wait_for(50)
    assert cluster.active == new
    assert old not in lab.holders(vip(lab), restored_ns), "its address came back with the image"
    assert sql(vm, "SELECT pg_is_in_recovery()") == "t"


def image_of(cluster: LabCluster, vm: LabVm) -> tuple[Path, list[int]]:
    """What a backup copies of a VM, and the newest record that is in it."""
    disk = vm.machine.directory / "upper"
    image = disk.with_name("image")
    print("\n" + vm.exec([PROGRAM, "quiesce", "--stun", f"{STUN_S + 4:g}"], timeout_s=60))
    version = cast("list[int]", cluster.agent_status(vm.name)["recordVersion"])
    vm.freeze()
    began = time.monotonic()
    subprocess.run(["cp", "--archive", disk, image], check=True)
    took_s = time.monotonic() - began
    time.sleep(max(0.0, STUN_S - took_s))  # a stun longer than the lease, whatever the disk
    vm.thaw()
    vm.exec([PROGRAM, "thaw"], timeout_s=60)
    print(f"copied in {took_s:.1f} s; record {version}")
    return image, version


def restore(vm: LabVm, image: Path) -> None:
    disk = vm.machine.directory / "upper"
    shutil.rmtree(disk)
    image.rename(disk)


def not_beyond(cluster: LabCluster, node: str, version: list[int]) -> str | None:
    now = cast("list[int]", cluster.agent_status(node)["recordVersion"])
    return None if now >= [version[0], version[1] + MARKS] else f"{now} after {version}"


def not_halted(cluster: LabCluster, node: str) -> str | None:
    try:
        status = cluster.agent_status(node)
    except TransientError as error:  # it does not listen yet
        return str(error)
    return None if status["halted"] else f"role {status['role']}"


def test_a_second_resource_for_the_same_server_is_refused(orders: Orders) -> None:
    """Bad input: value, rule and remedy in the cluster's condition; nothing restarts."""
    kubectl = orders.cluster.kubectl
    second = """
apiVersion: standfast.dev/v1alpha1
kind: HAResource
metadata: {name: stray-pg}
spec:
  clusterRef: {name: orders}
  postgresql: {unit: postgresql@15-main.service, dataDirectory: /var/lib/postgresql/15/main}
"""

    def look() -> str | None:
        said = orders.cluster.condition("Stalled").get("message", "")
        return None if "orders-pg and stray-pg both want" in said else f"Stalled says: {said}"

    active, since = orders.cluster.active, orders.started()
    with orders.writing() as writing:
        kubectl.apply_text(second)
        try:
            until("the conflict in the conditions of hac/orders", look, 30)
        finally:
            kubectl.run("delete", "haresource", "stray-pg")
        writing.wait_for(50)
    assert (orders.cluster.active, orders.started()) == (active, since)
