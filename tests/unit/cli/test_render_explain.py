"""Why a cluster is as it is, in sentences."""

from tests.unit.api import statuses
from tests.unit.cli import screens
from tests.unit.cli.snapshots import assert_same

from standfast.api.cluster_status import HAClusterStatus, NodeStatus
from standfast.api.conditions import ConditionType
from standfast.api.resource import HAResourceStatus
from standfast.cli import text
from standfast.cli.render_explain import explanation


def test_good_health_is_explained_too() -> None:
    shown = text.plain(
        explanation(screens.cluster(statuses.CLUSTER), screens.resources(), screens.NOW)
    )

    assert_same("explain-good", shown)


def test_the_worst_comes_first_with_what_to_do() -> None:
    failed = HAResourceStatus(
        conditions=statuses.conditions(
            (
                ConditionType.READY,
                False,
                "AddressTaken",
                "02:00:00:00:00:07 has 10.77.1.100.",
            )
        )
    )

    shown = text.plain(
        explanation(screens.cluster(statuses.TROUBLED), screens.resources(failed), screens.NOW)
    )

    assert_same("explain-trouble", shown)


def test_a_node_that_has_not_joined_is_told_how() -> None:
    waiting = HAClusterStatus(observed_generation=1, nodes=(NodeStatus(name="vm-a"),))

    shown = text.plain(explanation(screens.cluster(waiting), [], screens.NOW))

    assert "web is served by nobody." in shown
    assert "fix: kubectl standfast enroll web vm-a" in shown


def test_silence_of_the_operator_is_a_reason() -> None:
    shown = text.plain(explanation(screens.cluster(), [], screens.NOW))

    assert shown.startswith("The operator has not looked at web yet.\n  fix: kubectl get deploy")


def test_pause_is_a_reason() -> None:
    shown = text.plain(
        explanation(screens.cluster(statuses.CLUSTER, paused=True), [], screens.NOW)
    )

    assert "It is paused: the operator watches and does not act." in " ".join(shown.split())
