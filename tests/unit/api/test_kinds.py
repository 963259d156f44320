"""The table of kinds, and the fields of statuses that it leans on."""

import re

import pytest

from standfast.api.kinds import BY_NAME, KINDS, Kind
from standfast.api.schema import structural


def test_short_names_and_plurals_are_distinct() -> None:
    names = [name for kind in KINDS for name in (*kind.short, kind.plural)]

    assert len(set(names)) == len(names)


def test_a_cluster_shows_what_a_person_looks_for_first() -> None:
    shown = [column.name for column in BY_NAME["HACluster"].columns if not column.wide]

    assert shown == ["Active", "Ready", "Protected", "Standbys", "Witness", "Age"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_column_leads_to_a_field(kind: Kind) -> None:
    for column in kind.columns:
        first, *path = re.sub(r"\[.*?\]", "[]", column.path).lstrip(".").split(".")
        if first == "metadata":
            continue
        node = structural(kind.model, first)
        for part in path:
            node = node["properties"][part.removesuffix("[]")]
            node = node["items"] if part.endswith("[]") else node


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_status_knows_which_spec_it_is_about(kind: Kind) -> None:
    status = structural(kind.model, "status", defaults=False)

    assert status["properties"]["observedGeneration"]["minimum"] == -1
    assert status["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
