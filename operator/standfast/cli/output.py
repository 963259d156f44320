"""Data instead of text: what `-o json` and `-o yaml` print."""

import json
from collections.abc import Iterable
from typing import Any

import yaml

from standfast.api.base import KubeObject

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def as_list(objects: Iterable[KubeObject]) -> dict[str, Any]:
    """Return objects as a Kubernetes List, which kubectl and jq understand."""
    return {"apiVersion": "v1", "kind": "List", "items": [as_object(each) for each in objects]}


def as_object(shown: KubeObject) -> dict[str, Any]:
    """Return an object without the copy of itself that `kubectl apply` leaves in it."""
    found = shown.to_object()
    annotations = found["metadata"].get("annotations", {})
    annotations.pop(_LAST_APPLIED, None)
    if not annotations:
        found["metadata"].pop("annotations", None)
    return found


def dumped(data: dict[str, Any], form: str) -> str:
    """Return the data as text.

    Args:
        data: What to print.
        form: json or yaml.
    """
    if form == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
