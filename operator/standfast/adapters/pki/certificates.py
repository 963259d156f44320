"""Keys, requests and certificates as PEM text: made, read, and the facts in them.

All keys are Ed25519. The standard is RFC 5280 for certificates, RFC 8410 for the keys.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from standfast.adapters.pki.names import Role, dns_name
from standfast.errors import UserError

RENEW_AFTER = (2, 3)  # of its life


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything one side of a connection needs to prove who it is, as PEM text."""

    ca: str
    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people and timers want to know of a certificate.

    Args:
        name: Its one DNS name.
        not_before: Wall-clock time.
        not_after: Wall-clock time.
        serial: Its number, as text.
    """

    name: str
    not_before: datetime
    not_after: datetime
    serial: str

    @property
    def renew_at(self) -> datetime:
        """Two thirds through its life."""
        done, whole = RENEW_AFTER
        return self.not_before + (self.not_after - self.not_before) * done / whole

    def left(self, now: datetime) -> timedelta:
        """Time until it expires; negative afterwards."""
        return self.not_after - now


def new_key() -> str:
    """A fresh private key, as PEM (PKCS 8, not encrypted)."""
    return key_pem(Ed25519PrivateKey.generate())


def key_pem(key: Ed25519PrivateKey) -> str:
    raw = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return raw.decode()


def read_key(pem: str) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        UserError: It is not an unencrypted Ed25519 key in PEM.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the private key does not read as an unencrypted PEM key: {error}",
            remedy="enrol the node anew (kubectl standfast enroll)",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(
            f"the private key is {type(key).__name__}, and ours are Ed25519",
            remedy="enrol the node anew (kubectl standfast enroll)",
        )
    return key


def read_certificate(pem: str) -> x509.Certificate:
    """Read a certificate.

    Raises:
        UserError: It is not one in PEM with an Ed25519 key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        is_ours = isinstance(certificate.public_key(), Ed25519PublicKey)
    except ValueError as error:
        raise UserError(
            f"the certificate does not read as PEM: {error}",
            remedy="enrol the node anew (kubectl standfast enroll)",
        ) from error
    if not is_ours:
        raise UserError(
            "the certificate's key is not Ed25519, and all of ours are",
            remedy="enrol the node anew (kubectl standfast enroll)",
        )
    return certificate


def public_key(certificate: x509.Certificate) -> Ed25519PublicKey:
    key = certificate.public_key()
    assert isinstance(key, Ed25519PublicKey), "read_certificate has looked"
    return key


def facts(pem: str) -> CertificateFacts:
    """Read the facts of a certificate (of an authority as well: its name is its subject).

    Raises:
        UserError: It does not read as a certificate.
    """
    certificate = read_certificate(pem)
    names = _dns_names(certificate)
    return CertificateFacts(
        name=names[0] if len(names) == 1 else certificate.subject.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=f"{certificate.serial_number:x}",
    )


def make_request(key: str, role: Role) -> str:
    """A certificate request for `role`, signed with `key`; PEM."""
    name = dns_name(role)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(name))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(read_key(key), algorithm=None)
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def read_request(pem: str, role: Role) -> Ed25519PublicKey:
    """The key that a request asks to have certified, if it asks for exactly `role`.

    Nothing else in the request is honoured.

    Raises:
        UserError: It does not read, is not signed by its own key, or asks for another name.
    """
    remedy = "restart the agent on that node so that it makes a new request"
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        names = _dns_names(request)
    except ValueError as error:
        raise UserError(
            f"the certificate request does not read as PEM: {error}", remedy=remedy
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UserError("the request's key is not Ed25519, and all of ours are", remedy=remedy)
    try:
        key.verify(request.signature, request.tbs_certrequest_bytes)
    except InvalidSignature as error:
        raise UserError(
            "the certificate request is not signed by the key it names", remedy=remedy
        ) from error
    allowed = dns_name(role)
    if names != [allowed]:
        raise UserError(
            f"the certificate request asks for {', '.join(names) or 'no name'}, and only "
            f"{allowed} may be given to it",
            remedy=remedy,
        )
    return key


def subject(name: str) -> x509.Name:
    """A subject for people; the name that counts is the alternative name (CN holds 64 only)."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name.split(".", maxsplit=1)[0])])


def _dns_names(holder: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """The alternative names, if all of them are DNS names; else what stands there, as text."""
    try:
        found = holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        name.value if isinstance(name, x509.DNSName) else f"{type(name).__name__}:{name.value}"
        for name in found
    ]
