"""One login to a vCenter, three connections: listening, asking, fencing.

All three carry the same session, so a vCenter sees one session per `Infrastructure`; each has a
time limit of its own, so that a slow inventory call never delays a fence. Whoever finds the
session dead calls `renew`; the others then find theirs replaced and rebuild.

Rules, each paid for by somebody (`docs/adr` on vSphere): the plain `SoapStubAdapter`, because the
session-oriented one repeats power calls; no `SmartConnect`, because its version probe ignores time
limits; an `SSLContext` of our own per connection, because the library disables verification
inside one it is given together with a pin, and for `localhost` when it is given none.
"""
# mypy: disallow-untyped-calls=False
# pyvmomi's constructors carry no types; its properties and methods do.

import contextlib
import ssl
import threading
from dataclasses import dataclass

from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter

from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.faults import (
    SessionLostError,
    certificate_fault,
    vcenter_faults,
)
from standfast.errors import StandfastError
from standfast.ports.hypervisor import CertificateRefusedError

API_VERSION = "vim.version.v7_0"
"""Spoken to every vCenter: the oldest supported, so that no answer holds what we cannot read."""

WAIT_S_MAX = 20
"""One long poll; also how often a quiet vCenter proves that it lives."""
LISTEN_TIMEOUT_S = 35.0
ASK_TIMEOUT_S = 10.0
FENCE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Connection:
    """One stub with the service's content as seen through it."""

    stub: SoapStubAdapter
    content: vim.ServiceInstanceContent
    key: str
    """Of the session: the stub is worthless once the session has another."""

    def drop(self) -> None:
        """Close its sockets; the session lives on."""
        self.stub.DropConnections()


def tls_context(access: Access) -> ssl.SSLContext:
    """Make a context that verifies; a fresh one per connection.

    Raises:
        CertificateRefusedError: The CA bundle holds no certificate that can be read.
    """
    try:
        return ssl.create_default_context(cadata=access.ca_pem or None)
    except (ssl.SSLError, ValueError) as fault:
        if access.ca_pem:
            raise CertificateRefusedError(
                f"the CA bundle for vCenter {access.server} cannot be read ({fault})",
                remedy="set spec.vsphere.caBundle to one or more PEM certificates, each from "
                "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
            ) from fault
        raise certificate_fault(access, "reading the system's authorities", fault) from fault


class Session:
    """The login. Every method may be called from any thread.

    Args:
        access: Where and as whom.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._key = ""
        self._cookie = ""
        self._asking: Connection | None = None
        self._closed = False

    @property
    def access(self) -> Access:
        return self._access

    @property
    def key(self) -> str:
        """Of the present session; "" before the first login and after a loss."""
        return self._key

    def listening(self) -> Connection:
        """A connection for long polls."""
        return self._connection(LISTEN_TIMEOUT_S)

    def asking(self) -> Connection:
        """The connection for everything that is neither a long poll nor a fence."""
        with self._lock:
            held = self._asking
            if held is not None and held.key == self._key:
                return held
        connection = self._connection(ASK_TIMEOUT_S)
        with self._lock:
            held, self._asking = self._asking, connection
        if held is not None:
            held.drop()
        return connection

    def fencing(self) -> Connection:
        """A connection for power, with short time limits."""
        return self._connection(FENCE_TIMEOUT_S)

    def renew(self, dead_key: str) -> None:
        """Give up the session with this key, unless somebody already did."""
        with self._lock:
            if self._key == dead_key:
                self._key = self._cookie = ""

    def use(self, access: Access) -> bool:
        """Log in differently from now on; the old session is left behind closed.

        Returns:
            False when nothing changed.
        """
        with self._lock:
            if access == self._access:
                return False
        self._log_out()
        with self._lock:
            self._access = access
            self._key = self._cookie = ""
        return True

    def close(self) -> None:
        """Log out. Idempotent; never raises for a server that is gone."""
        self._log_out()
        with self._lock:
            self._closed = True
            self._key = self._cookie = ""
            held, self._asking = self._asking, None
        if held is not None:
            held.drop()

    def _connection(self, timeout_s: float) -> Connection:
        key, cookie = self._logged_in()
        stub = self._stub(timeout_s)
        stub.cookie = cookie
        try:
            return Connection(stub, self._content(stub), key)
        except StandfastError:
            stub.DropConnections()
            raise

    def _logged_in(self) -> tuple[str, str]:
        with self._lock:
            if self._closed:
                raise SessionLostError(f"the session with vCenter {self._access.server} is closed")
            if not self._key:
                self._log_in()
            return self._key, self._cookie

    def _log_in(self) -> None:
        access = self._access
        stub = self._stub(FENCE_TIMEOUT_S)
        try:
            sessions = self._content(stub).sessionManager
            assert sessions is not None, "every vCenter has a session manager"
            with vcenter_faults(access, "logging in"):
                session = sessions.Login(access.username, access.password, None)
            self._key, self._cookie = session.key, stub.cookie
        finally:
            stub.DropConnections()

    def _log_out(self) -> None:
        with self._lock:
            key, cookie = self._key, self._cookie
        if not key:
            return
        with contextlib.suppress(StandfastError):
            stub = self._stub(FENCE_TIMEOUT_S)
            stub.cookie = cookie
            try:
                sessions = self._content(stub).sessionManager
                assert sessions is not None, "every vCenter has a session manager"
                with vcenter_faults(self._access, "logging out"):
                    sessions.Logout()
            finally:
                stub.DropConnections()

    def _stub(self, timeout_s: float) -> SoapStubAdapter:
        access = self._access
        return SoapStubAdapter(
            host=access.host,
            port=access.port,
            path="/sdk",
            version=API_VERSION,
            sslContext=tls_context(access),
            httpConnectionTimeout=timeout_s,
        )

    def _content(self, stub: SoapStubAdapter) -> vim.ServiceInstanceContent:
        with vcenter_faults(self._access, "connecting"):
            return vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
