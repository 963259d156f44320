"""The installed operator of a lab: stopped, started and killed as a cluster's administrator would.

Called by `lab.Lab` and `standfast-lab operator`. It is whatever Helm installed in its namespace.
"""

import os
import signal
from contextlib import suppress

from standfast.errors import UserError
from standfast.lab import pods
from standfast.lab.kubectl import Kubectl
from standfast.lab.paths import LabPaths
from standfast.lab.state import LabState

NAMESPACE = "standfast-system"
CONTAINER = "operator"
WAIT_S = 60


def kill(paths: LabPaths) -> int:
    """Kills every replica with SIGKILL; the pod runner restarts them.

    Returns:
        How many there were.

    Raises:
        UserError: None runs.
    """
    running = [one for one in pods.containers(paths) if one.name == CONTAINER]
    if not running:
        raise UserError(
            f"no operator runs in lab {paths.name}", remedy="helm list --all-namespaces"
        )
    for container in running:
        with suppress(ProcessLookupError):
            os.kill(container.pid, signal.SIGKILL)
    return len(running)


def stop(lab: LabState) -> None:
    """Scales it to nothing, and returns when its pods are gone."""
    kubectl = Kubectl(lab, NAMESPACE)
    kubectl.run("scale", "deployment", "--all", "--replicas=0")
    kubectl.run("wait", "pod", "--all", "--for=delete", f"--timeout={WAIT_S}s", timeout_s=WAIT_S)


def start(lab: LabState, replicas: int) -> None:
    """Scales it up again, and returns when it is ready."""
    kubectl = Kubectl(lab, NAMESPACE)
    kubectl.run("scale", "deployment", "--all", f"--replicas={replicas}")
    waited = f"--timeout={WAIT_S}s"
    kubectl.run(
        "wait", "deployment", "--all", "--for=condition=Available", waited, timeout_s=WAIT_S
    )
