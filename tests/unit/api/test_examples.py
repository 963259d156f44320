"""Every example is an object of a kind that exists, and the models take it."""

import pytest
import yaml

from standfast.api.crdgen import REPOSITORY
from standfast.api.kinds import BY_NAME
from standfast.api.parse import parse

MANIFESTS = sorted((REPOSITORY / "examples").glob("*/**/*.yaml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_an_example_is_taken(path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))

    assert documents
    for document in documents:
        parse(BY_NAME[document["kind"]].model, document)


def test_there_are_examples() -> None:
    assert MANIFESTS
