"""The authority of one cluster, or of one witness: it signs, and only within its own scope.

The operator holds it in a Secret. Its certificate is constrained to the names of its scope, so a
stolen key of one cluster is worth nothing in another. Lifetimes: the authority 20 years; members
and witness processes 2 years, renewed at two thirds, so that the loss of the operator for months
stops no failover; the operator's own and the bundle's certificate one day. Validity begins one day
before, so that a node whose clock is behind can be enrolled.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from standfast.adapters.pki.certificates import (
    Identity,
    key_pem,
    new_key,
    public_key,
    read_certificate,
    read_key,
    read_request,
    subject,
)
from standfast.adapters.pki.names import (
    Bootstrap,
    Member,
    Operator,
    Role,
    WitnessProcess,
    dns_name,
)
from standfast.errors import RefusedError, UserError

AUTHORITY_LIFE = timedelta(days=20 * 365)
LONG_LIFE = timedelta(days=2 * 365)
SHORT_LIFE = timedelta(days=1)
BEFORE = timedelta(days=1)
_SERVES, _ASKS = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority: what is in the Secret (`tls.crt`, `tls.key`)."""

    certificate: str
    key: str = field(repr=False)

    @classmethod
    def create(cls, scope: str, now: datetime) -> Self:
        """A new authority for a cluster or a Witness.

        Args:
            scope: metadata.uid of the object.
            now: Wall-clock time.
        """
        domain = dns_name(Operator(scope)).partition(".")[2]
        key = Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, scope)])
        certificate = (
            _builder(name, name, key.public_key(), now - BEFORE, now + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_authority=True), critical=True)
            .add_extension(
                x509.NameConstraints([x509.DNSName(domain)], excluded_subtrees=None), critical=True
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, algorithm=None)
        )
        return cls(_pem(certificate), key_pem(key))

    @classmethod
    def load(cls, certificate: str, key: str) -> Self:
        """An authority from its Secret.

        Raises:
            UserError: It is damaged, or the key belongs to another certificate.
        """
        found = read_certificate(certificate)
        remedy = "restore the Secret from a backup; without it every node must be enrolled anew"
        if public_key(found) != read_key(key).public_key():
            raise UserError(
                "the authority's key does not belong to its certificate", remedy=remedy
            )
        try:
            basic = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            basic = x509.BasicConstraints(ca=False, path_length=None)
        if not basic.ca:
            raise UserError("the authority's certificate may not sign others", remedy=remedy)
        return cls(certificate, key)

    @property
    def scope(self) -> str:
        """Uid of the cluster or Witness it signs for."""
        (name,) = read_certificate(self.certificate).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
        return str(name.value)

    def sign_request(self, request: str, role: Role, now: datetime) -> str:
        """Certify the key of a request as `role`; returns the certificate.

        Raises:
            UserError: The request asks for anything else than exactly `role`.
        """
        return self._certify(read_request(request, role), role, now)

    def issue(self, role: Role, now: datetime) -> Identity:
        """Make a key and certify it: for the operator itself, a bundle, a managed witness."""
        key = new_key()
        certificate = self._certify(read_key(key).public_key(), role, now)
        return Identity(self.certificate, certificate, key)

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """Sign `payload` for one purpose (`config`, ...); good for nothing else."""
        return read_key(self.key).sign(_sealed(purpose, payload))

    def _certify(self, key: Ed25519PublicKey, role: Role, now: datetime) -> str:
        if role.scope != self.scope:
            raise UserError(
                f"the authority of {self.scope} does not certify {dns_name(role)}",
                remedy="use the authority of that cluster or Witness",
            )
        name = dns_name(role)
        life, usages = _terms(role)
        issuer = read_certificate(self.certificate)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key(issuer))
        certificate = (
            _builder(issuer.subject, subject(name), key, now - BEFORE, now + life)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(read_key(self.key), algorithm=None)
        )
        return _pem(certificate)


def verify(ca: str, purpose: str, payload: bytes, signature: bytes) -> None:
    """Whether the authority signed `payload` for this purpose.

    Args:
        ca: The authority's certificate, PEM.
        purpose: As given to `Authority.sign`.
        payload: The bytes as they came.
        signature: 64 bytes.

    Raises:
        RefusedError: It did not.
    """
    try:
        public_key(read_certificate(ca)).verify(signature, _sealed(purpose, payload))
    except InvalidSignature as error:
        raise RefusedError(
            f"the {purpose} is not signed by the authority of this cluster",
            remedy="apply it through the operator that enrolled this node, or enrol the node anew",
        ) from error


def _sealed(purpose: str, payload: bytes) -> bytes:
    return b"standfast/1 " + purpose.encode() + b"\0" + payload


def _terms(role: Role) -> tuple[timedelta, list[x509.ObjectIdentifier]]:
    """How long a certificate of this role lives, and which ends of a connection it may be."""
    match role:
        case Member():
            return LONG_LIFE, [_SERVES, _ASKS]
        case WitnessProcess():
            return LONG_LIFE, [_SERVES]
        case Operator():
            return SHORT_LIFE, [_ASKS]
        case Bootstrap():
            return SHORT_LIFE, [_SERVES]


def _builder(
    issuer: x509.Name,
    owner: x509.Name,
    key: Ed25519PublicKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(owner)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
