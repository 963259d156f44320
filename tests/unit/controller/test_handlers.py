"""Kopf as it is set: it writes nothing and copies nothing."""

from typing import Any, cast

import kopf

from standfast.controller import handlers


def test_kopf_copies_no_object_to_compare_it() -> None:
    storage = handlers.settings().persistence.diffbase_storage
    body = cast("Any", {"metadata": {"annotations": {"a": "b"}}, "spec": {"nodes": [1, 2]}})
    assert storage.build(body=body, extra_fields=[("spec",)]) == {}
    assert storage.fetch(body=body) is None
    assert isinstance(storage, kopf.DiffBaseStorage)
