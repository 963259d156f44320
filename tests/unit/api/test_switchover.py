"""A switchover knows when it is over."""

from tests.unit.api.documents import SWITCHOVER

from standfast.api.switchover import Switchover, SwitchoverPhase


def test_three_phases_are_final() -> None:
    assert {p for p in SwitchoverPhase if p.final} == {"Completed", "Refused", "Failed"}


def test_the_deadline_is_a_minute_unless_said() -> None:
    spec = Switchover.model_validate(SWITCHOVER).spec

    assert (spec.deadline_ms, spec.dry_run) == (60_000, False)
