"""A certificate for a server that has none: standbys follow over encrypted connections only.

Nobody trusts it: the password, bound to the TLS channel, proves both sides. Its hash must be one
that the binding knows, which Ed25519 has not.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from standfast.adapters.postgresql.account import Account
from standfast.adapters.postgresql.places import Places

NAME = "standfast.crt"
LIFE = timedelta(days=36500)


def has_own_certificate(places: Places) -> bool:
    """Whether the server on this node uses a certificate of ours: it does while there is one."""
    return (places.own / NAME).exists()


async def make_certificate(places: Places, account: Account, node: str) -> None:
    """Give the server one; from now on the settings of ours name it."""
    certificate, key = self_signed(node)
    await account.shell('mkdir -p -m 0700 "$1"', str(places.own))
    await account.write(places.own / "standfast.key", key)
    await account.write(places.own / NAME, certificate)


def self_signed(name: str) -> tuple[str, str]:
    """Certificate and key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
