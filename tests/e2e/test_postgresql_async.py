"""Asynchronous PostgreSQL: a failover loses at most what was stated, or waits for a person."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from standfast.errors import UserError
from standfast.lab.cluster import LabCluster
from standfast.lab.databases import (
    WRITE_BYTES_MIN,
    Variant,
    bring_up,
    settle,
    signal_server,
    vip,
    write_ahead,
)
from standfast.lab.installation import Wanted
from standfast.lab.kubectl import until
from standfast.lab.lab import Lab
from standfast.lab.ledger import Ledger
from tests.e2e.conftest import mend

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

NAME = "e2epgasync"
BOUND_BYTES = 256 << 10
ROWS_MAX = BOUND_BYTES // WRITE_BYTES_MIN


@dataclass
class Orders:
    """The pair, and all that a client was ever told is written."""

    lab: Lab
    cluster: LabCluster
    ledger: Ledger


@pytest.fixture(scope="module")
def made() -> Iterator[Orders]:
    with suppress(UserError):  # what a run that was killed left behind
        Lab.open(NAME).down()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    try:
        yield Orders(lab, bring_up(lab, Variant(max_data_loss="256Ki")), Ledger(lab, vip(lab)))
    finally:
        if "KEEP_LAB" not in os.environ:
            lab.down()


@pytest.fixture
def orders(made: Orders) -> Iterator[Orders]:
    settle(made.cluster)
    yield made
    mend(made.lab)
    settle(made.cluster)


def test_a_planned_switchover_loses_nothing(orders: Orders) -> None:
    standby = orders.cluster.standby
    with orders.ledger.writing() as writing:
        command = ("switchover", "orders", "--to", standby, "--reason", "maintenance")
        orders.cluster.kubectl.standfast(*command)
        orders.cluster.wait_active(standby)
        writing.wait_for(50)
    orders.ledger.check()


def test_beyond_the_bound_nobody_takes_over_and_the_loss_is_said(orders: Orders) -> None:
    active, standby = orders.cluster.active, orders.cluster.standby
    lab, cluster = orders.lab, orders.cluster
    with orders.ledger.writing():
        signal_server(lab.vm(standby), "walreceiver", "STOP")
        write_ahead(lab.vm(active), 2 * BOUND_BYTES)
        cluster.wait("InSync", "False")
        cluster.wait("Protected", "False")
        assert "and spec.maxDataLoss is 256.0 KiB" in cluster.condition("InSync")["message"]
        lab.vm(active).off()

    def look() -> str | None:
        alerts = str(cluster.agent_status(standby)["alerts"])
        said = "of what " + active + " had, and at most 256.0 KiB may be lost"
        return None if said in alerts and "acknowledged in its last 2.5 s" in alerts else alerts

    until(f"{standby} says what would be lost", look, 20)
    assert cluster.agent_status(standby)["role"] != "Active"
    lab.vm(active).on()
    cluster.wait_active(active)
    with orders.ledger.writing():
        pass
    orders.ledger.check()
    signal_server(lab.vm(standby), "walreceiver", "CONT")


def test_a_power_off_loses_at_most_what_was_stated(orders: Orders) -> None:
    """The last test of the pair: what is lost here stays lost in the ledger."""
    active, standby = orders.cluster.active, orders.cluster.standby
    with orders.ledger.writing() as writing:
        orders.lab.vm(active).off()
        orders.cluster.wait_active(standby)
        writing.wait_for(50)
    verdict = orders.ledger.check(loss_max=ROWS_MAX)
    print(f"\n{len(verdict.lost)} of {verdict.acknowledged} acknowledged writes lost")

    def look() -> str | None:
        shown = orders.cluster.kubectl.run("get", "failoverrecord", "-o", "yaml")
        said = "of what the members had last agreed on"
        return None if "known: Bounded" in shown and said in shown else shown

    until("a FailoverRecord with the bound", look, 20)
