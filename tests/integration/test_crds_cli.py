"""`kubectl standfast` against a real API server: what it prints, creates, waits for, exits with.

The test plays the operator where one is needed: it writes the Secret and the status that the
operator would write. The command itself is the installed one, run as a process.
"""

import asyncio
import base64
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from standfast.api.cluster_status import Enrolment
from standfast.api.crdgen import REPOSITORY
from standfast.api.switchover import SwitchoverPhase, SwitchoverStatus
from standfast.cli.completion import answers
from standfast.cli.main import commands
from standfast.lab import kube, tools
from standfast.lab.kubectl import until
from tests.integration.kube_parts import until_established
from tests.integration.lab_parts import lab_paths
from tests.unit.api import statuses

pytestmark = pytest.mark.timeout(900)

COMMAND = Path(sys.executable).with_name("kubectl-standfast")
BUNDLE = {"version": 1, "node": "vm-a", "notAfter": "2026-11-24T12:00:00Z"}


@dataclass(frozen=True)
class Desk:
    """A person with a kubeconfig, and the operator's hand for statuses."""

    kubeconfig: Path
    programs: tools.Tools

    def standfast(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [COMMAND, *arguments, "--kubeconfig", self.kubeconfig],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @contextmanager
    def begun(self, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
        """A command under way, ended with the block."""
        with subprocess.Popen(
            [COMMAND, *arguments, "--kubeconfig", self.kubeconfig],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def kubectl(self, *arguments: str, given: object = None) -> str:
        return subprocess.run(
            [self.programs.kubectl, *arguments, "--kubeconfig", self.kubeconfig],
            input=json.dumps(given) if given is not None else None,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def report(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Write a status as the operator does."""
        document = {
            "apiVersion": "standfast.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "status": status,
        }
        self.kubectl(
            "apply", "-f", "-", "--server-side", "--subresource=status", "--force-conflicts",
            "--field-manager=standfast-operator", given=document,
        )  # fmt: skip

    def switchover(self) -> str:
        """The name of the one Switchover there is, as soon as there is one."""
        names: list[str] = []

        def asked() -> str | None:
            names[:] = self.kubectl("get", "hsw", "-o", "name").split()
            return None if names else "none yet"

        until("a Switchover was created", asked, 20)
        return names[0].rsplit("/", 1)[-1]


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with lab_paths("crds-cli") as paths:
        try:
            info = asyncio.run(kube.up(paths, "127.0.0.1"))
            sitting = Desk(info.kubeconfig, asyncio.run(tools.provide()))
            sitting.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
            until_established(lambda: sitting.kubectl("get", "crd", "-o", "json"))
            sitting.kubectl("apply", "-f", str(REPOSITORY / "examples/01-web-pair"))
            sitting.report("HACluster", "web", statuses.CLUSTER.to_object())
            yield sitting
        finally:
            asyncio.run(kube.down(paths))


@pytest.fixture
def clean(desk: Desk) -> Iterator[Desk]:
    """Without switchovers and bundles of other tests."""
    yield desk
    desk.kubectl("delete", "hsw", "--all")
    desk.kubectl("delete", "secret", "web-vm-a-bundle", "--ignore-not-found")


def test_status_fits_one_screen(desk: Desk) -> None:
    done = desk.standfast("status", "web")

    assert done.returncode == 0, done.stderr
    assert "active: vm-a" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


def test_status_of_all_is_a_table(desk: Desk) -> None:
    assert desk.standfast("status").stdout.splitlines()[1].split()[:2] == ["web", "vm-a"]
    assert desk.standfast("status", "-A").stdout.splitlines()[1].split()[:2] == ["default", "web"]
    assert (
        "No clusters in namespace kube-system."
        in desk.standfast("status", "-n", "kube-system").stdout
    )


def test_status_as_data_is_what_kubectl_takes(desk: Desk) -> None:
    shown = json.loads(desk.standfast("status", "web", "-o", "json").stdout)

    assert [item["kind"] for item in shown["items"]] == ["HACluster", "HAResource", "HAResource"]
    desk.kubectl("apply", "--dry-run=server", "-f", "-", given=shown)


def test_a_followed_status_is_written_again_when_it_changes(clean: Desk) -> None:
    changed = statuses.CLUSTER.model_copy(update={"active": "vm-b", "term": 4})
    try:
        with clean.begun("status", "web", "-w") as following:
            assert following.stdout is not None
            seen = [following.stdout.readline()]
            clean.report("HACluster", "web", changed.to_object())
            while "---\n" not in seen:
                seen.append(following.stdout.readline())
            assert "active: vm-a" in seen[0]
            assert "active: vm-b   term 4" in following.stdout.readline()
    finally:
        clean.report("HACluster", "web", statuses.CLUSTER.to_object())


def test_a_cluster_that_is_none_exits_2(desk: Desk) -> None:
    done = desk.standfast("explain", "wbe")

    assert done.returncode == 2
    assert "HACluster wbe does not exist in namespace default; there are web" in done.stderr


def test_explain_says_why(desk: Desk) -> None:
    done = desk.standfast("explain", "web")

    assert "web is served by vm-a, term 3." in done.stdout


def _waiting(desk: Desk) -> None:
    nodes = tuple(
        node.model_copy(update={"enrolment": Enrolment.WAITING}) for node in statuses.CLUSTER.nodes
    )
    status = statuses.CLUSTER.model_copy(update={"nodes": nodes}).to_object()
    desk.report("HACluster", "web", status)


def test_enroll_waits_for_the_bundle_and_prints_only_it(clean: Desk, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-vm-a-bundle"},
        "data": {"bundle.json": base64.b64encode(json.dumps(BUNDLE).encode()).decode()},
    }
    file = tmp_path / "bundle.json"
    _waiting(clean)
    try:
        with clean.begun("enroll", "web", "vm-a") as waiting:
            clean.kubectl("create", "-f", "-", given=secret)
            out, err = waiting.communicate(timeout=30)
        written = clean.standfast("enroll", "web", "vm-a", "-f", str(file))
    finally:
        clean.report("HACluster", "web", statuses.CLUSTER.to_object())

    assert waiting.returncode == 0, err
    assert json.loads(out) == BUNDLE
    assert "until 2026-11-24T12:00:00Z" in err
    assert written.returncode == 0, written.stderr
    assert json.loads(file.read_text()) == BUNDLE
    assert file.stat().st_mode & 0o777 == 0o600


def test_enroll_gives_no_second_vote(desk: Desk) -> None:
    done = desk.standfast("enroll", "web", "vm-b")

    assert done.returncode == 3
    assert "a second identity would be a second vote" in done.stderr


def test_a_switchover_is_followed_to_its_end(clean: Desk) -> None:
    preparing = SwitchoverStatus(phase=SwitchoverPhase.PREPARING, started_at=statuses.AT)
    options = ("--to", "vm-b", "--reason", "patching")
    with clean.begun("switchover", "web", *options) as following:
        name = clean.switchover()
        asked = json.loads(clean.kubectl("get", "hsw", name, "-o", "json"))
        clean.report("Switchover", name, preparing.to_object())
        clean.report("Switchover", name, statuses.SWITCHOVER.to_object())
        out, err = following.communicate(timeout=30)

    assert following.returncode == 0, err
    assert asked["spec"] == {
        "clusterRef": {"name": "web"},
        "to": "vm-b",
        "reason": "patching",
        "deadline": "60s",
        "dryRun": False,
    }
    assert out == "web is served by vm-b; the move took 390 ms.\n"
    assert "Completed: serving" in err
    history = clean.standfast("history", "web").stdout
    assert "Switchover  vm-a  vm-b  390 ms  Completed" in history


@pytest.mark.parametrize(
    ("phase", "code"), [(SwitchoverPhase.REFUSED, 3), (SwitchoverPhase.FAILED, 1)]
)
def test_what_does_not_move_exits_by_why(clean: Desk, phase: SwitchoverPhase, code: int) -> None:
    status = SwitchoverStatus(phase=phase, message="vm-b is off.", remedy="switch vm-b on")
    with clean.begun("switchover", "web") as following:
        clean.report("Switchover", clean.switchover(), status.to_object())
        _, err = following.communicate(timeout=30)

    assert following.returncode == code
    assert "vm-b is off.\n  fix: switch vm-b on" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "vm-x"), "vm-x is not a node of web; its nodes are vm-a, vm-b"),
        (("--deadline", "soon"), "the deadline 'soon' cannot be used"),
    ],
)
def test_what_cannot_be_asked_for_creates_nothing(
    clean: Desk, options: tuple[str, ...], said: str
) -> None:
    done = clean.standfast("switchover", "web", *options)

    assert done.returncode == 2
    assert said in done.stderr
    assert clean.kubectl("get", "hsw", "-o", "name") == ""


def test_no_moves_are_said(clean: Desk) -> None:
    assert "has not moved" in clean.standfast("history", "web").stdout


def test_an_api_server_that_is_gone_exits_1(desk: Desk, tmp_path: Path) -> None:
    config = desk.kubeconfig.read_text()
    server = next(line for line in config.splitlines() if "server:" in line)
    gone = tmp_path / "gone"
    gone.write_text(config.replace(server, server.rsplit(":", 1)[0] + ":1"))

    done = replace(desk, kubeconfig=gone).standfast("status", "web")

    assert done.returncode == 1
    assert "the API server does not answer" in done.stderr


def test_maintenance_changes_one_node_and_prints_the_patch(clean: Desk) -> None:
    only = clean.standfast("maintenance", "web", "vm-b", "on", "--print")
    assert only.returncode == 0, only.stderr
    assert only.stdout.startswith("kubectl patch hacluster web -n default --type=json -p ")
    spec = json.loads(clean.kubectl("get", "hac", "web", "-o", "json"))["spec"]
    assert not any(node["maintenance"] for node in spec["nodes"])
    try:
        done = clean.standfast("maintenance", "web", "vm-b", "on", "-o", "json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == only.stdout
        nodes = json.loads(done.stdout)["spec"]["nodes"]
        assert [node["maintenance"] for node in nodes] == [False, True]
        refused = clean.standfast("maintenance", "web", "vm-a", "on")
        assert refused.returncode == 3
        assert "nobody could take over" in refused.stderr
        late = clean.standfast("maintenance", "web", "vm-b", "on", "--wait", "--timeout", "1")
        assert late.returncode == 1, "nobody has looked at the new spec"
    finally:
        assert clean.standfast("maintenance", "web", "vm-b", "off").returncode == 0


def test_pause_and_resume_are_one_field(clean: Desk) -> None:
    assert clean.standfast("pause", "web").returncode == 0
    assert clean.kubectl("get", "hac", "web", "-o", "jsonpath={.spec.paused}") == "true"
    assert clean.standfast("resume", "web").returncode == 0
    assert clean.kubectl("get", "hac", "web", "-o", "jsonpath={.spec.paused}") == "false"


def test_check_says_what_is_missing_and_exits_by_it(desk: Desk) -> None:
    example = str(REPOSITORY / "examples/01-web-pair")
    files = desk.standfast("check", "-f", example)
    assert files.returncode == 0, files.stdout + files.stderr
    done = desk.standfast("check", "web", "-o", "json")
    assert done.returncode == 1, "spec.paused was changed, and no operator has looked"
    assert json.loads(done.stdout)["web"]["findings"]
    assert desk.standfast("check").returncode == 2


def test_a_support_bundle_has_the_objects_and_no_secret(clean: Desk, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-vm-a-bundle"},
        "stringData": {"bundle.json": "hunter2"},
    }
    clean.kubectl("create", "-f", "-", given=secret)
    note = "annotate", "hac", "web", "note=password=hunter2", "--overwrite"
    clean.kubectl(*note)
    file = tmp_path / "web.tar.gz"
    done = clean.standfast("collect", "web", "-f", str(file))
    clean.kubectl("annotate", "hac", "web", "note-")
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        texts = {
            name.partition("/")[2]: (archive.extractfile(name) or io.BytesIO()).read().decode()
            for name in archive.getnames()
        }
    assert {"about.yaml", "explain.txt", "objects/haclusters.yaml", "events.yaml"} <= set(texts)
    assert "instanceUUID" in texts["objects/haclusters.yaml"]
    (listed,) = yaml.safe_load(texts["objects/haclusters.yaml"])["items"]
    assert list(listed["metadata"]["annotations"]) == ["note"], "no copy of the manifest"
    assert not [name for name, text in texts.items() if "hunter2" in text]


def test_the_shell_completes_clusters_and_nodes(desk: Desk) -> None:
    there = ["--kubeconfig", str(desk.kubeconfig)]
    assert answers(commands, ["explain", *there, ""]) == ["web", ":4"]
    assert answers(commands, ["maintenance", *there, "web", "vm-"]) == ["vm-a", "vm-b", ":4"]


def test_explain_is_data_too(desk: Desk) -> None:
    shown = json.loads(desk.standfast("explain", "web", "-o", "json").stdout)
    assert shown["active"] == "vm-a"
    assert {"decision", "wrong", "unknown", "holds"} <= set(shown)
