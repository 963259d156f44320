"""What vCenter, TLS and sockets raise becomes sentences with what, why and remedy."""

import http.client
import socket
import ssl
from xml.parsers.expat import ExpatError

import pytest
from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.faults import (
    AnswerLostError,
    BusyError,
    CallUnknownError,
    PowerStateError,
    SessionLostError,
    vcenter_faults,
)
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.hypervisor import (
    CertificateRefusedError,
    CredentialsRefusedError,
    PrivilegeMissingError,
)

ACCESS = Access("vc.example:443", "joe", "secret", secret="ns/vc")


def translated(fault: BaseException) -> StandfastError:
    with (
        pytest.raises(StandfastError) as raised,
        vcenter_faults(ACCESS, "powering off orders-a"),
    ):
        raise fault
    assert raised.value.problem.startswith("powering off orders-a: vCenter vc.example:443")
    assert "secret" not in raised.value.problem.replace("Secret", "")
    return raised.value


def certificate(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "message", "words", "remedy"),
    [
        (10, "certificate has expired", "has expired", "renew the certificate"),
        (9, "not yet valid", "not valid yet", "compare the clocks"),
        (62, "Hostname mismatch", "for another name", "spec.vsphere.server"),
        (20, "unable to get local issuer certificate", "no known authority", "caBundle"),
        (18, "self-signed certificate", "no known authority", "caBundle"),
    ],
)
def test_each_trouble_with_the_certificate_has_its_own_cure(
    code: int, message: str, words: str, remedy: str
) -> None:
    error = translated(certificate(code, message))
    assert isinstance(error, CertificateRefusedError)
    assert words in error.problem
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (ssl.SSLEOFError(8, "EOF occurred"), AnswerLostError, "broke off"),
        (TimeoutError("timed out"), AnswerLostError, "in time"),
        (ConnectionRefusedError(111, "refused"), TransientError, "refuses connections"),
        (ConnectionResetError(104, "reset"), AnswerLostError, "cannot be reached"),
        (socket.gaierror(-2, "Name or service not known"), TransientError, "no address in DNS"),
        (http.client.BadStatusLine("x"), AnswerLostError, "answers"),
        (AttributeError("runtime"), TransientError, "cannot be read"),
        (ExpatError("syntax error"), TransientError, "cannot be read"),
    ],
)
def test_the_network_is_transient_and_a_broken_answer_may_have_been_obeyed(
    fault: BaseException, kind: type[StandfastError], words: str
) -> None:
    error = translated(fault)
    assert type(error) is kind
    assert words in error.problem


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (vim.fault.NotAuthenticated(), SessionLostError),
        (vmodl.fault.RequestCanceled(), SessionLostError),
        (vmodl.query.InvalidCollectorVersion(), SessionLostError),
        (vmodl.fault.ManagedObjectNotFound(), SessionLostError),
        (vim.fault.NoPermission(privilegeId="System.View"), SessionLostError),
        (vim.fault.TaskInProgress(), BusyError),
        (vim.fault.InvalidPowerState(existingState="suspended"), PowerStateError),
        (vmodl.fault.MethodNotFound(), CallUnknownError),
        (vim.fault.InvalidHostState(), TransientError),
    ],
)
def test_what_vcenter_answers_is_told_apart_by_what_to_do(
    fault: BaseException, kind: type[StandfastError]
) -> None:
    assert type(translated(fault)) is kind


def test_a_missing_right_is_named_with_the_user() -> None:
    error = translated(vim.fault.NoPermission(privilegeId="VirtualMachine.Interact.PowerOff"))
    assert isinstance(error, PrivilegeMissingError)
    assert "joe" in error.problem
    assert "grant VirtualMachine.Interact.PowerOff" in error.remedy


def test_a_wrong_password_names_the_secret() -> None:
    error = translated(vim.fault.InvalidLogin())
    assert isinstance(error, CredentialsRefusedError)
    assert isinstance(error, UserError)
    assert "ns/vc" in error.remedy
