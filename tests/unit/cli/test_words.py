"""The last resorts are refused while they are not the last."""

import pytest
from tests.unit.controller.test_groups import cluster

from standfast.api.cluster import HACluster
from standfast.api.cluster_status import (
    Candidate,
    HAClusterStatus,
    NodeStatus,
    PowerState,
    WitnessMember,
)
from standfast.api.scalars import Truth
from standfast.cli.main import run
from standfast.cli.words import _chosen, check_recovery, told_of_data
from standfast.errors import RefusedError, UserError


def seen(*, b: Truth, w: Truth, b_power: PowerState = PowerState.UNKNOWN) -> HACluster:
    status = HAClusterStatus(
        nodes=(
            NodeStatus(name="a", reachable=Truth.TRUE),
            NodeStatus(name="b", reachable=b, power_state=b_power),
        ),
        witnesses=(WitnessMember(name="w", reachable=w),),
    )
    return cluster().model_copy(update={"status": status})


def test_f38_a_majority_is_not_recovered() -> None:
    with pytest.raises(RefusedError, match="2 of 3 voters of orders answer"):
        check_recovery(seen(b=Truth.FALSE, w=Truth.TRUE), ("b",))


def test_f38_everybody_who_is_missing_is_proven_off() -> None:
    lost = seen(b=Truth.FALSE, w=Truth.FALSE, b_power=PowerState.OFF)
    with pytest.raises(RefusedError, match="w neither answers nor is proven off") as refused:
        check_recovery(lost, ())
    assert "--attest w" in refused.value.remedy
    check_recovery(lost, ("w",))
    with pytest.raises(UserError, match="x is no member of orders"):
        check_recovery(lost, ("x",))


@pytest.mark.parametrize(
    ("data", "in_sync", "said"),
    [
        ("None", Truth.TRUE, []),
        ("Replicated", Truth.TRUE, ["b has every acknowledged write, as far as anybody"]),
        ("Replicated", Truth.FALSE, ["b lacks acknowledged writes: begun anew, it serves only"]),
        ("ReplicatedAsync", Truth.FALSE, ["b serves if it is known to be within spec.maxDataLo"]),
    ],
)
def test_f38_whoever_recovers_is_told_what_the_copies_that_are_left_have(
    data: str, in_sync: Truth, said: list[str]
) -> None:
    nodes = (
        NodeStatus(name="a", in_sync=Truth.TRUE),
        NodeStatus(name="b", reachable=Truth.TRUE, in_sync=in_sync),
    )
    found = cluster(data=data, witnesses=[{"name": "w"}]).model_copy(
        update={"status": HAClusterStatus(nodes=nodes)}
    )
    told = told_of_data(found)
    assert [line[: len(begin)] for line, begin in zip(told, said, strict=True)] == said


def test_a_consent_names_the_node_that_is_to_lead() -> None:
    one = Candidate(node="b", boot_id="b-1", record="3.7", hindrance="Behind")
    assert _chosen("orders", (one,), "b") is one
    with pytest.raises(UserError, match="name the node that is to lead: b could lead"):
        _chosen("orders", (one,), None)
    with pytest.raises(UserError, match="a does not wait for a consent"):
        _chosen("orders", (one,), "a")


@pytest.mark.parametrize("verb", ["consent", "attest", "recover", "replace"])
def test_help_has_examples_and_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"kubectl standfast {verb} " in said
    assert "refused for safety" in said
