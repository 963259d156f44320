"""Names as users write them, objects as the API server takes them."""

import pytest
from tests.unit.api.documents import CLUSTER

from standfast.api.base import camel
from standfast.api.cluster import HACluster
from standfast.api.cluster_status import LastFailover, NodeStatus


@pytest.mark.parametrize(
    ("python", "user"),
    [
        ("name", "name"),
        ("instance_uuid", "instanceUUID"),
        ("member_uid", "memberUID"),
        ("boot_id", "bootID"),
        ("observed_generation", "observedGeneration"),
        ("from_", "from"),
        ("took_ms", "tookMs"),
    ],
)
def test_acronyms_stay_whole(python: str, user: str) -> None:
    assert camel(python) == user


def test_an_object_survives_a_round_trip() -> None:
    cluster = HACluster.model_validate(CLUSTER)

    assert HACluster.model_validate(cluster.to_object()) == cluster


def test_nothing_is_written_that_is_none() -> None:
    written = NodeStatus(name="a").to_object()

    assert "bootID" not in written
    assert written["role"] == "Unknown"


def test_from_is_written_as_users_read_it() -> None:
    moved = LastFailover(time="2026-11-23T11:00:00Z", from_="a", to="b", term=2)  # type: ignore[arg-type]  # pydantic parses it

    assert moved.to_object()["from"] == "a"


def test_the_key_of_an_object_is_namespace_and_name() -> None:
    assert HACluster.model_validate(CLUSTER).key == ("default", "web")
