"""Vendor errors stop here: what pyvmomi, TLS and sockets raise, as this product's errors.

Used by every module of this package as `with vcenter_faults(access, "powering off orders-a"):`.
Each sentence names what was done, to which server, why it did not work, and what to change.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.access import Access
from standfast.errors import StandfastError, TransientError
from standfast.ports.hypervisor import (
    CertificateRefusedError,
    CredentialsRefusedError,
    PrivilegeMissingError,
)

_EXPIRED = 10
_NOT_YET_VALID = 9
_HOSTNAME = {62, 64}
"""Verification codes of OpenSSL (`X509_V_ERR_…`) that deserve a sentence of their own."""


class SessionLostError(TransientError):
    """The session is gone, and with it every view, filter and collector: rebuild everything."""


class PowerStateError(TransientError):
    """The VM is not in the power state that the call needs. Proves nothing: read it afresh."""


class BusyError(TransientError):
    """Another task runs on the VM; nothing was done."""


class AnswerLostError(TransientError):
    """The connection broke: the call may have been executed."""


class CallUnknownError(TransientError):
    """This server does not know the call."""


_SESSION_LOST = (
    vim.fault.NotAuthenticated,
    vmodl.fault.RequestCanceled,
    vmodl.query.InvalidCollectorVersion,
)


def certificate_fault(
    access: Access, doing: str, fault: ssl.SSLError | ValueError
) -> StandfastError:
    """Say what is wrong with the server's certificate, and which field cures it."""
    code = getattr(fault, "verify_code", 0)
    said = getattr(fault, "verify_message", "") or str(fault)
    where = f"{doing}: vCenter {access.server}"
    if code == _EXPIRED:
        return CertificateRefusedError(
            f"{where} shows a certificate that has expired",
            remedy="renew the certificate of vCenter (Certificate Management); nothing else "
            "changes meanwhile",
        )
    if code == _NOT_YET_VALID:
        return CertificateRefusedError(
            f"{where} shows a certificate that is not valid yet",
            remedy="compare the clocks of vCenter and of the operator's machine",
        )
    if code in _HOSTNAME:
        return CertificateRefusedError(
            f"{where} shows a certificate for another name ({said})",
            remedy="set spec.vsphere.server to the name in the certificate",
        )
    if isinstance(fault, ssl.SSLCertVerificationError):
        return CertificateRefusedError(
            f"{where} shows a certificate that no known authority has signed ({said})",
            remedy="set spec.vsphere.caBundle to vCenter's root certificate: "
            f"curl -k https://{access.server}/certs/download.zip",
        )
    return AnswerLostError(f"{where} broke off the TLS connection ({said})", retry_after_ms=2_000)


def network_fault(access: Access, doing: str, fault: OSError) -> StandfastError:
    """Say how the server cannot be reached."""
    where = f"{doing}: vCenter {access.server}"
    if isinstance(fault, socket.gaierror):
        return TransientError(
            f"{where} has no address in DNS ({fault.strerror})",
            remedy="correct spec.vsphere.server or the DNS of the operator's machine",
            retry_after_ms=10_000,
        )
    if isinstance(fault, TimeoutError):
        return AnswerLostError(
            f"{where} did not answer in time",
            remedy="check the network and firewall between the operator and vCenter, port 443",
            retry_after_ms=2_000,
        )
    if isinstance(fault, ConnectionRefusedError):
        return TransientError(
            f"{where} refuses connections",
            remedy="check that vCenter's vpxd service runs and that the port is right",
            retry_after_ms=2_000,
        )
    return AnswerLostError(f"{where} cannot be reached ({fault})", retry_after_ms=2_000)


def vendor_fault(access: Access, doing: str, fault: Exception) -> StandfastError:
    """Translate one fault that vCenter itself answered with."""
    where = f"{doing}: vCenter {access.server}"
    words = (getattr(fault, "msg", ""), getattr(fault, "reason", ""))
    said = "; ".join(str(word) for word in words if word) or type(fault).__name__
    if isinstance(fault, _SESSION_LOST):  # first: NotAuthenticated is a kind of NoPermission
        return SessionLostError(f"{where} ended the session ({type(fault).__name__})")
    match fault:
        case vim.fault.InvalidLogin():
            return CredentialsRefusedError(
                f"{where} refuses user {access.username}: wrong user name or password",
                remedy=f"correct username and password in Secret {access.secret}",
            )
        case vim.fault.NoPermission() if fault.privilegeId in _HELD_BY_ALL:
            return SessionLostError(f"{where} takes the session for an anonymous one")
        case vim.fault.NoPermission():
            return PrivilegeMissingError(
                f"{where} denies {fault.privilegeId} to user {access.username}",
                remedy=f"grant {fault.privilegeId} on this VM (or its folder, propagating) to "
                f"{access.username}",
            )
        case vim.fault.TaskInProgress():
            return BusyError(f"{where} is running another task on it", retry_after_ms=1_000)
        case vim.fault.InvalidPowerState():
            return PowerStateError(
                f"{where} says the VM is {fault.existingState}", retry_after_ms=500
            )
        case vmodl.fault.MethodNotFound():
            return CallUnknownError(f"{where} does not know this call ({said})")
        case vmodl.fault.ManagedObjectNotFound():
            return SessionLostError(f"{where} no longer knows the object ({said})")
        case _:
            return TransientError(f"{where} answers {type(fault).__name__}: {said}")


_HELD_BY_ALL = frozenset({"System.Anonymous", "System.View"})
"""Whoever is logged in has these: lacking one means not being logged in any more."""


@contextmanager
def vcenter_faults(access: Access, doing: str) -> Iterator[None]:
    """Translate everything that one call to vCenter may raise.

    Args:
        access: Which vCenter, as whom: for the sentences.
        doing: What is being done, with the VM's name: "powering off orders-a".
    """
    try:
        yield
    except ssl.SSLError as fault:
        raise certificate_fault(access, doing, fault) from fault
    except OSError as fault:
        raise network_fault(access, doing, fault) from fault
    except (vmodl.MethodFault, vmodl.RuntimeFault) as fault:
        raise vendor_fault(access, doing, fault) from fault
    except http.client.HTTPException as fault:
        said = str(fault) or type(fault).__name__
        problem = f"{doing}: vCenter {access.server} answers {said}"
        raise AnswerLostError(problem, retry_after_ms=2_000) from fault
    except (AttributeError, KeyError, ExpatError) as fault:
        # A type or an enum value newer than the library surfaces like this.
        problem = f"{doing}: vCenter {access.server} sent what cannot be read ({fault})"
        raise TransientError(problem, retry_after_ms=5_000) from fault
