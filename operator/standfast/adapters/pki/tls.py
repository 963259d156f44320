"""TLS contexts: both ends prove who they are, one port serves many clusters.

A client demands the exact name of the server it means to reach. A server chooses its certificate,
and with it the authority that a client must come from, by the name the client asked for (SNI).
TLS 1.3 only, no tickets: links are long, and a ticket would carry a session past the choice.

Validity *in time* is not part of the handshake between members: a node whose clock jumped, or a
certificate that nobody could renew because the operator is gone, must not take the quorum apart
(F21, F92). Expiry is a condition and an alert instead. The operator's one-day certificate is
checked in time by `peer_role`, on every connection.
"""

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from standfast.adapters.pki.certificates import Identity, facts
from standfast.adapters.pki.names import Operator, Role, role_named
from standfast.errors import RefusedError, StandfastError, TransientError, UserError

_IGNORE_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME


class ScopedContext(ssl.SSLContext):
    """A context of one identity; `scope` is the uid of the cluster or Witness it belongs to."""

    scope: str = ""


def client_context(identity: Identity, *, checks_time: bool = False) -> ScopedContext:
    """For connections from `identity`; pass `server_hostname=dns_name(role)` when connecting.

    Args:
        identity: Who connects.
        checks_time: Whether an expired server is refused. For the enrolment of a `Bootstrap`,
            whose bundle is good for one day; not among members.
    """
    context = ScopedContext(ssl.PROTOCOL_TLS_CLIENT)
    assert context.check_hostname
    _furnished(context, identity)
    if checks_time:
        context.verify_flags = ssl.VerifyFlags(context.verify_flags & ~_IGNORE_TIME)
    return context


def server_context(identity: Identity) -> ScopedContext:
    """For connections to `identity`, from clients of the same authority."""
    context = ScopedContext(ssl.PROTOCOL_TLS_SERVER)
    _demand_certificates(context)
    return _furnished(context, identity)


class ServerIdentities:
    """Everything one listening port can be, by the name a client asks for.

    `context` goes to the listener, once; identities come and go while it listens. A client that
    asks for a name we do not have, or for none, is turned away before it learns anything.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, ScopedContext] = {}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(self.context)
        _demand_certificates(self.context)
        self.context.sni_callback = self._choose

    def put(self, identity: Identity) -> None:
        """Serve as this identity from now on; replaces an older one of the same name."""
        self._by_name[facts(identity.certificate).name] = server_context(identity)

    def remove(self, name: str) -> None:
        """Serve under this name no more; connections that stand are not touched."""
        self._by_name.pop(name, None)

    def names(self) -> list[str]:
        return sorted(self._by_name)

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> int | None:
        found = self._by_name.get(name or "")
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = found
        return None


def peer_role(
    connection: ssl.SSLObject | ssl.SSLSocket, now: Callable[[], datetime] | None = None
) -> Role:
    """Who is at the other end, after the handshake.

    Args:
        connection: `transport.get_extra_info("ssl_object")`.
        now: Wall-clock time; the machine's by default.

    Raises:
        RefusedError: A certificate of another scope, without a role of ours, or an operator's
            that is not valid now.
    """
    certificate = connection.getpeercert()
    assert certificate, "the context demands a certificate"
    listed = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
    names = [value for kind, value in listed if kind == "DNS"]
    if len(names) != 1:
        raise RefusedError(f"the peer's certificate has {len(names)} names, and ours have one")
    try:
        role = role_named(names[0])
    except UserError as error:
        raise RefusedError(error.problem, remedy=error.remedy) from error
    context = connection.context
    assert isinstance(context, ScopedContext), "made by this module"
    if role.scope != context.scope:
        raise RefusedError(f"the peer belongs to {role.scope}, and this is {context.scope}")
    if isinstance(role, Operator):
        _refuse_out_of_time(str(certificate["notBefore"]), str(certificate["notAfter"]), now)
    return role


def connection_problem(error: ssl.SSLError | ssl.CertificateError, peer: str) -> StandfastError:
    """What went wrong while connecting, as an error to raise or a sentence to show.

    Args:
        error: As it came from the handshake.
        peer: The name that was demanded of the server.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return UserError(
            f"{peer} is not who answered: {error.verify_message}",
            remedy="if the node was enrolled in another cluster or its disk was wiped, enrol it "
            "anew (kubectl standfast enroll)",
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "unrecognized name" in reason:
        return TransientError(
            f"{peer} is not served at that address: the process there does not know this name",
            remedy="enrol the node (kubectl standfast enroll), or correct its address",
        )
    if "unknown ca" in reason or "certificate" in reason:
        return UserError(
            f"{peer} refuses our certificate: {reason}",
            remedy="enrol the node anew (kubectl standfast enroll)",
        )
    return TransientError(f"the TLS connection to {peer} failed: {reason}")


def _refuse_out_of_time(
    not_before: str, not_after: str, now: Callable[[], datetime] | None
) -> None:
    here = datetime.now(UTC) if now is None else now()
    seconds = here.timestamp()
    if ssl.cert_time_to_seconds(not_before) <= seconds <= ssl.cert_time_to_seconds(not_after):
        return
    raise RefusedError(
        f"the operator's certificate is valid from {not_before} to {not_after}, and here it is "
        f"{here:%b %d %H:%M:%S %Y} UTC",
        remedy="correct the time of this node or of the operator's (timedatectl)",
    )


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _IGNORE_TIME)


def _demand_certificates(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0


def _furnished(context: ScopedContext, identity: Identity) -> ScopedContext:
    _harden(context)
    context.scope = role_named(facts(identity.certificate).name).scope
    try:
        context.load_verify_locations(cadata=identity.ca)
        _load_chain(context, identity)
    except ssl.SSLError as error:
        raise UserError(
            f"the identity does not hold together: {error.reason or error}",
            remedy="enrol the node anew (kubectl standfast enroll)",
        ) from error
    return context


def _load_chain(context: ssl.SSLContext, identity: Identity) -> None:
    """The ssl module reads keys from files only: give it one in memory."""
    descriptor = os.memfd_create("standfast-identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (identity.certificate + identity.key).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
