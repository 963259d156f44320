"""A certificate authority in a directory: the lab's API server, etcd and vCenter have one each.

Called by `kube` and `vcenter`. It signs on this machine, keeps what it has signed and signs again
only when names changed or less than a month is left, so that bringing a lab up twice changes
nothing. The product's own authority is another one (`adapters/pki`).
"""

import datetime as dt
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from standfast.lab.program import write

LIFE = dt.timedelta(days=365)
RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names.

    Args:
        name: Common name; to the API server the user.
        groups: Organisations; to the API server the groups of the user.
        hosts: DNS names and IP addresses; empty for a certificate that only clients use.
    """

    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Authority:
    """A certificate authority; made on first use, loaded afterwards.

    Args:
        directory: Where it keeps its own pair and what it signs.
        name: Common name of its certificate.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.pair = Pair(directory / "ca.crt", directory / "ca.key")
        self._directory = directory
        if not (self.pair.certificate.exists() and self.pair.key.exists()):
            self._create(name)
        self._certificate = _certificate(self.pair.certificate)
        self._key = _key(self.pair.key)

    def issue(self, file: str, subject: Subject) -> Pair:
        """The pair `<file>.crt` and `<file>.key` for a subject, signed if it must be."""
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        if not (pair.certificate.exists() and pair.key.exists() and self._serves(pair, subject)):
            self._sign(pair, subject)
        return pair

    def _serves(self, pair: Pair, subject: Subject) -> bool:
        certificate = _certificate(pair.certificate)
        left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
        return (
            left > RENEW_BEFORE
            and certificate.issuer == self._certificate.subject
            and certificate.subject == _name(subject)
            and _hosts(certificate) == subject.hosts
        )

    def _sign(self, pair: Pair, subject: Subject) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if subject.hosts:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            _builder(_name(subject), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if subject.hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in subject.hosts])
            builder = builder.add_extension(names, critical=False)
        _store(pair, builder.sign(self._key, hashes.SHA256()), key)

    def _create(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        own = _name(Subject(name))
        certificate = (
            _builder(own, own, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        _store(self.pair, certificate, key)


def signing_key(path: Path) -> Path:
    """A key of its own, made on first use: the API server signs service-account tokens with it."""
    if not path.exists():
        write(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + LIFE)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(subject: Subject) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, subject.name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names.value)


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), f"{path} is not an elliptic-curve key"
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def _store(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write(pair.key, _pem(key))
    write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM).decode(), 0o644)
