"""Where objects live in the API server, and how they are told apart."""

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
"""An object as JSON."""


@dataclass(frozen=True, slots=True)
class Collection:
    """All objects of one kind.

    Attributes:
        api_version: `v1`, `apps/v1`.
        kind: `Secret`.
        plural: `secrets`.
    """

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the collection, of one object, or of its subresource."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        parts = [root]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def of(self, document: Document) -> Document:
        """The object with its type written in it, as server-side apply demands."""
        return {"apiVersion": self.api_version, "kind": self.kind, **document}


SECRETS = Collection("v1", "Secret", "secrets")
CONFIG_MAPS = Collection("v1", "ConfigMap", "configmaps")
SERVICES = Collection("v1", "Service", "services")
PODS = Collection("v1", "Pod", "pods")
STATEFUL_SETS = Collection("apps/v1", "StatefulSet", "statefulsets")
LEASES = Collection("coordination.k8s.io/v1", "Lease", "leases")
EVENTS = Collection("events.k8s.io/v1", "Event", "events")


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that another belongs to and vanishes with."""

    api_version: str
    kind: str
    name: str
    uid: str

    def reference(self) -> Document:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }

    def owns(self, document: Document) -> bool:
        """Whether the object says that it belongs to this owner."""
        references = document.get("metadata", {}).get("ownerReferences") or ()
        return any(reference.get("uid") == self.uid for reference in references)
