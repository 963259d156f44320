"""The page about metrics is theirs."""

from standfast.controller import metrics_reference
from standfast.controller.ops import Metrics


def test_the_page_is_what_the_metrics_say() -> None:
    stale = metrics_reference.stale(metrics_reference.REPOSITORY)
    assert stale == [], "python -m standfast.controller.metrics_reference"


def test_every_metric_is_on_it_with_its_labels() -> None:
    page = metrics_reference.text(metrics_reference.REPOSITORY)
    for metric in Metrics().registry.collect():
        assert f"`{metric.name}" in page
        assert metric.documentation in page
    assert "`namespace`, `cluster`, `condition`" in page
