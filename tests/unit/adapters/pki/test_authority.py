"""What an authority signs, what it refuses, and for how long it is good."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from standfast.adapters.pki import (
    Authority,
    Bootstrap,
    Member,
    Operator,
    Role,
    WitnessProcess,
    dns_name,
    facts,
    make_request,
    new_key,
    verify,
)
from standfast.errors import RefusedError, UserError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCOPE = "3f0c-aa"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(SCOPE, NOW)


@pytest.mark.parametrize(
    ("role", "days"),
    [
        (Member("m1", SCOPE), 730),
        (WitnessProcess(SCOPE), 730),
        (Operator(SCOPE), 1),
        (Bootstrap(SCOPE), 1),
    ],
)
def test_lifetimes_and_names(authority: Authority, role: Role, days: int) -> None:
    found = facts(authority.issue(role, NOW).certificate)
    assert found.name == dns_name(role)
    assert found.not_after == NOW + timedelta(days=days)
    assert found.not_before == NOW - timedelta(days=1)
    assert found.left(NOW) == timedelta(days=days)


def test_renewal_is_due_at_two_thirds(authority: Authority) -> None:
    found = facts(authority.issue(Member("m1", SCOPE), NOW).certificate)
    life = found.not_after - found.not_before
    assert found.renew_at - found.not_before == life * 2 / 3


def test_it_survives_the_secret(authority: Authority) -> None:
    again = Authority.load(authority.certificate, authority.key)
    assert again == authority
    assert again.scope == SCOPE
    verify(authority.certificate, "config", b"payload", again.sign("config", b"payload"))


def test_the_key_is_never_shown(authority: Authority) -> None:
    assert "PRIVATE" not in repr(authority)
    assert "PRIVATE" not in repr(authority.issue(Operator(SCOPE), NOW))


def test_a_key_of_another_authority_is_refused(authority: Authority) -> None:
    other = Authority.create(SCOPE, NOW)
    with pytest.raises(UserError, match="does not belong to its certificate"):
        Authority.load(authority.certificate, other.key)


def test_a_members_certificate_is_no_authority(authority: Authority) -> None:
    member = authority.issue(Member("m1", SCOPE), NOW)
    with pytest.raises(UserError, match="may not sign others"):
        Authority.load(member.certificate, member.key)


@pytest.mark.parametrize("damage", ["", "junk", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_damaged_pem_is_a_sentence(authority: Authority, damage: str) -> None:
    with pytest.raises(UserError, match="does not read as"):
        Authority.load(damage, authority.key)
    with pytest.raises(UserError, match="does not read as"):
        Authority.load(authority.certificate, damage)


def test_a_request_is_signed_for_exactly_its_role(authority: Authority) -> None:
    key = new_key()
    request = make_request(key, Member("m1", SCOPE))
    certificate = authority.sign_request(request, Member("m1", SCOPE), NOW)
    assert facts(certificate).name == f"m1.{SCOPE}.standfast"
    with pytest.raises(UserError, match=rf"asks for m1\.{SCOPE}\.standfast, and only m2"):
        authority.sign_request(request, Member("m2", SCOPE), NOW)
    with pytest.raises(UserError, match="and only operator"):
        authority.sign_request(request, Operator(SCOPE), NOW)


def test_a_request_for_more_than_one_name_is_refused(authority: Authority) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    role = Member("m1", SCOPE)
    names = [x509.DNSName(dns_name(role)), x509.DNSName(dns_name(Operator(SCOPE)))]
    request = _request(names, key)
    with pytest.raises(UserError, match="and only m1"):
        authority.sign_request(request, role, NOW)


def test_a_request_with_a_key_of_another_kind_is_refused(authority: Authority) -> None:
    role = Member("m1", SCOPE)
    request = _request([x509.DNSName(dns_name(role))], ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UserError, match="the request's key is not Ed25519"):
        authority.sign_request(request, role, NOW)


def test_a_request_not_signed_by_its_own_key_is_refused(authority: Authority) -> None:
    role = Member("m1", SCOPE)
    pem = make_request(new_key(), role)
    raw = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER))
    raw[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(raw)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(UserError, match="not signed by the key it names"):
        authority.sign_request(forged, role, NOW)


@pytest.mark.parametrize("junk", ["", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n"])
def test_a_damaged_request_is_a_sentence(authority: Authority, junk: str) -> None:
    with pytest.raises(UserError, match="does not read as PEM"):
        authority.sign_request(junk, Member("m1", SCOPE), NOW)


def test_a_signature_is_good_for_its_purpose_and_payload_only(authority: Authority) -> None:
    signature = authority.sign("config", b"payload")
    verify(authority.certificate, "config", b"payload", signature)
    for purpose, payload in (("consent", b"payload"), ("config", b"payloae")):
        with pytest.raises(RefusedError, match=f"the {purpose} is not signed by the authority"):
            verify(authority.certificate, purpose, payload, signature)
    other = Authority.create(SCOPE, NOW)
    with pytest.raises(RefusedError):
        verify(other.certificate, "config", b"payload", signature)


@pytest.mark.parametrize("scope", ["", "A", "a.b", "a_b", "x" * 64, "-a"])
def test_a_scope_that_is_no_uid_is_refused(scope: str) -> None:
    with pytest.raises(UserError, match="cannot stand in a certificate's name"):
        Authority.create(scope, NOW)


def _request(
    names: list[x509.DNSName], key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
) -> str:
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    if isinstance(key, ed25519.Ed25519PrivateKey):
        request = builder.sign(key, None)
    else:
        from cryptography.hazmat.primitives import hashes

        request = builder.sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
