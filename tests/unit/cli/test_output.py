"""Data for programs."""

import json

import yaml
from tests.unit.cli import screens

from standfast.cli.output import as_list, as_object, dumped


def test_objects_are_a_list_that_kubectl_understands() -> None:
    listed = as_list([screens.cluster()])

    assert (listed["apiVersion"], listed["kind"]) == ("v1", "List")
    assert list(listed["items"][0]) == ["apiVersion", "kind", "metadata", "spec", "status"]


def test_both_forms_say_the_same() -> None:
    data = as_list([screens.cluster()])

    assert json.loads(dumped(data, "json")) == yaml.safe_load(dumped(data, "yaml")) == data


def test_the_copy_that_apply_leaves_is_not_shown() -> None:
    cluster = screens.cluster()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    metadata = cluster.metadata.model_copy(update={"annotations": applied})

    assert (
        "annotations"
        not in as_object(cluster.model_copy(update={"metadata": metadata}))["metadata"]
    )
