"""Who is who: authorities, certificates, bundles, TLS contexts.

Each cluster has an authority of its own, and so has each Witness (`docs/architecture.md`, section
4). The operator holds them; agents and witnesses make their own keys and have them certified.
"""

from standfast.adapters.pki.authority import Authority, verify
from standfast.adapters.pki.bundle import Bundle, parse_bundle
from standfast.adapters.pki.certificates import (
    CertificateFacts,
    Identity,
    facts,
    make_request,
    new_key,
)
from standfast.adapters.pki.names import (
    Bootstrap,
    Member,
    Operator,
    Role,
    WitnessProcess,
    dns_name,
    role_named,
)
from standfast.adapters.pki.store import load_identity, remove_identity, save_identity
from standfast.adapters.pki.tls import (
    ServerIdentities,
    client_context,
    connection_problem,
    peer_role,
    server_context,
)

__all__ = [
    "Authority",
    "Bootstrap",
    "Bundle",
    "CertificateFacts",
    "Identity",
    "Member",
    "Operator",
    "Role",
    "ServerIdentities",
    "WitnessProcess",
    "client_context",
    "connection_problem",
    "dns_name",
    "facts",
    "load_identity",
    "make_request",
    "new_key",
    "parse_bundle",
    "peer_role",
    "remove_identity",
    "role_named",
    "save_identity",
    "server_context",
    "verify",
]
