"""A switchover while it goes on, and what became of it."""

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens
from tests.unit.cli.snapshots import assert_same

from standfast.api.switchover import SwitchoverPhase, SwitchoverStatus
from standfast.cli import text
from standfast.cli.render_switchover import new_lines, outcome, overdue, progress, summary
from standfast.errors import RefusedError, TransientError

RELEASING = statuses.SWITCHOVER.model_copy(
    update={"phase": SwitchoverPhase.RELEASING, "steps": statuses.STEPS[:1]}
)
REFUSED = SwitchoverStatus(
    phase=SwitchoverPhase.REFUSED,
    reason="StandbyBehind",
    message="vm-b is 42.0 s behind, limit 5.0 s.",
    remedy="kubectl wait hac/web --for=condition=InSync",
)


def test_phases_fill_one_after_the_other() -> None:
    assert_same("switchover-releasing", text.plain(progress(screens.switchover(RELEASING))))
    done = screens.switchover(statuses.SWITCHOVER)
    assert_same("switchover-completed", text.plain(progress(done)))


def test_a_refusal_fills_nothing_and_a_failure_what_was_done() -> None:
    failed = RELEASING.model_copy(update={"phase": SwitchoverPhase.FAILED})

    assert "✓" not in text.plain(progress(screens.switchover(REFUSED)))
    assert text.plain(progress(screens.switchover(failed))).count("✓") == 1


def test_a_pipe_gets_each_phase_and_step_once() -> None:
    pending = screens.switchover()
    releasing = screens.switchover(RELEASING)
    done = screens.switchover(statuses.SWITCHOVER)

    assert new_lines(None, pending) == ["Pending: waiting for the operator"]
    assert new_lines(pending, releasing) == [
        "Releasing: stopping on the old node",
        "  +    0 ms  Preparing (40 ms): vm-b can serve",
    ]
    assert new_lines(releasing, releasing) == []
    assert new_lines(releasing, done) == [
        "Completed: serving",
        "  +   40 ms  Releasing (210 ms)",
        "  +  250 ms  Starting (180 ms)",
    ]


def test_completion_says_how_long_it_took() -> None:
    done = screens.switchover(statuses.SWITCHOVER)

    assert outcome(done) == "web is served by vm-b; the move took 390 ms."


def test_a_dry_run_says_what_would_happen() -> None:
    status = statuses.SWITCHOVER.model_copy(update={"message": "vm-b could take over."})

    assert outcome(screens.switchover(status, dry_run=True)) == "vm-b could take over."


def test_a_refusal_names_reason_and_remedy_and_exits_3() -> None:
    with pytest.raises(RefusedError) as refused:
        outcome(screens.switchover(REFUSED))

    assert refused.value.exit_code == 3
    assert "vm-b is 42.0 s behind" in refused.value.problem
    assert refused.value.remedy == "kubectl wait hac/web --for=condition=InSync"


def test_a_failure_exits_1() -> None:
    failed = SwitchoverStatus(phase=SwitchoverPhase.FAILED, reason="StartFailed")

    with pytest.raises(TransientError, match="the switchover of web failed: StartFailed") as fault:
        outcome(screens.switchover(failed))

    assert fault.value.exit_code == 1


def test_nobody_taking_it_up_is_told_from_taking_long() -> None:
    assert "nobody has taken up Switchover web-x7k2p for 30.0 s" in str(
        overdue(screens.switchover(), 30_000)
    )
    assert "is Releasing after 2 min 0 s; it goes on" in str(
        overdue(screens.switchover(RELEASING), 120_000)
    )


def test_the_summary_says_what_was_asked_for() -> None:
    assert summary(screens.switchover(dry_run=True), statuses.AT) == (
        "Switchover web-x7k2p: web to vm-b, asked for at 2026-11-23 12:00:00Z "
        "(dry run: nothing will move)"
    )
