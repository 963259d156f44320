"""The objects of a managed witness: StatefulSet and Service, as plain documents.

One pod with one volume for its votes. The pod runs as nobody, with nothing but its port, its
volume and its identity. A digest in an annotation tells whether an object is what is wanted, so
that nothing is written while nothing changes.
"""

import hashlib
import json

from standfast.adapters.kube.paths import Document, Owner
from standfast.api.witness import ManagedWitness, ServiceType, Witness
from standfast.wire.api import PORT

APPLIED = "standfast.dev/applied"
WITNESS_LABEL = "standfast.dev/witness"
IDENTITY_DIRECTORY = "/etc/standfast/identity"
STATE_DIRECTORY = "/var/lib/standfast"
NOBODY = 65532
HEALTH_PORT = 7381
GRACE_S = 10


def identity_secret(witness: str) -> str:
    return f"{witness}-identity"


def labels(witness: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "standfast-witness",
        "app.kubernetes.io/managed-by": "standfast-operator",
        WITNESS_LABEL: witness,
    }


def stateful_set(witness: Witness, managed: ManagedWitness, image: str, owner: Owner) -> Document:
    """The one pod and its volume."""
    name = witness.metadata.name
    claim: Document = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": managed.storage}},
    }
    if managed.storage_class_name is not None:
        claim["storageClassName"] = managed.storage_class_name
    spec: Document = {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": {WITNESS_LABEL: name}},
        "template": {
            "metadata": {"labels": labels(name)},
            "spec": _pod(name, image, dict(managed.node_selector)),
        },
        "volumeClaimTemplates": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "state"},
                "spec": claim,
            }
        ],
    }
    return _stamped(name, owner, spec)


def _pod(name: str, image: str, node_selector: dict[str, str]) -> Document:
    container: Document = {
        "name": "witness",
        "image": image,
        "command": ["standfast-witness", "run"],
        "args": [
            f"--state={STATE_DIRECTORY}",
            f"--identity={IDENTITY_DIRECTORY}",
            f"--listen=0.0.0.0:{PORT}",
            f"--health=0.0.0.0:{HEALTH_PORT}",
        ],
        "ports": [
            {"name": "members", "containerPort": PORT},
            {"name": "health", "containerPort": HEALTH_PORT},
        ],
        "readinessProbe": _probe("/readyz", 5, 3),
        "livenessProbe": _probe("/livez", 10, 6),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": STATE_DIRECTORY},
            {"name": "identity", "mountPath": IDENTITY_DIRECTORY, "readOnly": True},
        ],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "nodeSelector": node_selector,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {
                "name": "identity",
                "secret": {"secretName": identity_secret(name), "defaultMode": 0o440},
            }
        ],
    }


def _probe(path: str, period_s: int, failures: int) -> Document:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def service(witness: Witness, managed: ManagedWitness, owner: Owner) -> Document:
    """How the nodes' network reaches the pod."""
    name = witness.metadata.name
    spec: Document = {
        "selector": {WITNESS_LABEL: name},
        "ports": [{"name": "members", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        "publishNotReadyAddresses": True,
    }
    match managed.service.type:
        case ServiceType.HEADLESS:
            spec |= {"type": "ClusterIP", "clusterIP": "None"}
        case ServiceType.NODE_PORT | ServiceType.LOAD_BALANCER as kind:
            spec |= {"type": kind.value}
    return _stamped(name, owner, spec, dict(managed.service.annotations))


def digest_of(document: Document) -> str:
    """The digest that an object carries; "" when it carries none."""
    annotations = document.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(APPLIED, ""))


def _stamped(
    name: str, owner: Owner, spec: Document, annotations: dict[str, str] | None = None
) -> Document:
    said = json.dumps([spec, annotations], sort_keys=True).encode()
    digest = hashlib.sha256(said).hexdigest()[:16]
    return {
        "metadata": {
            "labels": labels(name),
            "annotations": {**(annotations or {}), APPLIED: digest},
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    }


def addresses_of_service(document: Document | None) -> tuple[str, ...]:
    """What a load balancer has assigned."""
    ingress = ((document or {}).get("status") or {}).get("loadBalancer", {}).get("ingress") or ()
    found = (entry.get("ip") or entry.get("hostname") for entry in ingress)
    return tuple(str(address) for address in found if address)


def address_of_pod(document: Document | None) -> tuple[str, ...]:
    """The pod's own address."""
    address = ((document or {}).get("status") or {}).get("podIP")
    return (str(address),) if address else ()
