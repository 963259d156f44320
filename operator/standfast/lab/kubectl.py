"""`kubectl` and `helm` against a lab, as a person types them: same programs, same files.

Called by `cluster`, the demo and the tests. Answers come as JSON documents.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import TransientError
from standfast.lab.commands import run
from standfast.lab.state import LabState

Look = Callable[[], str | None]
"""One look: None when the claim holds, else a sentence with what is seen instead."""

LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command line of one lab.

    Args:
        lab: Whose control plane.
        namespace: Where objects are looked for.
    """

    lab: LabState
    namespace: str = "default"

    @property
    def env(self) -> Mapping[str, str]:
        """What a shell must export to reach the lab; the plugin and the tools come first."""
        own = (str(Path(sys.executable).parent), str(Path(self.lab.kubectl).parent))
        path = os.pathsep.join((*own, str(Path(self.lab.helm).parent), os.environ["PATH"]))
        return {**os.environ, "KUBECONFIG": self.lab.kubeconfig, "PATH": path}

    def run(self, *arguments: str, stdin: str = "", timeout_s: float = 30) -> str:
        """Runs `kubectl` with these arguments.

        Raises:
            TransientError: It refused; with what it said.
        """
        argv = ["kubectl", "--namespace", self.namespace, *arguments]
        return run(argv, stdin=stdin, timeout_s=timeout_s, env=self.env)

    def try_run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs it, whatever its status."""
        return subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.env,
        )

    def helm(self, *arguments: str, timeout_s: float = 180) -> str:
        """Runs `helm` with these arguments."""
        return run(["helm", *arguments], timeout_s=timeout_s, env=self.env)

    def get(self, kind: str, name: str = "") -> dict[str, object]:
        """One object, or the list of a kind."""
        arguments = ["get", kind, *([name] if name else []), "--output", "json"]
        document: dict[str, object] = json.loads(self.run(*arguments))
        return document

    def apply(self, *files: Path) -> str:
        """Applies files as they stand."""
        return self.run("apply", *(f"--filename={file}" for file in files))

    def apply_text(self, text: str) -> str:
        """Applies a manifest from memory."""
        return self.run("apply", "--filename=-", stdin=text)

    def standfast(self, *arguments: str, timeout_s: float = 60) -> str:
        """Runs `kubectl standfast`, the plugin, with these arguments."""
        argv = ["kubectl", "standfast", *arguments, "--namespace", self.namespace]
        return run(argv, timeout_s=timeout_s, env=self.env)


def secret(name: str, values: Mapping[str, str]) -> str:
    """The manifest of a Secret."""
    return json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
    )


def config_map(name: str, values: Mapping[str, str]) -> str:
    """The manifest of a ConfigMap."""
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": values}
    )


def until(claim: str, look: Look, timeout_s: float, every_s: float = LOOK_EVERY_S) -> float:
    """Looks until a claim holds.

    Returns:
        How many seconds that took.

    Raises:
        TransientError: It did not hold within `timeout_s`; with what was seen last.
    """
    begin = time.monotonic()
    while True:
        seen = look()
        if seen is None:
            return time.monotonic() - begin
        if time.monotonic() - begin > timeout_s:
            raise TransientError(f"{claim} did not become true within {timeout_s:g} s: {seen}")
        time.sleep(every_s)
