"""The PostgreSQL example, whole: applied, a client writes all the time, and nothing is lost (I2).

The lab is one of its own, so the addresses of the example are moved to where it is.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from standfast.errors import UserError
from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.databases import dsn, install, make_application, numbers
from standfast.lab.installation import Wanted
from standfast.lab.kubectl import until
from standfast.lab.lab import Lab
from standfast.lab.software import checkout
from standfast.lab.writing import RunningWriter, judge, longest_silence_ms
from tests.e2e.conftest import mend

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

NAME = "e2epg"
EXAMPLE = checkout() / "examples/02-postgresql"
BUILT_S = 180.0


@dataclass
class Orders:
    """The pair, and who is what at the beginning of the test."""

    lab: Lab
    cluster: LabCluster
    written: int = 0

    @property
    def vip(self) -> str:
        return f"10.{self.lab.state.addressing.octet}.1.100"

    def settle(self) -> None:
        """Wait until the pair would survive the next failure without losing anything."""
        self.cluster.wait("Ready", timeout_s=BUILT_S)
        self.cluster.wait("InSync", timeout_s=BUILT_S)
        self.cluster.wait("Protected", timeout_s=BUILT_S)

    @contextmanager
    def writing(self) -> Iterator[RunningWriter]:
        with self.lab.write_sql(dsn(self.vip), self.written + 1) as running:
            running.wait_for(50)
            yield running
            running.wait_for(50)
        self.written = max(write.number for write in running.writes)
        first = min(running.acknowledged)
        found = [number for number in numbers(self.lab, self.vip) if number >= first]
        verdict = judge(running.acknowledged, found)
        print(f"\n{verdict}; longest silence {longest_silence_ms(running.writes):.0f} ms")
        assert (verdict.lost, verdict.twice) == ((), ())


def moved(example: Path, lab: Lab, to: Path) -> Path:
    """The example with its addresses in the lab's range."""
    shutil.copytree(example, to)
    for file in to.glob("*.yaml"):
        text = file.read_text()
        file.write_text(text.replace("10.77.", f"10.{lab.state.addressing.octet}."))
    return to


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    try:
        for vm in lab.vms():
            install(vm)
        install_operator(lab)
        cluster = LabCluster(lab, "orders")
        cluster.apply(moved(EXAMPLE, lab, tmp_path_factory.mktemp("orders") / "example"))
        cluster.enroll()
        orders = Orders(lab, cluster)
        orders.settle()
        make_application(lab.vm(cluster.active))
        yield orders
    finally:
        if "KEEP_LAB" not in os.environ:
            lab.down()


@pytest.fixture
def orders(made: Orders) -> Iterator[Orders]:
    made.settle()
    yield made
    mend(made.lab)
    made.settle()


def test_the_example_converges_as_it_stands(orders: Orders) -> None:
    assert orders.cluster.active == "vm-a", "the data begin with those of the first"
    message = orders.cluster.condition("Protected")["message"]
    assert "no acknowledged write would be lost" in message
    shown = orders.cluster.kubectl.get("haresource", "orders-pg")
    nodes = {node["node"]: node for node in shown["status"]["nodes"]}
    assert nodes["vm-b"]["state"] == "Standby"
    assert nodes["vm-b"]["replication"]["role"] == "Standby"


def test_power_off_of_the_active_loses_no_acknowledged_write(orders: Orders) -> None:
    active, standby = orders.cluster.active, orders.cluster.standby
    with orders.writing() as writing:
        orders.lab.vm(active).off()
        orders.cluster.wait_active(standby)
        writing.wait_for(50)
    assert longest_silence_ms(writing.writes) < 4000


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
    assert longest_silence_ms(writing.writes) < 3000


def test_a_lost_standby_is_said_and_costs_writes_a_stated_time(orders: Orders) -> None:
    standby = orders.cluster.standby
    with orders.writing() as writing:
        orders.lab.vm(standby).off(seen=False)
        orders.cluster.wait("InSync", "False")
        orders.cluster.wait("Protected", "False")
        writing.wait_for(50)
    assert longest_silence_ms(writing.writes) < 4000


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

    with orders.writing() as writing:
        kubectl.apply_text(second)
        try:
            until("the conflict in the conditions of hac/orders", look, 30)
        finally:
            kubectl.run("delete", "haresource", "stray-pg")
        writing.wait_for(50)
    assert longest_silence_ms(writing.writes) < 500
