"""Who somebody is, read from the one DNS name in the certificate.

`<label>.<scope>.standfast`: the scope is the uid of a cluster, or of a Witness for the connection
between the operator and a witness process; the label is the uid of a member or one of three words.
A name says the role, the authority that signed it says for which scope (`authority` constrains
each authority to its own scope, so the two cannot disagree).
"""

import re
from dataclasses import dataclass
from typing import assert_never

from standfast.errors import UserError

SUFFIX = "standfast"
_UID = re.compile(r"[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of cluster `scope`: a data node's agent, or a witness within that cluster."""

    uid: str
    scope: str


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator as a client of the members of cluster `scope`, or of witness `scope`."""

    scope: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A node of cluster `scope` that is not enrolled yet; serves only, for one day."""

    scope: str


@dataclass(frozen=True, slots=True)
class WitnessProcess:
    """The witness process `scope` itself, whatever clusters it serves; serves only."""

    scope: str


Role = Member | Operator | Bootstrap | WitnessProcess


def dns_name(role: Role) -> str:
    """The name that stands in the certificate, and that a client demands of the server."""
    match role:
        case Member(uid, scope):
            label = uid
        case Operator(scope):
            label = "operator"
        case Bootstrap(scope):
            label = "bootstrap"
        case WitnessProcess(scope):
            label = "witness"
        case _:
            assert_never(role)
    for part in (label, scope):
        if not _UID.fullmatch(part):
            raise UserError(
                f"{part!r} cannot stand in a certificate's name: it must be 1 to 63 of a-z, 0-9 "
                f"and inner hyphens",
                remedy="use the metadata.uid of the object",
            )
    return f"{label}.{scope}.{SUFFIX}"


def role_named(name: str) -> Role:
    """The role behind a certificate's name.

    Raises:
        UserError: It is not one of ours.
    """
    parts = name.split(".")
    if len(parts) != 3 or parts[2] != SUFFIX or not all(map(_UID.fullmatch, parts)):
        raise UserError(
            f"the certificate names {name!r}, and ours name <member|operator|bootstrap|witness>."
            f"<uid of the cluster or Witness>.{SUFFIX}",
            remedy="enrol the node anew (kubectl standfast enroll)",
        )
    label, scope, _ = parts
    match label:
        case "operator":
            return Operator(scope)
        case "bootstrap":
            return Bootstrap(scope)
        case "witness":
            return WitnessProcess(scope)
        case _:
            return Member(label, scope)
