"""What a status notes for later: who was in sync, when that last changed."""

from types import SimpleNamespace
from typing import cast

import pytest

from standfast.api.cluster_status import DataRecord, HAClusterStatus
from standfast.controller.reporting import Findings, _data_record
from standfast.core.record import DataMode
from tests.unit.controller.test_observation import REGISTER, status

BOTH = DataRecord(version="5.1", in_sync=("a", "b"))


@pytest.mark.parametrize(
    ("before", "version", "in_sync", "after"),
    [
        (None, (5, 1), ("uid-a", "uid-b"), BOTH),
        (BOTH, (5, 8), ("uid-a", "uid-b"), BOTH),
        (BOTH, (5, 9), ("uid-a",), DataRecord(version="5.9", in_sync=("a",))),
        (BOTH, (5, 0), ("uid-a",), BOTH),
        (BOTH, (6, 0), ("uid-b",), DataRecord(version="6.0", in_sync=("b",))),
    ],
)
def test_who_is_in_sync_is_noted_when_it_changes_and_never_from_an_older_record(
    before: DataRecord | None,
    version: tuple[int, int],
    in_sync: tuple[str, ...],
    after: DataRecord,
) -> None:
    found = SimpleNamespace(
        cluster=SimpleNamespace(status=HAClusterStatus(data_record=before)),
        want=SimpleNamespace(data=DataMode.REPLICATED),
        register=REGISTER,
    )
    newest = status("a", record_version=version, in_sync=in_sync)
    assert _data_record(cast("Findings", found), newest) == after
    assert _data_record(cast("Findings", found), None) == before
