"""The status of a pod and of its containers, as the API shows it. Pure.

A container's state is one of three, a pod's phase and conditions follow from its containers', by
the rules of the Kubernetes API.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from standfast.lab.kube_client import Json


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running yet, or not again yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Its process runs."""

    since: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Its process has ended and will not be started again, or not yet.

    Args:
        code: Exit status; 128 and the signal's number when it was killed.
        reason: `Completed`, `Error`, `StartError`.
        message: Why, when it could not be started.
        since: When it had been started.
        at: When it ended.
    """

    code: int
    reason: str
    message: str
    since: str
    at: str


State = Waiting | Running | Ended


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container at one moment.

    Args:
        name: Its name.
        image: What the manifest calls its image.
        state: What it is now.
        last: How it ended before that.
        restarts: How often it was started again.
        ready: Running and, if it has a readiness probe, passed by it.
        started: Running and, if it has a startup probe, passed by it.
    """

    name: str
    image: str
    state: State
    last: Ended | None
    restarts: int
    ready: bool
    started: bool


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod at one moment.

    Args:
        init: Its init containers.
        containers: Its containers.
        restart_policy: `Always`, `OnFailure` or `Never`.
        started_at: When the node took it.
        host_ip: The node's address.
        pod_ip: Its own, empty before it has one.
    """

    init: tuple[ContainerView, ...]
    containers: tuple[ContainerView, ...]
    restart_policy: str
    started_at: str
    host_ip: str
    pod_ip: str


def now() -> str:
    """The moment, as the API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(view: PodView, before: Json, at: str) -> Json:
    """What is written to the pod's status.

    Args:
        view: The pod as it is.
        before: Its status as last seen: conditions keep the time of their last change, and those
            of others are kept.
        at: Now.
    """
    initialized = all(isinstance(c.state, Ended) and c.state.code == 0 for c in view.init)
    ready = all(c.ready for c in view.containers)
    done = _phase(view) in {"Succeeded", "Failed"}
    names = [c.name for c in view.containers if not c.ready]
    why = "PodCompleted" if done else "ContainersNotReady"
    message = "" if ready or done else f"containers with unready status: [{' '.join(names)}]"
    addresses = {"podIP": view.pod_ip, "podIPs": [{"ip": view.pod_ip}]} if view.pod_ip else {}
    return {
        "phase": _phase(view),
        "startTime": view.started_at,
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        **addresses,
        "initContainerStatuses": [_container(c) for c in view.init],
        "containerStatuses": [_container(c) for c in view.containers],
        "conditions": _conditions(
            before.get("conditions", []),
            {
                "PodReadyToStartContainers": (bool(view.pod_ip), "", ""),
                "Initialized": (
                    initialized,
                    "" if initialized else "ContainersNotInitialized",
                    "",
                ),
                "ContainersReady": (ready, "" if ready else why, message),
                "Ready": (ready, "" if ready else why, message),
            },
            at,
        ),
    }


def _phase(view: PodView) -> str:
    if any(isinstance(c.state, Ended) and c.state.code != 0 for c in view.init):
        return "Failed" if view.restart_policy == "Never" else "Pending"
    if not view.pod_ip or not all(isinstance(c.state, Ended) for c in view.init):
        return "Pending"
    ended = [c.state for c in view.containers if isinstance(c.state, Ended)]
    if len(ended) == len(view.containers) and view.restart_policy != "Always":
        return "Failed" if any(state.code for state in ended) else "Succeeded"
    fresh = all(isinstance(c.state, Waiting) and c.last is None for c in view.containers)
    return "Pending" if fresh else "Running"


def _container(view: ContainerView) -> Json:
    return {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restarts,
        "state": _state(view.state),
        "lastState": {} if view.last is None else _state(view.last),
    }


def _state(state: State) -> Json:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, "message": message}}
        case Running(since):
            return {"running": {"startedAt": since}}
        case Ended(code, reason, message, since, at):
            return {
                "terminated": {
                    "exitCode": code,
                    "reason": reason,
                    "message": message,
                    "startedAt": since,
                    "finishedAt": at,
                }
            }


def _conditions(
    before: Sequence[Json], wanted: dict[str, tuple[bool, str, str]], at: str
) -> list[Json]:
    old = {condition["type"]: condition for condition in before}
    made = []
    for kind, (holds, reason, message) in wanted.items():
        value = "True" if holds else "False"
        same = kind in old and old[kind]["status"] == value
        made.append(
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": old[kind]["lastTransitionTime"] if same else at,
            }
        )
    return [condition for condition in before if condition["type"] not in wanted] + made
