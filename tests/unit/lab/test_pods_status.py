"""What the API shows of a pod, from its containers."""

from dataclasses import replace

import pytest

from standfast.lab.kube_client import Json
from standfast.lab.pods_status import (
    ContainerView,
    Ended,
    PodView,
    Running,
    State,
    Waiting,
    status,
)

T0, T1 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
OK = Ended(0, "Completed", "", T0, T1)
BAD = Ended(3, "Error", "", T0, T1)
WAITING = Waiting("ContainerCreating")
RUNNING = Running(T0)


def container(state: State, *, ready: bool = False, last: Ended | None = None) -> ContainerView:
    return ContainerView("main", "any", state, last, 0, ready, ready)


def view(*containers: ContainerView, policy: str = "Always", ip: str = "10.0.0.1") -> PodView:
    return PodView((), containers, policy, T0, "10.0.0.254", ip)


def condition(found: Json, kind: str) -> Json:
    return next(entry for entry in found["conditions"] if entry["type"] == kind)


@pytest.mark.parametrize(
    ("states", "policy", "phase"),
    [
        ([WAITING], "Always", "Pending"),
        ([RUNNING], "Always", "Running"),
        ([RUNNING, WAITING], "Always", "Running"),
        ([OK], "Always", "Running"),
        ([OK], "Never", "Succeeded"),
        ([OK, BAD], "Never", "Failed"),
        ([OK, RUNNING], "OnFailure", "Running"),
    ],
)
def test_the_phase_follows_from_the_containers(
    states: list[State], policy: str, phase: str
) -> None:
    shown = status(view(*map(container, states), policy=policy), {}, T1)
    assert shown["phase"] == phase


def test_a_container_that_waits_again_does_not_make_a_pod_pending() -> None:
    crashed = container(Waiting("CrashLoopBackOff"), last=BAD)
    assert status(view(crashed), {}, T1)["phase"] == "Running"


def test_a_pod_without_an_address_or_with_init_containers_to_go_is_pending() -> None:
    assert status(view(container(RUNNING), ip=""), {}, T1)["phase"] == "Pending"
    first = replace(view(container(WAITING)), init=(container(RUNNING),))
    shown = status(first, {}, T1)
    assert shown["phase"] == "Pending"
    assert condition(shown, "Initialized")["status"] == "False"
    failed = replace(first, init=(container(BAD),), restart_policy="Never")
    assert status(failed, {}, T1)["phase"] == "Failed"


def test_a_pod_is_ready_when_all_containers_are_and_names_those_that_are_not() -> None:
    half = status(view(container(RUNNING, ready=True), container(RUNNING)), {}, T1)
    assert condition(half, "Ready")["reason"] == "ContainersNotReady"
    assert "[main]" in condition(half, "Ready")["message"]
    whole = status(view(container(RUNNING, ready=True)), half, T1)
    assert condition(whole, "Ready")["status"] == "True"


def test_a_condition_keeps_the_time_of_its_last_change_and_those_of_others_stay() -> None:
    other = {"type": "PodScheduled", "status": "True", "lastTransitionTime": T0}
    first = status(view(container(WAITING)), {"conditions": [other]}, T0)
    second = status(view(container(RUNNING, ready=True)), first, T1)
    assert condition(second, "Initialized")["lastTransitionTime"] == T0
    assert condition(second, "Ready")["lastTransitionTime"] == T1
    assert condition(second, "PodScheduled") == other


def test_container_states_are_written_as_the_api_has_them() -> None:
    shown = status(view(container(BAD, last=OK)), {}, T1)["containerStatuses"][0]
    assert shown["state"]["terminated"]["exitCode"] == 3
    assert shown["lastState"]["terminated"]["finishedAt"] == T1
    waiting = status(view(container(Waiting("R", "M"))), {}, T1)["containerStatuses"][0]
    assert waiting["state"] == {"waiting": {"reason": "R", "message": "M"}}
    assert waiting["lastState"] == {}
