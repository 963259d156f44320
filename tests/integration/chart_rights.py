"""The operator as the chart lets it be: its ServiceAccount, its rights and no more."""

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from standfast.api.crdgen import REPOSITORY
from standfast.lab import tools
from tests.integration.kube_parts import KubeLab
from tests.integration.operator_bed import NAMESPACE

USER = f"system:serviceaccount:{NAMESPACE}:standfast-operator"
KINDS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def rendered() -> list[dict[str, Any]]:
    """What the chart says about rights."""
    programs = asyncio.run(tools.provide())
    chart = REPOSITORY / "charts/standfast"
    shown = subprocess.run(
        [programs.helm, "template", "standfast", chart, "--namespace", NAMESPACE],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [each for each in yaml.safe_load_all(shown) if each and each["kind"] in KINDS]


def as_the_chart_says(kube: KubeLab, directory: Path) -> Path:
    """Give these rights, and return a kubeconfig of the ServiceAccount."""
    programs = asyncio.run(tools.provide())

    def kubectl(*arguments: str, given: str | None = None) -> str:
        return subprocess.run(
            [programs.kubectl, "--kubeconfig", kube.kubeconfig, "-n", NAMESPACE, *arguments],
            input=given, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    kubectl("apply", "-f", "-", given=yaml.safe_dump_all(rendered()))
    token = kubectl("create", "token", "standfast-operator", "--duration=1h").strip()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    claims = token.split(".")[1]
    who = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    assert who == USER
    path = directory / "as-the-chart-says.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
