"""The bundle: a node's first identity, carried by a person or a tool from the cluster to the VM.

Good for one enrolment and one day. It holds a private key: Secret in Kubernetes, mode 0600 on the
node, spent at enrolment.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from standfast.adapters.pki.certificates import Identity, facts, read_key
from standfast.adapters.pki.names import Bootstrap, role_named
from standfast.errors import UserError

VERSION = 1
_TEXTS = ("clusterUID", "cluster", "node", "ca", "certificate", "key", "notAfter")
_REMEDY = "write a new one: kubectl standfast enroll CLUSTER NODE > /etc/standfast/bundle.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a node needs before anybody knows it.

    Args:
        cluster_uid: metadata.uid of the HACluster.
        cluster: Its namespace and name, `ns/name`.
        node: Name of the node in it.
        listen: Addresses to listen on, as `10.10.1.11:7380` or `[fd00::11]:7380`.
        identity: The temporary identity.
    """

    cluster_uid: str
    cluster: str
    node: str
    listen: tuple[str, ...]
    identity: Identity

    def to_json(self) -> str:
        """The text of `bundle.json`."""
        not_after = facts(self.identity.certificate).not_after
        return json.dumps(
            {
                "version": VERSION,
                "clusterUID": self.cluster_uid,
                "cluster": self.cluster,
                "node": self.node,
                "listen": list(self.listen),
                "ca": self.identity.ca,
                "certificate": self.identity.certificate,
                "key": self.identity.key,
                "notAfter": not_after.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            },
            indent=2,
        )


def parse_bundle(text: str | bytes, now: datetime) -> Bundle:
    """Read `bundle.json`.

    Args:
        text: Its content.
        now: Wall-clock time, to refuse an expired one.

    Raises:
        UserError: Not a bundle, of another version, damaged, expired; the sentence says which.
    """
    fields = _fields(text)
    listen = tuple(fields["listen"])
    for address in listen:
        _check_listen(address)
    identity = Identity(fields["ca"], fields["certificate"], fields["key"])
    certificate = facts(identity.certificate)
    read_key(identity.key)
    role = role_named(certificate.name)
    if role != Bootstrap(fields["clusterUID"]):
        raise UserError(
            f"the bundle is for cluster {fields['clusterUID']}, but its certificate names "
            f"{certificate.name}",
            remedy=_REMEDY,
        )
    if certificate.left(now).total_seconds() <= 0:
        raise UserError(
            f"the bundle of {fields['cluster']} for {fields['node']} expired at "
            f"{certificate.not_after:%Y-%m-%d %H:%M} UTC, and here it is "
            f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            remedy=f"{_REMEDY}; if the time here is wrong, correct it (timedatectl)",
        )
    return Bundle(fields["clusterUID"], fields["cluster"], fields["node"], listen, identity)


def _fields(text: str | bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise UserError(f"the bundle does not read as JSON: {error}", remedy=_REMEDY) from error
    if not isinstance(fields, dict):
        raise UserError("the bundle is not a JSON object", remedy=_REMEDY)
    version = fields.get("version")
    if version != VERSION:
        raise UserError(
            f"the bundle has version {version!r}, and this program reads version {VERSION}",
            remedy="install the agent of the operator's version",
        )
    for name in _TEXTS:
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise UserError(f"the bundle lacks {name!r} (a text)", remedy=_REMEDY)
    listen = fields.get("listen")
    if not isinstance(listen, list) or not listen or not all(isinstance(a, str) for a in listen):
        raise UserError("the bundle lacks 'listen' (a list of addresses)", remedy=_REMEDY)
    return fields


def _check_listen(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        is_sound = 0 < int(port) < 65536
    except ValueError:
        is_sound = False
    if not is_sound:
        raise UserError(
            f"the bundle's listen address is {address!r}, and it must be an IP address with a "
            f"port, as 10.10.1.11:7380 or [fd00::11]:7380",
            remedy="correct spec.nodes[].addresses of the HACluster, then write a new bundle",
        )
