"""The patches of maintenance and pause, and when they are refused."""

import json

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens

from standfast.cli.declaring import (
    as_command,
    is_free,
    maintenance_patch,
    paused_patch,
    refuse_last,
)
from standfast.errors import RefusedError, UserError


def test_a_patch_expects_the_node_at_its_place() -> None:
    patch = maintenance_patch(screens.cluster(), "vm-b", on=True)
    assert patch == [
        {"op": "test", "path": "/spec/nodes/1/name", "value": "vm-b"},
        {"op": "add", "path": "/spec/nodes/1/maintenance", "value": True},
    ]


def test_the_printed_patch_is_a_command_that_makes_it() -> None:
    shown = as_command("web", "databases", paused_patch(on=True))
    assert shown == (
        "kubectl patch hacluster web -n databases --type=merge "
        """-p '{"spec":{"paused":true}}'"""
    )
    node = as_command("web", "databases", maintenance_patch(screens.cluster(), "vm-a", on=False))
    assert "--type=json" in node
    assert json.loads(node.partition(" -p '")[2][:-1])[1]["value"] is False


def test_a_node_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match="its nodes are vm-a, vm-b"):
        maintenance_patch(screens.cluster(), "vm-x", on=True)


def test_the_last_node_that_could_take_over_is_not_taken_away() -> None:
    nodes = screens.cluster().spec.nodes
    worked_on = nodes[0].model_copy(update={"maintenance": True})
    cluster = screens.cluster(nodes=(worked_on, nodes[1]))
    with pytest.raises(RefusedError, match="nobody could take over"):
        refuse_last(cluster, "vm-b")
    refuse_last(cluster, "vm-a")
    refuse_last(screens.cluster(), "vm-b")


def test_a_node_is_free_for_work_when_the_operator_has_seen_it_and_another_serves() -> None:
    serving = screens.cluster(statuses.CLUSTER)
    assert not is_free(serving, "vm-a"), "it is the one that serves"
    assert is_free(serving, "vm-b")
    behind = statuses.CLUSTER.model_copy(update={"observed_generation": 0})
    assert not is_free(screens.cluster(behind), "vm-b")
    nobody = statuses.CLUSTER.model_copy(update={"active": None})
    assert not is_free(screens.cluster(nobody), "vm-b")
