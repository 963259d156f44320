"""Bad input is refused or becomes a condition that says value, rule and remedy; nothing stops."""

from datetime import UTC, datetime

import pytest

from standfast.adapters.pki.authority import Authority
from standfast.lab.kubectl import until
from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab

BAD = {
    "Infrastructure": (
        """
apiVersion: standfast.dev/v1alpha1
kind: Infrastructure
metadata: {name: bad}
spec: {}
""",
        "vsphere",
    ),
    "Witness": (
        """
apiVersion: standfast.dev/v1alpha1
kind: Witness
metadata: {name: bad}
spec: {managed: {storage: 1Gi}, agent: {addresses: ["10.77.1.50:7380"]}}
""",
        "managed",
    ),
    "HACluster": (
        """
apiVersion: standfast.dev/v1alpha1
kind: HACluster
metadata: {name: bad}
spec:
  infrastructureRef: {name: lab}
  data: SharedDisk
  nodes:
    - {name: a, vm: {instanceUUID: 50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f01}, addresses: [10.77.1.41]}
    - {name: b, vm: {instanceUUID: 50314a2e-7a4c-4d53-9a2a-6c1f1f0b5f02}, addresses: [10.77.1.42]}
""",
        "witness",
    ),
    "HAResource": (
        """
apiVersion: standfast.dev/v1alpha1
kind: HAResource
metadata: {name: bad}
spec: {clusterRef: {name: web}, vip: {address: 10.77.1.100}}
""",
        "address",
    ),
    "Switchover": (
        """
apiVersion: standfast.dev/v1alpha1
kind: Switchover
metadata: {name: bad}
spec: {to: vm-b}
""",
        "clusterRef",
    ),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_manifest_is_refused_with_what_and_where(pair: Pair, kind: str) -> None:
    manifest, word = BAD[kind]
    done = pair.cluster.kubectl.try_run("apply", "--filename=-", stdin=manifest)
    assert done.returncode != 0
    assert "spec" in done.stderr
    assert word in done.stderr


CLUSTER = """
apiVersion: standfast.dev/v1alpha1
kind: HACluster
metadata: {name: stray}
spec:
  infrastructureRef: {name: INFRASTRUCTURE}
  nodes:
    - name: a
      vm: {instanceUUID: 00000000-0000-4000-8000-000000000001}
      addresses: [10.77.1.41]
    - name: b
      vm: {instanceUUID: 00000000-0000-4000-8000-000000000002}
      addresses: [10.77.1.42]
  witnesses: [{name: third}]
"""

INFRASTRUCTURE = """
apiVersion: standfast.dev/v1alpha1
kind: Infrastructure
metadata: {name: stray}
spec:
  vsphere:
    server: SERVER
    credentialsSecretRef: {name: SECRET}
    caBundleConfigMapRef: {name: CA}
"""


def sentences(pair: Pair, kind: str, name: str) -> str:
    document = pair.cluster.kubectl.get(kind, name)
    status = document.get("status", {})
    assert isinstance(status, dict)
    return " ".join(str(one["message"]) for one in status.get("conditions", []))


def expect(pair: Pair, kind: str, name: str, word: str) -> None:
    def look() -> str | None:
        said = sentences(pair, kind, name)
        return None if word in said else f"conditions say: {said}"

    until(f"{word!r} in the conditions of {kind}/{name}", look, 30)


def test_an_unknown_instance_uuid_is_named(pair: Pair) -> None:
    try:
        pair.cluster.kubectl.apply_text(CLUSTER.replace("INFRASTRUCTURE", "lab"))
        expect(pair, "hacluster", "stray", "00000000-0000-4000-8000-000000000001")
    finally:
        pair.cluster.kubectl.run("delete", "hacluster", "stray")
    assert pair.cluster.condition("Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("server", "secret", "ca", "word"),
    [
        ("10.77.0.1:1", "vcenter", "vcenter-ca", "10.77.0.1:1"),
        (None, "wrong-password", "vcenter-ca", "password"),
        (None, "vcenter", "wrong-ca", "certificate"),
    ],
)
def test_a_vcenter_that_cannot_be_used_says_why(
    pair: Pair, server: str | None, secret: str, ca: str, word: str
) -> None:
    vcenter = pair.lab.state.vcenter
    assert vcenter is not None
    now = datetime.now(UTC)
    other_ca = Authority.create("another", now).certificate
    kubectl = pair.cluster.kubectl
    kubectl.try_run(
        "create", "secret", "generic", "wrong-password",
        f"--from-literal=username={vcenter.username}", "--from-literal=password=wrong",
    )  # fmt: skip
    kubectl.try_run("create", "configmap", "wrong-ca", f"--from-literal=ca.crt={other_ca}")
    manifest = INFRASTRUCTURE.replace("SERVER", server or vcenter.server)
    try:
        kubectl.apply_text(manifest.replace("SECRET", secret).replace("CA", ca, 1))
        expect(pair, "infrastructure", "stray", word)
    finally:
        kubectl.run("delete", "infrastructure", "stray")
    assert pair.cluster.condition("Ready")["status"] == "True"
