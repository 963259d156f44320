"""What is wrong with an object is a sentence; what a newer version wrote does not blind."""

import pytest
from tests.unit.api.documents import CLUSTER, changed

from standfast.api.cluster import HACluster
from standfast.api.parse import parse, read
from standfast.errors import UserError


def test_an_unknown_field_of_a_spec_is_refused_by_name() -> None:
    newer = changed(CLUSTER, lambda spec: spec.update(quorumDevice="disk"))

    with pytest.raises(UserError) as refused:
        parse(HACluster, newer)

    assert refused.value.problem == (
        "HACluster default/web: spec.quorumDevice is not a field that this version knows"
    )
    assert refused.value.remedy == "kubectl edit hacluster -n default web"


def test_an_unknown_field_is_no_obstacle_to_showing() -> None:
    newer = changed(CLUSTER, lambda spec: spec.update(quorumDevice="disk"))

    assert read(HACluster, newer).metadata.name == "web"


def test_an_unknown_field_of_a_status_is_no_obstacle_to_acting() -> None:
    newer = {**CLUSTER, "status": {"observedGeneration": 3, "active": "vm-a", "mood": "good"}}

    assert parse(HACluster, newer).status.active == "vm-a"


def test_the_field_and_its_value_are_named() -> None:
    wrong = changed(CLUSTER, lambda spec: spec["nodes"][1].update(addresses=["vm-b"]))

    with pytest.raises(
        UserError, match=r"spec.nodes\[1\].addresses\[0\] is 'vm-b': must be an IP"
    ):
        parse(HACluster, wrong)


def test_showing_refuses_what_breaks_a_rule() -> None:
    wrong = changed(CLUSTER, lambda spec: spec["nodes"].pop())

    with pytest.raises(UserError, match=r"spec: spec\.nodes lists one node"):
        read(HACluster, wrong)


def test_many_problems_are_counted() -> None:
    wrong = changed(CLUSTER, lambda spec: spec.update(a=1, b=2, c=3, d=4, e=5, f=6, g=7))

    with pytest.raises(UserError, match="and 2 more"):
        parse(HACluster, wrong)


def test_a_witness_listed_twice_is_named() -> None:
    twice = changed(CLUSTER, lambda spec: spec.update(witnesses=[{"name": "third"}] * 2))

    with pytest.raises(UserError, match=r"spec\.witnesses: name 'third' is listed twice"):
        parse(HACluster, twice)
