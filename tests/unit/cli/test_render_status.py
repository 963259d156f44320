"""One cluster on one screen, in 80 columns and without colour."""

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens
from tests.unit.cli.snapshots import assert_same

from standfast.cli import text
from standfast.cli.render_status import cluster_screen, clusters_table


def screen(*args: object, width: int = 80) -> str:
    return text.plain(cluster_screen(*args, screens.NOW), width)  # type: ignore[arg-type]  # as given


def test_a_cluster_in_good_health() -> None:
    assert_same("status-good", screen(screens.cluster(statuses.CLUSTER), screens.resources()))


def test_a_cluster_in_trouble() -> None:
    assert_same("status-trouble", screen(screens.cluster(statuses.TROUBLED), screens.resources()))


def test_a_cluster_nobody_has_looked_at() -> None:
    assert_same("status-new", screen(screens.cluster(), []))


def test_a_change_that_was_not_seen_yet_is_said() -> None:
    cluster = screens.cluster(statuses.CLUSTER)
    changed = cluster.model_copy(
        update={"metadata": cluster.metadata.model_copy(update={"generation": 2})}
    )

    assert "has not seen the last change of spec" in screen(changed, [])


def test_pause_and_maintenance_are_seen_at_once() -> None:
    node = screens.cluster().spec.nodes[0].model_copy(update={"maintenance": True})
    paused = screens.cluster(
        statuses.CLUSTER, paused=True, nodes=(node, screens.cluster().spec.nodes[1])
    )

    shown = screen(paused, [])

    assert "paused" in shown
    assert "vm-a (maintenance)" in shown


@pytest.mark.parametrize("width", [80, 132])
def test_nothing_is_wider_than_the_screen(width: int) -> None:
    shown = screen(screens.cluster(statuses.TROUBLED), screens.resources(), width=width)

    assert max(len(line) for line in shown.splitlines()) <= width


def test_all_clusters_as_a_table() -> None:
    both = [screens.cluster(statuses.CLUSTER), screens.cluster()]

    assert_same("clusters", text.plain(clusters_table(both, screens.NOW, wide=False)))
    assert_same("clusters-all", text.plain(clusters_table(both, screens.NOW, wide=True)))
