"""Outages of the control side: agents and witness go on alone, and the operator catches up."""

import time

import pytest

from standfast.lab.kubectl import until
from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab


def test_f38_the_witness_is_lost_and_comes_back(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.cut_witness("third")
        pair.cluster.wait("Protected", "False")
        pair.lab.net.heal()
        pair.cluster.wait("Protected")
    pair.assert_undisturbed(watch)


def test_f80_vcenter_is_down_during_a_failover(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.stop_vcenter()
        pair.lab.vm(pair.active).off(seen=False)
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)
    pair.lab.start_vcenter()


def test_f70_the_api_server_is_down_during_a_failover(pair: Pair) -> None:
    before = len(pair.records())
    with pair.watched() as watch:
        pair.lab.stop_kubernetes()
        pair.lab.vm(pair.active).off(seen=False)
        watch.probe.wait_for(pair.standby)
    pair.lab.start_control()
    pair.cluster.wait_active(pair.standby)

    def look() -> str | None:
        return None if len(pair.records()) > before else "no new FailoverRecord"

    until("a FailoverRecord written afterwards", look, 60)


def test_f69_the_api_server_is_down_and_nothing_else_happens(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.stop_kubernetes()
        time.sleep(5)
        pair.lab.start_control()
    pair.cluster.wait("Ready")
    pair.assert_undisturbed(watch)


def test_f72_the_operator_is_killed_and_restarted(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.lab.kill_operator()
        pair.lab.vm(pair.active).off(seen=False)
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)


def test_a_planned_switchover(pair: Pair) -> None:
    with pair.watched() as watch:
        pair.cluster.kubectl.standfast(
            "switchover", "web", "--to", pair.standby, "--reason", "maintenance"
        )
        watch.probe.wait_for(pair.standby)
    pair.cluster.wait_active(pair.standby)
    assert pair.standby in pair.cluster.kubectl.standfast("history", "web")


def test_status_tells_the_story(pair: Pair) -> None:
    said = pair.cluster.kubectl.standfast("status", "web")
    for word in (pair.active, pair.standby, "third", "web-vip"):
        assert word in said
