"""The generated kinds, the charts and the examples on a real API server.

Everything a person would do with them: install, apply, explain, be refused, write a status by
server-side apply, lint and install the charts, and look with the rights of each role.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from standfast.api.base import API_VERSION
from standfast.api.crdgen import REPOSITORY
from standfast.api.kinds import BY_NAME, KINDS, Kind
from standfast.lab import kube, tools
from standfast.lab.kubectl import until
from tests.integration.kube_parts import until_established
from tests.integration.lab_parts import lab_paths
from tests.unit.api.documents import CHANGES, REFUSALS, RIGHT, Document, Refusal
from tests.unit.api.statuses import STATUSES

pytestmark = pytest.mark.timeout(900)

EXAMPLES = sorted((REPOSITORY / "examples").glob("*/"))


@dataclass(frozen=True)
class Ran:
    """What a program answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Server:
    """A real API server with the kinds in it."""

    kubeconfig: Path
    programs: tools.Tools

    def kubectl(self, *arguments: str, given: Document | str | None = None) -> Ran:
        return self._run(self.programs.kubectl, arguments, given)

    def helm(self, *arguments: str) -> Ran:
        return self._run(self.programs.helm, arguments, None)

    def apply(self, document: Document, *options: str) -> Ran:
        return self.kubectl("apply", "-f", "-", *options, given=document)

    def get(self, document: Document) -> dict[str, Any]:
        name = document["metadata"]["name"]
        found = self.kubectl("get", document["kind"], name, "-o", "json")
        assert found.code == 0, found.err
        got: dict[str, Any] = json.loads(found.out)
        return got

    def _run(self, program: Path, arguments: tuple[str, ...], given: Document | str | None) -> Ran:
        text = json.dumps(given) if isinstance(given, dict) else given
        done = subprocess.run(
            [program, *arguments, "--kubeconfig", self.kubeconfig],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    """An API server without our kinds."""
    with lab_paths("crds") as paths:
        try:
            info = asyncio.run(kube.up(paths, "127.0.0.1"))
            yield Server(info.kubeconfig, asyncio.run(tools.provide()))
        finally:
            asyncio.run(kube.down(paths))


def test_notes_name_the_other_chart_where_the_kinds_are_missing(bare: Server) -> None:
    """The first test of this module: the next ones install the kinds."""
    chart = str(REPOSITORY / "charts/standfast")
    done = bare.helm("install", "standfast", chart, "--dry-run=server")

    assert done.code == 0, done.err
    assert "helm install standfast-crds" in done.out


@pytest.fixture(scope="module")
def server(bare: Server) -> Server:
    """The same with our kinds, installed by their chart."""
    done = bare.helm("install", "standfast-crds", str(REPOSITORY / "charts/standfast-crds"))
    assert done.code == 0, done.err
    assert "warning" not in done.err.lower()
    until_established(lambda: bare.kubectl("get", "crd", "-o", "json").out)

    def published() -> str | None:
        path = f"/openapi/v3/apis/{API_VERSION}"
        schemas = bare.kubectl("get", "--raw", path).out
        missing = [kind.name for kind in KINDS if f"v1alpha1.{kind.name}" not in schemas]
        return f"without {missing}" if missing else None

    until("the kinds in the published schemas", published, 30)
    return bare


@pytest.fixture
def there(server: Server) -> Iterator[list[Document]]:
    """Objects to be deleted after the test."""
    made: list[Document] = []
    yield made
    for document in made:
        server.kubectl("delete", document["kind"], document["metadata"]["name"], "--wait=false")


def test_the_plain_manifests_install_without_a_warning(server: Server) -> None:
    done = server.kubectl(
        "apply",
        "--dry-run=server",
        "--server-side",
        "--force-conflicts",
        "-f",
        str(REPOSITORY / "crds"),
    )

    assert done.code == 0, done.err
    assert done.err == ""


def test_every_kind_is_served_and_accepted_whole(server: Server) -> None:
    found = json.loads(server.kubectl("get", "crd", "-o", "json").out)["items"]

    assert {each["metadata"]["name"] for each in found} == {kind.crd_name for kind in KINDS}
    for each in found:
        held = {c["type"]: c["status"] for c in each["status"]["conditions"]}
        assert held["NamesAccepted"] == held["Established"] == "True"
        assert "NonStructuralSchema" not in held


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_is_explained(server: Server, kind: Kind) -> None:
    done = server.kubectl("explain", f"{kind.plural}.standfast.dev", "--recursive=false")
    fields = server.kubectl("explain", f"{kind.plural}.standfast.dev.spec")

    assert done.code == fields.code == 0
    assert "<empty>" not in done.out + fields.out
    assert " ".join((kind.model.__doc__ or "").split())[:40] in " ".join(done.out.split())


@pytest.mark.parametrize("name", [s for kind in KINDS for s in (*kind.short, kind.plural)])
def test_short_names_and_plurals_are_known(server: Server, name: str) -> None:
    assert server.kubectl("get", name).code == 0


def test_all_kinds_are_one_category(server: Server) -> None:
    assert server.kubectl("get", "standfast").code == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_applies_as_it_stands(server: Server, example: Path) -> None:
    strict = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(example))
    ours = server.kubectl("apply", "--dry-run=server", "--server-side", "-f", str(example))

    assert strict.code == 0, strict.err
    assert ours.code == 0, ours.err
    assert strict.err == ours.err == ""


