"""Conditions keep their moment while they hold, and some exist only while true."""

from datetime import UTC, datetime, timedelta

from standfast.api.conditions import (
    Condition,
    ConditionType,
    find_condition,
    message_and_remedy,
    with_condition,
    without_condition,
)
from standfast.api.scalars import Truth

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)


def ready(
    before: tuple[Condition, ...], status: bool | None, now: datetime, generation: int = 1
) -> tuple[Condition, ...]:
    return with_condition(
        before,
        ConditionType.READY,
        status,
        reason="Serving" if status else "Waiting",
        message="vm-a serves.",
        generation=generation,
        now=now,
    )


def test_the_moment_is_kept_while_the_status_is() -> None:
    again = ready(ready((), True, AT), True, LATER, generation=2)

    assert again[0].last_transition_time == AT
    assert again[0].observed_generation == 2


def test_the_moment_is_new_when_the_status_is() -> None:
    turned = ready(ready((), True, AT), False, LATER)

    assert (turned[0].status, turned[0].last_transition_time) == (Truth.FALSE, LATER)


def test_unknown_is_a_status_of_its_own() -> None:
    turned = ready(ready((), False, AT), None, LATER)

    assert (turned[0].status, turned[0].last_transition_time) == (Truth.UNKNOWN, LATER)


def test_others_keep_their_place() -> None:
    first = ready((), True, AT)
    both = with_condition(
        first, ConditionType.PROTECTED, True, reason="R", message="", generation=1, now=AT
    )

    turned = ready(both, False, LATER)

    assert [held.type for held in turned] == ["Ready", "Protected"]


def test_stalled_exists_only_while_true() -> None:
    stalled = with_condition(
        (), ConditionType.STALLED, True, reason="R", message="m", generation=1, now=AT
    )

    cleared = with_condition(
        stalled, ConditionType.STALLED, False, reason="R", message="m", generation=1, now=AT
    )

    assert find_condition(stalled, "Stalled") is not None
    assert cleared == ()


def test_taking_away_what_is_not_there_changes_nothing() -> None:
    held = ready((), True, AT)

    assert without_condition(held, ConditionType.STALLED) == held


def test_a_condition_is_written_as_kubernetes_writes_it() -> None:
    assert ready((), True, AT)[0].to_object() == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T12:00:00Z",
        "reason": "Serving",
        "message": "vm-a serves.",
    }


def test_a_remedy_ends_the_message_and_is_found_again() -> None:
    (plain,) = ready((), True, AT)
    (held,) = with_condition(
        (),
        ConditionType.STALLED,
        True,
        reason="SecretMissing",
        message="Secret vcenter does not exist.",
        remedy="kubectl create secret generic vcenter",
        generation=1,
        now=AT,
    )

    assert held.message == (
        "Secret vcenter does not exist. Fix: kubectl create secret generic vcenter"
    )
    assert message_and_remedy(held) == (
        "Secret vcenter does not exist.",
        "kubectl create secret generic vcenter",
    )
    assert message_and_remedy(plain) == ("vm-a serves.", "")
