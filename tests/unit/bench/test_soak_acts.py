"""What a soak says of a cluster that is not as declared."""

from typing import Any

from tests.bench.soak_acts import lacks


def cluster(generation: int = 2, **conditions: str) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "status": {
            "observedGeneration": 2,
            "message": "vm-a serves in term 173",
            "conditions": [
                {"type": name, "status": status, "message": f"why {name}"}
                for name, status in conditions.items()
            ],
        },
    }


def test_a_condition_that_lacks_is_told_with_its_own_sentence() -> None:
    """The decision says that somebody serves; why nobody would follow is said by `Protected`."""
    found = lacks(cluster(Ready="True", Protected="False"), ("Ready", "Protected"))
    assert found == ["Protected is False: why Protected"]


def test_what_is_under_way_or_was_not_seen_is_no_calm() -> None:
    good = {"Ready": "True", "Protected": "True"}
    wanted = ("Ready", "Protected")
    assert lacks(cluster(**good), wanted) == []
    assert lacks(cluster(**good, Stalled="True"), wanted) == ["Stalled is True: why Stalled"]
    assert lacks(cluster(3, **good), wanted) == ["its generation 3 was not seen yet"]
    assert lacks({"metadata": {}}, ("Ready",)) == ["Ready is : "]