@pytest.mark.parametrize("document", RIGHT, ids=lambda each: each["metadata"]["name"])
def test_an_object_nobody_has_looked_at_says_so(
    server: Server, there: list[Document], document: Document
) -> None:
    there.append(document)
    assert server.apply(document).code == 0

    assert server.get(document)["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("document", RIGHT, ids=lambda each: each["metadata"]["name"])
def test_defaults_are_visible_and_those_of_the_models(
    server: Server, there: list[Document], document: Document
) -> None:
    there.append(document)
    assert server.apply(document).code == 0

    read = BY_NAME[document["kind"]].model.model_validate(document)
    assert server.get(document)["spec"] == read.to_object()["spec"]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.claim)
def test_what_must_be_refused_is_refused_with_its_sentence(
    server: Server, refusal: Refusal
) -> None:
    done = server.apply(refusal.document, "--dry-run=server")

    assert done.code != 0
    assert refusal.sentence in done.err


@pytest.mark.parametrize("field", ["nodes", "witnesses"])
def test_nothing_is_listed_twice(server: Server, field: str) -> None:
    cluster = next(each for each in RIGHT if each["kind"] == "HACluster")
    twice = [*cluster["spec"][field], cluster["spec"][field][0]]

    done = server.apply({**cluster, "spec": {**cluster["spec"], field: twice}}, "--dry-run=server")

    assert done.code != 0
    assert f"spec.{field}[{len(twice) - 1}]: Duplicate value" in done.err


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.claim)
def test_what_must_not_change_does_not(
    server: Server, there: list[Document], change: Refusal
) -> None:
    assert change.before is not None
    there.append(change.before)
    assert server.apply(change.before).code == 0

    done = server.apply(change.document)

    assert done.code != 0
    assert change.sentence in done.err


def test_a_node_may_be_added_and_another_taken_away(server: Server, there: list[Document]) -> None:
    before = next(each for each in RIGHT if each["kind"] == "HACluster")
    there.append(before)
    assert server.apply(before).code == 0
    node = {
        "name": "vm-c",
        "vm": {"instanceUUID": "6031d0f7-0f6e-6b1c-8f37-0f6f4f9a1b0b"},
        "addresses": ["10.77.1.13"],
    }

    for nodes in ([*before["spec"]["nodes"], node], [node, before["spec"]["nodes"][1]]):
        done = server.apply({**before, "spec": {**before["spec"], "nodes": nodes}})
        assert done.code == 0, done.err


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_full_status_is_taken_by_server_side_apply(
    server: Server, there: list[Document], kind: Kind
) -> None:
    document = next(each for each in RIGHT if each["kind"] == kind.name)
    there.append(document)
    assert server.apply(document).code == 0
    status = STATUSES[kind.name].to_object()
    written = {key: document[key] for key in ("apiVersion", "kind", "metadata")}

    done = server.apply(
        {**written, "status": status},
        "--server-side",
        "--subresource=status",
        "--field-manager=standfast-operator",
    )

    assert done.code == 0, done.err
    assert done.err == ""
    assert server.get(document)["status"] == status


def test_get_shows_what_a_person_looks_for(server: Server, there: list[Document]) -> None:
    document = next(each for each in RIGHT if each["kind"] == "HACluster")
    there.append(document)
    assert server.apply(document).code == 0
    written = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    status = STATUSES["HACluster"].to_object()
    assert (
        server.apply({**written, "status": status}, "--server-side", "--subresource=status").code
        == 0
    )

    lines = server.kubectl("get", "hac").out.splitlines()
    wide = server.kubectl("get", "hac", "-o", "wide").out.splitlines()

    assert lines[0].split() == [
        "NAME",
        "ACTIVE",
        "READY",
        "PROTECTED",
        "STANDBYS",
        "WITNESS",
        "AGE",
    ]
    assert lines[1].split()[:6] == ["web", "vm-a", "True", "True", "1/1", "1/1"]
    assert {"TERM", "LAST-FAILOVER", "REASON"} <= set(wide[0].split())


@pytest.mark.parametrize("chart", ["standfast", "standfast-crds"])
def test_a_chart_passes_helms_own_check(server: Server, chart: str) -> None:
    done = server.helm("lint", "--strict", str(REPOSITORY / "charts" / chart))

    assert done.code == 0, done.out + done.err


