"""The charts on a real API server: installed, upgraded, rolled back, applied; who may do what."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from standfast.api.crdgen import REPOSITORY
from standfast.api.words import ATTEST, Attestation, written
from standfast.lab import kube, tools
from standfast.lab.kubectl import until
from tests.integration.kube_parts import until_established
from tests.integration.lab_parts import lab_paths

pytestmark = pytest.mark.timeout(600)

CHART, CRDS = REPOSITORY / "charts/standfast", REPOSITORY / "charts/standfast-crds"
EXAMPLE = REPOSITORY / "examples/01-web-pair"
NAMESPACE = "standfast-system"
ROLES = ("viewer", "switcher", "editor", "admin")
MOVE = {
    "apiVersion": "standfast.dev/v1alpha1",
    "kind": "Switchover",
    "metadata": {"name": "away", "namespace": "default"},
    "spec": {"clusterRef": {"name": "web"}},
}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Server:
    kubeconfig: Path
    programs: tools.Tools

    def run(self, program: Path, *arguments: str, given: object = None) -> Done:
        done = subprocess.run(
            [program, *arguments, "--kubeconfig", str(self.kubeconfig)],
            input=given if given is None or isinstance(given, str) else json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def kubectl(self, *arguments: str, given: object = None) -> Done:
        return self.run(self.programs.kubectl, *arguments, given=given)

    def helm(self, *arguments: str) -> str:
        done = self.run(self.programs.helm, *arguments, "--namespace", NAMESPACE)
        assert done.code == 0, done.err
        return done.out

    def may(self, user: str, verb: str, resource: str) -> bool:
        of, _, part = resource.partition("/")
        asked = ("auth", "can-i", verb, of, f"--subresource={part}", "--as", user)
        return self.kubectl(*asked).out.strip() == "yes"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with lab_paths("chart") as paths:
        try:
            info = asyncio.run(kube.up(paths, "127.0.0.1"))
            made = Server(info.kubeconfig, asyncio.run(tools.provide()))
            made.helm("install", "standfast-crds", str(CRDS), "--create-namespace")
            made.helm("install", "standfast", str(CHART))
            until_established(lambda: made.kubectl("get", "crd", "-o", "json").out)
            applied = made.kubectl("apply", "-f", str(EXAMPLE))
            assert applied.code == 0, applied.err
            for role in ROLES:
                name, of = f"the-{role}", f"--clusterrole=standfast-{role}"
                bound = made.kubectl("create", "rolebinding", name, of, f"--user={role}")
                assert bound.code == 0, bound.err
            until("policies are in force", lambda: _not_in_force(made), 30)
            yield made
        finally:
            asyncio.run(kube.down(paths))


def _not_in_force(server: Server) -> str | None:
    """Policies are compiled a moment after they were made."""
    done = server.kubectl("delete", "witness", "third", "--dry-run=server")
    return None if done.code else "a witness in use may be deleted"


def test_who_may_switch_over_may_not_change(server: Server) -> None:
    as_switcher = ("--as", "switcher")
    patch = ("patch", "hac", "web", "--type=merge", "-p", '{"spec":{"paused":true}}')
    refused = server.kubectl(*patch, *as_switcher)
    assert refused.code != 0
    assert "forbidden" in refused.err
    assert server.kubectl("get", "hac,har,haw,hai,hsw,hfr", *as_switcher).code == 0
    made = server.kubectl("create", "-f", "-", *as_switcher, given=MOVE)
    assert made.code == 0, made.err
    assert server.kubectl("delete", "hsw", "away", *as_switcher).code == 0
    for verb in ("create", "update", "patch", "delete"):
        for kind in ("haclusters", "haresources", "witnesses", "infrastructures"):
            assert not server.may("switcher", verb, f"{kind}.standfast.dev"), (verb, kind)
    assert not server.may("switcher", "get", "secrets")


def test_each_role_may_what_it_says_and_no_more(server: Server) -> None:
    may = {
        ("get", "haclusters.standfast.dev"): set(ROLES),
        ("create", "switchovers.standfast.dev"): {"switcher", "editor", "admin"},
        ("patch", "haclusters.standfast.dev"): {"editor", "admin"},
        ("delete", "failoverrecords.standfast.dev"): {"editor", "admin"},
        ("patch", "haclusters.standfast.dev/status"): {"admin"},
        ("get", "secrets"): {"admin"},
        ("list", "secrets"): set(),
        ("get", "pods"): set(),
    }
    for (verb, resource), allowed in may.items():
        found = {role for role in ROLES if server.may(role, verb, resource)}
        assert found == allowed, (verb, resource)


def test_a_witness_and_an_infrastructure_in_use_are_not_deleted(server: Server) -> None:
    witness = server.kubectl("delete", "witness", "third")
    assert witness.code != 0
    assert "votes in HACluster web" in witness.err
    assert "remove it from spec.witnesses" in witness.err
    infrastructure = server.kubectl("delete", "infrastructure", "lab")
    assert infrastructure.code != 0
    assert "runs the VMs of HACluster web" in infrastructure.err


def test_what_nobody_uses_is_deleted(server: Server) -> None:
    spare = {
        "apiVersion": "standfast.dev/v1alpha1",
        "kind": "Witness",
        "metadata": {"name": "spare"},
        "spec": {"agent": {"addresses": ["192.0.2.9"]}},
    }
    assert server.kubectl("create", "-f", "-", given=spare).code == 0
    done = server.kubectl("delete", "witness", "spare")
    assert done.code == 0, done.err


def test_what_is_protected_by_its_annotation_is_deleted_only_without_it(server: Server) -> None:
    mark = "standfast.dev/deletion-protection"
    assert server.kubectl("annotate", "har", "web-vip", f"{mark}=true").code == 0
    refused = server.kubectl("delete", "har", "web-vip")
    assert refused.code != 0
    assert f"kubectl annotate haresource -n default web-vip {mark}-" in refused.err
    assert server.kubectl("annotate", "har", "web-vip", f"{mark}-").code == 0
    done = server.kubectl("delete", "har", "web-vip", "--dry-run=server")
    assert done.code == 0, done.err


def _word(approver: str) -> str:
    return written(Attestation(approver=approver, at="2026-01-01T00:00:00Z", node="a", boot="b"))


def _says(server: Server, text: str, user: str = "editor") -> Done:
    patch = json.dumps({"metadata": {"annotations": {ATTEST: text}}})
    return server.kubectl("patch", "hac", "web", "--type=merge", "-p", patch, "--as", user)


def test_who_vouches_is_who_the_api_server_says(server: Server) -> None:
    """The approver on record cannot be chosen: not by another name, not by a second one."""
    tricks = (
        _word("admin"),
        written(Attestation(approver="x", at='{"approver": "editor", ', node="a", boot="b")),
        ' {"approver": "editor", "at": "", "node": "a", "boot": "b"}',
        '{"node": "a", "approver": "editor", "at": "", "boot": "b"}',
    )
    for text in tricks:
        refused = _says(server, text)
        assert refused.code != 0, text
        assert "you are editor" in refused.err, refused.err
    said = _says(server, _word("editor"))
    assert said.code == 0, said.err
    # who leaves it as it stands need not be the one who said it
    assert server.kubectl("label", "hac", "web", "a=b", "--as", "admin").code == 0
    assert _says(server, _word("editor"), "admin").code == 0
    assert _says(server, _word("editor") + " ", "admin").code != 0
    odd = 'CORP\\\\ad"a'.replace("\\\\", "\\")
    bound = server.kubectl(
        "create", "rolebinding", "odd", "--clusterrole=standfast-editor", f"--user={odd}"
    )
    assert bound.code == 0, bound.err
    said = _says(server, _word(odd), odd)
    assert said.code == 0, said.err
    assert server.kubectl("annotate", "hac", "web", f"{ATTEST}-").code == 0


def test_a_namespace_with_protected_objects_goes_all_the_same(server: Server) -> None:
    """Nothing of ours may wedge the end of a namespace."""
    mark = {"standfast.dev/deletion-protection": "true"}
    assert server.kubectl("create", "namespace", "short").code == 0
    copy = _example("short")
    for document in copy:
        document["metadata"]["annotations"] = mark
        assert server.kubectl("create", "-f", "-", given=document).code == 0
    assert server.kubectl("delete", "namespace", "short", "--wait=false").code == 0

    def left() -> str | None:
        done = server.kubectl("get", "hac,har,haw,hai", "-n", "short", "-o", "name")
        return done.out.strip() or None

    until("the namespace's objects are gone", left, 60)


def _example(namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for file in sorted(EXAMPLE.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document and document["kind"] not in {"Secret", "ConfigMap"}:
                document["metadata"]["namespace"] = namespace
                found.append(document)
    return found


def test_an_upgrade_and_its_rollback_keep_everything_that_is_declared(server: Server) -> None:
    before = json.loads(server.kubectl("get", "hac", "web", "-o", "json").out)["metadata"]["uid"]
    server.helm("upgrade", "standfast", str(CHART), "--set", "replicas=3,log.level=debug")
    shown = server.kubectl("get", "deployment", "-n", NAMESPACE, "-o", "yaml").out
    assert yaml.safe_load(shown)["items"][0]["spec"]["replicas"] == 3
    server.helm("upgrade", "standfast-crds", str(CRDS))
    server.helm("rollback", "standfast", "1")
    server.helm("rollback", "standfast-crds", "1")
    shown = server.kubectl("get", "deployment", "-n", NAMESPACE, "-o", "yaml").out
    assert yaml.safe_load(shown)["items"][0]["spec"]["replicas"] == 2
    after = json.loads(server.kubectl("get", "hac", "web", "-o", "json").out)["metadata"]["uid"]
    assert after == before


@pytest.mark.parametrize("chart", [CHART, CRDS], ids=lambda chart: chart.name)
def test_without_helm_it_is_applied_by_the_server(server: Server, chart: Path) -> None:
    made = server.helm("template", "standfast", str(chart))
    ours = "apply", "--server-side", "--force-conflicts", "-f", "-", "-n", NAMESPACE
    first = server.kubectl(*ours, given=made)
    assert first.code == 0, first.err
    versions = server.kubectl("get", "deployment", "-n", NAMESPACE, "-o", "yaml").out
    again = server.kubectl(*ours, given=made)
    assert again.code == 0, again.err
    now = server.kubectl("get", "deployment", "-n", NAMESPACE, "-o", "yaml").out
    assert [d["metadata"]["generation"] for d in yaml.safe_load(now)["items"]] == [
        d["metadata"]["generation"] for d in yaml.safe_load(versions)["items"]
    ]


def test_pods_keep_to_the_restricted_profile(server: Server) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    assert server.kubectl("label", "namespace", NAMESPACE, label, "--overwrite").code == 0
    made = yaml.safe_load_all(server.helm("template", "standfast", str(CHART)))
    template = next(each for each in made if each and each["kind"] == "Deployment")["spec"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "as-template", "namespace": NAMESPACE},
        "spec": template["template"]["spec"],
    }
    done = server.kubectl("create", "--dry-run=server", "-f", "-", given=pod)
    assert "violates PodSecurity" not in done.err, done.err


def test_images_are_named_by_digest_where_one_is_given(server: Server) -> None:
    digest = f"sha256:{'a' * 64}"
    made = server.helm(
        "template", "standfast", str(CHART),
        "--set", f"image.repository=r.example/op,image.digest={digest}",
    )  # fmt: skip
    assert f"image: r.example/op@{digest}" in made
    bad = server.run(
        server.programs.helm, "template", "standfast", str(CHART), "--set", "image.digest=latest"
    )
    assert bad.code != 0
    assert "image" in bad.err


def test_what_the_schema_does_not_know_is_refused(server: Server) -> None:
    for wrong in ("replicas=0", "surprise=1", "networkPolicy.egressPorts={0}"):
        done = server.run(
            server.programs.helm, "template", "standfast", str(CHART), "--set", wrong
        )
        assert done.code != 0, wrong
