"""Each step of a planned move: what stands written and what was seen decide the next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from standfast.api.parse import parse
from standfast.api.switchover import Switchover, SwitchoverPhase, SwitchoverStatus
from standfast.controller.switchovers import UNDER_WAY_MAX, Scene, is_under_way, step
from standfast.core.placement import HandOver
from standfast.core.view import MemberSeen, Observed, Role, WantedNode
from standfast.errors import RefusedError, TransientError
from tests.unit.core.operator_views import A, B, active, lost, node, seen, wanted, well, witness

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def switchover(status: SwitchoverStatus | None = None, **spec: Any) -> Switchover:
    document = {
        "apiVersion": "standfast.dev/v1alpha1",
        "kind": "Switchover",
        "metadata": {
            "name": "move",
            "namespace": "ns",
            "uid": "move-uid",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"clusterRef": {"name": "orders"}, **spec},
    }
    made = parse(Switchover, document)
    return made if status is None else made.model_copy(update={"status": status})


def scene(picture: Observed | None = None, **changed: Any) -> Scene:
    made = Scene(wanted(), picture or well(), "", None, CREATED + timedelta(seconds=1))
    return replace(made, **changed)


def at(phase: SwitchoverPhase) -> SwitchoverStatus:
    """The status of a move from A to B that has come to this phase, a second after creation."""
    moving = switchover(to=B)
    status = moving.status
    for wanted_phase in (
        SwitchoverPhase.PREPARING,
        SwitchoverPhase.RELEASING,
        SwitchoverPhase.STARTING,
    ):
        picture = well()
        if wanted_phase is SwitchoverPhase.STARTING:
            picture = seen(active(A, releasing=True), node(B), witness())
        status = step(switchover(status, to=B), scene(picture)).status
        assert status.phase is wanted_phase
        if status.phase is phase:
            return status
    raise AssertionError(phase)


def phase_and_reason(status: SwitchoverStatus) -> tuple[SwitchoverPhase | None, str | None]:
    return status.phase, status.reason


def test_a_move_begins_by_writing_down_from_whom_to_whom() -> None:
    found = step(switchover(to=B), scene())
    assert found.action is None, "nothing is done before the phase stands written"
    assert found.status.phase is SwitchoverPhase.PREPARING
    assert (found.status.from_, found.status.to, found.status.term) == (A, B, 5)
    assert found.status.request_id == "move-uid"
    assert is_under_way(switchover(found.status))


def test_the_request_goes_out_only_when_releasing_stands_written() -> None:
    found = step(switchover(at(SwitchoverPhase.PREPARING), to=B), scene())
    assert (found.status.phase, found.action) == (SwitchoverPhase.RELEASING, None)
    found = step(switchover(found.status, to=B), scene())
    assert found.action == HandOver(A, B, "move-uid", "Switchover move: no reason given")


def test_the_whole_way_ends_completed_with_times() -> None:
    late = scene(seen(node(A), active(B, term=6), witness()), now=CREATED + timedelta(seconds=3))
    found = step(switchover(at(SwitchoverPhase.STARTING), to=B), late)
    status = found.status
    assert phase_and_reason(status) == (SwitchoverPhase.COMPLETED, "Completed")
    assert (status.term, status.took_ms) == (6, 2_000)
    assert [each.name for each in status.steps] == ["Preparing", "Releasing", "Starting"]
    assert all(each.took_ms is not None for each in status.steps)
    assert step(switchover(status, to=B), late).status is status, "final means final"


def test_a_move_whose_end_was_missed_is_completed_all_the_same() -> None:
    """The operator was away between the request and the new term."""
    picture = seen(node(A), active(B, term=6), witness())
    found = step(switchover(at(SwitchoverPhase.RELEASING), to=B), scene(picture))
    assert found.status.phase is SwitchoverPhase.COMPLETED


@pytest.mark.parametrize(
    ("picture", "changed", "reason"),
    [
        (well(), {"want": wanted(paused=True)}, "Paused"),
        (seen(active(A), lost(B), witness()), {}, "TargetNotReady"),
        (
            well(),
            {"want": wanted(nodes=(WantedNode(A), WantedNode(B, maintenance=True)))},
            "TargetNotReady",
        ),
    ],
)
def test_what_waiting_does_not_change_is_refused_at_once(
    picture: Observed, changed: dict[str, Any], reason: str
) -> None:
    found = step(switchover(to=B), scene(picture, **changed))
    assert phase_and_reason(found.status) == (SwitchoverPhase.REFUSED, reason)
    assert found.status.message is not None
    assert found.status.message.startswith("refused, nothing was touched")
    assert found.status.remedy


WAITS = [
    (seen(active(A), node(B, eligible=False), witness()), {}, "TargetNotReady"),
    (well(), {"busy": "Switchover other is under way"}, "Busy"),
    (seen(node(A), node(B), witness()), {}, "NotConverged"),
    (seen(active(A, heard_by=()), lost(B), lost("tokyo-c")), {}, "NoMajority"),
]


@pytest.mark.parametrize(("picture", "changed", "reason"), WAITS)
def test_what_may_pass_is_waited_for_until_the_deadline(
    picture: Observed, changed: dict[str, Any], reason: str
) -> None:
    asked = switchover(to=B, deadline="30s")
    found = step(asked, scene(picture, **changed))
    assert phase_and_reason(found.status) == (SwitchoverPhase.PENDING, reason)
    late = scene(picture, **{**changed, "now": CREATED + timedelta(seconds=30)})
    assert phase_and_reason(step(asked, late).status) == (SwitchoverPhase.REFUSED, reason)


def test_a_move_that_could_begin_only_after_its_deadline_is_refused() -> None:
    late = scene(now=CREATED + timedelta(seconds=61))
    assert phase_and_reason(step(switchover(to=B), late).status) == (
        SwitchoverPhase.REFUSED,
        "Deadline",
    )


def test_an_unknown_target_is_refused_with_the_names_that_exist() -> None:
    status = step(switchover(to="orders-z"), scene()).status
    assert phase_and_reason(status) == (SwitchoverPhase.REFUSED, "UnknownNode")
    assert status.message is not None
    assert "orders-a, orders-b" in status.message


def test_without_a_target_the_preferred_standby_is_chosen() -> None:
    assert step(switchover(), scene()).status.to == B


def test_a_dry_run_answers_and_moves_nothing() -> None:
    found = step(switchover(to=B, dryRun=True), scene())
    assert phase_and_reason(found.status) == (SwitchoverPhase.COMPLETED, "DryRun")
    assert found.action is None


def test_a_target_that_serves_already_is_completed() -> None:
    status = step(switchover(to=A), scene()).status
    assert phase_and_reason(status) == (SwitchoverPhase.COMPLETED, "AlreadyThere")


def test_a_refusal_of_the_active_node_is_the_answer() -> None:
    refusal = RefusedError("no successor is eligible", remedy="wait")
    found = step(switchover(at(SwitchoverPhase.RELEASING), to=B), scene(refusal=refusal))
    assert phase_and_reason(found.status) == (SwitchoverPhase.REFUSED, "ActiveRefuses")
    assert found.status.remedy == "wait"


def test_an_active_node_that_cannot_be_asked_is_asked_again_and_refused_at_the_deadline() -> None:
    silent = TransientError("no address answers")
    asked = switchover(at(SwitchoverPhase.RELEASING), to=B)
    assert step(asked, scene(refusal=silent)).action is not None
    late = scene(refusal=silent, now=CREATED + timedelta(seconds=61))
    assert phase_and_reason(step(asked, late).status) == (SwitchoverPhase.REFUSED, "Deadline")


def test_silence_of_the_old_node_is_not_a_hand_over() -> None:
    picture = seen(lost(A), node(B), witness())
    found = step(switchover(at(SwitchoverPhase.RELEASING), to=B), scene(picture))
    assert found.status.phase is SwitchoverPhase.RELEASING
    assert found.action is not None


@pytest.mark.parametrize("old", [node(A), active(A, releasing=True), active(A, term=9)])
def test_a_node_that_no_longer_serves_that_term_has_handed_over(old: MemberSeen) -> None:
    picture = seen(old, node(B), witness())
    if old.role is Role.ACTIVE and old.term == 9:
        found = step(switchover(at(SwitchoverPhase.RELEASING), to=B), scene(picture))
        assert phase_and_reason(found.status) == (SwitchoverPhase.FAILED, "WentElsewhere")
        return
    found = step(switchover(at(SwitchoverPhase.RELEASING), to=B), scene(picture))
    assert found.status.phase is SwitchoverPhase.STARTING


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(SwitchoverPhase.RELEASING, "Deadline"), (SwitchoverPhase.STARTING, "NoActiveNode")],
)
def test_a_move_that_never_ends_has_failed(phase: SwitchoverPhase, reason: str) -> None:
    picture = well() if phase is SwitchoverPhase.RELEASING else seen(node(A), node(B), witness())
    late = scene(picture, now=CREATED + UNDER_WAY_MAX + timedelta(minutes=1))
    found = step(switchover(at(phase), to=B), late)
    assert phase_and_reason(found.status) == (SwitchoverPhase.FAILED, reason)


def test_while_the_target_starts_it_is_waited_for() -> None:
    picture = seen(node(A), node(B, role=Role.HOLDING, term=6), witness())
    status = at(SwitchoverPhase.STARTING)
    assert step(switchover(status, to=B), scene(picture)).status is status