def test_the_operators_chart_would_install(server: Server) -> None:
    done = server.helm(
        "install",
        "standfast",
        str(REPOSITORY / "charts/standfast"),
        "--dry-run=server",
        "--namespace",
        "default",
    )

    assert done.code == 0, done.err
    assert "kubectl standfast enroll CLUSTER NODE" in done.out
    assert "not installed yet" not in done.out


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replicas=0", "/replicas"),
        ("log.level=loud", "/log/level"),
        ("image.digest=abc", "/image/digest"),
        ("replcas=2", "replcas"),
        ("serviceAccount.create=false", "set serviceAccount.name"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(server: Server, setting: str, said: str) -> None:
    done = server.helm("template", "x", str(REPOSITORY / "charts/standfast"), "--set", setting)

    assert done.code != 0
    assert said in done.err


def rendered(server: Server, *options: str) -> list[Document]:
    chart = str(REPOSITORY / "charts/standfast")
    done = server.helm("template", "standfast", chart, "-n", "standfast-system", *options)
    assert done.code == 0, done.err
    return [each for each in yaml.safe_load_all(done.out) if each]


def test_one_replica_needs_no_disruption_budget(server: Server) -> None:
    def kinds(*options: str) -> list[str]:
        return [each["kind"] for each in rendered(server, *options)]

    assert "PodDisruptionBudget" in kinds()
    assert "PodDisruptionBudget" not in kinds("--set", "replicas=1")


def test_named_namespaces_get_bindings_and_the_cluster_does_not(server: Server) -> None:
    made = rendered(server, "--set", "watchNamespaces={a,b}")
    bound = {
        each["metadata"]["namespace"]
        for each in made
        if each["kind"] == "RoleBinding" and each["roleRef"]["kind"] == "ClusterRole"
    }

    assert bound == {"a", "b"}
    assert not [each for each in made if each["kind"] == "ClusterRoleBinding"]


def test_the_operators_pods_meet_the_restricted_standard(server: Server) -> None:
    labels = "pod-security.kubernetes.io/enforce=restricted"
    server.kubectl("create", "namespace", "restricted")
    server.kubectl("label", "namespace", "restricted", labels)
    deployment = next(each for each in rendered(server) if each["kind"] == "Deployment")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": "restricted"},
        "spec": {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"},
    }
    done = server.apply(pod, "--dry-run=server")

    assert done.code == 0, done.err
    assert done.err == ""


@pytest.fixture(scope="module")
def roles(server: Server) -> Server:
    """The chart's roles, each bound to a user of its name in namespace default."""
    for each in rendered(server):
        if "Role" in each["kind"] or each["kind"] == "ServiceAccount":
            server.kubectl("create", "namespace", "standfast-system")
            assert server.apply(each).code == 0
    for role in ("viewer", "switcher", "editor"):
        server.kubectl(
            "create", "rolebinding", role, f"--clusterrole=standfast-{role}", f"--user={role}"
        )
    return server


OPERATOR = "system:serviceaccount:standfast-system:standfast-operator"


@pytest.mark.parametrize(
    ("who", "verb", "what", "may"),
    [
        ("viewer", "get", "haclusters", True),
        ("viewer", "create", "switchovers", False),
        ("viewer", "get", "secrets", False),
        ("switcher", "create", "switchovers", True),
        ("switcher", "delete", "switchovers", True),
        ("switcher", "patch", "haclusters", False),
        ("switcher", "update", "switchovers", False),
        ("editor", "patch", "haclusters", True),
        ("editor", "create", "switchovers", True),
        ("editor", "create", "failoverrecords", False),
        ("editor", "patch", "haclusters/status", False),
        (OPERATOR, "watch", "haclusters", True),
        (OPERATOR, "patch", "haclusters/status", True),
        (OPERATOR, "patch", "haclusters", False),
        (OPERATOR, "update", "haresources", False),
        (OPERATOR, "create", "failoverrecords", True),
        (OPERATOR, "get", "secrets", True),
        (OPERATOR, "list", "secrets", False),
        (OPERATOR, "create", "pods", False),
        (OPERATOR, "patch", "statefulsets", True),
        (OPERATOR, "create", "events.events.k8s.io", True),
        (OPERATOR, "get", "nodes", False),
    ],
)
def test_a_role_may_what_it_says_and_no_more(
    roles: Server, who: str, verb: str, what: str, may: bool
) -> None:
    resource, _, part = what.partition("/")
    asked = ("can-i", verb, resource, f"--subresource={part}", "--as", who, "-n", "default")
    done = roles.kubectl("auth", *asked, "--quiet")

    assert (done.code == 0) is may, done.err


def test_kinds_outlive_their_chart(server: Server) -> None:
    release = server.helm("get", "manifest", "standfast-crds")

    for each in yaml.safe_load_all(release.out):
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
