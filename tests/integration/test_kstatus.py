"""How pipelines judge our objects: by the library that kubectl, Argo CD and Flux follow.

`tests/tools/kstatus` is the judge (Go, `sigs.k8s.io/cli-utils`).
"""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from standfast.api.conditions import Condition, ConditionType, with_condition
from standfast.api.kinds import KINDS
from tests.integration import kstatus_parts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Claims = dict[ConditionType, bool | None]

SERVING: Claims = {ConditionType.READY: True, ConditionType.PROTECTED: True}
STATES: list[tuple[str, Claims, int, str]] = [
    ("serving and protected", SERVING, 1, "Current"),
    (
        "serving, degraded: a failover fails nobody's pipeline",
        {**SERVING, ConditionType.PROTECTED: False, ConditionType.DEGRADED: True},
        1,
        "Current",
    ),
    ("nobody serves", {ConditionType.READY: False}, 1, "InProgress"),
    ("nobody is heard", {ConditionType.READY: None}, 1, "InProgress"),
    (
        "being put into effect",
        {ConditionType.READY: False, ConditionType.RECONCILING: True},
        1,
        "InProgress",
    ),
    (
        "serving by the last spec, the new one is refused",
        {**SERVING, ConditionType.STALLED: True},
        1,
        "Failed",
    ),
    ("judged by an older spec", SERVING, 0, "InProgress"),
    ("nobody has looked yet", {}, -1, "InProgress"),
]


@pytest.fixture(scope="module")
def judge() -> Path:
    return asyncio.run(kstatus_parts.judge())


def judged(judge: Path, *objects: dict[str, Any]) -> list[str]:
    done = subprocess.run(
        [judge], input=json.dumps(objects), capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.split()


def an_object(kind: str, claims: Claims, observed: int) -> dict[str, Any]:
    conditions: tuple[Condition, ...] = ()
    for type_, holds in claims.items():
        conditions = with_condition(
            conditions, type_, holds, reason="Any", message="any", generation=observed, now=NOW
        )
    return {
        "apiVersion": "standfast.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "any", "namespace": "any", "generation": 1},
        "spec": {},
        "status": {
            "observedGeneration": observed,
            "conditions": [each.to_object() for each in conditions],
        },
    }


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_is_judged_by_what_is_so(judge: Path, kind: str) -> None:
    objects = [an_object(kind, claims, observed) for _, claims, observed, _ in STATES]
    found = dict(zip([said for said, *_ in STATES], judged(judge, *objects), strict=True))
    assert found == {said: wanted for said, _, _, wanted in STATES}


def test_what_is_being_deleted_is_terminating(judge: Path) -> None:
    going = an_object("HACluster", SERVING, 1)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judged(judge, going) == ["Terminating"]
